# Written by `make terraform-variables` from terraform/shared. Do not edit.

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

# Values of shared variables that all modules refuse.

run "no_node_id" {
  command = plan

  variables {
    node_id = ""
  }

  expect_failures = [var.node_id]
}

run "node_id_with_a_slash" {
  command = plan

  variables {
    node_id = "../etc"
  }

  expect_failures = [var.node_id]
}

run "node_id_too_long" {
  command = plan

  variables {
    node_id = "x123456789012345678901234567890123456789012345678901234567890123"
  }

  expect_failures = [var.node_id]
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

run "image_with_half_a_digest" {
  command = plan

  variables {
    image = "registry.example/nym-mixnode@sha256:0123"
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

run "directory_with_a_password" {
  command = plan

  variables {
    directory_url = "http://me:secret@directory.example"
  }

  expect_failures = [var.directory_url]
}

run "layer_4" {
  command = plan

  variables {
    layer = 4
  }

  expect_failures = [var.layer]
}

run "layer_below_0" {
  command = plan

  variables {
    layer = -1
  }

  expect_failures = [var.layer]
}

run "layer_one_and_a_half" {
  command = plan

  variables {
    layer = 1.5
  }

  expect_failures = [var.layer]
}

run "location_on_two_lines" {
  command = plan

  variables {
    location = "Here\nthere"
  }

  expect_failures = [var.location]
}

run "incentives_address_with_a_space" {
  command = plan

  variables {
    incentives_address = "hal 9000"
  }

  expect_failures = [var.incentives_address]
}

run "announce_a_name" {
  command = plan

  variables {
    announce_hosts = ["mix.example"]
  }

  expect_failures = [var.announce_hosts]
}

run "announce_a_private_address" {
  command = plan

  variables {
    announce_hosts = ["10.126.5.7"]
  }

  expect_failures = [var.announce_hosts]
}

run "announce_172_31" {
  command = plan

  variables {
    announce_hosts = ["172.31.0.1"]
  }

  expect_failures = [var.announce_hosts]
}

run "announce_a_carrier_address" {
  command = plan

  variables {
    announce_hosts = ["100.64.0.1"]
  }

  expect_failures = [var.announce_hosts]
}

run "announce_the_metadata_service" {
  command = plan

  variables {
    announce_hosts = ["169.254.169.254"]
  }

  expect_failures = [var.announce_hosts]
}

run "announce_all_addresses" {
  command = plan

  variables {
    announce_hosts = ["0.0.0.0"]
  }

  expect_failures = [var.announce_hosts]
}

run "announce_a_local_ipv6_address" {
  command = plan

  variables {
    announce_hosts = ["fd12:3456:789a::1"]
  }

  expect_failures = [var.announce_hosts]
}

run "announce_loopback" {
  command = plan

  variables {
    announce_hosts = ["::1"]
  }

  expect_failures = [var.announce_hosts]
}

run "announce_two_of_a_family" {
  command = plan

  variables {
    announce_hosts = ["36.68.243.18", "36.68.243.19"]
  }

  expect_failures = [var.announce_hosts]
}

run "port_of_the_system" {
  command = plan

  variables {
    port = 22
  }

  expect_failures = [var.port]
}

run "nofile_below_the_need" {
  command = plan

  variables {
    nofile = 1024
  }

  expect_failures = [var.nofile]
}

run "nofile_without_end" {
  command = plan

  variables {
    nofile = 1048577
  }

  expect_failures = [var.nofile]
}

run "otlp_without_a_scheme" {
  command = plan

  variables {
    otlp_endpoint = "collector.example:4318"
  }

  expect_failures = [var.otlp_endpoint]
}

run "environment_with_small_letters" {
  command = plan

  variables {
    environment = { path = "/bin" }
  }

  expect_failures = [var.environment]
}

run "collector_without_a_tag" {
  command = plan

  variables {
    collector = { image = "collector", configuration = "" }
  }

  expect_failures = [var.collector]
}

run "role_of_a_gateway" {
  command = plan

  variables {
    role = "gateway"
  }

  expect_failures = [var.role]
}

run "image_with_capitals" {
  command = plan

  variables {
    image = "registry.example/Nym:0.1.0"
  }

  expect_failures = [var.image]
}

run "collector_of_tomorrow" {
  command = plan

  variables {
    collector = { image = "collector:latest", configuration = "receivers: {}" }
  }

  expect_failures = [var.collector]
}

run "collector_that_is_no_image" {
  command = plan

  variables {
    collector = { image = "my collector:1", configuration = "receivers: {}" }
  }

  expect_failures = [var.collector]
}

run "collector_with_a_port_but_no_tag" {
  command = plan

  variables {
    collector = { image = "registry.example:5000/collector", configuration = "receivers: {}" }
  }

  expect_failures = [var.collector]
}

run "collector_without_yaml" {
  command = plan

  variables {
    collector = { image = "collector:1", configuration = "receivers: [" }
  }

  expect_failures = [var.collector]
}

run "collector_with_a_path_for_its_configuration" {
  command = plan

  variables {
    collector = { image = "collector:1", configuration = "collector.yaml" }
  }

  expect_failures = [var.collector]
}

run "a_secret_in_place_of_its_name" {
  command = plan

  variables {
    secret_environment = { NYM_REGISTRY_DATABASE = "postgres://nym:secret@db.example/nym" }
  }

  expect_failures = [var.secret_environment]
}

run "login_by_magic" {
  command = plan

  variables {
    image_login = "magic"
  }

  expect_failures = [var.image_login]
}

run "login_by_role_to_a_registry_of_no_cloud" {
  command = plan

  variables {
    image_login = "role"
  }

  expect_failures = [var.image_login]
}

run "login_without_its_secret" {
  command = plan

  variables {
    image_login = "secret"
  }

  expect_failures = [var.image_secret]
}

run "a_password_in_place_of_its_secret" {
  command = plan

  variables {
    image_login  = "secret"
    image_secret = "hunter2"
  }

  expect_failures = [var.image_secret]
}

# Values of shared variables that the modules of clouds refuse.

run "unknown_region" {
  command = plan

  variables {
    region = "eu-middle-9"
  }

  expect_failures = [var.region]
}

run "no_nodes" {
  command = plan

  variables {
    node_count = 0
  }

  expect_failures = [var.node_count]
}

run "one_address_for_two_nodes" {
  command = plan

  variables {
    node_count     = 2
    announce_hosts = ["36.68.243.18"]
  }

  expect_failures = [var.node_count]
}

run "telemetry_from_everywhere" {
  command = plan

  variables {
    collector_from = "0.0.0.0/0"
  }

  expect_failures = [var.collector_from]
}

run "rounds_without_a_unit" {
  command = plan

  variables {
    monitor_every = "10"
  }

  expect_failures = [var.monitor_every]
}
