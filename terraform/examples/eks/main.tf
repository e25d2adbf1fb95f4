# A cluster whose machines have public IPv4 and IPv6 addresses, for the chart's hostNetwork mode. Pods use the addresses
# of their machines, so an IPv4 cluster is sufficient.

provider "aws" {
  region = var.region
}

data "aws_partition" "current" {}

data "aws_availability_zones" "available" {
  #checkov:skip=CKV_AWS_394:the cluster uses whichever zones are available
  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  name   = "mixnet"
  policy = "arn:${data.aws_partition.current.partition}:iam::aws:policy"

  addon_policies = {
    network = "AmazonEKS_CNI_Policy"
    volumes = "service-role/AmazonEBSCSIDriverPolicy"
  }
}

module "network" {
  source = "../../aws/network"

  name  = local.name
  zones = slice(data.aws_availability_zones.available.names, 0, min(3, length(data.aws_availability_zones.available.names)))
  # EKS requires this for node groups in public subnets.
  public_ipv4 = true
}

resource "aws_kms_key" "secrets" {
  #checkov:skip=CKV2_AWS_64:the default policy lets the roles of the account decide
  description         = "Secrets of the cluster ${local.name}"
  enable_key_rotation = true
}

# EKS logs to this group. If EKS created the group itself, it would keep the logs forever.
#trivy:ignore:AVD-AWS-0017
resource "aws_cloudwatch_log_group" "cluster" {
  #checkov:skip=CKV_AWS_158:encrypted with the service's key; nothing secret is logged
  #checkov:skip=CKV_AWS_338:an example; logs that are kept for a year can be demanded for a year
  name              = "/aws/eks/${local.name}/cluster"
  retention_in_days = 30
}

# The endpoint is public, but only admin_cidr can reach it.
#trivy:ignore:AVD-AWS-0040
resource "aws_eks_cluster" "this" {
  #checkov:skip=CKV_AWS_39:only admin_cidr can reach the public endpoint
  name                      = local.name
  role_arn                  = aws_iam_role.cluster.arn
  enabled_cluster_log_types = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
  # EKS manages these add-ons, see addons.tf.
  bootstrap_self_managed_addons = false

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = true
  }

  encryption_config {
    resources = ["secrets"]

    provider {
      key_arn = aws_kms_key.secrets.arn
    }
  }

  vpc_config {
    subnet_ids              = module.network.subnet_ids
    endpoint_private_access = true
    endpoint_public_access  = true
    public_access_cidrs     = [var.admin_cidr]
  }

  depends_on = [aws_cloudwatch_log_group.cluster, aws_iam_role_policy_attachment.cluster]
}

# Packets arrive at the addresses of the machines.
resource "aws_security_group" "packets" {
  #checkov:skip=CKV2_AWS_5:the launch template attaches the group
  name        = "${local.name}-packets"
  description = "Mix packets in, and out over IPv6"
  vpc_id      = module.network.vpc_id
}

#trivy:ignore:AVD-AWS-0107
resource "aws_security_group_rule" "packets" {
  for_each = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }

  security_group_id = aws_security_group.packets.id
  type              = "ingress"
  description       = "Mix packets"
  protocol          = "tcp"
  from_port         = 1789
  to_port           = 1789
  cidr_blocks       = each.key == "ipv4" ? [each.value] : null
  ipv6_cidr_blocks  = each.key == "ipv6" ? [each.value] : null
}

# The security group that EKS creates for an IPv4 cluster permits no outbound IPv6 traffic. Next hops are arbitrary
# nodes of the network on arbitrary ports.
#trivy:ignore:AVD-AWS-0104
resource "aws_security_group_rule" "egress" {
  #checkov:skip=CKV_AWS_382:operators of nodes choose the ports that they announce
  for_each = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }

  security_group_id = aws_security_group.packets.id
  type              = "egress"
  description       = "Next hops, registry, image registry"
  protocol          = "-1"
  from_port         = 0
  to_port           = 0
  cidr_blocks       = each.key == "ipv4" ? [each.value] : null
  ipv6_cidr_blocks  = each.key == "ipv6" ? [each.value] : null
}

#trivy:ignore:AVD-AWS-0130
resource "aws_launch_template" "nodes" {
  #checkov:skip=CKV_AWS_88:mixnodes must be reachable from the internet
  name_prefix = "${local.name}-"

  # Mixnodes use the host's network and read their addresses from the metadata service. For other pods it is one hop too
  # far, so they cannot get the permissions of the machine.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  network_interfaces {
    device_index                = 0
    associate_public_ip_address = true
    ipv6_address_count          = 1
    security_groups             = [aws_eks_cluster.this.vpc_config[0].cluster_security_group_id, aws_security_group.packets.id]
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      encrypted   = true
      volume_size = 20
      volume_type = "gp3"
    }
  }
}

resource "aws_eks_node_group" "mixnodes" {
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = "mixnodes"
  node_role_arn   = aws_iam_role.nodes.arn
  subnet_ids      = module.network.subnet_ids
  instance_types  = ["c7i.large"]
  # Its containerd permits enough open files, and its connection backlog is long enough (net.core.somaxconn = 4096).
  ami_type = "AL2023_x86_64_STANDARD"
  labels   = { "nym-mixnode" = "true" }

  scaling_config {
    min_size     = var.node_count
    max_size     = var.node_count + 1
    desired_size = var.node_count
  }

  update_config {
    max_unavailable = 1
  }

  launch_template {
    id      = aws_launch_template.nodes.id
    version = aws_launch_template.nodes.latest_version
  }

  # No machine becomes ready without these add-ons and permissions.
  depends_on = [aws_eks_addon.machines, aws_iam_role_policy_attachment.nodes]
}
