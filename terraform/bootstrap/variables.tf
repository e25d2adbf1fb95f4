variable "location" {
  description = "Location of the node, as free text."
  type        = string
  default     = "unknown"
  nullable    = false

  validation {
    condition     = length(var.location) <= 128 && !can(regex("[\\r\\n]", var.location))
    error_message = "location has ${length(var.location)} characters or several lines: use one line of at most 128 characters."
  }
}

variable "test_hosts" {
  description = "IP addresses at which nodes reach the registry, at most one IPv4 and one IPv6 address. Test packets return there. If empty, they return to the addresses of the machine's interfaces."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for host in var.test_hosts : can(cidrhost("${host}/32", 0)) || can(cidrhost("${host}/128", 0))])
    error_message = "test_hosts = ${jsonencode(var.test_hosts)} contains a value that is not an IP address: write addresses without port; test_port sets the port."
  }

  validation {
    condition     = length([for host in var.test_hosts : host if strcontains(host, ":")]) <= 1 && length([for host in var.test_hosts : host if !strcontains(host, ":")]) <= 1
    error_message = "test_hosts = ${jsonencode(var.test_hosts)} contains several addresses of one family: set at most one IPv4 and one IPv6 address."
  }
}

variable "cloud" {
  description = "Cloud whose metadata service reports the public addresses of the node: `aws`, `gcp`, and so on; `none`, or `auto` to detect it from the firmware."
  type        = string
  default     = "auto"
  nullable    = false

  validation {
    condition     = contains(["auto", "none", "aws", "gcp", "azure", "digitalocean", "hetzner", "oracle", "openstack", "vultr"], var.cloud)
    error_message = "cloud = \"${var.cloud}\" is unknown: set aws, gcp, azure, digitalocean, hetzner, oracle, openstack, vultr, none, or auto."
  }

  validation {
    condition     = (var.image_login == "none" && length(var.secret_environment) == 0) || contains(["aws", "gcp"], var.cloud)
    error_message = "cloud = \"${var.cloud}\" has no secrets that a machine can read: remove image_login and secret_environment, or set cloud to aws or gcp."
  }

  validation {
    condition     = !contains(["aws", "gcp"], var.cloud) || alltrue([for secret in concat(values(var.secret_environment), var.image_secret == null ? [] : [var.image_secret]) : startswith(secret, var.cloud == "aws" ? "arn:" : "projects/")])
    error_message = "A secret in secret_environment or image_secret belongs to another cloud than cloud = \"${var.cloud}\": on AWS a secret is named by its ARN, on Google Cloud projects/PROJECT/secrets/NAME."
  }

  validation {
    condition     = var.image_login != "role" || !contains(["aws", "gcp"], var.cloud) || strcontains(var.image, var.cloud == "aws" ? ".dkr.ecr." : "-docker.pkg.dev/")
    error_message = "image_login = \"role\" with cloud = \"${var.cloud}\" needs an image in the registry of that cloud, and image = \"${var.image}\" is in another one: set image_login = \"secret\" and image_secret."
  }
}

variable "key_disks" {
  description = "Possible device paths of the key disk. The machine uses the first one that exists, and formats it only if it is blank."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.key_disks) > 0 && alltrue([for path in var.key_disks : can(regex("^/dev/[A-Za-z0-9/_.-]+$", path))])
    error_message = "key_disks = ${jsonencode(var.key_disks)} is not a list of device paths: set at least one path below /dev, such as /dev/disk/by-id/google-nym-keys. Without a separate disk the identity is lost with the machine."
  }
}

variable "key_disk_wait" {
  description = "Seconds that a start waits for the key disk before it fails and is retried."
  type        = number
  default     = 300
  nullable    = false

  validation {
    condition     = var.key_disk_wait >= 1 && var.key_disk_wait <= 900
    error_message = "key_disk_wait = ${var.key_disk_wait} is out of range: choose from 1 to 900 seconds."
  }
}

variable "log_driver" {
  description = "Docker log driver: `none`, `awslogs` or `gcplogs`. The journal receives the logs in any case."
  type        = string
  default     = "none"
  nullable    = false

  validation {
    condition     = contains(["none", "awslogs", "gcplogs"], var.log_driver)
    error_message = "log_driver = \"${var.log_driver}\" is not supported: set none, awslogs or gcplogs. The journal receives the logs in any case."
  }
}

variable "log_options" {
  description = "Options of the log driver, such as `awslogs-group`."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name, value in var.log_options : can(regex("^[a-z][a-z0-9-]*$", name)) && can(regex("^[A-Za-z0-9._/:@=,+-]+$", value))])
    error_message = "log_options = ${jsonencode(var.log_options)} contains an invalid entry: a name must consist of lower-case letters, digits and -, and a value of letters, digits and . _ / : @ = , + -, such as awslogs-group = \"/nym-mixnode/winston\"."
  }

  validation {
    condition     = var.log_driver != "none" || length(var.log_options) == 0
    error_message = "log_options = ${jsonencode(var.log_options)} has no effect with log_driver = \"none\": set log_driver, or remove the options."
  }
}
