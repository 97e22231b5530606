output "service_account" {
  value = google_service_account.this.email
}

output "member" {
  value = google_service_account.this.member
}

output "iam" {
  value = concat(
    [for grant in [google_service_account_iam_member.this] : { on = "service account ${grant.service_account_id}", role = grant.role, member = grant.member }],
    [for grant in google_secret_manager_secret_iam_member.this : { on = "secret ${grant.secret_id}", role = grant.role, member = grant.member }],
  )
}
