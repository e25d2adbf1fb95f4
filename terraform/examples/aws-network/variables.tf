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
  description = "AWS region."
  type        = string
  default     = "eu-central-1"
  nullable    = false
}
