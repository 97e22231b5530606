output "url" {
  value = module.service.url
}

output "iap_audience" {
  description = "What IAP's assertions are made out to, and Trackgate asks of them. Programs ask for tokens of another audience: `iap_programs`."
  value       = module.service.audience
}

output "iap_programs" {
  description = "What programs show IAP (docs/gcp.md, Programs behind IAP): an ID token for one of `clients`, or a JWT that a service account signs, for `signed`."
  value       = { clients = var.programmatic_clients, signed = "${module.service.url}/*" }
}

output "service_accounts" {
  value = { server = module.service.service_account }
}

output "bucket" {
  value = module.bucket.name
}

output "database_instance" {
  value = module.database.instance
}

output "next" {
  value = <<-EOT
    # is it up, and does the whole chain hold?
    trackgate doctor --url "${module.service.url}"
    # the service, and what it says
    gcloud run services describe ${var.name} --project=${var.project} --region=${var.region}
    gcloud logging read 'resource.type="cloud_run_revision" AND resource.labels.service_name="${var.name}"' --project=${var.project} --limit=50
  EOT
}
