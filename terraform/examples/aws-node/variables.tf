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
  description = "AWS region."
  type        = string
  default     = "eu-central-1"
}
