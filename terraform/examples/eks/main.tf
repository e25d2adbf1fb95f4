# A cluster whose machines have public IPv4 and IPv6 addresses, for the chart's hostNetwork mode: the pods have the
# addresses of their machines, so the cluster itself may be an IPv4 one.

provider "aws" {
  region = var.region
}

data "aws_partition" "current" {}

data "aws_availability_zones" "available" {
  #checkov:skip=CKV_AWS_394:a cluster spreads over what there is
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
  # EKS makes no group of machines in public subnets without it.
  public_ipv4 = true
}

resource "aws_kms_key" "secrets" {
  #checkov:skip=CKV2_AWS_64:the default policy, by which the account's own roles decide
  description         = "Secrets of the cluster ${local.name}"
  enable_key_rotation = true
}

# Where EKS writes to, which would be kept for ever if it made the group itself.
#trivy:ignore:AVD-AWS-0017
resource "aws_cloudwatch_log_group" "cluster" {
  #checkov:skip=CKV_AWS_158:encrypted with the service's key; nothing secret is logged
  #checkov:skip=CKV_AWS_338:an example; what is kept for a year can be asked for for a year
  name              = "/aws/eks/${local.name}/cluster"
  retention_in_days = 30
}

# The keys of the nodes are Secrets or volumes of the cluster.
#trivy:ignore:AVD-AWS-0040
resource "aws_eks_cluster" "this" {
  #checkov:skip=CKV_AWS_39:the endpoint is public for admin_cidr alone
  name                      = local.name
  role_arn                  = aws_iam_role.cluster.arn
  enabled_cluster_log_types = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
  # All of them are add-ons, in addons.tf, which EKS keeps current.
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

# Packets come to the machines themselves.
resource "aws_security_group" "packets" {
  #checkov:skip=CKV2_AWS_5:it is attached by the launch template
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

# The group that EKS makes for a cluster of IPv4 lets nothing out over IPv6, and next hops are any nodes of the network,
# on any port that they announce.
#trivy:ignore:AVD-AWS-0104
resource "aws_security_group_rule" "egress" {
  #checkov:skip=CKV_AWS_382:nodes announce ports of their own choosing
  for_each = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }

  security_group_id = aws_security_group.packets.id
  type              = "egress"
  description       = "Next hops, directory, image registry"
  protocol          = "-1"
  from_port         = 0
  to_port           = 0
  cidr_blocks       = each.key == "ipv4" ? [each.value] : null
  ipv6_cidr_blocks  = each.key == "ipv6" ? [each.value] : null
}

#trivy:ignore:AVD-AWS-0130
resource "aws_launch_template" "nodes" {
  #checkov:skip=CKV_AWS_88:a mixnode is reached from everywhere
  name_prefix = "${local.name}-"

  # Mixnodes have the host's network and reach the metadata, which tell their addresses. For all other pods it is one hop
  # too far, so that none of them gets the rights of the machine.
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
  # Its containerd gives containers enough open files, and its queues of connections are long (net.core.somaxconn 4096).
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

  # Without them, and without their rights, no machine becomes ready.
  depends_on = [aws_eks_addon.machines, aws_iam_role_policy_attachment.nodes]
}

# For the volumes of the keys.
