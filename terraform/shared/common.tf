variable "image" {
  description = "Container image with its tag, its digest, or both. The machine resolves a tag once and keeps the digest that it found."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._:/-]*[a-z0-9](:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?@sha256:[0-9a-f]{64}$|^([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9._/-]+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image))
    error_message = "image = \"${var.image}\" has neither a tag nor a digest: write registry/name:0.1.0, or better registry/name:0.1.0@sha256:<64 hexadecimal digits>."
  }

  validation {
    condition     = !endswith(var.image, ":latest")
    error_message = "image = \"${var.image}\" changes over time: name a version, such as registry/name:0.1.0."
  }
}

variable "role" {
  description = "What the machine runs: `mixnode`, or `registry`, which lists the nodes of a network of your own."
  type        = string
  default     = "mixnode"
  nullable    = false

  validation {
    condition     = contains(["mixnode", "registry"], var.role)
    error_message = "role = \"${var.role}\" is unknown: set \"mixnode\" or \"registry\"."
  }
}

variable "directory_url" {
  description = "URL of the registry that the node registers with. Required for a mixnode, unused for a registry."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.role == "registry" || can(regex("^https?://[^/?#@\\s]+(/[^?#@\\s]*)?$", var.directory_url))
    error_message = "directory_url = \"${var.directory_url}\" is not an HTTP URL: write it without user, query and fragment, such as \"http://directory.example:8081\"."
  }
}

variable "layer" {
  description = "Layer of the network, 1 to 3. With 0 the node takes the layer with the fewest nodes at its first start."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = contains([0, 1, 2, 3], var.layer)
    error_message = "layer = ${var.layer} does not exist: set 1, 2 or 3, or 0 to let the node choose."
  }
}

variable "incentives_address" {
  description = "Address that receives the tokens of the incentives program."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[!-~]{0,128}$", var.incentives_address))
    error_message = "incentives_address = \"${var.incentives_address}\" is not a valid address: use at most 128 printable ASCII characters without spaces."
  }
}

variable "announce_hosts" {
  description = "Public IP addresses to announce, at most one IPv4 and one IPv6 address. If empty, the node detects its addresses."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for host in var.announce_hosts : can(cidrhost("${host}/32", 0)) || can(cidrhost("${host}/128", 0))])
    error_message = "announce_hosts = ${jsonencode(var.announce_hosts)} contains a value that is not an IP address: write addresses without port, or leave it empty to let the node detect them."
  }

  validation {
    # "This network", private, CGNAT, loopback, link-local, documentation, benchmarks, multicast and reserved.
    condition = alltrue([for host in var.announce_hosts : !can(regex(
      "^(0\\.|10\\.|127\\.|169\\.254\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.|100\\.(6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7])\\.|192\\.0\\.[02]\\.|198\\.1[89]\\.|198\\.51\\.100\\.|203\\.0\\.113\\.|2(2[4-9]|[3-5][0-9])\\.|::|f[cdef]|2001:0?db8:)",
      lower(host),
    ))])
    error_message = "announce_hosts = ${jsonencode(var.announce_hosts)} contains an address that the internet cannot reach: set the public address, or leave it empty to let the node detect it."
  }

  validation {
    condition     = length([for host in var.announce_hosts : host if strcontains(host, ":")]) <= 1 && length([for host in var.announce_hosts : host if !strcontains(host, ":")]) <= 1
    error_message = "announce_hosts = ${jsonencode(var.announce_hosts)} contains several addresses of one family: announce at most one IPv4 and one IPv6 address."
  }
}

variable "port" {
  description = "Port of the service. The default is 1789 for a mixnode and 8081 for a registry."
  type        = number
  default     = null

  validation {
    condition     = var.port == null || try(var.port >= 1024 && var.port <= 65535 && floor(var.port) == var.port, false)
    error_message = "port = ${coalesce(var.port, 0)} is not available to a container without privileges: choose a port from 1024 to 65535, or leave it unset for the default."
  }
}

variable "test_port" {
  description = "Port of a registry to which the test packets return that prove the addresses of nodes. Unused for a mixnode."
  type        = number
  default     = 8082
  nullable    = false

  validation {
    condition     = var.test_port >= 1024 && var.test_port <= 65535 && floor(var.test_port) == var.test_port
    error_message = "test_port = ${var.test_port} is not available to a container without privileges: choose a port from 1024 to 65535."
  }

  validation {
    condition     = var.role != "registry" || var.test_port != coalesce(var.port, 8081)
    error_message = "test_port = ${var.test_port} is the port of the registry's API: choose another port, such as 8082."
  }
}

variable "monitor_every" {
  description = "Interval at which a registry tests all nodes, such as `10s`. Nodes are in the active set after 17 intervals with both IP versions, and after 34 with one. Unused for a mixnode."
  type        = string
  default     = "1m"
  nullable    = false

  validation {
    condition     = can(regex("^[1-9][0-9]{0,4}(s|m|h)$", var.monitor_every))
    error_message = "monitor_every = \"${var.monitor_every}\" is not an interval: write a number of seconds, minutes or hours, such as 10s or 1m."
  }
}

variable "nofile" {
  description = "Limit on open files of the systemd unit and the container. The node does not start with a lower limit."
  type        = number
  default     = 65535
  nullable    = false

  validation {
    condition     = var.nofile >= 2048 && var.nofile <= 1048576 && floor(var.nofile) == var.nofile
    error_message = "nofile = ${var.nofile} is not between 2048 and 1048576: a node needs 2048 in a small network and three more for each further node; 65535 fits most networks."
  }
}

variable "otlp_endpoint" {
  description = "URL that receives telemetry over OTLP, such as `http://collector.internal:4318`. If empty, no telemetry is sent."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.otlp_endpoint == "" || can(regex("^https?://[^/?#@\\s]+(/[^?#@\\s]*)?$", var.otlp_endpoint))
    error_message = "otlp_endpoint = \"${var.otlp_endpoint}\" is not an HTTP URL: write http://host:4318, or https:// for TLS, without user and query."
  }
}

variable "environment" {
  description = "Additional environment variables of the program, such as `NYM_MIXNODE_MIX_DELAY_MAX`. Do not put secrets here: everyone with access to the machine's metadata can read them."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name, value in var.environment : can(regex("^[A-Z_][A-Z0-9_]*$", name)) && !can(regex("[\\r\\n]", value))])
    error_message = "environment contains an invalid entry: a name must consist of capital letters, digits and _, and a value must be one line."
  }
}

variable "secret_environment" {
  description = "Environment variables of the program whose values are secrets, by the name of the secret: on AWS the ARN of a secret in Secrets Manager, on Google Cloud `projects/PROJECT/secrets/NAME` in Secret Manager, such as `NYM_REGISTRY_DATABASE` for a registry with a PostgreSQL database. The machine reads them with its own role at each start."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name, secret in var.secret_environment : can(regex("^[A-Z_][A-Z0-9_]*$", name)) && can(regex("^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+-[A-Za-z0-9]{6}$|^projects/[A-Za-z0-9:.-]+/secrets/[A-Za-z0-9_-]+$", secret))])
    error_message = "secret_environment contains an invalid entry: a name must consist of capital letters, digits and _, and a value must be the name of a secret, not the secret itself: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX or projects/PROJECT/secrets/NAME."
  }

  validation {
    condition     = alltrue([for name in keys(var.secret_environment) : !contains(keys(var.environment), name)])
    error_message = "environment and secret_environment both contain ${join(", ", [for name in keys(var.secret_environment) : name if contains(keys(var.environment), name)])}: set each variable in one of them."
  }
}

variable "image_login" {
  description = "How the machine logs in to the registry of the image: `none`; `role`, with the role of the machine, for ECR and Artifact Registry; or `secret`, with the user and password in `image_secret`."
  type        = string
  default     = "none"
  nullable    = false

  validation {
    condition     = contains(["none", "role", "secret"], var.image_login)
    error_message = "image_login = \"${var.image_login}\" is unknown: set none, role or secret."
  }

  validation {
    condition     = var.image_login != "role" || can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/|^[a-z0-9-]+-docker\\.pkg\\.dev/[^/]+/[^/]+/", var.image))
    error_message = "image_login = \"role\" needs an image in ECR or Artifact Registry, and image = \"${var.image}\" is in another registry: set \"secret\" and image_secret, or \"none\" for anonymous pulls."
  }
}

variable "image_secret" {
  description = "Secret with the user and password of the image's registry, as JSON: `{\"username\": \"…\", \"password\": \"…\"}`. It is named as in `secret_environment`."
  type        = string
  default     = null

  validation {
    condition     = var.image_secret == null || can(regex("^arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+-[A-Za-z0-9]{6}$|^projects/[A-Za-z0-9:.-]+/secrets/[A-Za-z0-9_-]+$", var.image_secret))
    error_message = "image_secret is not the name of a secret: set arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX or projects/PROJECT/secrets/NAME. The user and the password belong in the secret."
  }

  validation {
    condition     = (var.image_login == "secret") == (var.image_secret != null)
    error_message = "image_login = \"${var.image_login}\" does not fit image_secret: set image_secret exactly if image_login = \"secret\"."
  }
}

variable "collector" {
  description = "OpenTelemetry collector to run on the same machine: its image with tag or digest, and its configuration in YAML, which also sets the addresses that it listens on."
  type = object({
    image         = string
    configuration = string
  })
  default = null

  validation {
    condition     = var.collector == null || can(regex("^[a-z0-9][a-z0-9._:/-]*[a-z0-9](:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?@sha256:[0-9a-f]{64}$|^([a-z0-9.-]+(:[0-9]+)?/)?[a-z0-9._/-]+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.collector.image))
    error_message = "collector.image = ${jsonencode(try(var.collector.image, ""))} is not an image with a tag or a digest: write registry/name:0.155.0."
  }

  validation {
    condition     = var.collector == null || !try(endswith(var.collector.image, ":latest"), false)
    error_message = "collector.image = ${jsonencode(try(var.collector.image, ""))} changes over time: name a version, such as registry/name:0.155.0."
  }

  validation {
    condition     = var.collector == null || can(keys(yamldecode(var.collector.configuration)))
    error_message = "collector.configuration is not a YAML mapping of receivers, processors and exporters: read it from a file, such as file(\"collector.yaml\")."
  }
}
