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

variable "nodes_per_layer" {
  description = "Number of nodes in each of the three layers, spread over the zones."
  type        = number
  default     = 2
  nullable    = false
}

variable "collector_image" {
  description = "Image of the OpenTelemetry collector, with tag or digest."
  type        = string
  default     = "otel/opentelemetry-collector-contrib:0.155.0"
  nullable    = false
}

variable "region" {
  description = "Google Cloud region."
  type        = string
  default     = "europe-west3"
  nullable    = false
}

variable "iap_ssh" {
  description = "Open port 22 of the machines to Identity-Aware Proxy, which `terraform output shell` needs."
  type        = bool
  default     = false
  nullable    = false
}
