# What is refused, each by the variable that is wrong, and what is planned.

mock_provider "google" {}

variables {
  name   = "mixnet"
  region = "europe-west3"
}

run "name_with_capitals" {
  command = plan

  variables {
    name = "Mixnet"
  }

  expect_failures = [var.name]
}

run "name_too_long" {
  command = plan

  variables {
    name = "x123456789012345678901234567890123456789012345678901234567890123"
  }

  expect_failures = [var.name]
}

run "no_range" {
  command = plan

  variables {
    cidr = "10.89.0.0"
  }

  expect_failures = [var.cidr]
}

run "a_public_range" {
  command = plan

  variables {
    cidr = "36.68.0.0/20"
  }

  expect_failures = [var.cidr]
}

run "the_subnetwork_has_external_addresses_of_both_families" {
  command = plan

  assert {
    condition     = google_compute_subnetwork.this.stack_type == "IPV4_IPV6" && google_compute_subnetwork.this.ipv6_access_type == "EXTERNAL"
    error_message = "the subnetwork has no external IPv6"
  }

  assert {
    condition     = !google_compute_network.this.auto_create_subnetworks
    error_message = "there are additional subnetworks"
  }

  assert {
    condition     = length(google_compute_subnetwork.this.log_config) == 0
    error_message = "flow logs are on"
  }
}
