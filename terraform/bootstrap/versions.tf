terraform {
  # Validations that look at other variables.
  required_version = ">= 1.9"
}
