output "url" {
  value = "https://${var.domain}"
}

output "address" {
  description = "Where the name must lead, if `dns_zone` is not set."
  value       = module.lb.address
}

output "iap_audience" {
  description = "What IAP's assertions are made out to, and Trackgate asks of them. Programs ask for tokens of another audience: `iap_programs`."
  value       = module.lb.audience
}

output "iap_programs" {
  description = "What programs show IAP (docs/gcp.md, Programs behind IAP): an ID token for one of `clients`, or a JWT that a service account signs, for `signed`."
  value       = { clients = var.programmatic_clients, signed = "https://${var.domain}/*" }
}

output "service_accounts" {
  value = { server = module.vm.service_account }
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
    trackgate doctor --url "https://${var.domain}"
    # the machine, and what its start-up script said
    gcloud compute ssh ${var.name} --project=${var.project} --zone=${local.zone} --tunnel-through-iap --command='sudo journalctl -u google-startup-scripts -n 50'
    # after another `package`, `mlflow_packages`, secret or setting
    gcloud compute ssh ${var.name} --project=${var.project} --zone=${local.zone} --tunnel-through-iap --command='sudo google_metadata_script_runner startup'
  EOT
}
