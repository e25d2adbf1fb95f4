# A dual-stack cluster whose machines have external IPv4 and IPv6 addresses, for the chart's hostNetwork mode.

provider "google" {
  project = var.project
  region  = var.region
}

data "google_compute_zones" "available" {
  region = var.region
  status = "UP"
}

locals {
  name  = "mixnet"
  zones = slice(data.google_compute_zones.available.names, 0, min(3, var.node_count, length(data.google_compute_zones.available.names)))
}

resource "google_compute_network" "this" {
  #checkov:skip=CKV2_GCP_18:the firewall rules are defined below
  name                    = local.name
  auto_create_subnetworks = false
}

# Flow logs are off: they would record which peers communicate, which a mix network must hide.
#trivy:ignore:AVD-GCP-0029
resource "google_compute_subnetwork" "this" {
  #checkov:skip=CKV_GCP_26:flow logs would record the addresses of peers
  #checkov:skip=CKV_GCP_76:nodes need external IPv6 addresses
  name                     = local.name
  network                  = google_compute_network.this.id
  region                   = var.region
  ip_cidr_range            = "10.89.0.0/20"
  stack_type               = "IPV4_IPV6"
  ipv6_access_type         = "EXTERNAL"
  private_ip_google_access = true

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = "10.96.0.0/14"
  }

  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = "10.100.0.0/20"
  }
}

# Packets arrive at the addresses of the machines.
#trivy:ignore:AVD-GCP-0027
resource "google_compute_firewall" "packets" {
  for_each = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }

  name          = "${local.name}-packets-${each.key}"
  description   = "Mix packets"
  network       = google_compute_network.this.name
  direction     = "INGRESS"
  source_ranges = [each.value]
  target_tags   = [local.name]

  allow {
    protocol = "tcp"
    ports    = ["1789"]
  }
}

#trivy:ignore:AVD-GCP-0059
resource "google_container_cluster" "this" {
  #checkov:skip=CKV_GCP_12:Dataplane V2 enforces network policies without this block
  #checkov:skip=CKV_GCP_25:mixnodes need public addresses
  #checkov:skip=CKV_GCP_61:flow logs would record the addresses of peers
  #checkov:skip=CKV_GCP_64:mixnodes need public addresses
  #checkov:skip=CKV_GCP_65:groups are specific to an organisation
  #checkov:skip=CKV_GCP_66:policies for images are specific to an organisation
  name     = local.name
  location = var.region

  # The default node pool cannot be configured fully, so it is removed.
  remove_default_node_pool = true
  initial_node_count       = 1
  deletion_protection      = var.deletion_protection

  network               = google_compute_network.this.id
  subnetwork            = google_compute_subnetwork.this.id
  networking_mode       = "VPC_NATIVE"
  datapath_provider     = "ADVANCED_DATAPATH"
  enable_shielded_nodes = true
  resource_labels       = { application = "nym-mixnode" }

  ip_allocation_policy {
    stack_type                    = "IPV4_IPV6"
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  master_auth {
    client_certificate_config {
      issue_client_certificate = false
    }
  }

  master_authorized_networks_config {
    cidr_blocks {
      cidr_block   = var.admin_cidr
      display_name = "administrators"
    }
  }

  release_channel {
    channel = "REGULAR"
  }

  workload_identity_config {
    workload_pool = "${var.project}.svc.id.goog"
  }

  # For the default node pool until its removal. Otherwise it would use the project's default service account, which may
  # have permission to edit everything, or may not exist.
  node_config {
    service_account = google_service_account.nodes.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]

    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }
  }

  lifecycle {
    ignore_changes = [node_config]
  }

  depends_on = [google_project_iam_member.nodes]
}

# False positive: legacy metadata endpoints are disabled, but not where the scanner looks.
#trivy:ignore:AVD-GCP-0048
resource "google_container_node_pool" "mixnodes" {
  name           = "mixnodes"
  cluster        = google_container_cluster.this.id
  location       = var.region
  node_locations = local.zones
  # The number of machines per zone.
  node_count = ceil(var.node_count / max(1, length(local.zones)))

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  node_config {
    # Two threads are enough for a node, but GKE's own pods need more memory than a highcpu machine has left.
    machine_type     = "n2-standard-2"
    min_cpu_platform = "Intel Ice Lake"
    image_type       = "COS_CONTAINERD"
    disk_type        = "pd-balanced"
    disk_size_gb     = 30
    service_account  = google_service_account.nodes.email
    oauth_scopes     = ["https://www.googleapis.com/auth/cloud-platform"]
    tags             = [local.name]
    labels           = { "nym-mixnode" = "true" }

    metadata = {
      disable-legacy-endpoints = "true"
    }

    # Pods on the host's network read their addresses from the machine's metadata service. Other pods get the metadata
    # of workload identity.
    workload_metadata_config {
      mode = "GKE_METADATA"
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    # After a restart thousands of peers may connect at once: the node requests a backlog of 1024 connections. GKE has
    # no setting for half-open connections; SYN cookies handle these.
    linux_node_config {
      sysctls = {
        "net.core.somaxconn" = "4096"
      }
    }
  }

  lifecycle {
    precondition {
      condition     = length(local.zones) > 0
      error_message = "region = \"${var.region}\" has no zones: set a region that `gcloud compute regions list` shows."
    }
  }

  depends_on = [google_project_iam_member.nodes]
}

resource "google_service_account" "nodes" {
  account_id   = "${local.name}-nodes"
  display_name = "Machines of the cluster ${local.name}"
}

# The minimal role for machines of a cluster.
resource "google_project_iam_member" "nodes" {
  project = var.project
  role    = "roles/container.defaultNodeServiceAccount"
  member  = google_service_account.nodes.member
}
