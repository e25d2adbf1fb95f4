variable "project" {
  description = "ID of the Google Cloud project."
  type        = string
}

variable "image" {
  description = "Container image with its tag, its digest, or both."
  type        = string
}

variable "aws_region" {
  description = "AWS region."
  type        = string
  default     = "eu-central-1"
}

variable "gcp_region" {
  description = "Google Cloud region."
  type        = string
  default     = "europe-west4"
}

variable "iap_ssh" {
  description = "Open port 22 of the machines to Identity-Aware Proxy, which `terraform output shell` needs."
  type        = bool
  default     = false
}
