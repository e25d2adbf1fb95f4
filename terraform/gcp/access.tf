# Who gets at a node, and what a node gets at.

locals {
  tag = "${local.name}-nym-${var.role}"
}

# A mixnode serves everybody, and that on one port. There is no rule for SSH.
#trivy:ignore:AVD-GCP-0027
resource "google_compute_firewall" "packets" {
  for_each = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }

  name          = "${local.tag}-${each.key}"
  description   = var.role == "mixnode" ? "Mix packets" : "API of the directory"
  network       = data.google_compute_subnetwork.this.network
  direction     = "INGRESS"
  source_ranges = [each.value]
  target_tags   = [local.tag]

  allow {
    protocol = "tcp"
    ports    = [tostring(module.bootstrap["1"].port)]
  }
}

# Telemetry of the nodes in the same network, where there is a collector for it.
resource "google_compute_firewall" "telemetry" {
  count = var.collector == null ? 0 : 1

  name          = "${local.tag}-otlp"
  description   = "OTLP from the nodes of this network"
  network       = data.google_compute_subnetwork.this.network
  direction     = "INGRESS"
  source_ranges = [var.collector_from]
  target_tags   = [local.tag]

  allow {
    protocol = "tcp"
    ports    = ["4317", "4318"]
  }
}

# The way in where one is asked for: from Google's proxy alone, which lets in whom the project's roles name.
resource "google_compute_firewall" "iap_ssh" {
  count = var.iap_ssh ? 1 : 0

  name          = "${local.tag}-ssh"
  description   = "SSH by Identity-Aware Proxy"
  network       = data.google_compute_subnetwork.this.network
  direction     = "INGRESS"
  source_ranges = ["35.235.240.0/20"]
  target_tags   = [local.tag]

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }
}

# The network that a subnetwork belongs to, given or made.
data "google_compute_subnetwork" "this" {
  self_link = local.subnetwork

  lifecycle {
    postcondition {
      condition     = length(var.subnet_ids) == 0 || (self.stack_type == "IPV4_IPV6" && self.ipv6_access_type == "EXTERNAL")
      error_message = "subnet_ids: ${local.subnetwork} has no external IPv6 addresses, and nodes have an address of each family: `gcloud compute networks subnets update` with --stack-type IPV4_IPV6 --ipv6-access-type EXTERNAL gives it some."
    }
  }
}

resource "google_service_account" "node" {
  account_id   = local.account
  display_name = "Mixnode ${var.node_id}"
}

resource "google_project_iam_member" "logs" {
  count = var.cloud_logging ? 1 : 0

  project = google_service_account.node.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.node.member
}

locals {
  # 6 to 30 characters. What does not fit is told apart by a hash.
  account = length(local.name) >= 6 && length(local.name) <= 30 ? local.name : "${trimsuffix(substr(local.name, 0, 20), "-")}-${substr(sha256(local.name), 0, 8)}"
}
