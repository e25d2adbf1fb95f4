# What is refused, each by the variable that is wrong.

mock_provider "google" {
  override_during = plan

  mock_data "google_compute_zones" {
    defaults = { names = ["europe-west3-a", "europe-west3-b", "europe-west3-c", "europe-west3-d"] }
  }

  mock_resource "google_service_account" {
    defaults = { email = "mixnet-nodes@my-project.iam.gserviceaccount.com" }
  }
}

variables {
  project       = "my-project"
  image         = "registry.example/nym-mixnode:0.1.0"
  directory_url = "http://directory.example:8081"
  admin_cidr    = "198.51.100.7/32"
}

run "image_without_a_tag" {
  command = plan

  variables {
    image = "registry.example/nym-mixnode"
  }

  expect_failures = [var.image]
}

run "image_with_a_port_but_no_tag" {
  command = plan

  variables {
    image = "registry.example:5000/nym-mixnode"
  }

  expect_failures = [var.image]
}

run "image_of_tomorrow" {
  command = plan

  variables {
    image = "registry.example/nym-mixnode:latest"
  }

  expect_failures = [var.image]
}

run "no_directory" {
  command = plan

  variables {
    directory_url = ""
  }

  expect_failures = [var.directory_url]
}

run "directory_without_a_scheme" {
  command = plan

  variables {
    directory_url = "directory.example:8081"
  }

  expect_failures = [var.directory_url]
}

run "directory_that_ends_the_command" {
  command = plan

  variables {
    directory_url = "http://directory.example:8081,a=b"
  }

  expect_failures = [var.directory_url]
}

run "administered_from_everywhere" {
  command = plan

  variables {
    admin_cidr = "0.0.0.0/0"
  }

  expect_failures = [var.admin_cidr]
}

run "administered_from_an_address_without_a_range" {
  command = plan

  variables {
    admin_cidr = "198.51.100.7"
  }

  expect_failures = [var.admin_cidr]
}

run "administered_over_ipv6" {
  command = plan

  variables {
    admin_cidr = "2001:db8::/48"
  }

  expect_failures = [var.admin_cidr]
}

run "no_nodes" {
  command = plan

  variables {
    node_count = 0
  }

  expect_failures = [var.node_count]
}

run "half_a_node" {
  command = plan

  variables {
    node_count = 1.5
  }

  expect_failures = [var.node_count]
}

run "region_of_another_cloud" {
  command = plan

  variables {
    region = "eu-central-1"
  }

  expect_failures = [var.region]
}

run "project_with_capitals" {
  command = plan

  variables {
    project = "My Project"
  }

  expect_failures = [var.project]
}

run "unknown_region" {
  command = plan

  variables {
    region = "europe-middle9"
  }

  override_data {
    target = data.google_compute_zones.available
    values = { names = [] }
  }

  expect_failures = [google_container_node_pool.mixnodes]
}
