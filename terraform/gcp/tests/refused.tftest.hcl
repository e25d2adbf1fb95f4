# What is refused, each by the variable that is wrong. refused-common.tftest.hcl has the values of shared variables.

mock_provider "google" {
  override_during = plan

  mock_data "google_compute_zones" {
    defaults = { names = ["europe-west3-a", "europe-west3-b", "europe-west3-c"] }
  }

  mock_data "google_compute_subnetwork" {
    defaults = { network = "https://www.googleapis.com/compute/v1/projects/p/global/networks/n" }
  }

  mock_resource "google_compute_subnetwork" {
    defaults = { self_link = "https://www.googleapis.com/compute/v1/projects/p/regions/europe-west3/subnetworks/s" }
  }

  mock_resource "google_service_account" {
    defaults = { member = "serviceAccount:a@p.iam.gserviceaccount.com", project = "p", email = "a@p.iam.gserviceaccount.com" }
  }
}

variables {
  node_id       = "winston-smithnode"
  image         = "registry.example/nym-mixnode:0.1.0@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  directory_url = "http://directory.example:8081"
  region        = "europe-west3"
}

run "machine_without_avx_512" {
  command = plan

  variables {
    machine_type = "e2-small"
  }

  expect_failures = [var.machine_type]
}

run "disk_unheard_of" {
  command = plan

  variables {
    disk_type = "floppy"
  }

  expect_failures = [var.disk_type]
}

run "disk_too_small" {
  command = plan

  variables {
    root_disk_gib = 4
  }

  expect_failures = [var.root_disk_gib]
}

run "zone_of_another_region" {
  command = plan

  variables {
    zones = ["us-east1-b"]
  }

  expect_failures = [google_compute_instance.node["1"]]
}

run "two_subnetworks" {
  command = plan

  variables {
    subnet_ids = ["https://example/a", "https://example/b"]
  }

  expect_failures = [var.subnet_ids]
}

run "node_id_that_begins_with_a_digit" {
  command = plan

  variables {
    node_id = "9lives"
  }

  expect_failures = [var.node_id]
}

run "node_id_that_ends_with_an_underscore" {
  command = plan

  variables {
    node_id = "winston_"
  }

  expect_failures = [var.node_id]
}

run "node_id_too_long_for_google" {
  command = plan

  variables {
    node_id = "x123456789012345678901234567890123456789012345"
  }

  expect_failures = [var.node_id]
}

run "label_with_capitals" {
  command = plan

  variables {
    labels = { Owner = "x" }
  }

  expect_failures = [var.labels]
}

run "label_value_with_a_space" {
  command = plan

  variables {
    labels = { owner = "a b" }
  }

  expect_failures = [var.labels]
}

run "too_many_labels" {
  command = plan

  variables {
    labels = { for i in range(61) : "label${i}" => "x" }
  }

  expect_failures = [var.labels]
}

run "region_of_another_cloud" {
  command = plan

  variables {
    region = "eu-central-1"
  }

  expect_failures = [var.region]
}

run "subnetwork_of_another_region" {
  command = plan

  variables {
    subnet_ids = ["https://www.googleapis.com/compute/v1/projects/p/regions/us-east1/subnetworks/s"]
  }

  expect_failures = [var.subnet_ids]
}

run "public_range" {
  command = plan

  variables {
    subnet_cidr = "36.68.0.0/20"
  }

  expect_failures = [var.subnet_cidr]
}

run "machine_that_takes_no_persistent_disk" {
  command = plan

  variables {
    machine_type = "n4-highcpu-2"
  }

  expect_failures = [var.disk_type]
}

run "axion_machine_that_takes_only_hyperdisk" {
  command = plan

  variables {
    machine_type = "c4a-standard-1"
  }

  expect_failures = [var.disk_type]
}

run "machine_that_takes_no_hyperdisk" {
  command = plan

  variables {
    disk_type = "hyperdisk-balanced"
  }

  expect_failures = [var.disk_type]
}

run "key_by_name" {
  command = plan

  variables {
    kms_key_id = "disks"
  }

  expect_failures = [var.kms_key_id]
}

run "subnetwork_without_ipv6" {
  command = plan

  variables {
    subnet_ids = ["https://www.googleapis.com/compute/v1/projects/p/regions/europe-west3/subnetworks/s"]
  }

  override_data {
    target = data.google_compute_subnetwork.this
    values = { network = "n", stack_type = "IPV4_ONLY" }
  }

  expect_failures = [data.google_compute_subnetwork.this]
}

run "a_variable_that_is_a_secret_and_is_not" {
  command = plan

  variables {
    environment        = { A = "b" }
    secret_environment = { A = "projects/p/secrets/db" }
  }

  expect_failures = [var.secret_environment]
}

run "a_name_in_place_of_the_address_of_a_service_account" {
  command = plan

  variables {
    service_account_email = "nym"
  }

  expect_failures = [var.service_account_email]
}
