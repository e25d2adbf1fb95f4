variable "project" {
  description = "ID of the Google Cloud project."
  type        = string
  nullable    = false
}

variable "node_id" {
  description = "Name of the node on its machine."
  type        = string
  default     = "winston-smithnode"
  nullable    = false
}

variable "image" {
  description = "Container image with its tag, its digest, or both."
  type        = string
  nullable    = false
}

variable "directory_url" {
  description = "URL of the registry of the network to join."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Google Cloud region."
  type        = string
  default     = "europe-west3"
  nullable    = false
}

variable "iap_ssh" {
  description = "Open port 22 of the machine to Identity-Aware Proxy, which `terraform output shell` needs."
  type        = bool
  default     = false
  nullable    = false
}
