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
}

module "network" {
  source = "../../aws/network"

  name  = local.name
  zones = slice(data.aws_availability_zones.available.names, 0, min(3, length(data.aws_availability_zones.available.names)))
}

resource "aws_kms_key" "secrets" {
  #checkov:skip=CKV2_AWS_64:the default policy, by which the account's own roles decide
  description         = "Secrets of the cluster ${local.name}"
  enable_key_rotation = true
}

# The keys of the nodes are Secrets or volumes of the cluster.
#trivy:ignore:AVD-AWS-0040
resource "aws_eks_cluster" "this" {
  #checkov:skip=CKV_AWS_39:the endpoint is public for admin_cidr alone
  name                      = local.name
  role_arn                  = aws_iam_role.cluster.arn
  enabled_cluster_log_types = ["api", "audit", "authenticator", "controllerManager", "scheduler"]

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

  depends_on = [aws_iam_role_policy_attachment.cluster]
}

# Packets come to the machines themselves.
resource "aws_security_group" "packets" {
  #checkov:skip=CKV2_AWS_5:it is attached by the launch template
  name        = "${local.name}-packets"
  description = "Mix packets in"
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

#trivy:ignore:AVD-AWS-0130
resource "aws_launch_template" "nodes" {
  #checkov:skip=CKV_AWS_341:the CSI driver's pods read the metadata through one hop more
  #checkov:skip=CKV_AWS_88:a mixnode is reached from everywhere
  name_prefix = "${local.name}-"

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
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

  depends_on = [aws_iam_role_policy_attachment.nodes]
}

# For the volumes of the keys.
resource "aws_eks_addon" "volumes" {
  cluster_name = aws_eks_cluster.this.name
  addon_name   = "aws-ebs-csi-driver"
  depends_on   = [aws_eks_node_group.mixnodes]
}

resource "aws_iam_role" "cluster" {
  name_prefix = "${local.name}-cluster-"

  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "eks.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "${local.policy}/AmazonEKSClusterPolicy"
}

resource "aws_iam_role" "nodes" {
  name_prefix = "${local.name}-nodes-"

  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy_attachment" "nodes" {
  for_each = toset(["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly", "service-role/AmazonEBSCSIDriverPolicy"])

  role       = aws_iam_role.nodes.name
  policy_arn = "${local.policy}/${each.value}"
}
