variable "project" {
  description = "The Google Cloud project."
  type        = string
}

variable "image" {
  description = "The container image with its tag, its digest, or both."
  type        = string
}

variable "aws_region" {
  description = "The AWS region."
  type        = string
  default     = "eu-central-1"
}

variable "gcp_region" {
  description = "Google's region."
  type        = string
  default     = "europe-west4"
}

variable "iap_ssh" {
  description = "Let Google's Identity-Aware Proxy reach port 22 of the machines, for `terraform output shell`."
  type        = bool
  default     = false
}
