output "network" {
  description = "Self link of the network."
  value       = google_compute_network.this.self_link
}

output "subnetwork" {
  description = "Self link of the subnetwork."
  value       = google_compute_subnetwork.this.self_link
}

output "cidr" {
  description = "Private IPv4 range."
  value       = google_compute_subnetwork.this.ip_cidr_range
}
