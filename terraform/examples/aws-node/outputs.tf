output "announce" {
  description = "Addresses that the node announces."
  value       = { ipv4 = module.node.announce_ipv4, ipv6 = module.node.announce_ipv6 }
}

output "logs" {
  description = "Commands that show the logs."
  value       = module.node.logs
}

output "shell" {
  description = "Command that opens a shell on the machine."
  value       = module.node.shell
}

output "does_it_mix" {
  description = "Command that checks that the node mixes. Run it on a machine that the node can reach."
  value       = "nym-mixnode probe --directory ${var.directory_url}"
}
