output "announce" {
  description = "The addresses that the node announces."
  value       = { ipv4 = module.node.announce_ipv4, ipv6 = module.node.announce_ipv6 }
}

output "logs" {
  description = "How to look at the logs."
  value       = module.node.logs
}

output "shell" {
  description = "How to get a shell on the machine."
  value       = module.node.shell
}

output "does_it_mix" {
  description = "How to see that it mixes, from any machine that the node can reach."
  value       = "nym-mixnode probe --directory ${var.directory_url}"
}
