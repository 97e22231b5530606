output "address" {
  value = google_compute_global_address.this.address
}

output "audience" {
  description = "What IAP's assertions are made out to."
  value       = "/projects/${var.project_number}/global/backendServices/${google_compute_backend_service.this.generated_id}"
}

output "backend" {
  value = google_compute_backend_service.this
}

output "group" {
  value = google_compute_instance_group.this
}

output "front" {
  value = {
    ssl_policy  = google_compute_ssl_policy.this
    proxy       = google_compute_target_https_proxy.this
    redirect    = google_compute_url_map.redirect
    rules       = [google_compute_global_forwarding_rule.https, google_compute_global_forwarding_rule.redirect]
    health      = google_compute_health_check.this
    certificate = google_compute_managed_ssl_certificate.this
  }
}

output "records" {
  value = [for record in google_dns_record_set.this : "${record.name} ${record.type} ${one(record.rrdatas)} in ${record.managed_zone}"]
}

output "programs" {
  description = "Whose ID tokens IAP takes from programs, and before what."
  value       = [for settings in google_iap_settings.this : { name = settings.name, clients = settings.access_settings[0].oauth_settings[0].programmatic_clients }]
}

output "iam" {
  value = [for grant in google_iap_web_backend_service_iam_member.this : { on = "backend ${grant.web_backend_service}", role = grant.role, member = grant.member }]
}
