variable "node_id" {
  description = "Name of the node on its machine."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$", var.node_id))
    error_message = "node_id = \"${var.node_id}\" is not a valid name: use 1 to 63 letters, digits, - and _, starting with a letter or a digit, such as \"winston-smithnode\"."
  }
}
