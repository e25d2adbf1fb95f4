locals {
  shell = {
    for key, node in local.nodes : key => join("", [
      "gcloud compute ssh ${node.resource} --zone ${node.zone} --project ${google_compute_address.ipv4["1"].project} --tunnel-through-iap",
      var.iap_ssh ? "" : "   # requires iap_ssh = true, which opens port 22 to Identity-Aware Proxy",
    ])
  }
}

output "announce_ipv4" {
  description = "Public IPv4 address of each node. It survives replacement of the machine."
  value       = { for key, node in local.nodes : node.name => google_compute_address.ipv4[key].address }
}

output "announce_ipv6" {
  description = "Public IPv6 address of each node. It survives replacement of the machine."
  value       = { for key, node in local.nodes : node.name => google_compute_address.ipv6[key].address }
}

output "private_ipv4" {
  description = "Private IPv4 address of each node."
  value       = { for key, node in local.nodes : node.name => google_compute_instance.node[key].network_interface[0].network_ip }
}

output "port" {
  description = "Port of the service."
  value       = module.bootstrap["1"].port
}

output "zones" {
  description = "Zone of each node."
  value       = { for node in local.nodes : node.name => node.zone }
}

output "shell" {
  description = "Command that opens a shell on the machine of each node. It requires `iap_ssh = true`."
  value       = { for key, node in local.nodes : node.name => local.shell[key] }
}

output "logs" {
  description = "Command that shows the logs of each node. On the machine, use `journalctl -u nym-mixnode`."
  value = {
    for key, node in local.nodes : node.name => var.cloud_logging ?
    "gcloud logging read 'logName:gcplogs-docker-driver AND jsonPayload.instance.name=\"${node.resource}\"' --freshness 1h --project ${google_compute_address.ipv4["1"].project}" :
    "${local.shell[key]}   # then: sudo journalctl -fu ${module.bootstrap[key].unit}"
  }
}

output "directory_url" {
  description = "URL of the registry; null for mixnodes."
  value       = var.role == "registry" ? "http://${google_compute_address.ipv4["1"].address}:${module.bootstrap["1"].port}" : null
}
