# What is refused, each by the variable that is wrong, and what is planned.

mock_provider "aws" {
  override_during = plan

  mock_resource "aws_vpc" {
    defaults = { ipv6_cidr_block = "2a05:d014:1234:5600::/56" }
  }
}

variables {
  name  = "mixnet"
  zones = ["eu-central-1a", "eu-central-1b"]
}

run "no_zones" {
  command = plan

  variables {
    zones = []
  }

  expect_failures = [var.zones]
}

run "a_zone_twice" {
  command = plan

  variables {
    zones = ["eu-central-1a", "eu-central-1a"]
  }

  expect_failures = [var.zones]
}

run "a_range_too_small" {
  command = plan

  variables {
    cidr = "10.89.0.0/24"
  }

  expect_failures = [var.cidr]
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
    cidr = "36.68.0.0/16"
  }

  expect_failures = [var.cidr]
}

run "each_zone_has_a_dual_stack_subnet" {
  command = plan

  assert {
    condition     = toset(keys(aws_subnet.this)) == toset(var.zones) && length(distinct([for subnet in aws_subnet.this : subnet.ipv6_cidr_block])) == 2
    error_message = "a zone has no subnet, or two subnets share an IPv6 range"
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.this : endswith(subnet.ipv6_cidr_block, "::/64")])
    error_message = "EC2 accepts only /64 ranges"
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.this : !subnet.map_public_ip_on_launch])
    error_message = "machines get public addresses by default"
  }
}

run "machines_get_public_addresses_when_asked_for" {
  command = plan

  variables {
    public_ipv4 = true
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.this : subnet.map_public_ip_on_launch])
    error_message = "machines get no public address"
  }
}
