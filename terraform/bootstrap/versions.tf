terraform {
  # Validation conditions can refer to other variables since 1.9.
  required_version = ">= 1.9"
}
