variable "name" {
  description = "Name of the network, used for the `Name` tags of its parts."
  type        = string
  nullable    = false
}

variable "zones" {
  description = "Availability zones that get a subnet."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.zones) > 0 && length(var.zones) == length(distinct(var.zones))
    error_message = "zones = ${jsonencode(var.zones)} is empty or contains a zone twice: list at least one zone, each zone once."
  }
}

variable "cidr" {
  description = "Private IPv4 range, /16 to /20. Amazon assigns the IPv6 range."
  type        = string
  default     = "10.89.0.0/16"
  nullable    = false

  validation {
    condition     = can(cidrsubnet(var.cidr, 8, 0)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 20, false)
    error_message = "cidr = \"${var.cidr}\" is not a range from /16 to /20: set one, such as 10.89.0.0/16."
  }

  validation {
    condition     = can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.cidr))
    error_message = "cidr = \"${var.cidr}\" is a public range: set a private range, such as 10.89.0.0/16."
  }
}

variable "public_ipv4" {
  description = "Assign a public IPv4 address to each machine until it stops. EKS requires this for node groups in public subnets; machines with an Elastic IP do not need it."
  type        = bool
  default     = false
  nullable    = false
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
  nullable    = false
}
