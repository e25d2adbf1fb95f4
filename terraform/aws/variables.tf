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
  description = "The region, such as `eu-central-1`; the provider has to work in the same."
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
    "af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
    "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4",
    "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ca-central-1", "ca-west-1", "eu-central-1",
    "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3",
    "il-central-1", "me-central-1", "me-south-1", "mx-central-1", "sa-east-1", "us-east-1", "us-east-2",
    "us-west-1", "us-west-2", "us-gov-east-1", "us-gov-west-1", "cn-north-1", "cn-northwest-1",
  ]
}

variable "instance_type" {
  description = "The instance type. The default has fast cores with AVX-512 IFMA (Sapphire Rapids); the types of 6i (Ice Lake) and 7a (Zen 4) have it too."
  type        = string
  default     = "c7i.large"

  validation {
    condition     = can(regex("^[a-z0-9-]+\\.[a-z0-9-]+$", var.instance_type)) && !can(regex("^(t[0-9]|[a-z]+[0-9]+g)", var.instance_type))
    error_message = "instance_type = \"${var.instance_type}\" is no type for a mixnode: its image is for x86-64, and credits of burstable types run out. Take c7i.large, c7a.large, c6i.large or larger."
  }

  validation {
    condition     = !can(regex("^(m[1-4]|c[134]|cc[0-9]|cr[0-9]|r[34]|i2|d2|g[23]s?|p[23]|x1e?|f1|h1|hs1)\\.|^i3\\.[0-9]*x?large$", var.instance_type))
    error_message = "instance_type = \"${var.instance_type}\" is of the generation before Nitro, on which a volume does not have its own name and another disk could be taken for that of the keys. Take c7i.large, c7a.large, c6i.large or larger."
  }
}

variable "ami_id" {
  description = "The system image, instead of the newest that `ami_owner` and `ami_name` find: Amazon Linux 2023, Debian or Ubuntu for x86-64."
  type        = string
  default     = null

  validation {
    condition     = var.ami_id == null || can(regex("^ami-[0-9a-z]{8,32}$", var.ami_id))
    error_message = "ami_id = \"${coalesce(var.ami_id, "-")}\" is no image: it looks like ami-0123456789abcdef0. Leave it out for the newest Amazon Linux 2023."
  }
}

variable "ami_owner" {
  description = "The account that publishes the system image: `amazon`, `136693071363` (Debian), `099720109477` (Ubuntu)."
  type        = string
  default     = "amazon"
}

variable "ami_name" {
  description = "The system image's name, with `*` for what changes, such as `debian-12-amd64-*`."
  type        = string
  default     = "al2023-ami-2023.*-x86_64"
}

variable "subnet_ids" {
  description = "Public dual-stack subnets to use, all of one VPC. A network is made when there are none."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-z]{8,32}$", id))])
    error_message = "subnet_ids = ${jsonencode(var.subnet_ids)}: a subnet looks like subnet-0123456789abcdef0. Leave it empty to have a network made."
  }
}

variable "vpc_cidr" {
  description = "The private IPv4 range of the network that is made, a /16 to /20."
  type        = string
  default     = "10.89.0.0/16"

  validation {
    condition     = can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.).*/(1[6-9]|20)$", var.vpc_cidr)) && can(cidrhost(var.vpc_cidr, 0))
    error_message = "vpc_cidr = \"${var.vpc_cidr}\": give a private range from /16 to /20, such as 10.89.0.0/16."
  }
}

variable "zones" {
  description = "The availability zones to use in the network that is made; up to three of the region's own when empty."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for zone in var.zones : startswith(zone, var.region) && can(regex("^[a-z-]+[0-9]+[a-z]$", zone))])
    error_message = "zones = ${jsonencode(var.zones)} are not all availability zones of region = \"${var.region}\": they look like ${var.region}a. Leave zones empty to have up to three of them."
  }

  validation {
    condition     = length(var.zones) == 0 || length(var.subnet_ids) == 0
    error_message = "zones and subnet_ids are both set: the subnets say in which zones the nodes are. Leave one of the two out."
  }
}

variable "root_volume_gib" {
  description = "Size of the system's disk."
  type        = number
  default     = 16

  validation {
    condition     = var.root_volume_gib >= 8 && var.root_volume_gib <= 1024
    error_message = "root_volume_gib = ${var.root_volume_gib}: the system needs 8, and 1024 is more than it can use."
  }
}

variable "kms_key_id" {
  description = "The ARN of the KMS key for disks and logs; the account's and the service's own keys when null."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_id == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_id))
    error_message = "kms_key_id = \"${coalesce(var.kms_key_id, "-")}\" is no ARN of a key: it looks like arn:aws:kms:eu-central-1:123456789012:key/…; an alias would ask for new disks at each plan."
  }
}

variable "session_manager" {
  description = "Let Session Manager open a shell on the machine: the way in, as there is no SSH. Its agent is part of Amazon Linux and Ubuntu, not of Debian."
  type        = bool
  default     = true
}

variable "cloud_logging" {
  description = "Send the logs to CloudWatch too. There is no SSH, so this is the easy way to read them; they never hold what could unmix packets."
  type        = bool
  default     = true
}

variable "log_retention_days" {
  description = "How long CloudWatch keeps the logs."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365], var.log_retention_days)
    error_message = "log_retention_days = ${var.log_retention_days}: CloudWatch takes 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180 or 365."
  }
}

variable "tags" {
  description = "Tags of all that is made."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name, value in var.tags : can(regex("^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]{1,128}$", name)) && can(regex("^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]{0,256}$", value)) && !startswith(lower(name), "aws:")])
    error_message = "tags = ${jsonencode(var.tags)}: a name has 1 to 128 and a value up to 256 letters, digits, spaces and _ . : / = + - @, and names with aws: are Amazon's own."
  }

  validation {
    condition     = length(var.tags) <= 45
    error_message = "tags has ${length(var.tags)} tags: AWS takes 50, of which this module has some itself. Leave it at 45."
  }
}
