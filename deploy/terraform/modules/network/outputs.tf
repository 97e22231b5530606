output "network" {
  value = google_compute_network.this
}

output "subnetwork" {
  value = google_compute_subnetwork.this
}

# Whoever puts something into the peered range must wait for the peering.
output "services_connection" {
  value = google_service_networking_connection.services.id
}

output "nat" {
  value = google_compute_router_nat.this
}
