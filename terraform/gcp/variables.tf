variable "node_id" {
  description = "The node's name on its machine, any you want."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$", var.node_id))
    error_message = "node_id = \"${var.node_id}\" is no node id: use 1 to 63 letters, digits, - and _, the first a letter or a digit, such as \"winston-smithnode\"."
  }

  # Google's names begin with a letter, do not end in -, and have 63 characters, of which the parts of a node need 18.
  validation {
    condition     = can(regex("^[A-Za-z]([A-Za-z0-9_-]{0,43}[A-Za-z0-9])?$", var.node_id))
    error_message = "node_id = \"${var.node_id}\" gives no names that Google takes: use at most 45 characters, the first a letter, the last a letter or a digit."
  }
}

variable "image" {
  description = "The container image with its tag, its digest, or both. A tag is looked up once, the machine then keeps to the digest that it found."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._:/-]*[a-z0-9](:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?@sha256:[0-9a-f]{64}$|^([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9._/-]+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image))
    error_message = "image = \"${var.image}\" has neither a tag nor a digest, so nobody could say what runs: write registry/name:0.1.0, or better registry/name:0.1.0@sha256:<64 hexadecimal digits>."
  }

  validation {
    condition     = !endswith(var.image, ":latest")
    error_message = "image = \"${var.image}\" is another image tomorrow: name a version, such as registry/name:0.1.0."
  }
}

variable "role" {
  description = "What the machine serves: `mixnode`, or `registry`, the directory of a network of your own."
  type        = string
  default     = "mixnode"

  validation {
    condition     = contains(["mixnode", "registry"], var.role)
    error_message = "role = \"${var.role}\" is not known: it is \"mixnode\" or \"registry\"."
  }
}

variable "directory_url" {
  description = "The directory that the node registers with. A registry has none."
  type        = string
  default     = ""

  validation {
    condition     = var.role == "registry" || can(regex("^https?://[^/?#@\\s]+(/[^?#@\\s]*)?$", var.directory_url))
    error_message = "directory_url = \"${var.directory_url}\" is no directory: give its URL without user, query and fragment, such as \"http://directory.example:8081\"."
  }
}

variable "layer" {
  description = "The layer of the network that the node belongs to, 1 to 3. With 0 the node takes the one with the fewest nodes when it is made."
  type        = number
  default     = 0

  validation {
    condition     = contains([0, 1, 2, 3], var.layer)
    error_message = "layer = ${var.layer} does not exist: set 1, 2 or 3, or 0 to let the node choose."
  }
}

variable "location" {
  description = "Where the node stands, in your own words; the region when empty."
  type        = string
  default     = ""

  validation {
    condition     = length(var.location) <= 128 && !can(regex("[\\r\\n]", var.location))
    error_message = "location has ${length(var.location)} characters or several lines: use at most 128 characters on one line."
  }
}

variable "incentives_address" {
  description = "The address that receives the incentives program's tokens."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[!-~]{0,128}$", var.incentives_address))
    error_message = "incentives_address = \"${var.incentives_address}\" is no address: it has no spaces and at most 128 characters."
  }
}

variable "announce_hosts" {
  description = "Public addresses to announce, at most one IPv4 and one IPv6, instead of those that the node finds by itself."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for host in var.announce_hosts : can(cidrhost("${host}/32", 0)) || can(cidrhost("${host}/128", 0))])
    error_message = "announce_hosts = ${jsonencode(var.announce_hosts)} has something that is no IP address: write addresses without port and name, or leave it empty to let the node find them."
  }

  validation {
    # "This network", private, CGNAT, loopback, link-local, documentation, benchmarks, multicast and reserved.
    condition = alltrue([for host in var.announce_hosts : !can(regex(
      "^(0\\.|10\\.|127\\.|169\\.254\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.|100\\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\\.|192\\.0\\.[02]\\.|198\\.1[89]\\.|198\\.51\\.100\\.|203\\.0\\.113\\.|2(2[4-9]|[3-5][0-9])\\.|::|f[cdef]|2001:0?db8:)",
      lower(host),
    ))])
    error_message = "announce_hosts = ${jsonencode(var.announce_hosts)} has an address that the world cannot reach: give the public one, or leave it empty to let the node find it."
  }

  validation {
    condition     = length([for host in var.announce_hosts : host if strcontains(host, ":")]) <= 1 && length([for host in var.announce_hosts : host if !strcontains(host, ":")]) <= 1
    error_message = "announce_hosts = ${jsonencode(var.announce_hosts)} has several addresses of one family: announce at most one IPv4 and one IPv6 address."
  }
}

variable "port" {
  description = "The port that is served: 1789 for a mixnode and 8081 for a registry, unless set."
  type        = number
  default     = null

  validation {
    condition     = var.port == null || try(var.port >= 1024 && var.port <= 65535 && floor(var.port) == var.port, false)
    error_message = "port = ${coalesce(var.port, 0)} cannot be served by a container without privileges: choose one from 1024 to 65535, or leave it out for 1789."
  }
}

variable "nofile" {
  description = "Open files that the node may have: the limit of the unit, of the container, and what the node insists on."
  type        = number
  default     = 65535

  validation {
    condition     = var.nofile >= 2048 && var.nofile <= 1048576 && floor(var.nofile) == var.nofile
    error_message = "nofile = ${var.nofile} is not enough, or more than a system gives: a node in a small network needs 2048, and three more for each further node. Leave it at 65535, 1048576 is the most."
  }
}

variable "otlp_endpoint" {
  description = "Where telemetry goes over OTLP, such as `http://collector.internal:4318`; nowhere when empty."
  type        = string
  default     = ""

  validation {
    condition     = var.otlp_endpoint == "" || can(regex("^https?://[^/?#@\\s]+(/[^?#@\\s]*)?$", var.otlp_endpoint))
    error_message = "otlp_endpoint = \"${var.otlp_endpoint}\" is no endpoint: write http://host:4318, or https:// with TLS, without user and query."
  }
}

variable "environment" {
  description = "Further variables of the node, such as `NYM_MIXNODE_MIX_DELAY_MAX`. Secrets do not belong here: whoever may read the machine's metadata reads them."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name, value in var.environment : can(regex("^[A-Z_][A-Z0-9_]*$", name)) && !can(regex("[\\r\\n]", value))])
    error_message = "environment: a name consists of capital letters, digits and _, and a value of one line."
  }
}

variable "collector" {
  description = "An OpenTelemetry collector beside it: the image, with tag or digest, and its configuration in YAML. It listens where the configuration says."
  type = object({
    image         = string
    configuration = string
  })
  default = null

  validation {
    condition     = var.collector == null || can(regex("^[a-z0-9][a-z0-9._:/-]*[a-z0-9](:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?@sha256:[0-9a-f]{64}$|^([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9._/-]+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.collector.image))
    error_message = "collector.image = \"${try(var.collector.image, "")}\" has neither a tag nor a digest, or is no image: write registry/name:0.155.0."
  }

  validation {
    condition     = var.collector == null || !endswith(try(var.collector.image, ""), ":latest")
    error_message = "collector.image = \"${try(var.collector.image, "")}\" is another image tomorrow: name a version, such as registry/name:0.155.0."
  }

  validation {
    condition     = var.collector == null || can(keys(yamldecode(var.collector.configuration)))
    error_message = "collector.configuration is no YAML of receivers, processors and exporters: read it from a file, such as file(\"collector.yaml\")."
  }
}

variable "collector_from" {
  description = "From which private IPv4 range telemetry is taken, where there is a collector."
  type        = string
  default     = "10.89.0.0/16"

  validation {
    condition     = can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.collector_from)) && can(cidrhost(var.collector_from, 0))
    error_message = "collector_from = \"${var.collector_from}\": telemetry is not encrypted on its way, so give the private range of the network, such as 10.89.0.0/16."
  }
}

variable "node_count" {
  description = "How many nodes, spread over the zones. The first is called `node_id`, the others have `-2`, `-3` … behind it."
  type        = number
  default     = 1

  validation {
    condition     = var.node_count >= 1 && var.node_count <= 64 && floor(var.node_count) == var.node_count
    error_message = "node_count = ${var.node_count}: choose from 1 to 64. A node that is to go is taken out of the state first, as the README shows."
  }

  validation {
    condition     = var.node_count == 1 || length(var.announce_hosts) == 0
    error_message = "announce_hosts with node_count = ${var.node_count}: several nodes cannot announce one address. Leave announce_hosts empty, each node finds its own."
  }
}

variable "region" {
  description = "The region, such as `europe-west3`."
  type        = string

  validation {
    condition     = contains(var.known_regions, var.region)
    error_message = "region = \"${var.region}\" is not known: the regions are ${join(", ", sort(var.known_regions))}. Add one that is newer than this list to known_regions."
  }
}

variable "known_regions" {
  description = "The regions that there are."
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
}

variable "machine_type" {
  description = "The machine type. The default, an N2, has AVX-512 IFMA, as it is asked for on Ice Lake or later; C3 and C3D have it always."
  type        = string
  default     = "n2-highcpu-2"

  validation {
    condition     = can(regex("^(n2|n4|c3|c3d|c4|c4d)-[a-z0-9-]+$", var.machine_type))
    error_message = "machine_type = \"${var.machine_type}\" is no type for a mixnode: take one of n2, n4, c3, c3d, c4 or c4d, which have fast x86-64 cores with AVX-512, such as n2-highcpu-2."
  }
}

variable "boot_image" {
  description = "The system image: Container-Optimized OS, Debian or Ubuntu with cloud-init, for x86-64."
  type        = string
  default     = "projects/cos-cloud/global/images/family/cos-stable"
}

variable "subnet_ids" {
  description = "The self link of a dual-stack subnetwork with external IPv6 to use, as a list of one. A network is made when there is none."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.subnet_ids) <= 1
    error_message = "subnet_ids has ${length(var.subnet_ids)} subnetworks: a subnetwork covers all zones of its region, name one."
  }

  validation {
    condition     = alltrue([for link in var.subnet_ids : strcontains(link, "/regions/${var.region}/subnetworks/")])
    error_message = "subnet_ids = ${jsonencode(var.subnet_ids)} is no self link of a subnetwork in region = \"${var.region}\": it ends in /projects/PROJECT/regions/${var.region}/subnetworks/NAME."
  }
}

variable "subnet_cidr" {
  description = "The private IPv4 range of the network that is made."
  type        = string
  default     = "10.89.0.0/20"

  validation {
    condition     = can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.).*/(8|9|1[0-9]|2[0-9])$", var.subnet_cidr)) && can(cidrhost(var.subnet_cidr, 0))
    error_message = "subnet_cidr = \"${var.subnet_cidr}\": give a private range of at least a /29, such as 10.89.0.0/20."
  }
}

variable "zones" {
  description = "The zones to use; up to three of the region's own when empty."
  type        = list(string)
  default     = []
}

variable "root_disk_gib" {
  description = "Size of the system's disk."
  type        = number
  default     = 20

  validation {
    condition     = var.root_disk_gib >= 10 && var.root_disk_gib <= 1024
    error_message = "root_disk_gib = ${var.root_disk_gib}: the system needs 10, and 1024 is more than it can use."
  }
}

variable "disk_type" {
  description = "The type of the disks; N4, C4 and C4D machines need `hyperdisk-balanced`."
  type        = string
  default     = "pd-balanced"

  validation {
    condition     = contains(["pd-balanced", "pd-ssd", "hyperdisk-balanced"], var.disk_type)
    error_message = "disk_type = \"${var.disk_type}\": choose pd-balanced, pd-ssd or hyperdisk-balanced."
  }

  validation {
    condition     = can(regex("^(n4|c4|c4d)-", var.machine_type)) ? startswith(var.disk_type, "hyperdisk-") : !(startswith(var.machine_type, "n2-") && startswith(var.disk_type, "hyperdisk-"))
    error_message = "disk_type = \"${var.disk_type}\" does not fit machine_type = \"${var.machine_type}\": n4, c4 and c4d take hyperdisk-balanced alone, n2 takes pd-balanced or pd-ssd."
  }
}

variable "kms_key_id" {
  description = "The Cloud KMS key for disks; Google's own key when null."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_id == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key_id))
    error_message = "kms_key_id = \"${coalesce(var.kms_key_id, "-")}\" is no key: it looks like projects/PROJECT/locations/europe-west3/keyRings/RING/cryptoKeys/KEY."
  }
}

variable "iap_ssh" {
  description = "Let Identity-Aware Proxy, and nobody else, reach port 22, for `terraform output shell`. Who logs in needs `roles/iap.tunnelResourceAccessor`, `roles/compute.osAdminLogin`, and `roles/iam.serviceAccountUser` on the nodes' account."
  type        = bool
  default     = false
}

variable "cloud_logging" {
  description = "Send the logs to Cloud Logging too. There is no SSH, so this is the easy way to read them; they never hold what could unmix packets."
  type        = bool
  default     = true
}

variable "labels" {
  description = "Labels of the machines, disks and addresses."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name, value in var.labels : can(regex("^[\\p{Ll}\\p{Lo}][\\p{Ll}\\p{Lo}\\p{N}_-]{0,62}$", name)) && can(regex("^[\\p{Ll}\\p{Lo}\\p{N}_-]{0,63}$", value))])
    error_message = "labels = ${jsonencode(var.labels)}: names and values have up to 63 small letters, digits, _ and -, and a name begins with a letter."
  }

  validation {
    condition     = length(var.labels) <= 60
    error_message = "labels has ${length(var.labels)} labels: Google takes 64, of which this module has some itself. Leave it at 60."
  }
}
