variable "name" {
  description = "The network's name, which its parts carry in their tag `Name`."
  type        = string
}

variable "zones" {
  description = "The availability zones to have a subnet in."
  type        = list(string)

  validation {
    condition     = length(var.zones) > 0 && length(var.zones) == length(distinct(var.zones))
    error_message = "zones = ${jsonencode(var.zones)}: name at least one zone, and each once."
  }
}

variable "cidr" {
  description = "The private IPv4 range, a /16 to /20. IPv6 comes from Amazon's own range."
  type        = string
  default     = "10.89.0.0/16"

  validation {
    condition     = can(cidrsubnet(var.cidr, 8, 0)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 20, false)
    error_message = "cidr = \"${var.cidr}\": give a private range from /16 to /20, such as 10.89.0.0/16."
  }

  validation {
    condition     = can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.cidr))
    error_message = "cidr = \"${var.cidr}\" belongs to somebody on the internet: give a private range, such as 10.89.0.0/16."
  }
}

variable "public_ipv4" {
  description = "Give each machine a public IPv4 address that it has until it stops, as EKS wants it for its groups of machines. Machines with an Elastic IP need none."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of all that is made."
  type        = map(string)
  default     = {}
}
