output "service_account" {
  value = google_service_account.this.email
}

output "member" {
  value = google_service_account.this.member
}

output "instance" {
  value = google_compute_instance.this
}

output "firewall" {
  description = "All rules of this module."
  value       = merge({ ssh = google_compute_firewall.ssh }, google_compute_firewall.in)
}

output "iam" {
  description = "All that the service account holds by this module."
  value = concat(
    [for grant in google_project_iam_member.this : { on = "project ${grant.project}", role = grant.role, member = grant.member }],
    [for grant in google_secret_manager_secret_iam_member.this : { on = "secret ${grant.secret_id}", role = grant.role, member = grant.member }],
    [for grant in google_storage_bucket_iam_member.package : { on = "bucket ${grant.bucket}", role = grant.role, member = grant.member }],
  )
}
