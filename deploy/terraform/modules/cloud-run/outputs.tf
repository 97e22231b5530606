output "url" {
  value = local.url
}

output "audience" {
  description = "What IAP's assertions are made out to."
  value       = local.audience
}

output "service_account" {
  value = google_service_account.this.email
}

output "member" {
  value = google_service_account.this.member
}

output "service" {
  value = google_cloud_run_v2_service.this
}

output "config" {
  value = local.config
}

output "kept_versions" {
  description = "What becomes of a version of the configuration, and of the CA, when another one takes its place."
  value       = [google_secret_manager_secret_version.config.deletion_policy, google_secret_manager_secret_version.ca.deletion_policy]
}

output "name" {
  description = "The name of one's own: what leads to the service, and where it is written down."
  value = {
    mapped  = [for mapping in google_cloud_run_domain_mapping.this : "${mapping.name} to ${mapping.spec[0].route_name}"]
    records = [for record in google_dns_record_set.this : "${record.name} ${record.type} ${one(record.rrdatas)} in ${record.managed_zone}"]
  }
}

output "programs" {
  description = "Whose ID tokens IAP takes from programs, and before what."
  value       = [for settings in google_iap_settings.this : { name = settings.name, clients = settings.access_settings[0].oauth_settings[0].programmatic_clients }]
}

output "iam" {
  value = concat(
    [for grant in google_secret_manager_secret_iam_member.this : { on = "secret ${grant.secret_id}", role = grant.role, member = grant.member }],
    [for grant in google_iap_web_cloud_run_service_iam_member.this : { on = "service ${grant.cloud_run_service_name} (IAP)", role = grant.role, member = grant.member }],
    [for grant in [google_cloud_run_v2_service_iam_member.iap] : { on = "service ${grant.name}", role = grant.role, member = grant.member }],
  )
}
