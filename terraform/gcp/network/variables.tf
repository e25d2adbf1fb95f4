variable "name" {
  description = "The network's name."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.name))
    error_message = "name = \"${var.name}\": Google's names are lower case letters, digits and -, the first a letter, at most 63."
  }
}

variable "region" {
  description = "The region of the subnetwork."
  type        = string
}

variable "cidr" {
  description = "The private IPv4 range. IPv6 comes from Google's own range."
  type        = string
  default     = "10.89.0.0/20"

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(tonumber(split("/", var.cidr)[1]) <= 29, false)
    error_message = "cidr = \"${var.cidr}\": give a private range of at least a /29, such as 10.89.0.0/20."
  }

  validation {
    condition     = can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.cidr))
    error_message = "cidr = \"${var.cidr}\" belongs to somebody on the internet: give a private range, such as 10.89.0.0/20."
  }
}
