output "user_data" {
  description = "The cloud-init configuration: `user_data` on AWS, the metadata `user-data` on Google."
  value       = "#cloud-config\n${yamlencode(local.cloud_config)}"
}

output "port" {
  description = "The port that is served."
  value       = local.port
}

output "unit" {
  description = "The systemd unit that serves it: `journalctl -u` with it shows the logs."
  value       = "nym-${var.role}.service"
}
