# One mix network across two clouds: the registry and layers 1 and 3 on AWS, layer 2 on Google Cloud. Each packet
# crosses from one provider to the other and back, so that neither provider sees its whole path.

provider "aws" {
  region = var.aws_region
}

provider "google" {
  project = var.project
  region  = var.gcp_region
}

module "registry" {
  source = "../../aws"

  role    = "registry"
  node_id = "registry"
  image   = var.image
  # The nodes are in the active set about three minutes after they have registered.
  monitor_every = "10s"
  region        = var.aws_region
}

module "aws" {
  source   = "../../aws"
  for_each = toset(["1", "3"])

  node_id       = "aws-mix${each.key}"
  node_count    = 2
  layer         = tonumber(each.key)
  image         = var.image
  directory_url = module.registry.directory_url
  region        = var.aws_region
}

module "gcp" {
  source = "../../gcp"

  node_id       = "gcp-mix2"
  node_count    = 2
  layer         = 2
  image         = var.image
  directory_url = module.registry.directory_url
  region        = var.gcp_region
  iap_ssh       = var.iap_ssh
}
