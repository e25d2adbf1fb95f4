locals {
  shell = {
    for key, node in local.nodes : key => join("", [
      "gcloud compute ssh ${node.resource} --zone ${node.zone} --project ${google_service_account.node.project} --tunnel-through-iap",
      var.iap_ssh ? "" : "   # only with iap_ssh = true, which opens port 22 to that proxy",
    ])
  }
}

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
  description = "How to get a shell on a machine, by node. It needs `iap_ssh = true`, without which no port is open for it."
  value       = { for key, node in local.nodes : node.name => local.shell[key] }
}

output "logs" {
  description = "How to look at the logs, by node; on the machine it is `journalctl -u nym-mixnode`."
  value = {
    for key, node in local.nodes : node.name => var.cloud_logging ?
    "gcloud logging read 'logName:gcplogs-docker-driver AND jsonPayload.instance.name=\"${node.resource}\"' --freshness 1h --project ${google_service_account.node.project}" :
    "${local.shell[key]}   # then: sudo journalctl -fu ${module.bootstrap[key].unit}"
  }
}

output "directory_url" {
  description = "Where a registry is reached; null for mixnodes."
  value       = var.role == "registry" ? "http://${google_compute_address.ipv4["1"].address}:${module.bootstrap["1"].port}" : null
}
