# A dual-stack network with one subnetwork that supports external IPv6 addresses.

resource "google_compute_network" "this" {
  #checkov:skip=CKV2_GCP_18:modules that use the network create its firewall rules
  name                    = var.name
  description             = "Network of mixnodes"
  auto_create_subnetworks = false
}

# Flow logs are off: they would record which peers communicate, which a mix network must hide.
#trivy:ignore:AVD-GCP-0029
resource "google_compute_subnetwork" "this" {
  #checkov:skip=CKV_GCP_26:flow logs would record the addresses of peers
  #checkov:skip=CKV_GCP_76:nodes need external IPv6 addresses
  name                     = var.name
  network                  = google_compute_network.this.id
  region                   = var.region
  ip_cidr_range            = var.cidr
  stack_type               = "IPV4_IPV6"
  ipv6_access_type         = "EXTERNAL"
  private_ip_google_access = true
}
