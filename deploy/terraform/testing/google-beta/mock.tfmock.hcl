mock_resource "google_project_service_identity" {
  defaults = { email = "service-123456789@gcp-sa-iap.iam.gserviceaccount.com" }
}
