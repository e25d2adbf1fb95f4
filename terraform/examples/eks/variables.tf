variable "directory_url" {
  description = "URL of the registry of the network to join."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^https?://[][A-Za-z0-9.:_-]+(/[A-Za-z0-9._~/-]*)?$", var.directory_url))
    error_message = "directory_url = \"${var.directory_url}\" is not an HTTP URL: write it without user, query and fragment, such as \"http://directory.example:8081\"."
  }
}

variable "image" {
  description = "Image with its tag, in a registry that the cluster can pull from, such as `registry.example/nym-mixnode:0.1.0`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._/-]*(:[0-9]+/[a-z0-9._/-]+)?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image))
    error_message = "image = \"${var.image}\" has no tag: write registry/name:0.1.0."
  }

  validation {
    condition     = !endswith(var.image, ":latest")
    error_message = "image = \"${var.image}\" changes over time: name a version, such as registry/name:0.1.0."
  }
}

variable "admin_cidr" {
  description = "IPv4 range that may reach the API of the cluster, such as the address of your office with /32."
  type        = string
  nullable    = false

  validation {
    condition     = can(cidrnetmask(var.admin_cidr)) && !endswith(var.admin_cidr, "/0")
    error_message = "admin_cidr = \"${var.admin_cidr}\" is not an IPv4 range, or it is the whole internet: set the address that you administer from, such as 198.51.100.7/32."
  }
}

variable "node_count" {
  description = "Number of mixnodes, each on its own machine."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = var.node_count >= 1 && var.node_count <= 64 && floor(var.node_count) == var.node_count
    error_message = "node_count = ${var.node_count} is not a whole number from 1 to 64: choose one."
  }
}

variable "region" {
  description = "AWS region."
  type        = string
  default     = "eu-central-1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region = \"${var.region}\" is not a region: it looks like eu-central-1."
  }
}
