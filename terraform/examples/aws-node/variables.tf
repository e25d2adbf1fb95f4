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
  description = "AWS region."
  type        = string
  default     = "eu-central-1"
  nullable    = false
}
