# Firewall rules and IAM permissions of the nodes.

locals {
  tag = "${local.name}-nym-${var.role}"
}

# Mixnodes and registries accept connections from everywhere. Nodes send test packets back to the registry over both
# address families: a node that calls the registry over IPv4 has no other proof of its IPv6 address.
#trivy:ignore:AVD-GCP-0027
resource "google_compute_firewall" "packets" {
  for_each = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }

  name          = "${local.tag}-${each.key}"
  description   = var.role == "mixnode" ? "Mix packets" : "API of the registry, and returning test packets"
  network       = data.google_compute_subnetwork.this.network
  direction     = "INGRESS"
  source_ranges = [each.value]
  target_tags   = [local.tag]

  allow {
    protocol = "tcp"
    ports    = [for port in module.bootstrap["1"].open_ports : tostring(port)]
  }
}

# Telemetry from nodes in the same network to the collector.
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

# SSH only from Identity-Aware Proxy, which admits users by their roles in the project.
resource "google_compute_firewall" "iap_ssh" {
  count = var.iap_ssh ? 1 : 0

  name          = "${local.tag}-ssh"
  description   = "SSH through Identity-Aware Proxy"
  network       = data.google_compute_subnetwork.this.network
  direction     = "INGRESS"
  source_ranges = ["35.235.240.0/20"]
  target_tags   = [local.tag]

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }
}

# The network of the given or created subnetwork.
data "google_compute_subnetwork" "this" {
  self_link = local.subnetwork

  lifecycle {
    postcondition {
      condition     = length(var.subnet_ids) == 0 || (self.stack_type == "IPV4_IPV6" && self.ipv6_access_type == "EXTERNAL")
      error_message = "subnet_ids: ${local.subnetwork} has no external IPv6 range, and each node needs an IPv6 address: add one with `gcloud compute networks subnets update NAME --stack-type IPV4_IPV6 --ipv6-access-type EXTERNAL`."
    }
  }
}

# With an existing service account the module creates no permissions.
resource "google_service_account" "node" {
  count = local.own_account ? 1 : 0

  account_id   = local.account
  display_name = "${var.role == "mixnode" ? "Mixnode" : "Mixnode registry"} ${var.node_id}"
}

resource "google_project_iam_member" "logs" {
  count = local.own_account && var.cloud_logging ? 1 : 0

  project = google_service_account.node[0].project
  role    = "roles/logging.logWriter"
  member  = google_service_account.node[0].member
}

# Pulls of the image from its repository in Artifact Registry.
resource "google_artifact_registry_repository_iam_member" "image" {
  count = local.own_account && var.image_login == "role" ? 1 : 0

  location   = local.repository[0]
  project    = local.repository[1]
  repository = local.repository[2]
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.node[0].member
}

resource "google_secret_manager_secret_iam_member" "environment" {
  for_each = local.own_account ? var.secret_environment : {}

  project   = split("/", each.value)[1]
  secret_id = split("/", each.value)[3]
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.node[0].member
}

resource "google_secret_manager_secret_iam_member" "image" {
  count = local.own_account && var.image_login == "secret" ? 1 : 0

  project   = split("/", var.image_secret)[1]
  secret_id = split("/", var.image_secret)[3]
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.node[0].member
}

locals {
  own_account = var.service_account_email == null
  # Location, project and name of the image's repository.
  repository = try(regex("^([a-z0-9-]+)-docker\\.pkg\\.dev/([^/]+)/([^/]+)/", var.image), ["", "", ""])
  # Account IDs have 6 to 30 characters. Other names are shortened and made unique with a hash.
  account = length(local.name) >= 6 && length(local.name) <= 30 ? local.name : "${trimsuffix(substr(local.name, 0, 20), "-")}-${substr(sha256(local.name), 0, 8)}"
}
