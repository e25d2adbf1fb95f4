output "directory_url" {
  description = "URL of the registry."
  value       = module.registry.directory_url
}

output "explorer" {
  description = "URL of the explorer, which shows the nodes and the active set."
  value       = module.registry.directory_url
}

output "announce_ipv4" {
  description = "IPv4 addresses that the nodes announce."
  value       = merge(module.gcp.announce_ipv4, [for layer in module.aws : layer.announce_ipv4]...)
}

output "announce_ipv6" {
  description = "IPv6 addresses that the nodes announce."
  value       = merge(module.gcp.announce_ipv6, [for layer in module.aws : layer.announce_ipv6]...)
}

output "logs" {
  description = "Commands that show the logs."
  value       = merge(module.registry.logs, module.gcp.logs, [for layer in module.aws : layer.logs]...)
}

output "shell" {
  description = "Commands that open a shell on a machine."
  value       = merge(module.registry.shell, module.gcp.shell, [for layer in module.aws : layer.shell]...)
}

output "does_it_mix" {
  description = "Command that waits until each layer is in the active set, and checks that the network mixes. Run it on a machine that the nodes can reach."
  value       = "nym-mixnode probe --directory ${module.registry.directory_url} --wait-active 15m"
}
