variable "project" {
  description = "The Google Cloud project."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project = \"${var.project}\" is no project: give its id, as `gcloud projects list` shows it, not its name or number."
  }
}

variable "directory_url" {
  description = "The directory of the network to join."
  type        = string

  validation {
    condition     = can(regex("^https?://[][A-Za-z0-9.:_-]+(/[A-Za-z0-9._~/-]*)?$", var.directory_url))
    error_message = "directory_url = \"${var.directory_url}\" is no directory: give its URL without user, query and fragment, such as \"http://directory.example:8081\"."
  }
}

variable "image" {
  description = "The image with its tag, where the cluster can pull it from, such as registry.example/nym-mixnode:0.1.0."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._/-]*(:[0-9]+/[a-z0-9._/-]+)?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image))
    error_message = "image = \"${var.image}\" has no tag: write registry/name:0.1.0."
  }

  validation {
    condition     = !endswith(var.image, ":latest")
    error_message = "image = \"${var.image}\" is another image tomorrow: name a version, such as registry/name:0.1.0."
  }
}

variable "admin_cidr" {
  description = "From where the API of the cluster is reached, such as the address of your office with /32."
  type        = string

  validation {
    condition     = can(cidrnetmask(var.admin_cidr)) && !endswith(var.admin_cidr, "/0")
    error_message = "admin_cidr = \"${var.admin_cidr}\" is no IPv4 range, or the whole internet: give the address that you administer from, such as 198.51.100.7/32."
  }
}

variable "node_count" {
  description = "Mixnodes, each on a machine of its own. There are as many machines in each of up to three zones: a multiple of 3 leaves none idle."
  type        = number
  default     = 3

  validation {
    condition     = var.node_count >= 1 && var.node_count <= 64 && floor(var.node_count) == var.node_count
    error_message = "node_count = ${var.node_count}: choose from 1 to 64."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the cluster. Apply with false before `terraform destroy`."
  type        = bool
  default     = true
}

variable "region" {
  description = "The region."
  type        = string
  default     = "europe-west3"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region = \"${var.region}\" is no region: it looks like europe-west3."
  }
}
