# A dual-stack network with one subnetwork, whose machines can have external IPv6 addresses.

resource "google_compute_network" "this" {
  #checkov:skip=CKV2_GCP_18:who uses the network brings its firewall rules along
  name                    = var.name
  description             = "Network of mixnodes"
  auto_create_subnetworks = false
}

# Flow logs would record who sends to whom, which is what a mix network hides: they stay off.
#trivy:ignore:AVD-GCP-0029
resource "google_compute_subnetwork" "this" {
  #checkov:skip=CKV_GCP_26:a record of the peers' addresses is what a mix network must not leave
  #checkov:skip=CKV_GCP_76:external IPv6 is what the nodes are for
  name                     = var.name
  network                  = google_compute_network.this.id
  region                   = var.region
  ip_cidr_range            = var.cidr
  stack_type               = "IPV4_IPV6"
  ipv6_access_type         = "EXTERNAL"
  private_ip_google_access = true
}
