output "configs" {
  value = google_project_iam_audit_config.this
}

output "sink" {
  value = google_logging_project_sink.audit
}

output "log_bucket" {
  value = google_logging_project_bucket_config.audit
}
