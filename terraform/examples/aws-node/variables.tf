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
  description = "The AWS region."
  type        = string
  default     = "eu-central-1"
}
