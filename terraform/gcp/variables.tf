variable "node_id" {
  description = "Name of the node on its machine, and in the names of its resources."
  type        = string
  nullable    = false

  # Google requires names of at most 63 characters that start with a letter and do not end with -. The resources of a
  # node add up to 18 characters.
  validation {
    condition     = can(regex("^[A-Za-z]([A-Za-z0-9_-]{0,43}[A-Za-z0-9])?$", var.node_id))
    error_message = "node_id = \"${var.node_id}\" is not a valid name: use 1 to 45 letters, digits, - and _, starting with a letter and ending with a letter or a digit, such as \"winston-smithnode\"."
  }
}

variable "region" {
  description = "Region, such as `europe-west3`."
  type        = string
  nullable    = false

  validation {
    condition     = contains(var.known_regions, var.region)
    error_message = "region = \"${var.region}\" is unknown: the known regions are ${join(", ", sort(var.known_regions))}. Add a region that is newer than this list to known_regions."
  }
}

variable "known_regions" {
  description = "Regions that exist."
  type        = set(string)
  default = [
    "africa-south1", "asia-east1", "asia-east2", "asia-northeast1", "asia-northeast2", "asia-northeast3",
    "asia-south1", "asia-south2", "asia-southeast1", "asia-southeast2", "australia-southeast1",
    "australia-southeast2", "europe-central2", "europe-north1", "europe-north2", "europe-southwest1",
    "europe-west1", "europe-west2", "europe-west3", "europe-west4", "europe-west6", "europe-west8",
    "europe-west9", "europe-west10", "europe-west12", "me-central1", "me-central2", "me-west1",
    "northamerica-northeast1", "northamerica-northeast2", "northamerica-south1", "southamerica-east1",
    "southamerica-west1", "us-central1", "us-east1", "us-east4", "us-east5", "us-south1", "us-west1",
    "us-west2", "us-west3", "us-west4",
  ]
  nullable = false
}

variable "machine_type" {
  description = "Machine type. The default, an N2, has AVX-512 IFMA because the module requests Ice Lake or later; C3 and C3D always have it. T2A and C4A are ARM machines."
  type        = string
  default     = "n2-highcpu-2"
  nullable    = false

  validation {
    condition     = can(regex("^(n2|n4|c3|c3d|c4|c4d|t2a|c4a)-[a-z0-9-]+$", var.machine_type))
    error_message = "machine_type = \"${var.machine_type}\" is not suitable for a mixnode: use n2, n4, c3, c3d, c4 or c4d, which have fast x86-64 cores with AVX-512, such as n2-highcpu-2, or t2a or c4a for ARM."
  }
}

variable "boot_image" {
  description = "System image for the architecture of `machine_type`: Container-Optimized OS, which is the default, or Debian or Ubuntu with cloud-init."
  type        = string
  default     = null
}

variable "subnet_ids" {
  description = "Self link of a dual-stack subnetwork with external IPv6, as a list of one element. If empty, the module creates a network."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.subnet_ids) <= 1
    error_message = "subnet_ids contains ${length(var.subnet_ids)} subnetworks: a subnetwork covers all zones of its region; set only one."
  }

  validation {
    condition     = alltrue([for link in var.subnet_ids : strcontains(link, "/regions/${var.region}/subnetworks/")])
    error_message = "subnet_ids = ${jsonencode(var.subnet_ids)} is not the self link of a subnetwork in region = \"${var.region}\": it ends with /projects/PROJECT/regions/${var.region}/subnetworks/NAME."
  }
}

variable "subnet_cidr" {
  description = "Private IPv4 range of the created network."
  type        = string
  default     = "10.89.0.0/20"
  nullable    = false

  validation {
    condition     = can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.).*/(8|9|1[0-9]|2[0-9])$", var.subnet_cidr)) && can(cidrhost(var.subnet_cidr, 0))
    error_message = "subnet_cidr = \"${var.subnet_cidr}\" is not a private range of /29 or larger: set one, such as 10.89.0.0/20."
  }
}

variable "zones" {
  description = "Zones of the nodes. The default is up to three zones of the region."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "root_disk_gib" {
  description = "Size of the system disk in GiB."
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.root_disk_gib >= 10 && var.root_disk_gib <= 1024
    error_message = "root_disk_gib = ${var.root_disk_gib} is out of range: the system needs 10 GiB, and the maximum is 1024."
  }
}

variable "disk_type" {
  description = "Type of the disks. N4, C4, C4A and C4D machines require `hyperdisk-balanced`."
  type        = string
  default     = "pd-balanced"
  nullable    = false

  validation {
    condition     = contains(["pd-balanced", "pd-ssd", "hyperdisk-balanced"], var.disk_type)
    error_message = "disk_type = \"${var.disk_type}\" is not supported: set pd-balanced, pd-ssd or hyperdisk-balanced."
  }

  validation {
    condition     = can(regex("^(n4|c4|c4a|c4d)-", var.machine_type)) ? startswith(var.disk_type, "hyperdisk-") : !(can(regex("^(n2|t2a)-", var.machine_type)) && startswith(var.disk_type, "hyperdisk-"))
    error_message = "disk_type = \"${var.disk_type}\" does not work with machine_type = \"${var.machine_type}\": n4, c4, c4a and c4d require hyperdisk-balanced, n2 and t2a require pd-balanced or pd-ssd."
  }
}

variable "kms_key_id" {
  description = "Cloud KMS key that encrypts the disks. The default is Google's own key."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_id == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key_id))
    error_message = "kms_key_id = \"${coalesce(var.kms_key_id, "-")}\" is not a Cloud KMS key: it looks like projects/PROJECT/locations/europe-west3/keyRings/RING/cryptoKeys/KEY."
  }
}

variable "service_account_email" {
  description = "Existing service account of the machines. If unset, the module creates one. It must be known at plan time, and needs the roles that the README lists."
  type        = string
  default     = null

  validation {
    condition     = var.service_account_email == null || can(regex("^[a-z0-9.-]+@[a-z0-9.-]+\\.gserviceaccount\\.com$", var.service_account_email))
    error_message = "service_account_email = ${jsonencode(var.service_account_email)} is not the address of a service account: it looks like name@project.iam.gserviceaccount.com. Leave it unset to create one."
  }
}

variable "iap_ssh" {
  description = "Open port 22 to Identity-Aware Proxy only, which the output `shell` needs. Users need `roles/iap.tunnelResourceAccessor`, `roles/compute.osAdminLogin`, and `roles/iam.serviceAccountUser` on the service account of the nodes."
  type        = bool
  default     = false
  nullable    = false
}

variable "cloud_logging" {
  description = "Also send the logs to Cloud Logging, the easiest way to read them without SSH. Logs never contain data that links incoming to outgoing packets."
  type        = bool
  default     = true
  nullable    = false
}

variable "labels" {
  description = "Labels of the machines, disks and addresses."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name, value in var.labels : can(regex("^[\\p{Ll}\\p{Lo}][\\p{Ll}\\p{Lo}\\p{N}_-]{0,62}$", name)) && can(regex("^[\\p{Ll}\\p{Lo}\\p{N}_-]{0,63}$", value))])
    error_message = "labels = ${jsonencode(var.labels)} contains a label that Google rejects: names and values must have at most 63 lower-case letters, digits, _ and -, and a name must start with a letter."
  }

  validation {
    condition     = length(var.labels) <= 60
    error_message = "labels has ${length(var.labels)} entries: Google allows 64 labels, and this module adds some; set at most 60."
  }
}
