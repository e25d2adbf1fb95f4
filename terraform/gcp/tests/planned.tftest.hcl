# What is planned.

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

override_resource {
  target          = google_compute_address.ipv4
  override_during = plan
  values          = { address = "36.68.243.18", project = "p" }
}

override_resource {
  target          = google_compute_address.ipv6
  override_during = plan
  values          = { address = "2600:1900:4000:1234::" }
}

variables {
  node_id       = "winston-smithnode"
  image         = "registry.example/nym-mixnode:0.1.0@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  directory_url = "http://directory.example:8081"
  region        = "europe-west3"
}

run "only_1789_is_open_on_both_families" {
  command = plan

  assert {
    condition     = length(google_compute_firewall.packets) == 2 && length(google_compute_firewall.telemetry) == 0
    error_message = "there are additional rules"
  }

  assert {
    condition     = alltrue([for rule in google_compute_firewall.packets : one(rule.allow).protocol == "tcp" && one(rule.allow).ports == tolist(["1789"])])
    error_message = "another port is open"
  }

  assert {
    condition     = google_compute_firewall.packets["ipv4"].source_ranges == toset(["0.0.0.0/0"]) && google_compute_firewall.packets["ipv6"].source_ranges == toset(["::/0"])
    error_message = "an address family is not open to the internet"
  }

  assert {
    condition     = google_compute_instance.node["1"].metadata["enable-oslogin"] == "TRUE" && google_compute_instance.node["1"].metadata["block-project-ssh-keys"] == "true"
    error_message = "SSH keys of the project are accepted"
  }

  assert {
    condition     = google_compute_instance.node["1"].metadata["serial-port-enable"] == "FALSE"
    error_message = "the serial port is open"
  }
}

run "both_addresses_are_fixed" {
  command = plan

  assert {
    condition     = google_compute_address.ipv4["1"].address_type == "EXTERNAL" && google_compute_address.ipv6["1"].ip_version == "IPV6" && google_compute_address.ipv6["1"].ipv6_endpoint_type == "VM"
    error_message = "an address is not static"
  }

  assert {
    condition     = google_compute_instance.node["1"].network_interface[0].stack_type == "IPV4_IPV6"
    error_message = "the machine has only one address family"
  }

  assert {
    condition     = google_compute_instance.node["1"].network_interface[0].access_config[0].nat_ip == google_compute_address.ipv4["1"].address
    error_message = "the machine has another IPv4 address"
  }

  assert {
    condition     = google_compute_instance.node["1"].network_interface[0].ipv6_access_config[0].external_ipv6 == google_compute_address.ipv6["1"].address
    error_message = "the machine has another IPv6 address"
  }
}

run "the_keys_lie_on_a_disk_of_their_own" {
  command = plan

  assert {
    condition     = google_compute_instance.node["1"].attached_disk[0].device_name == "nym-keys" && google_compute_disk.keys["1"].name == "winston-smithnode-keys"
    error_message = "the key disk has another device name"
  }

  assert {
    condition     = strcontains(google_compute_instance.node["1"].metadata["user-data"], "/dev/disk/by-id/google-nym-keys")
    error_message = "the machine uses another device path"
  }
}

run "the_machine_is_a_shielded_one" {
  command = plan

  assert {
    condition     = google_compute_instance.node["1"].shielded_instance_config[0].enable_secure_boot && google_compute_instance.node["1"].shielded_instance_config[0].enable_vtpm && google_compute_instance.node["1"].shielded_instance_config[0].enable_integrity_monitoring
    error_message = "the machine is not a shielded VM"
  }

  assert {
    condition     = google_compute_instance.node["1"].min_cpu_platform == "Intel Ice Lake"
    error_message = "an N2 may lack AVX-512 IFMA"
  }
}

run "rights_are_few" {
  command = plan

  assert {
    condition     = google_project_iam_member.logs[0].role == "roles/logging.logWriter"
    error_message = "the account has more permissions than writing logs"
  }
}

run "no_rights_that_are_not_needed" {
  command = plan

  variables {
    cloud_logging = false
  }

  assert {
    condition     = length(google_project_iam_member.logs) == 0
    error_message = "there are unneeded permissions"
  }
}

run "several_nodes_are_spread_over_the_zones" {
  command = plan

  variables {
    node_count = 5
  }

  assert {
    condition     = length(google_compute_instance.node) == 5 && length(google_compute_disk.keys) == 5
    error_message = "there are not five of each"
  }

  assert {
    condition     = output.zones == { winston-smithnode = "europe-west3-a", winston-smithnode-2 = "europe-west3-b", winston-smithnode-3 = "europe-west3-c", winston-smithnode-4 = "europe-west3-a", winston-smithnode-5 = "europe-west3-b" }
    error_message = "the nodes are not spread, or the first name has changed"
  }
}

run "names_are_such_as_google_takes" {
  command = plan

  variables {
    node_id = "Winston_Smith"
  }

  assert {
    condition     = google_compute_instance.node["1"].name == "winston-smith" && can(regex("^[a-z](?:[-a-z0-9]{4,28}[a-z0-9])$", google_service_account.node[0].account_id))
    error_message = "Google rejects the names"
  }
}

run "the_limit_on_open_files_is_everywhere" {
  command = plan

  assert {
    condition     = strcontains(module.bootstrap["1"].user_data, "LimitNOFILE=65535") && strcontains(module.bootstrap["1"].user_data, "--ulimit nofile=65535:65535") && strcontains(module.bootstrap["1"].user_data, "NYM_MIXNODE_LIMITS_NOFILE=65535")
    error_message = "the limit is missing in the unit, the container or the node"
  }
}

run "a_registry_serves_8081_and_its_collector_the_private_network" {
  command = plan

  variables {
    role          = "registry"
    directory_url = ""
    collector     = { image = "collector:1", configuration = "receivers: {}" }
  }

  assert {
    condition     = alltrue([for rule in google_compute_firewall.packets : one(rule.allow).ports == tolist(["8081", "8082"])])
    error_message = "another port is open"
  }

  assert {
    condition     = google_compute_firewall.telemetry[0].source_ranges == toset(["10.89.0.0/16"])
    error_message = "telemetry is accepted from other sources"
  }
}

# Test packets prove addresses. Nodes that register over IPv4 have no other proof of their IPv6 address.
run "test_packets_return_to_a_registry_over_both_families" {
  command = plan

  variables {
    role          = "registry"
    directory_url = ""
    test_port     = 9000
  }

  assert {
    condition     = alltrue([for family in ["ipv4", "ipv6"] : one(google_compute_firewall.packets[family].allow).ports == tolist(["8081", "9000"])])
    error_message = "an address family is not open"
  }

  assert {
    condition     = strcontains(module.bootstrap["1"].user_data, " --test-address 36.68.243.18:9000,[2600:1900:4000:1234::]:9000\n") && strcontains(module.bootstrap["1"].user_data, "host-firewall 8081 9000\n")
    error_message = "the registry does not announce its public addresses for test packets"
  }
}

run "no_test_packets_return_to_a_mixnode" {
  command = plan

  assert {
    condition     = !strcontains(module.bootstrap["1"].user_data, "--test-") && strcontains(module.bootstrap["1"].user_data, "host-firewall 1789\n")
    error_message = "an unneeded port is open"
  }
}

run "no_port_is_open_for_a_shell" {
  command = plan

  assert {
    condition     = length(google_compute_firewall.iap_ssh) == 0
    error_message = "port 22 is open"
  }

  assert {
    condition     = output.shell["winston-smithnode"] == "gcloud compute ssh winston-smithnode --zone europe-west3-a --project p --tunnel-through-iap   # requires iap_ssh = true, which opens port 22 to Identity-Aware Proxy"
    error_message = "the command does not mention its requirement"
  }

  assert {
    condition     = strcontains(output.logs["winston-smithnode"], "--project p")
    error_message = "the command reads the logs of another project"
  }
}

run "a_shell_is_let_in_from_the_proxy_alone" {
  command = plan

  variables {
    iap_ssh = true
  }

  assert {
    condition     = google_compute_firewall.iap_ssh[0].source_ranges == toset(["35.235.240.0/20"]) && one(google_compute_firewall.iap_ssh[0].allow).ports == tolist(["22"]) && google_compute_firewall.iap_ssh[0].target_tags == toset(google_compute_instance.node["1"].tags)
    error_message = "SSH is not open to the proxy only"
  }

  assert {
    condition     = output.shell["winston-smithnode"] == "gcloud compute ssh winston-smithnode --zone europe-west3-a --project p --tunnel-through-iap"
    error_message = "the command is different"
  }
}

run "the_longest_name_still_fits" {
  command = plan

  variables {
    node_id    = "x12345678901234567890123456789012345678901234"
    role       = "registry"
    node_count = 64
    collector  = { image = "collector:1", configuration = "receivers: {}" }
    iap_ssh    = true
  }

  assert {
    condition = alltrue([for name in concat(
      [for rule in google_compute_firewall.packets : rule.name],
      [google_compute_firewall.telemetry[0].name, google_compute_firewall.iap_ssh[0].name],
      [for disk in google_compute_disk.keys : disk.name],
      [for address in google_compute_address.ipv4 : address.name],
      [for address in google_compute_address.ipv6 : address.name],
      [for node in google_compute_instance.node : node.name],
      flatten([for node in google_compute_instance.node : node.tags]),
    ) : can(regex("^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$", name))])
    error_message = "Google rejects a name"
  }
}

run "a_log_that_is_not_taken_does_not_hold_up_the_node" {
  command = plan

  assert {
    condition     = strcontains(module.bootstrap["1"].user_data, "--log-driver gcplogs") && strcontains(module.bootstrap["1"].user_data, "--log-opt mode=non-blocking")
    error_message = "a slow log blocks the node"
  }
}

run "without_the_clouds_log_there_are_no_options_for_it" {
  command = plan

  variables {
    cloud_logging = false
  }

  assert {
    condition     = strcontains(module.bootstrap["1"].user_data, "--log-driver none") && !strcontains(module.bootstrap["1"].user_data, "--log-opt")
    error_message = "Docker rejects options without a driver"
  }
}

run "an_existing_service_account_is_used_and_no_permission_is_created" {
  command = plan

  variables {
    service_account_email = "mix@p.iam.gserviceaccount.com"
    image_login           = "secret"
    image_secret          = "projects/p/secrets/db"
    secret_environment    = { OTEL_EXPORTER_OTLP_HEADERS = "projects/p/secrets/db" }
  }

  assert {
    condition     = google_compute_instance.node["1"].service_account[0].email == "mix@p.iam.gserviceaccount.com"
    error_message = "the machine has another service account"
  }

  assert {
    condition     = length(google_service_account.node) + length(google_project_iam_member.logs) + length(google_artifact_registry_repository_iam_member.image) + length(google_secret_manager_secret_iam_member.environment) + length(google_secret_manager_secret_iam_member.image) == 0
    error_message = "permissions are created"
  }
}

run "a_private_repository_is_pulled_from_by_the_service_account" {
  command = plan

  variables {
    image       = "europe-west3-docker.pkg.dev/p/nym/mixnode:0.1.0"
    image_login = "role"
  }

  assert {
    condition     = google_artifact_registry_repository_iam_member.image[0].location == "europe-west3" && google_artifact_registry_repository_iam_member.image[0].project == "p" && google_artifact_registry_repository_iam_member.image[0].repository == "nym"
    error_message = "another repository"
  }
}

run "secrets_are_read_by_the_service_account" {
  command = plan

  variables {
    role               = "registry"
    image_login        = "secret"
    image_secret       = "projects/q/secrets/pull"
    secret_environment = { NYM_REGISTRY_DATABASE = "projects/p/secrets/db" }
  }

  assert {
    condition     = google_secret_manager_secret_iam_member.environment["NYM_REGISTRY_DATABASE"].secret_id == "db" && google_secret_manager_secret_iam_member.image[0].project == "q"
    error_message = "other secrets"
  }

  assert {
    condition     = strcontains(module.bootstrap["1"].user_data, "credentials environment nym-registry") && strcontains(module.bootstrap["1"].user_data, "--env-file /run/nym-mixnode/nym-registry.secrets")
    error_message = "the registry does not get its secrets"
  }
}

run "an_arm_machine_gets_an_image_for_it" {
  command = plan

  variables {
    machine_type = "t2a-standard-1"
  }

  assert {
    condition     = google_compute_instance.node["1"].boot_disk[0].initialize_params[0].image == "projects/cos-cloud/global/images/family/cos-arm64-stable"
    error_message = "an image for another processor"
  }

  assert {
    condition     = !google_compute_instance.node["1"].shielded_instance_config[0].enable_secure_boot
    error_message = "the machine does not start"
  }
}

run "an_axion_machine_has_hyperdisks" {
  command = plan

  variables {
    machine_type = "c4a-standard-1"
    disk_type    = "hyperdisk-balanced"
    boot_image   = "projects/debian-cloud/global/images/family/debian-12-arm64"
  }

  assert {
    condition     = google_compute_instance.node["1"].boot_disk[0].initialize_params[0].image == "projects/debian-cloud/global/images/family/debian-12-arm64"
    error_message = "another image"
  }
}

run "an_x86_machine_gets_an_image_for_it" {
  command = plan

  assert {
    condition     = google_compute_instance.node["1"].boot_disk[0].initialize_params[0].image == "projects/cos-cloud/global/images/family/cos-stable"
    error_message = "an image for another processor"
  }
}
