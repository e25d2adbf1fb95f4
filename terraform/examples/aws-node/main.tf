# One mixnode on AWS.

provider "aws" {
  region = var.region
}

module "node" {
  source = "../../aws"

  node_id       = var.node_id
  image         = var.image
  directory_url = var.directory_url
  region        = var.region
}
