output "announce_ipv4" {
  description = "The public IPv4 addresses, by node. They outlive the machines."
  value       = { for key, node in local.nodes : node.name => aws_eip.node[key].public_ip }
}

output "announce_ipv6" {
  description = "The public IPv6 addresses, by node. They outlive the machines."
  value       = { for key, node in local.nodes : node.name => one(aws_instance.node[key].ipv6_addresses) }
}

output "private_ipv4" {
  description = "The private IPv4 addresses, by node."
  value       = { for key, node in local.nodes : node.name => aws_instance.node[key].private_ip }
}

output "port" {
  description = "The port that is served."
  value       = module.bootstrap["1"].port
}

output "zones" {
  description = "The zones, by node."
  value       = { for node in local.nodes : node.name => node.zone }
}

output "security_group_id" {
  description = "The security group of the nodes."
  value       = aws_security_group.node.id
}

output "shell" {
  description = "How to get a shell on a machine, by node."
  value       = { for key, node in local.nodes : node.name => "aws ssm start-session --region ${var.region} --target ${aws_instance.node[key].id}" }
}

output "logs" {
  description = "How to look at the logs, by node; on the machine it is `journalctl -u nym-mixnode`."
  value = {
    for key, node in local.nodes : node.name => var.cloud_logging ?
    "aws logs tail ${local.log_name} --region ${var.region} --log-stream-names ${node.name} --follow" :
    "aws ssm start-session --region ${var.region} --target ${aws_instance.node[key].id}   # then: journalctl -fu ${module.bootstrap[key].unit}"
  }
}

output "directory_url" {
  description = "Where a registry is reached; null for mixnodes."
  value       = var.role == "registry" ? "http://${aws_eip.node["1"].public_ip}:${module.bootstrap["1"].port}" : null
}
