output "directory_url" {
  description = "The directory of the network."
  value       = module.registry.directory_url
}

output "announce" {
  description = "The addresses that the nodes announce."
  value = merge([for layer in module.layer : {
    for name, address in layer.announce_ipv4 : name => { ipv4 = address, ipv6 = layer.announce_ipv6[name] }
  }]...)
}

output "logs" {
  description = "How to look at the logs."
  value       = merge(module.registry.logs, [for layer in module.layer : layer.logs]...)
}

output "shell" {
  description = "How to get a shell on a machine."
  value       = merge(module.registry.shell, [for layer in module.layer : layer.shell]...)
}

output "does_it_mix" {
  description = "How to see that the network mixes, from any machine that the nodes can reach."
  value       = "nym-mixnode probe --directory ${module.registry.directory_url}"
}
