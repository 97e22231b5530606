# The identity of the pod: a service account of Google's, which one service account of one namespace may use.
resource "google_service_account" "this" {
  project      = var.project
  account_id   = var.name
  display_name = "Trackgate and MLflow in ${var.namespace}/${var.kubernetes_service_account}"
}

resource "google_service_account_iam_member" "this" {
  service_account_id = google_service_account.this.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.workload_pool}[${var.namespace}/${var.kubernetes_service_account}]"
}

resource "google_secret_manager_secret_iam_member" "this" {
  for_each = var.secrets

  project   = var.project
  secret_id = each.value
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.this.member
}
