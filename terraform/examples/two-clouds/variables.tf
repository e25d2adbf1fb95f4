variable "project" {
  description = "ID of the Google Cloud project."
  type        = string
  nullable    = false
}

variable "image" {
  description = "Container image with its tag, its digest, or both."
  type        = string
  nullable    = false
}

variable "aws_region" {
  description = "AWS region."
  type        = string
  default     = "eu-central-1"
  nullable    = false
}

variable "gcp_region" {
  description = "Google Cloud region."
  type        = string
  default     = "europe-west4"
  nullable    = false
}

variable "iap_ssh" {
  description = "Open port 22 of the machines to Identity-Aware Proxy, which `terraform output shell` needs."
  type        = bool
  default     = false
  nullable    = false
}
