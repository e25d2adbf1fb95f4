# What is planned.

mock_provider "aws" {
  override_during = plan

  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c", "eu-central-1d"] }
  }

  mock_data "aws_ami" {
    defaults = { id = "ami-0123456789abcdef0" }
  }

  mock_resource "aws_vpc" {
    defaults = { ipv6_cidr_block = "2a05:d014:1234:5600::/56" }
  }

  mock_resource "aws_ebs_volume" {
    defaults = { id = "vol-0123456789abcdef0" }
  }

  mock_resource "aws_eip" {
    defaults = { public_ip = "36.68.243.18" }
  }
}

variables {
  node_id       = "winston-smithnode"
  image         = "registry.example/nym-mixnode:0.1.0@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  directory_url = "http://directory.example:8081"
  region        = "eu-central-1"
}

run "metadata_needs_a_token_and_reaches_a_container" {
  command = plan

  assert {
    condition     = aws_instance.node["1"].metadata_options[0].http_tokens == "required"
    error_message = "IMDSv1 is enabled"
  }

  assert {
    condition     = aws_instance.node["1"].metadata_options[0].http_put_response_hop_limit == 2
    error_message = "a bridged container cannot reach the metadata service"
  }

  assert {
    condition     = aws_instance.node["1"].metadata_options[0].http_endpoint == "enabled"
    error_message = "the node cannot detect its addresses"
  }
}

run "only_1789_is_open_on_both_families" {
  command = plan

  assert {
    condition     = length(aws_security_group_rule.packets) == 2 && length(aws_security_group_rule.telemetry) == 0
    error_message = "there are additional rules"
  }

  assert {
    condition     = alltrue([for rule in aws_security_group_rule.packets : rule.from_port == 1789 && rule.to_port == 1789 && rule.protocol == "tcp" && rule.type == "ingress"])
    error_message = "another port is open"
  }

  assert {
    condition     = aws_security_group_rule.packets["ipv4"].cidr_blocks == tolist(["0.0.0.0/0"])
    error_message = "IPv4 is not open to the internet"
  }

  assert {
    condition     = aws_security_group_rule.packets["ipv6"].ipv6_cidr_blocks == tolist(["::/0"])
    error_message = "IPv6 is not open to the internet"
  }
}

run "disks_are_encrypted_and_the_keys_lie_on_their_own" {
  command = plan

  assert {
    condition     = aws_instance.node["1"].root_block_device[0].encrypted && aws_ebs_volume.keys["1"].encrypted
    error_message = "a disk is not encrypted"
  }

  assert {
    condition     = aws_instance.node["1"].root_block_device[0].delete_on_termination
    error_message = "the system disk is kept when the machine is deleted"
  }

  assert {
    condition     = aws_volume_attachment.keys["1"].stop_instance_before_detaching
    error_message = "the key disk is detached from a running node"
  }

  assert {
    condition     = aws_instance.node["1"].user_data_replace_on_change
    error_message = "changed user data does not replace the machine"
  }

  assert {
    condition     = strcontains(module.bootstrap["1"].user_data, "KEY_DISKS='/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0'")
    error_message = "the key disk is not identified by its volume ID only"
  }
}

run "addresses_are_fixed" {
  command = plan

  assert {
    condition     = length(aws_eip.node) == 1 && length(aws_eip_association.node) == 1
    error_message = "there is no static IPv4 address"
  }

  assert {
    condition     = one(aws_instance.node["1"].ipv6_addresses) == cidrhost("2a05:d014:1234:5600::/64", parseint(substr(sha256("winston-smithnode"), 0, 12), 16))
    error_message = "the IPv6 address is not derived from the name"
  }
}

run "rights_are_few" {
  command = plan

  assert {
    condition     = jsondecode(aws_iam_role_policy.session[0].policy).Statement[0].Action == ["ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"]
    error_message = "Session Manager has more permissions than sessions need"
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.logs[0].policy).Statement[0].Resource == "arn:aws:logs:eu-central-1:123456789012:log-group:/nym-mixnode/winston-smithnode:*"
    error_message = "the role can write to other logs"
  }
}

run "no_rights_that_are_not_needed" {
  command = plan

  variables {
    session_manager = false
    cloud_logging   = false
  }

  assert {
    condition     = length(aws_iam_role_policy.session) == 0 && length(aws_iam_role_policy.logs) == 0 && length(aws_cloudwatch_log_group.node) == 0
    error_message = "there are unneeded permissions"
  }
}

run "several_nodes_are_spread_over_the_zones" {
  command = plan

  variables {
    node_count = 5
  }

  assert {
    condition     = length(aws_instance.node) == 5 && length(aws_eip.node) == 5 && length(aws_ebs_volume.keys) == 5
    error_message = "there are not five of each"
  }

  assert {
    condition     = output.zones == { winston-smithnode = "eu-central-1a", winston-smithnode-2 = "eu-central-1b", winston-smithnode-3 = "eu-central-1c", winston-smithnode-4 = "eu-central-1a", winston-smithnode-5 = "eu-central-1b" }
    error_message = "the nodes are not spread, or the first name has changed"
  }

  assert {
    condition     = length(distinct(flatten([for node in aws_instance.node : node.ipv6_addresses]))) == 5
    error_message = "two nodes have the same address"
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
    condition     = alltrue([for rule in aws_security_group_rule.packets : rule.from_port == 8081 && rule.to_port == 8081])
    error_message = "another port is open"
  }

  assert {
    condition     = aws_security_group_rule.telemetry[0].cidr_blocks == tolist(["10.89.0.0/16"])
    error_message = "telemetry is accepted from other sources"
  }
}

# Test packets prove addresses. Nodes that register over IPv4 have no other proof of their IPv6 address.
run "test_packets_return_to_a_registry_over_both_families" {
  command = plan

  variables {
    role          = "registry"
    directory_url = ""
  }

  assert {
    condition     = alltrue([for rule in aws_security_group_rule.test_packets : rule.from_port == 8082 && rule.to_port == 8082 && rule.protocol == "tcp" && rule.type == "ingress"])
    error_message = "another port is open"
  }

  assert {
    condition     = aws_security_group_rule.test_packets["ipv4"].cidr_blocks == tolist(["0.0.0.0/0"]) && aws_security_group_rule.test_packets["ipv6"].ipv6_cidr_blocks == tolist(["::/0"])
    error_message = "an address family is not open to the internet"
  }

  assert {
    condition     = strcontains(module.bootstrap["1"].user_data, " --test-address 36.68.243.18:8082,[${one(aws_instance.node["1"].ipv6_addresses)}]:8082\n")
    error_message = "the registry does not announce its public addresses for test packets"
  }
}

run "the_port_of_test_packets_can_be_chosen" {
  command = plan

  variables {
    role          = "registry"
    directory_url = ""
    test_port     = 9000
  }

  assert {
    condition     = alltrue([for rule in aws_security_group_rule.test_packets : rule.from_port == 9000 && rule.to_port == 9000])
    error_message = "another port is open"
  }

  assert {
    condition     = strcontains(module.bootstrap["1"].user_data, "36.68.243.18:9000") && strcontains(module.bootstrap["1"].user_data, "host-firewall 8081 9000\n")
    error_message = "the machine uses another port"
  }
}

run "no_test_packets_return_to_a_mixnode" {
  command = plan

  assert {
    condition     = length(aws_security_group_rule.test_packets) == 0 && !strcontains(module.bootstrap["1"].user_data, "--test-") && strcontains(module.bootstrap["1"].user_data, "host-firewall 1789\n")
    error_message = "an unneeded port is open"
  }
}

run "user_data_that_fits_is_plain" {
  command = plan

  variables {
    location = "Zürich, 2. Stock"
  }

  assert {
    condition     = strcontains(aws_instance.node["1"].user_data, "Zürich, 2. Stock")
    error_message = "the user data is not plain text"
  }

  assert {
    condition     = length(local.packed) == 0
    error_message = "the user data is compressed without need"
  }
}

# EC2 counts bytes: each é is one character, and two of them.
run "user_data_is_counted_in_bytes_and_packed_where_it_has_to_be" {
  command = plan

  variables {
    collector = { image = "collector:1", configuration = join("", concat(["receivers: {} # "], [for i in range(500) : "éééééééééé"])) }
  }

  assert {
    condition     = local.user_data_bytes["1"] == length(module.bootstrap["1"].user_data) + 5000
    error_message = "${local.user_data_bytes["1"]} bytes are counted in ${length(module.bootstrap["1"].user_data)} characters"
  }

  assert {
    condition     = aws_instance.node["1"].user_data_base64 == base64gzip(module.bootstrap["1"].user_data)
    error_message = "EC2 rejects user data of this size"
  }
}

run "nodes_go_around_the_given_subnets" {
  command = plan

  variables {
    node_count = 3
    subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  }

  override_data {
    target = data.aws_subnet.given["0"]
    values = { id = "subnet-0123456789abcdef0", ipv6_cidr_block = "2a05:d014:1234:5600::/64", vpc_id = "vpc-0123456789abcdef0", availability_zone = "eu-central-1a" }
  }

  override_data {
    target = data.aws_subnet.given["1"]
    values = { id = "subnet-0123456789abcdef1", ipv6_cidr_block = "2a05:d014:1234:5601::/64", vpc_id = "vpc-0123456789abcdef0", availability_zone = "eu-central-1b" }
  }

  assert {
    condition     = [for node in aws_instance.node : node.subnet_id] == ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1", "subnet-0123456789abcdef0"]
    error_message = "the nodes are not assigned in turn"
  }

  assert {
    condition     = [for node in aws_instance.node : substr(one(node.ipv6_addresses), 0, 19)] == ["2a05:d014:1234:5600", "2a05:d014:1234:5601", "2a05:d014:1234:5600"]
    error_message = "an address is outside of its subnet"
  }

  assert {
    condition     = length(module.network) == 0
    error_message = "a network is created"
  }
}

run "the_key_disk_is_in_the_zone_of_its_machine" {
  command = plan

  variables {
    node_count = 2
    zones      = ["eu-central-1b", "eu-central-1c"]
  }

  assert {
    condition     = [for disk in aws_ebs_volume.keys : disk.availability_zone] == ["eu-central-1b", "eu-central-1c"] && output.zones == { winston-smithnode = "eu-central-1b", winston-smithnode-2 = "eu-central-1c" }
    error_message = "the key disks are in other zones than their machines"
  }
}

run "a_log_that_is_not_taken_does_not_hold_up_the_node" {
  command = plan

  assert {
    condition     = strcontains(module.bootstrap["1"].user_data, "--log-driver awslogs") && strcontains(module.bootstrap["1"].user_data, "--log-opt mode=non-blocking")
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

run "an_existing_profile_is_used_and_no_permission_is_created" {
  command = plan

  variables {
    instance_profile_name = "of-the-organisation"
    image_login           = "secret"
    image_secret          = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-a1b2c3"
    secret_environment    = { OTEL_EXPORTER_OTLP_HEADERS = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-a1b2c3" }
  }

  assert {
    condition     = aws_instance.node["1"].iam_instance_profile == "of-the-organisation"
    error_message = "the machine has another profile"
  }

  assert {
    condition     = length(aws_iam_role.node) + length(aws_iam_instance_profile.node) + length(aws_iam_role_policy.logs) + length(aws_iam_role_policy.session) + length(aws_iam_role_policy.image) + length(aws_iam_role_policy.secrets) == 0
    error_message = "permissions are created"
  }
}

run "without_a_private_registry_and_secrets_the_role_may_read_neither" {
  command = plan

  assert {
    condition     = length(aws_iam_role_policy.image) + length(aws_iam_role_policy.secrets) == 0 && !strcontains(module.bootstrap["1"].user_data, "credentials environment")
    error_message = "the role has permissions that it does not need"
  }
}

run "a_private_repository_is_pulled_from_by_the_role" {
  command = plan

  variables {
    image       = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/nym/mixnode:0.1.0"
    image_login = "role"
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.image[0].policy).Statement[1].Resource == "arn:aws:ecr:eu-west-1:123456789012:repository/nym/mixnode"
    error_message = "another repository"
  }
}

run "secrets_are_read_by_the_role_and_are_not_in_user_data" {
  command = plan

  variables {
    role               = "registry"
    image_login        = "secret"
    image_secret       = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-a1b2c3"
    secret_environment = { NYM_REGISTRY_DATABASE = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-a1b2c3" }
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.secrets[0].policy).Statement[0] == { Action = ["secretsmanager:GetSecretValue"], Effect = "Allow", Resource = ["arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-a1b2c3"] }
    error_message = "the role may read other secrets"
  }

  assert {
    condition     = strcontains(module.bootstrap["1"].user_data, "credentials environment nym-registry") && strcontains(module.bootstrap["1"].user_data, "--env-file /run/nym-mixnode/nym-registry.secrets")
    error_message = "the registry does not get its secrets"
  }
}

run "an_x86_machine_gets_an_image_for_it" {
  command = plan

  assert {
    condition     = local.architecture == "x86_64" && local.ami_name == "al2023-ami-2023.*-x86_64" && length(aws_instance.node["1"].credit_specification) == 0
    error_message = "another image: ${local.ami_name}"
  }
}

run "an_arm_machine_gets_an_image_for_it" {
  command = plan

  variables {
    instance_type = "c8gn.large"
  }

  assert {
    condition     = local.architecture == "arm64" && local.ami_name == "al2023-ami-2023.*-arm64"
    error_message = "another image: ${local.ami_name}"
  }

  assert {
    condition     = contains([for filter in data.aws_ami.this[0].filter : one(filter.values) if filter.name == "architecture"], "arm64")
    error_message = "an image of any architecture"
  }
}

run "a_graphics_machine_is_no_arm_machine" {
  command = plan

  variables {
    instance_type = "g4dn.xlarge"
  }

  assert {
    condition     = local.architecture == "x86_64"
    error_message = "another image: ${local.ami_name}"
  }
}

run "a_burstable_arm_machine_never_runs_out_of_credits" {
  command = plan

  variables {
    instance_type = "t4g.small"
    ami_name      = "debian-12-arm64-*"
  }

  assert {
    condition     = local.architecture == "arm64" && local.ami_name == "debian-12-arm64-*" && aws_instance.node["1"].credit_specification[0].cpu_credits == "unlimited"
    error_message = "the machine becomes slow"
  }
}
