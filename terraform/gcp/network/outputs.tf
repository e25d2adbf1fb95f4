output "network" {
  description = "The network's self link."
  value       = google_compute_network.this.self_link
}

output "subnetwork" {
  description = "The subnetwork's self link."
  value       = google_compute_subnetwork.this.self_link
}

output "cidr" {
  description = "The private IPv4 range."
  value       = google_compute_subnetwork.this.ip_cidr_range
}
