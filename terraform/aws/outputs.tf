output "announce_ipv4" {
  description = "Public IPv4 address of each node. It survives replacement of the machine."
  value       = { for key, node in local.nodes : node.name => aws_eip.node[key].public_ip }
}

output "announce_ipv6" {
  description = "Public IPv6 address of each node. It survives replacement of the machine."
  value       = { for key, node in local.nodes : node.name => one(aws_instance.node[key].ipv6_addresses) }
}

output "private_ipv4" {
  description = "Private IPv4 address of each node."
  value       = { for key, node in local.nodes : node.name => aws_instance.node[key].private_ip }
}

output "port" {
  description = "Port of the service."
  value       = module.bootstrap["1"].port
}

output "zones" {
  description = "Availability zone of each node."
  value       = { for node in local.nodes : node.name => node.zone }
}

output "security_group_id" {
  description = "Security group of the nodes."
  value       = aws_security_group.node.id
}

output "shell" {
  description = "Command that opens a shell on the machine of each node."
  value       = { for key, node in local.nodes : node.name => "aws ssm start-session --region ${var.region} --target ${aws_instance.node[key].id}" }
}

output "logs" {
  description = "Command that shows the logs of each node. On the machine, use `journalctl -u nym-mixnode`."
  value = {
    for key, node in local.nodes : node.name => var.cloud_logging ?
    "aws logs tail ${local.log_name} --region ${var.region} --log-stream-names ${node.name} --follow" :
    "aws ssm start-session --region ${var.region} --target ${aws_instance.node[key].id}   # then: journalctl -fu ${module.bootstrap[key].unit}"
  }
}

output "directory_url" {
  description = "URL of the registry; null for mixnodes."
  value       = var.role == "registry" ? "http://${aws_eip.node["1"].public_ip}:${module.bootstrap["1"].port}" : null
}
