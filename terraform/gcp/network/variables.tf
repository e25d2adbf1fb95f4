variable "name" {
  description = "Name of the network."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.name))
    error_message = "name = \"${var.name}\" is not a valid name: use 1 to 63 lower-case letters, digits and -, starting with a letter and ending with a letter or a digit."
  }
}

variable "region" {
  description = "Region of the subnetwork."
  type        = string
  nullable    = false
}

variable "cidr" {
  description = "Private IPv4 range. Google assigns the IPv6 range."
  type        = string
  default     = "10.89.0.0/20"
  nullable    = false

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(tonumber(split("/", var.cidr)[1]) <= 29, false)
    error_message = "cidr = \"${var.cidr}\" is not a range of /29 or larger: set one, such as 10.89.0.0/20."
  }

  validation {
    condition     = can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.cidr))
    error_message = "cidr = \"${var.cidr}\" is a public range: set a private range, such as 10.89.0.0/20."
  }
}
