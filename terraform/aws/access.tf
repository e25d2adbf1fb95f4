# Who gets at a node, and what a node gets at.

resource "aws_security_group" "node" {
  #checkov:skip=CKV2_AWS_5:it is attached to the instances
  name        = "nym-${var.role}-${var.node_id}"
  description = "Mix packets in, nothing else; no SSH, Session Manager is the way in"
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = var.node_id })
}

# A mixnode serves everybody, and that on one port.
#trivy:ignore:AVD-AWS-0107
resource "aws_security_group_rule" "packets" {
  for_each = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }

  security_group_id = aws_security_group.node.id
  type              = "ingress"
  description       = var.role == "mixnode" ? "Mix packets" : "API of the directory"
  protocol          = "tcp"
  from_port         = module.bootstrap["1"].port
  to_port           = module.bootstrap["1"].port
  cidr_blocks       = each.key == "ipv4" ? [each.value] : null
  ipv6_cidr_blocks  = each.key == "ipv6" ? [each.value] : null
}

# Telemetry of the nodes in the same network, where there is a collector for it.
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

# The next hops are any nodes of the network, on any port that they announce.
#trivy:ignore:AVD-AWS-0104
resource "aws_security_group_rule" "egress" {
  #checkov:skip=CKV_AWS_382:nodes announce ports of their own choosing
  for_each = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }

  security_group_id = aws_security_group.node.id
  type              = "egress"
  description       = "Next hops, directory, image registry, packages, Session Manager"
  protocol          = "-1"
  from_port         = 0
  to_port           = 0
  cidr_blocks       = each.key == "ipv4" ? [each.value] : null
  ipv6_cidr_blocks  = each.key == "ipv6" ? [each.value] : null
}

resource "aws_iam_role" "node" {
  name_prefix = substr("${var.node_id}-", 0, 38)
  description = "What the machine of a mixnode may do"
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
  name_prefix = substr("${var.node_id}-", 0, 38)
  role        = aws_iam_role.node.name
  tags        = local.tags
}

# A shell by Session Manager, and no more of Systems Manager than that.
resource "aws_iam_role_policy" "session" {
  #checkov:skip=CKV_AWS_290:these actions have no resources to be restricted to
  #checkov:skip=CKV_AWS_355:these actions have no resources to be restricted to
  count = var.session_manager ? 1 : 0

  name = "session-manager"
  role = aws_iam_role.node.id

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
  #checkov:skip=CKV_AWS_338:an operator's log, not an audit trail: what is kept for a year can be asked for for a year
  count = var.cloud_logging ? 1 : 0

  name              = local.log_name
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_id
  tags              = local.tags
}

resource "aws_iam_role_policy" "logs" {
  count = var.cloud_logging ? 1 : 0

  name = "logs"
  role = aws_iam_role.node.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "arn:${data.aws_partition.current.partition}:logs:${var.region}:${data.aws_caller_identity.current.account_id}:log-group:${local.log_name}:*"
    }]
  })
}
