# The APIs that the rest needs. They stay on when this is destroyed: others in the project may use them.
resource "google_project_service" "this" {
  for_each = toset(var.services)

  project            = var.project
  service            = each.value
  disable_on_destroy = false
}
