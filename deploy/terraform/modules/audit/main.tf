# Who looked at what in Google's own services. With artifacts going through MLflow, Cloud Storage sees one service
# account only: who the person was stands in Trackgate's own stream, which the sink below keeps beside.
resource "google_project_iam_audit_config" "this" {
  for_each = toset(["storage.googleapis.com", "iap.googleapis.com", "cloudsql.googleapis.com"])

  project = var.project
  service = each.value

  audit_log_config {
    log_type = "DATA_READ"
  }
  audit_log_config {
    log_type = "DATA_WRITE"
  }
}

# A log bucket of its own: other retention, other readers than the project's default one. `locked` would make the
# retention irrevocable, which is the organization's to decide.
resource "google_logging_project_bucket_config" "audit" {
  project        = var.project
  location       = var.location
  bucket_id      = "${var.name}-audit"
  description    = "Trackgate's audit stream"
  retention_days = var.retention_days
}

# A sink into a log bucket of the same project needs no writer identity and no grant.
resource "google_logging_project_sink" "audit" {
  project                = var.project
  name                   = "${var.name}-audit"
  description            = "Trackgate's audit stream"
  destination            = "logging.googleapis.com/projects/${var.project}/locations/${var.location}/buckets/${google_logging_project_bucket_config.audit.bucket_id}"
  filter                 = var.filter
  unique_writer_identity = true
}
