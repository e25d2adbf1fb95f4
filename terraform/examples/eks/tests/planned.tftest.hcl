# What is planned.

mock_provider "aws" {
  override_during = plan

  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c", "eu-central-1d"] }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_resource "aws_vpc" {
    defaults = { ipv6_cidr_block = "2a05:d014:1234:5600::/56" }
  }
}

variables {
  image         = "registry.example/nym-mixnode:0.1.0"
  directory_url = "http://directory.example:8081"
  admin_cidr    = "198.51.100.7/32"
}

run "machines_have_public_addresses_of_both_families" {
  command = plan

  assert {
    condition     = one(aws_launch_template.nodes.network_interfaces).associate_public_ip_address && one(aws_launch_template.nodes.network_interfaces).ipv6_address_count == 1
    error_message = "a machine is unreachable"
  }
}

run "only_1789_comes_in_and_everything_goes_out_over_both_families" {
  command = plan

  assert {
    condition     = alltrue([for rule in aws_security_group_rule.packets : rule.type == "ingress" && rule.protocol == "tcp" && rule.from_port == 1789 && rule.to_port == 1789])
    error_message = "another port is open"
  }

  assert {
    condition     = aws_security_group_rule.packets["ipv4"].cidr_blocks == tolist(["0.0.0.0/0"]) && aws_security_group_rule.packets["ipv6"].ipv6_cidr_blocks == tolist(["::/0"])
    error_message = "the port of packets is not open to the internet"
  }

  assert {
    condition     = alltrue([for rule in aws_security_group_rule.egress : rule.type == "egress" && rule.protocol == "-1"])
    error_message = "a next hop is unreachable"
  }

  assert {
    condition     = aws_security_group_rule.egress["ipv4"].cidr_blocks == tolist(["0.0.0.0/0"]) && aws_security_group_rule.egress["ipv6"].ipv6_cidr_blocks == tolist(["::/0"])
    error_message = "next hops are not reachable everywhere"
  }
}

run "only_pods_on_the_machines_network_reach_the_metadata" {
  command = plan

  assert {
    condition     = aws_launch_template.nodes.metadata_options[0].http_tokens == "required" && aws_launch_template.nodes.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "other pods get the permissions of the machine"
  }
}

run "machines_have_few_rights_and_add_ons_their_own" {
  command = plan

  assert {
    condition     = toset(keys(aws_iam_role_policy_attachment.nodes)) == toset(["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"])
    error_message = "mixnodes get more permissions from the metadata service"
  }

  assert {
    condition     = one(aws_eks_addon.volumes.pod_identity_association).service_account == "ebs-csi-controller-sa" && one(aws_eks_addon.machines["vpc-cni"].pod_identity_association).service_account == "aws-node"
    error_message = "an add-on has no role"
  }

  assert {
    condition     = contains(keys(aws_eks_addon.machines), "eks-pod-identity-agent")
    error_message = "the add-ons do not get their roles"
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.addon : jsondecode(role.assume_role_policy).Statement[0].Principal.Service == "pods.eks.amazonaws.com"])
    error_message = "another service can assume the role"
  }
}

run "disks_and_secrets_are_encrypted" {
  command = plan

  assert {
    condition     = alltrue([for disk in aws_launch_template.nodes.block_device_mappings : disk.ebs[0].encrypted == "true"])
    error_message = "a disk is not encrypted"
  }

  assert {
    condition     = one(aws_eks_cluster.this.encryption_config).resources == toset(["secrets"])
    error_message = "the Secrets are not encrypted"
  }
}

run "there_are_as_many_machines_as_nodes" {
  command = plan

  variables {
    node_count = 5
  }

  assert {
    condition     = aws_eks_node_group.mixnodes.scaling_config[0].desired_size == 5
    error_message = "there are not enough machines"
  }
}
