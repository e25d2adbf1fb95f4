# A mix network on Google Cloud: a registry with a collector on the same machine, and three layers of nodes.

provider "google" {
  project = var.project
  region  = var.region
}

module "network" {
  source = "../../gcp/network"

  name   = "mixnet"
  region = var.region
}

module "registry" {
  source = "../../gcp"

  role    = "registry"
  node_id = "registry"
  image   = var.image
  # The nodes are in the active set about three minutes after they have registered.
  monitor_every  = "10s"
  region         = var.region
  subnet_ids     = [module.network.subnetwork]
  collector_from = module.network.cidr
  iap_ssh        = var.iap_ssh

  collector = {
    image         = var.collector_image
    configuration = file("${path.module}/collector.yaml")
  }
}

module "layer" {
  source   = "../../gcp"
  for_each = toset(["1", "2", "3"])

  node_id       = "mix${each.key}"
  node_count    = var.nodes_per_layer
  layer         = tonumber(each.key)
  image         = var.image
  directory_url = module.registry.directory_url
  otlp_endpoint = "http://${module.registry.private_ipv4["registry"]}:4318"
  region        = var.region
  subnet_ids    = [module.network.subnetwork]
  iap_ssh       = var.iap_ssh
}
