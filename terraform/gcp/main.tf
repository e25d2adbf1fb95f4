# Mixnodes on Compute Engine: each a machine with a fixed IPv4 and IPv6 address, and a disk of its own for the keys.
# Machine and system can be replaced at any time; address and identity stay.

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
  # Google's names are lower case letters, digits and -.
  name   = lower(replace(var.node_id, "_", "-"))
  labels = merge({ application = "nym-mixnode" }, var.labels)
  zones  = coalescelist(var.zones, slice(data.google_compute_zones.available.names, 0, min(var.node_count, 3, length(data.google_compute_zones.available.names))))

  # The nodes go around the zones in turn.
  nodes = {
    for index in range(var.node_count) : tostring(index + 1) => {
      # The first keeps its name when further ones come.
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
  nofile             = var.nofile
  otlp_endpoint      = var.otlp_endpoint
  environment        = var.environment
  collector          = var.collector
  cloud              = "gcp"
  key_disks          = ["/dev/disk/by-id/google-nym-keys"]
  log_driver         = var.cloud_logging ? "gcplogs" : "none"
  # A node that waits for Cloud Logging would keep its packets waiting: lines are dropped instead, of this copy alone.
  log_options = var.cloud_logging ? { mode = "non-blocking", max-buffer-size = "4m" } : {}
}

# The keys are the identity of the node. Neither a new machine nor `terraform destroy` takes this disk away: who wants it
# gone takes it out of the state first (`terraform state rm`) and deletes it by hand.
#trivy:ignore:AVD-GCP-0034
resource "google_compute_disk" "keys" {
  #checkov:skip=CKV_GCP_37:encrypted with Google's key unless kms_key_id names another
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

# Google would change the metadata of the running machine, which nobody reads again before the next boot.
resource "terraform_data" "user_data" {
  for_each = local.nodes
  input    = sha256(module.bootstrap[each.key].user_data)
}

# The scanner loses sight of the metadata, which block the project's keys, for the user data among them.
#trivy:ignore:AVD-GCP-0030
#trivy:ignore:AVD-GCP-0031
#trivy:ignore:AVD-GCP-0033
resource "google_compute_instance" "node" {
  #checkov:skip=CKV_GCP_40:a mixnode is reached from everywhere
  #checkov:skip=CKV_GCP_38:encrypted with Google's key unless kms_key_id names another
  for_each = local.nodes

  name         = each.value.resource
  zone         = each.value.zone
  machine_type = var.machine_type
  # An N2 may be a Cascade Lake, which has no AVX-512 IFMA.
  min_cpu_platform          = startswith(var.machine_type, "n2-") ? "Intel Ice Lake" : null
  allow_stopping_for_update = true
  labels                    = local.labels
  tags                      = [local.tag]

  boot_disk {
    auto_delete       = true
    kms_key_self_link = var.kms_key_id

    initialize_params {
      image  = var.boot_image
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
    # The containers' logs go to Cloud Logging by Docker's own driver, if at all.
    google-logging-enabled    = "false"
    google-monitoring-enabled = "false"
  }

  service_account {
    email = google_service_account.node.email
    # What the account may do is said by its roles, of which it has at most one.
    scopes = ["cloud-platform"]
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  scheduling {
    automatic_restart   = true
    on_host_maintenance = "MIGRATE"
  }

  lifecycle {
    # A newer system image does not replace running nodes: use -replace when it suits you.
    ignore_changes       = [boot_disk[0].initialize_params[0].image]
    replace_triggered_by = [terraform_data.user_data[each.key]]

    precondition {
      condition     = alltrue([for zone in local.zones : startswith(zone, "${var.region}-")])
      error_message = "zones = ${jsonencode(local.zones)} are not all in region = \"${var.region}\": name zones of that region, or leave zones empty."
    }
  }
}
