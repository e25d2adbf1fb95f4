# Mixnodes on Compute Engine. Each node is a machine with static IPv4 and IPv6 addresses and a separate disk for the
# keys. The machine can be replaced at any time; addresses and identity stay the same.

data "google_compute_zones" "available" {
  region = var.region
  status = "UP"
}

module "network" {
  source = "./network"
  count  = length(var.subnet_ids) == 0 ? 1 : 0

  name   = local.name
  region = var.region
  cidr   = var.subnet_cidr
}

locals {
  is_arm     = can(regex("^(t2a|c4a)-", var.machine_type))
  boot_image = var.boot_image == null ? "projects/cos-cloud/global/images/family/${local.is_arm ? "cos-arm64-stable" : "cos-stable"}" : var.boot_image

  # Names of resources consist of lower-case letters, digits and -.
  name   = lower(replace(var.node_id, "_", "-"))
  labels = merge({ application = "nym-mixnode" }, var.labels)
  zones  = coalescelist(var.zones, slice(data.google_compute_zones.available.names, 0, min(var.node_count, 3, length(data.google_compute_zones.available.names))))

  # Nodes are assigned to the zones in turn.
  nodes = {
    for index in range(var.node_count) : tostring(index + 1) => {
      # The first name does not depend on node_count, so that adding nodes does not rename it.
      name     = index == 0 ? var.node_id : "${var.node_id}-${index + 1}"
      resource = index == 0 ? local.name : "${local.name}-${index + 1}"
      zone     = local.zones[index % length(local.zones)]
    }
  }

  subnetwork = length(var.subnet_ids) == 0 ? module.network[0].subnetwork : var.subnet_ids[0]
  location   = var.location == "" ? var.region : var.location
}

module "bootstrap" {
  source   = "../bootstrap"
  for_each = local.nodes

  node_id            = each.value.name
  image              = var.image
  role               = var.role
  directory_url      = var.directory_url
  layer              = var.layer
  location           = local.location
  incentives_address = var.incentives_address
  announce_hosts     = var.announce_hosts
  port               = var.port
  test_port          = var.test_port
  monitor_every      = var.monitor_every
  test_hosts         = var.role == "registry" ? [google_compute_address.ipv4[each.key].address, google_compute_address.ipv6[each.key].address] : []
  nofile             = var.nofile
  otlp_endpoint      = var.otlp_endpoint
  environment        = var.environment
  secret_environment = var.secret_environment
  image_login        = var.image_login
  image_secret       = var.image_secret
  collector          = var.collector
  cloud              = "gcp"
  key_disks          = ["/dev/disk/by-id/google-nym-keys"]
  log_driver         = var.cloud_logging ? "gcplogs" : "none"
  # Without non-blocking mode a slow Cloud Logging would block the node. The driver drops log lines instead; the journal
  # still has them.
  log_options = var.cloud_logging ? { mode = "non-blocking", max-buffer-size = "4m" } : {}
}

# The keys are the identity of the node. Neither replacement of the machine nor `terraform destroy` deletes this disk.
# To delete it, remove it from the state (`terraform state rm`) and delete it manually.
#trivy:ignore:AVD-GCP-0034
resource "google_compute_disk" "keys" {
  #checkov:skip=CKV_GCP_37:encrypted with Google's key unless kms_key_id sets another one
  for_each = local.nodes

  name   = "${each.value.resource}-keys"
  zone   = each.value.zone
  type   = var.disk_type
  size   = 10
  labels = local.labels

  dynamic "disk_encryption_key" {
    for_each = var.kms_key_id == null ? [] : [var.kms_key_id]
    content {
      kms_key_self_link = disk_encryption_key.value
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_compute_address" "ipv4" {
  for_each = local.nodes

  name         = "${each.value.resource}-ipv4"
  region       = var.region
  address_type = "EXTERNAL"
  network_tier = "PREMIUM"
  labels       = local.labels
}

resource "google_compute_address" "ipv6" {
  for_each = local.nodes

  name               = "${each.value.resource}-ipv6"
  region             = var.region
  address_type       = "EXTERNAL"
  ip_version         = "IPV6"
  ipv6_endpoint_type = "VM"
  network_tier       = "PREMIUM"
  subnetwork         = local.subnetwork
  labels             = local.labels
}

# New user data must replace the machine: Google would only change the metadata, which is not read before the next boot.
resource "terraform_data" "user_data" {
  for_each = local.nodes
  input    = sha256(module.bootstrap[each.key].user_data)
}

# False positives: the metadata block project-wide keys, but the scanner cannot evaluate them because of the user data.
#trivy:ignore:AVD-GCP-0030
#trivy:ignore:AVD-GCP-0031
#trivy:ignore:AVD-GCP-0033
resource "google_compute_instance" "node" {
  #checkov:skip=CKV_GCP_40:mixnodes must be reachable from the internet
  #checkov:skip=CKV_GCP_38:encrypted with Google's key unless kms_key_id sets another one
  for_each = local.nodes

  name         = each.value.resource
  zone         = each.value.zone
  machine_type = var.machine_type
  # Without a minimum platform an N2 may be a Cascade Lake, which has no AVX-512 IFMA.
  min_cpu_platform          = startswith(var.machine_type, "n2-") ? "Intel Ice Lake" : null
  allow_stopping_for_update = true
  labels                    = local.labels
  tags                      = [local.tag]

  boot_disk {
    auto_delete       = true
    kms_key_self_link = var.kms_key_id

    initialize_params {
      image  = local.boot_image
      size   = var.root_disk_gib
      type   = var.disk_type
      labels = local.labels
    }
  }

  attached_disk {
    source            = google_compute_disk.keys[each.key].self_link
    device_name       = "nym-keys"
    mode              = "READ_WRITE"
    kms_key_self_link = var.kms_key_id
  }

  network_interface {
    subnetwork = local.subnetwork
    stack_type = "IPV4_IPV6"
    nic_type   = "GVNIC"

    access_config {
      nat_ip       = google_compute_address.ipv4[each.key].address
      network_tier = "PREMIUM"
    }

    ipv6_access_config {
      name                        = "external-ipv6"
      external_ipv6               = google_compute_address.ipv6[each.key].address
      external_ipv6_prefix_length = "96"
      network_tier                = "PREMIUM"
    }
  }

  metadata = {
    user-data              = module.bootstrap[each.key].user_data
    enable-oslogin         = "TRUE"
    block-project-ssh-keys = "true"
    serial-port-enable     = "FALSE"
    # Docker's log driver sends the logs of containers, if enabled.
    google-logging-enabled    = "false"
    google-monitoring-enabled = "false"
  }

  service_account {
    email = local.own_account ? google_service_account.node[0].email : var.service_account_email
    # The roles of the account limit its permissions; it has at most one role.
    scopes = ["cloud-platform"]
  }

  shielded_instance_config {
    # Kernels of ARM images are not signed for it.
    enable_secure_boot          = !local.is_arm
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  scheduling {
    automatic_restart   = true
    on_host_maintenance = "MIGRATE"
  }

  lifecycle {
    # A newer system image does not replace running machines. Use -replace to upgrade the system.
    ignore_changes       = [boot_disk[0].initialize_params[0].image]
    replace_triggered_by = [terraform_data.user_data[each.key]]

    precondition {
      condition     = alltrue([for zone in local.zones : startswith(zone, "${var.region}-")])
      error_message = "zones = ${jsonencode(local.zones)} contains a zone outside of region = \"${var.region}\": list zones of that region, or leave zones empty."
    }
  }
}
