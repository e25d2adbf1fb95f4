# Firewall rules and IAM permissions of the nodes.

resource "aws_security_group" "node" {
  #checkov:skip=CKV2_AWS_5:the group is attached to the instances
  name        = "nym-${var.role}-${var.node_id}"
  description = "Inbound traffic of a mixnode or registry; no SSH, use Session Manager"
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = var.node_id })
}

# Mixnodes and registries accept connections from everywhere.
#trivy:ignore:AVD-AWS-0107
resource "aws_security_group_rule" "packets" {
  for_each = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }

  security_group_id = aws_security_group.node.id
  type              = "ingress"
  description       = var.role == "mixnode" ? "Mix packets" : "API of the registry"
  protocol          = "tcp"
  from_port         = module.bootstrap["1"].port
  to_port           = module.bootstrap["1"].port
  cidr_blocks       = each.key == "ipv4" ? [each.value] : null
  ipv6_cidr_blocks  = each.key == "ipv6" ? [each.value] : null
}

# Nodes send test packets back to the registry over both address families: a node that calls the registry over IPv4 has
# no other proof of its IPv6 address.
#trivy:ignore:AVD-AWS-0107
resource "aws_security_group_rule" "test_packets" {
  for_each = { for family, range in { ipv4 = "0.0.0.0/0", ipv6 = "::/0" } : family => range if var.role == "registry" }

  security_group_id = aws_security_group.node.id
  type              = "ingress"
  description       = "Returning test packets, which prove the addresses of nodes"
  protocol          = "tcp"
  from_port         = var.test_port
  to_port           = var.test_port
  cidr_blocks       = each.key == "ipv4" ? [each.value] : null
  ipv6_cidr_blocks  = each.key == "ipv6" ? [each.value] : null
}

# Telemetry from nodes in the same network to the collector.
resource "aws_security_group_rule" "telemetry" {
  count = var.collector == null ? 0 : 1

  security_group_id = aws_security_group.node.id
  type              = "ingress"
  description       = "OTLP from the nodes of this network"
  protocol          = "tcp"
  from_port         = 4317
  to_port           = 4318
  cidr_blocks       = [var.collector_from]
}

# Next hops are arbitrary nodes of the network on arbitrary ports.
#trivy:ignore:AVD-AWS-0104
resource "aws_security_group_rule" "egress" {
  #checkov:skip=CKV_AWS_382:operators of nodes choose the ports that they announce
  for_each = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }

  security_group_id = aws_security_group.node.id
  type              = "egress"
  description       = "Next hops, registry, image registry, packages, Session Manager"
  protocol          = "-1"
  from_port         = 0
  to_port           = 0
  cidr_blocks       = each.key == "ipv4" ? [each.value] : null
  ipv6_cidr_blocks  = each.key == "ipv6" ? [each.value] : null
}

# With an existing instance profile the module creates no permissions.
resource "aws_iam_role" "node" {
  count = local.own_role ? 1 : 0

  name_prefix = substr("${var.node_id}-", 0, 38)
  description = "Permissions of the machine of a mixnode or registry"
  tags        = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_instance_profile" "node" {
  count = local.own_role ? 1 : 0

  name_prefix = substr("${var.node_id}-", 0, 38)
  role        = aws_iam_role.node[0].name
  tags        = local.tags
}

# Permits shells through Session Manager and no other feature of Systems Manager.
resource "aws_iam_role_policy" "session" {
  #checkov:skip=CKV_AWS_290:these actions cannot be restricted to resources
  #checkov:skip=CKV_AWS_355:these actions cannot be restricted to resources
  count = local.own_role && var.session_manager ? 1 : 0

  name = "session-manager"
  role = aws_iam_role.node[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = [
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
      ]
      Resource = "*"
    }]
  })
}

#trivy:ignore:AVD-AWS-0017
resource "aws_cloudwatch_log_group" "node" {
  #checkov:skip=CKV_AWS_158:encrypted with the service's key unless kms_key_id names another; nothing secret is logged
  #checkov:skip=CKV_AWS_338:an operational log, not an audit trail: logs that are kept for a year can be demanded for a year
  count = var.cloud_logging ? 1 : 0

  name              = local.log_name
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_id
  tags              = local.tags
}

resource "aws_iam_role_policy" "logs" {
  count = local.own_role && var.cloud_logging ? 1 : 0

  name = "logs"
  role = aws_iam_role.node[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "arn:${data.aws_partition.current.partition}:logs:${var.region}:${data.aws_caller_identity.current.account_id}:log-group:${local.log_name}:*"
    }]
  })
}

# Pulls of the image from its repository in ECR.
resource "aws_iam_role_policy" "image" {
  #checkov:skip=CKV_AWS_290:the token cannot be restricted to resources, and the pulls are
  #checkov:skip=CKV_AWS_355:the token cannot be restricted to resources, and the pulls are
  count = local.own_role && var.image_login == "role" ? 1 : 0

  name = "image"
  role = aws_iam_role.node[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = "*"
      },
      {
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = "arn:${data.aws_partition.current.partition}:ecr:${local.ecr[1]}:${local.ecr[0]}:repository/${local.ecr[2]}"
      },
    ]
  })
}

resource "aws_iam_role_policy" "secrets" {
  count = local.own_role && (var.image_login == "secret" || length(var.secret_environment) > 0) ? 1 : 0

  name = "secrets"
  role = aws_iam_role.node[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue"]
      Resource = distinct(concat(values(var.secret_environment), var.image_secret == null ? [] : [var.image_secret]))
    }]
  })
}

locals {
  own_role = var.instance_profile_name == null
  # Account, region and name of the image's repository.
  ecr = try(regex("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/([^:@]+)", var.image), ["", "", ""])
}
