output "url" {
  value = "https://${var.domain}"
}

output "address" {
  description = "Where the name must lead, if `dns_zone` is not set."
  value       = google_compute_global_address.this.address
}

output "dns_authorization" {
  description = "The record that lets Google make the certificate, if `dns_zone` is not set."
  value       = local.authorization
}

output "iap_audience" {
  description = "What IAP's assertions are made out to, and Trackgate asks of them. Programs ask for tokens of another audience: `iap_programs`. Known once `backend_service` is."
  value       = local.audience
}

output "iap_programs" {
  description = "What programs show IAP (docs/gcp.md, Programs behind IAP): an ID token for one of `clients`, or a JWT that a service account signs, for `signed`."
  value       = { clients = var.programmatic_clients, signed = "https://${var.domain}/*" }
}

output "service_accounts" {
  value = { server = module.identity.service_account, nodes = google_service_account.nodes.email }
}

output "bucket" {
  value = module.bucket.name
}

output "database_instance" {
  value = module.database.instance
}

output "database" {
  description = "For the chart's values: the host, the CA (public), and the secrets that hold the passwords."
  value       = { host = module.database.host, ca = module.database.ca, secrets = module.database.secrets }
}

output "certificate_map" {
  value = google_certificate_manager_certificate_map.this.name
}

output "values" {
  description = "The values of the chart deploy/helm/trackgate (YAML)."
  value       = yamlencode(local.values)
}

# What ./finish reads.
output "cluster" {
  value = { project = var.project, region = var.region, name = google_container_cluster.this.name, namespace = var.namespace, release = var.name, backend_service = var.backend_service }
}

output "next" {
  value = <<-EOT
    # the chart, with the passwords, and IAP's audience; then: is it up, and does the whole chain hold?
    ./finish
    # the cluster, by kubectl
    gcloud container clusters get-credentials ${var.name} --project=${var.project} --region=${var.region} --dns-endpoint
    # later: is it up, and does the whole chain hold?
    trackgate doctor --url "https://${var.domain}"
  EOT
}
