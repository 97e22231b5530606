output "bucket" {
  value = google_storage_bucket.artifacts
}

output "name" {
  value = google_storage_bucket.artifacts.name
}

output "iam" {
  description = "Who holds what on the bucket."
  value       = [for grant in google_storage_bucket_iam_member.writers : { on = "bucket ${grant.bucket}", role = grant.role, member = grant.member }]
}
