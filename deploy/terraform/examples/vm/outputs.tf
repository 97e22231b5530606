output "url" {
  value = "https://${var.domain}"
}

output "address" {
  description = "Where the name must lead, if `dns_zone` is not set."
  value       = google_compute_address.this.address
}

output "iap_audience" {
  description = "None: this example is without Identity-Aware Proxy."
  value       = null
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
