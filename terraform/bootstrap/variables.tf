variable "node_id" {
  description = "The node's name on its machine, any you want."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$", var.node_id))
    error_message = "node_id = \"${var.node_id}\" is no node id: use 1 to 63 letters, digits, - and _, the first a letter or a digit, such as \"winston-smithnode\"."
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
  description = "Where the node stands, in your own words."
  type        = string
  default     = "unknown"

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

variable "cloud" {
  description = "The cloud whose metadata tells the node's public addresses: `aws`, `gcp`, `none`, or `auto` to go by the firmware."
  type        = string
  default     = "auto"

  validation {
    condition     = contains(["auto", "none", "aws", "gcp", "azure", "digitalocean", "hetzner", "oracle", "openstack", "vultr"], var.cloud)
    error_message = "cloud = \"${var.cloud}\" is not known: set aws, gcp, azure, digitalocean, hetzner, oracle, openstack, vultr, none, or auto."
  }
}

variable "key_disks" {
  description = "Paths under which the disk of the keys may appear; the first that exists is taken. It is formatted only when it is blank."
  type        = list(string)

  validation {
    condition     = length(var.key_disks) > 0 && alltrue([for path in var.key_disks : can(regex("^/dev/[A-Za-z0-9/_.-]+$", path))])
    error_message = "key_disks = ${jsonencode(var.key_disks)}: name at least one path below /dev, such as /dev/disk/by-id/google-nym-keys. Without a disk the identity would die with the machine."
  }
}

variable "key_disk_wait" {
  description = "Seconds that the start waits for the disk of the keys before it is tried again."
  type        = number
  default     = 300

  validation {
    condition     = var.key_disk_wait >= 1 && var.key_disk_wait <= 900
    error_message = "key_disk_wait = ${var.key_disk_wait}: choose from 1 to 900 seconds."
  }
}

variable "log_driver" {
  description = "Docker's log driver, beside the journal, which always has the logs: `none`, `awslogs` or `gcplogs`."
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "awslogs", "gcplogs"], var.log_driver)
    error_message = "log_driver = \"${var.log_driver}\": choose none, awslogs or gcplogs. The journal has the logs in any case."
  }
}

variable "log_options" {
  description = "Options of the log driver, such as `awslogs-group`."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name, value in var.log_options : can(regex("^[a-z][a-z0-9-]*$", name)) && can(regex("^[A-Za-z0-9._/:@=,+-]+$", value))])
    error_message = "log_options = ${jsonencode(var.log_options)}: a name consists of small letters, digits and -, and a value of letters, digits and . _ / : @ = , + -, such as awslogs-group = \"/nym-mixnode/winston\"."
  }

  validation {
    condition     = var.log_driver != "none" || length(var.log_options) == 0
    error_message = "log_options = ${jsonencode(var.log_options)}, but log_driver is \"none\", which takes no options: name the driver, or leave the options out."
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
