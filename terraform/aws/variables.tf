variable "region" {
  description = "AWS region, such as `eu-central-1`. The provider must be configured with the same region."
  type        = string
  nullable    = false

  validation {
    condition     = contains(var.known_regions, var.region)
    error_message = "region = \"${var.region}\" is unknown: the known regions are ${join(", ", sort(var.known_regions))}. Add a region that is newer than this list to known_regions."
  }
}

variable "known_regions" {
  description = "Regions that exist."
  type        = set(string)
  default = [
    "af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
    "ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4",
    "ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ca-central-1", "ca-west-1", "eu-central-1",
    "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3",
    "il-central-1", "me-central-1", "me-south-1", "mx-central-1", "sa-east-1", "us-east-1", "us-east-2",
    "us-west-1", "us-west-2", "us-gov-east-1", "us-gov-west-1", "cn-north-1", "cn-northwest-1",
  ]
  nullable = false
}

variable "instance_type" {
  description = "Instance type. The default has fast cores with AVX-512 IFMA (Sapphire Rapids), as have the 6i (Ice Lake) and 7a (Zen 4) types."
  type        = string
  default     = "c7i.large"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9-]+\\.[a-z0-9-]+$", var.instance_type)) && !can(regex("^(t[123]|a1)", var.instance_type))
    error_message = "instance_type = \"${var.instance_type}\" is not suitable for a mixnode: t2 and t3 run out of CPU credits, and a1 has slow cores; use c7i.large, c7a.large, c6i.large or larger, or c7g.large or t4g.small for ARM."
  }

  validation {
    condition     = !can(regex("^(m[1-4]|c[134]|cc[0-9]|cr[0-9]|r[34]|i2|d2|g[23]s?|p[23]|x1e?|f1|h1|hs1)\\.|^i3\\.[0-9]*x?large$", var.instance_type))
    error_message = "instance_type = \"${var.instance_type}\" is older than Nitro: its volumes have no unique device names, so another disk could be mistaken for the key disk; use c7i.large, c7a.large, c6i.large or larger."
  }
}

variable "ami_id" {
  description = "AMI of Amazon Linux 2023, Debian or Ubuntu for the architecture of `instance_type`. The default is the newest one that `ami_owner` and `ami_name` match."
  type        = string
  default     = null

  validation {
    condition     = var.ami_id == null || can(regex("^ami-[0-9a-z]{8,32}$", var.ami_id))
    error_message = "ami_id = \"${coalesce(var.ami_id, "-")}\" is not an AMI ID: it looks like ami-0123456789abcdef0. Leave it unset for the newest Amazon Linux 2023."
  }
}

variable "ami_owner" {
  description = "Account that publishes the AMI: `amazon`, `136693071363` (Debian) or `099720109477` (Ubuntu)."
  type        = string
  default     = "amazon"
  nullable    = false
}

variable "ami_name" {
  description = "Name of the AMI, with `*` for the part that changes, such as `debian-12-amd64-*`. The default is Amazon Linux 2023 for the architecture of `instance_type`."
  type        = string
  default     = null
}

variable "subnet_ids" {
  description = "Public dual-stack subnets of one VPC. If empty, the module creates a network."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-z]{8,32}$", id))])
    error_message = "subnet_ids = ${jsonencode(var.subnet_ids)} contains a value that is not a subnet ID: it looks like subnet-0123456789abcdef0. Leave it empty to create a network."
  }
}

variable "vpc_cidr" {
  description = "Private IPv4 range of the created network, /16 to /20."
  type        = string
  default     = "10.89.0.0/16"
  nullable    = false

  validation {
    condition     = can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.).*/(1[6-9]|20)$", var.vpc_cidr)) && can(cidrhost(var.vpc_cidr, 0))
    error_message = "vpc_cidr = \"${var.vpc_cidr}\" is not a private range from /16 to /20: set one, such as 10.89.0.0/16."
  }
}

variable "zones" {
  description = "Availability zones of the created network. The default is up to three zones of the region."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for zone in var.zones : startswith(zone, var.region) && can(regex("^[a-z-]+[0-9]+[a-z]$", zone))])
    error_message = "zones = ${jsonencode(var.zones)} contains a value that is not an availability zone of region = \"${var.region}\": zones look like ${var.region}a. Leave zones empty to use up to three zones."
  }

  validation {
    condition     = length(var.zones) == 0 || length(var.subnet_ids) == 0
    error_message = "zones and subnet_ids are both set: subnets already determine the zones; set only one of them."
  }
}

variable "root_volume_gib" {
  description = "Size of the system disk in GiB."
  type        = number
  default     = 16
  nullable    = false

  validation {
    condition     = var.root_volume_gib >= 8 && var.root_volume_gib <= 1024
    error_message = "root_volume_gib = ${var.root_volume_gib} is out of range: the system needs 8 GiB, and the maximum is 1024."
  }
}

variable "kms_key_id" {
  description = "ARN of the KMS key that encrypts disks and logs. The default is the account's key for disks and the service's key for logs."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_id == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_id))
    error_message = "kms_key_id = \"${coalesce(var.kms_key_id, "-")}\" is not the ARN of a key: it looks like arn:aws:kms:eu-central-1:123456789012:key/…. An alias would replace the disks at each plan."
  }
}

variable "instance_profile_name" {
  description = "Existing instance profile of the machines. If unset, the module creates one. It must be known at plan time, and its role needs the permissions that the README lists."
  type        = string
  default     = null

  validation {
    condition     = var.instance_profile_name == null || can(regex("^[A-Za-z0-9+=,.@_-]{1,128}$", var.instance_profile_name))
    error_message = "instance_profile_name = ${jsonencode(var.instance_profile_name)} is not a name of an instance profile: set the name, not the ARN, or leave it unset to create a profile."
  }
}

variable "session_manager" {
  description = "Allow shells through Session Manager, the only way to log in: there is no SSH. Amazon Linux and Ubuntu include its agent, Debian does not."
  type        = bool
  default     = true
  nullable    = false
}

variable "cloud_logging" {
  description = "Also send the logs to CloudWatch, the easiest way to read them without SSH. Logs never contain data that links incoming to outgoing packets."
  type        = bool
  default     = true
  nullable    = false
}

variable "log_retention_days" {
  description = "Days that CloudWatch keeps the logs."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365], var.log_retention_days)
    error_message = "log_retention_days = ${var.log_retention_days} is not supported by CloudWatch: set 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180 or 365."
  }
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name, value in var.tags : can(regex("^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]{1,128}$", name)) && can(regex("^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]{0,256}$", value)) && !startswith(lower(name), "aws:")])
    error_message = "tags = ${jsonencode(var.tags)} contains a tag that AWS rejects: a name must have 1 to 128 and a value at most 256 letters, digits, spaces and _ . : / = + - @, and the prefix aws: is reserved."
  }

  validation {
    condition     = length(var.tags) <= 45
    error_message = "tags has ${length(var.tags)} entries: AWS allows 50 tags, and this module adds some; set at most 45."
  }
}
