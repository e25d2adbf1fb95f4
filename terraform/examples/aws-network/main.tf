# A mix network on AWS: a registry with a collector on the same machine, and three layers of nodes.

provider "aws" {
  region = var.region
}

data "aws_availability_zones" "available" {
  #checkov:skip=CKV_AWS_394:an example; set the zones in a permanent network
  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

module "network" {
  source = "../../aws/network"

  name  = "mixnet"
  zones = slice(data.aws_availability_zones.available.names, 0, min(3, length(data.aws_availability_zones.available.names)))
}

module "registry" {
  source = "../../aws"

  role    = "registry"
  node_id = "registry"
  image   = var.image
  # The nodes are in the active set about three minutes after they have registered.
  monitor_every  = "10s"
  region         = var.region
  subnet_ids     = module.network.subnet_ids
  collector_from = module.network.cidr

  collector = {
    image         = var.collector_image
    configuration = file("${path.module}/collector.yaml")
  }
}

module "layer" {
  source   = "../../aws"
  for_each = toset(["1", "2", "3"])

  node_id       = "mix${each.key}"
  node_count    = var.nodes_per_layer
  layer         = tonumber(each.key)
  image         = var.image
  directory_url = module.registry.directory_url
  otlp_endpoint = "http://${module.registry.private_ipv4["registry"]}:4318"
  region        = var.region
  subnet_ids    = module.network.subnet_ids
}
