output "directory_url" {
  description = "URL of the registry."
  value       = module.registry.directory_url
}

output "explorer" {
  description = "URL of the explorer, which shows the nodes and the active set."
  value       = module.registry.directory_url
}

output "announce" {
  description = "Addresses that the nodes announce."
  value = merge([for layer in module.layer : {
    for name, address in layer.announce_ipv4 : name => { ipv4 = address, ipv6 = layer.announce_ipv6[name] }
  }]...)
}

output "logs" {
  description = "Commands that show the logs."
  value       = merge(module.registry.logs, [for layer in module.layer : layer.logs]...)
}

output "shell" {
  description = "Commands that open a shell on a machine."
  value       = merge(module.registry.shell, [for layer in module.layer : layer.shell]...)
}

output "does_it_mix" {
  description = "Command that waits until each layer is in the active set, and checks that the network mixes. Run it on a machine that the nodes can reach."
  value       = "nym-mixnode probe --directory ${module.registry.directory_url} --wait-active 15m"
}
