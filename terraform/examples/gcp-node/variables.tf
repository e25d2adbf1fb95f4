variable "project" {
  description = "The Google Cloud project."
  type        = string
}

variable "node_id" {
  description = "The name of the node, any you want."
  type        = string
  default     = "winston-smithnode"
}

variable "image" {
  description = "The container image with its tag, its digest, or both."
  type        = string
}

variable "directory_url" {
  description = "The directory of the network to join."
  type        = string
}

variable "region" {
  description = "The region."
  type        = string
  default     = "europe-west3"
}

variable "iap_ssh" {
  description = "Let Google's Identity-Aware Proxy reach port 22 of the machine, for `terraform output shell`."
  type        = bool
  default     = false
}
