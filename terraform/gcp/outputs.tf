output "announce_ipv4" {
  description = "The public IPv4 addresses, by node. They outlive the machines."
  value       = { for key, node in local.nodes : node.name => google_compute_address.ipv4[key].address }
}

output "announce_ipv6" {
  description = "The public IPv6 addresses, by node. They outlive the machines."
  value       = { for key, node in local.nodes : node.name => google_compute_address.ipv6[key].address }
}

output "private_ipv4" {
  description = "The private IPv4 addresses, by node."
  value       = { for key, node in local.nodes : node.name => google_compute_instance.node[key].network_interface[0].network_ip }
}

output "port" {
  description = "The port that is served."
  value       = module.bootstrap["1"].port
}

output "zones" {
  description = "The zones, by node."
  value       = { for node in local.nodes : node.name => node.zone }
}

output "shell" {
  description = "How to get a shell on a machine, by node. There is no rule for SSH: make one for Google's proxy (35.235.240.0/20) while you need it."
  value       = { for node in local.nodes : node.name => "gcloud compute ssh ${node.resource} --zone ${node.zone} --tunnel-through-iap" }
}

output "logs" {
  description = "How to look at the logs, by node; on the machine it is `journalctl -u nym-mixnode`."
  value = {
    for key, node in local.nodes : node.name => var.cloud_logging ?
    "gcloud logging read 'logName:gcplogs-docker-driver AND jsonPayload.instance.name=\"${node.resource}\"' --freshness 1h" :
    "gcloud compute ssh ${node.resource} --zone ${node.zone} --tunnel-through-iap --command 'sudo journalctl -fu ${module.bootstrap[key].unit}'"
  }
}

output "directory_url" {
  description = "Where a registry is reached; null for mixnodes."
  value       = var.role == "registry" ? "http://${google_compute_address.ipv4["1"].address}:${module.bootstrap["1"].port}" : null
}
