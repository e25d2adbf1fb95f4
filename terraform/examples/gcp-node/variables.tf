variable "project" {
  description = "ID of the Google Cloud project."
  type        = string
}

variable "node_id" {
  description = "Name of the node on its machine."
  type        = string
  default     = "winston-smithnode"
}

variable "image" {
  description = "Container image with its tag, its digest, or both."
  type        = string
}

variable "directory_url" {
  description = "URL of the registry of the network to join."
  type        = string
}

variable "region" {
  description = "Google Cloud region."
  type        = string
  default     = "europe-west3"
}

variable "iap_ssh" {
  description = "Open port 22 of the machine to Identity-Aware Proxy, which `terraform output shell` needs."
  type        = bool
  default     = false
}
