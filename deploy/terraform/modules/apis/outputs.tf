output "services" {
  value = sort([for service in google_project_service.this : service.service])
}
