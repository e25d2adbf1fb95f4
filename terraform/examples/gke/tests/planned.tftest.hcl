# What is planned.

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

run "machines_are_dual_stack_and_only_1789_is_open" {
  command = plan

  assert {
    condition     = google_compute_subnetwork.this.stack_type == "IPV4_IPV6" && google_compute_subnetwork.this.ipv6_access_type == "EXTERNAL" && google_container_cluster.this.ip_allocation_policy[0].stack_type == "IPV4_IPV6"
    error_message = "a machine has only one address family"
  }

  assert {
    condition     = alltrue([for rule in google_compute_firewall.packets : one(rule.allow).protocol == "tcp" && one(rule.allow).ports == tolist(["1789"])])
    error_message = "another port is open"
  }

  assert {
    condition     = alltrue([for rule in google_compute_firewall.packets : rule.target_tags == toset(google_container_node_pool.mixnodes.node_config[0].tags)])
    error_message = "the rule is for other machines"
  }
}

run "only_pods_on_the_machines_network_reach_the_metadata" {
  command = plan

  assert {
    condition     = google_container_node_pool.mixnodes.node_config[0].workload_metadata_config[0].mode == "GKE_METADATA"
    error_message = "other pods get the permissions of the machine"
  }
}

run "rights_are_few" {
  command = plan

  assert {
    condition     = toset([google_container_cluster.this.node_config[0].service_account, google_container_node_pool.mixnodes.node_config[0].service_account]) == toset(["mixnet-nodes@my-project.iam.gserviceaccount.com"])
    error_message = "a machine has permissions for the whole project"
  }

  assert {
    condition     = google_project_iam_member.nodes.role == "roles/container.defaultNodeServiceAccount"
    error_message = "machines have more permissions"
  }
}

run "a_node_is_on_one_machine_in_one_zone" {
  command = plan

  variables {
    node_count = 1
  }

  assert {
    condition     = google_container_node_pool.mixnodes.node_count == 1 && google_container_node_pool.mixnodes.node_locations == toset(["europe-west3-a"])
    error_message = "there are machines in other zones"
  }
}

run "seven_nodes_are_spread_over_three_zones" {
  command = plan

  variables {
    node_count = 7
  }

  assert {
    condition     = google_container_node_pool.mixnodes.node_count == 3 && length(google_container_node_pool.mixnodes.node_locations) == 3
    error_message = "there are not enough machines"
  }
}
