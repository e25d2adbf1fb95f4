variable "project" {
  description = "The Google Cloud project."
  type        = string
}

variable "image" {
  description = "The container image with its tag, its digest, or both."
  type        = string
}

variable "nodes_per_layer" {
  description = "Nodes in each of the three layers, spread over the zones."
  type        = number
  default     = 2
}

variable "collector_image" {
  description = "An image of the OpenTelemetry collector, with tag or digest."
  type        = string
  default     = "otel/opentelemetry-collector-contrib:0.155.0"
}

variable "region" {
  description = "The region."
  type        = string
  default     = "europe-west3"
}

variable "iap_ssh" {
  description = "Let Google's Identity-Aware Proxy reach port 22 of the machines, for `terraform output shell`."
  type        = bool
  default     = false
}
