# One mixnode on Google Cloud.

provider "google" {
  project = var.project
  region  = var.region
}

module "node" {
  source = "../../gcp"

  node_id       = var.node_id
  image         = var.image
  directory_url = var.directory_url
  region        = var.region
  iap_ssh       = var.iap_ssh
}
