variable "location" {
  description = "Location of the node, as free text. The default is the region."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = length(var.location) <= 128 && !can(regex("[\\r\\n]", var.location))
    error_message = "location has ${length(var.location)} characters or several lines: use one line of at most 128 characters."
  }
}

variable "collector_from" {
  description = "Private IPv4 range that may send telemetry to the collector."
  type        = string
  default     = "10.89.0.0/16"
  nullable    = false

  validation {
    condition     = can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.collector_from)) && can(cidrhost(var.collector_from, 0))
    error_message = "collector_from = \"${var.collector_from}\" is not a private range, and telemetry is not encrypted: set the private range of the network, such as 10.89.0.0/16."
  }
}

variable "node_count" {
  description = "Number of nodes, spread over the zones. The first node is named `node_id`, the others `node_id` followed by `-2`, `-3`, and so on."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.node_count >= 1 && var.node_count <= 64 && floor(var.node_count) == var.node_count
    error_message = "node_count = ${var.node_count} is not a whole number from 1 to 64: choose one. The README shows how to remove a node."
  }

  validation {
    condition     = var.node_count == 1 || length(var.announce_hosts) == 0
    error_message = "announce_hosts is set and node_count = ${var.node_count}: several nodes cannot announce the same address; leave announce_hosts empty to let each node detect its own."
  }
}
