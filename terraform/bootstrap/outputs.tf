output "user_data" {
  description = "cloud-init configuration: pass it as `user_data` on AWS, as the metadata key `user-data` on Google Cloud."
  value       = "#cloud-config\n${yamlencode(local.cloud_config)}"
}

output "port" {
  description = "Port of the service."
  value       = local.port
}

output "open_ports" {
  description = "TCP ports that must be open to the internet: the port of the service and, for a registry, the port that test packets return to."
  value       = local.open_ports
}

output "unit" {
  description = "Name of the systemd unit; `journalctl -u` with it shows the logs."
  value       = "nym-${var.role}.service"
}
