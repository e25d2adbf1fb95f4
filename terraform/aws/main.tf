# Mixnodes on EC2. Each node is a machine with static IPv4 and IPv6 addresses and a separate disk for the keys. The
# machine can be replaced at any time; addresses and identity stay the same.

data "aws_region" "current" {}

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

data "aws_availability_zones" "available" {
  #checkov:skip=CKV_AWS_394:prevent_destroy keeps the key disks in their zones; `zones` pins the zones
  state = "available"

  # Local zones require an opt-in and lack instance types and features of EC2.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

# The default, Amazon Linux 2023, includes the agent of Session Manager and packages Docker.
data "aws_ami" "this" {
  count = var.ami_id == null ? 1 : 0

  owners      = [var.ami_owner]
  most_recent = true

  filter {
    name   = "name"
    values = [local.ami_name]
  }

  filter {
    name   = "architecture"
    values = [local.architecture]
  }
}

data "aws_subnet" "given" {
  for_each = { for index, id in var.subnet_ids : tostring(index) => id }
  id       = each.value

  lifecycle {
    postcondition {
      condition     = can(cidrhost(self.ipv6_cidr_block, 0))
      error_message = "subnet_ids: ${self.id} has no IPv6 range, and each node needs an IPv6 address: assign a range to the subnet, or set a dual-stack subnet."
    }
  }
}

module "network" {
  source = "./network"
  count  = length(var.subnet_ids) == 0 ? 1 : 0

  name  = var.node_id
  zones = local.zones
  cidr  = var.vpc_cidr
  tags  = local.tags
}

locals {
  tags  = merge({ Application = "nym-mixnode" }, var.tags)
  zones = coalescelist(var.zones, slice(data.aws_availability_zones.available.names, 0, min(var.node_count, 3, length(data.aws_availability_zones.available.names))))

  # Nodes are assigned to the zones or subnets in turn.
  given = [for index in range(length(var.subnet_ids)) : data.aws_subnet.given[tostring(index)]]
  places = {
    for index in range(var.node_count) : tostring(index + 1) => {
      # The first name does not depend on node_count, so that adding nodes does not rename it.
      name        = index == 0 ? var.node_id : "${var.node_id}-${index + 1}"
      zone        = length(var.subnet_ids) == 0 ? local.zones[index % length(local.zones)] : local.given[index % length(local.given)].availability_zone
      subnet_id   = length(var.subnet_ids) == 0 ? module.network[0].subnets[local.zones[index % length(local.zones)]] : local.given[index % length(local.given)].id
      ipv6_subnet = length(var.subnet_ids) == 0 ? module.network[0].ipv6_cidrs[local.zones[index % length(local.zones)]] : local.given[index % length(local.given)].ipv6_cidr_block
    }
  }
  # The IPv6 address follows from the name, so that a replaced machine keeps it.
  nodes = {
    for key, place in local.places : key => merge(place, { ipv6 = cidrhost(place.ipv6_subnet, parseint(substr(sha256(place.name), 0, 12), 16)) })
  }

  vpc_id = length(var.subnet_ids) == 0 ? module.network[0].vpc_id : local.given[0].vpc_id
  # Graviton types have a "g" after the generation, such as c7g and c8gn.
  architecture = can(regex("^[a-z]+[0-9]+g[a-z]*\\.", var.instance_type)) ? "arm64" : "x86_64"
  ami_name     = var.ami_name == null ? "al2023-ami-2023.*-${local.architecture}" : var.ami_name

  ami_id   = var.ami_id == null ? one(data.aws_ami.this[*].id) : var.ami_id
  location = var.location == "" ? var.region : var.location
  log_name = "/nym-mixnode/${var.node_id}"

  # EC2 limits the bytes of user data, but `length` counts characters: four characters of base64 are three bytes.
  user_data_limit = 16384
  user_data_bytes = { for key, made in module.bootstrap : key => floor(length(replace(base64encode(made.user_data), "=", "")) * 3 / 4) }
  # User data is compressed only when it exceeds the limit, as with a collector: other versions of Terraform may
  # compress differently, and changed user data replaces the machine.
  packed       = { for key, made in module.bootstrap : key => base64gzip(made.user_data) if local.user_data_bytes[key] > local.user_data_limit }
  packed_bytes = { for key, packed in local.packed : key => floor(length(replace(packed, "=", "")) * 3 / 4) }
}

module "bootstrap" {
  source   = "../bootstrap"
  for_each = local.nodes

  node_id            = each.value.name
  image              = var.image
  role               = var.role
  directory_url      = var.directory_url
  layer              = var.layer
  location           = local.location
  incentives_address = var.incentives_address
  announce_hosts     = var.announce_hosts
  port               = var.port
  test_port          = var.test_port
  monitor_every      = var.monitor_every
  test_hosts         = var.role == "registry" ? [aws_eip.node[each.key].public_ip, each.value.ipv6] : []
  nofile             = var.nofile
  otlp_endpoint      = var.otlp_endpoint
  environment        = var.environment
  secret_environment = var.secret_environment
  image_login        = var.image_login
  image_secret       = var.image_secret
  collector          = var.collector
  cloud              = "aws"
  # Only the name that Nitro derives from the volume ID identifies the disk. A name such as /dev/sdf may belong to
  # another blank disk, which would be formatted and get a new identity.
  key_disks  = ["/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${replace(aws_ebs_volume.keys[each.key].id, "-", "")}"]
  log_driver = var.cloud_logging ? "awslogs" : "none"
  # Without non-blocking mode a slow CloudWatch would block the node. The driver drops log lines instead; the journal
  # still has them.
  log_options = !var.cloud_logging ? {} : {
    awslogs-region  = var.region
    awslogs-group   = local.log_name
    awslogs-stream  = each.value.name
    mode            = "non-blocking"
    max-buffer-size = "4m"
  }
}

# The keys are the identity of the node. Neither replacement of the machine nor `terraform destroy` deletes this disk.
# To delete it, remove it from the state (`terraform state rm`) and delete it manually.
resource "aws_ebs_volume" "keys" {
  #checkov:skip=CKV_AWS_189:encrypted with the account's key unless kms_key_id sets another one
  for_each = local.nodes

  availability_zone = each.value.zone
  size              = 1
  type              = "gp3"
  encrypted         = true
  kms_key_id        = var.kms_key_id
  tags              = merge(local.tags, { Name = "${each.value.name}-keys" })

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_volume_attachment" "keys" {
  for_each = local.nodes

  device_name = "/dev/sdf"
  volume_id   = aws_ebs_volume.keys[each.key].id
  instance_id = aws_instance.node[each.key].id
  # The node drains and the file system is unmounted before the disk is detached.
  stop_instance_before_detaching = true
}

resource "aws_eip" "node" {
  #checkov:skip=CKV2_AWS_19:aws_eip_association associates it, so that it survives replacement of the machine
  for_each = local.nodes

  domain = "vpc"
  tags   = merge(local.tags, { Name = each.value.name })
}

resource "aws_eip_association" "node" {
  for_each = local.nodes

  allocation_id = aws_eip.node[each.key].id
  instance_id   = aws_instance.node[each.key].id
}

# associate_public_ip_address is unset: AWS reports true once the Elastic IP is associated, so false would replace the
# machine at each apply.
resource "aws_instance" "node" {
  #checkov:skip=CKV_AWS_126:the node exports its own metrics
  for_each = local.nodes

  ami                         = local.ami_id
  instance_type               = var.instance_type
  subnet_id                   = each.value.subnet_id
  vpc_security_group_ids      = [aws_security_group.node.id]
  ipv6_addresses              = [each.value.ipv6]
  iam_instance_profile        = var.instance_profile_name == null ? aws_iam_instance_profile.node[0].name : var.instance_profile_name
  ebs_optimized               = true
  user_data                   = contains(keys(local.packed), each.key) ? null : module.bootstrap[each.key].user_data
  user_data_base64            = lookup(local.packed, each.key, null)
  user_data_replace_on_change = true
  tags                        = merge(local.tags, { Name = each.value.name })

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
    # Requests of a container with its own network take one more hop: with 1 they would time out.
    http_put_response_hop_limit = 2
    http_protocol_ipv6          = "enabled"
  }

  root_block_device {
    volume_type           = "gp3"
    volume_size           = var.root_volume_gib
    encrypted             = true
    kms_key_id            = var.kms_key_id
    delete_on_termination = true
    tags                  = merge(local.tags, { Name = "${each.value.name}-root" })
  }

  # A node that runs out of CPU credits would delay packets.
  dynamic "credit_specification" {
    for_each = startswith(var.instance_type, "t4g.") ? ["unlimited"] : []

    content {
      cpu_credits = credit_specification.value
    }
  }

  lifecycle {
    # A newer AMI does not replace running machines. Use -replace to upgrade the system.
    ignore_changes = [ami]

    precondition {
      condition     = data.aws_region.current.id == var.region
      error_message = "region = \"${var.region}\" differs from the region of the aws provider, ${data.aws_region.current.id}: set the same region in both."
    }

    precondition {
      condition     = lookup(local.packed_bytes, each.key, 0) <= local.user_data_limit
      error_message = "The compressed user data has ${lookup(local.packed_bytes, each.key, 0)} bytes, and EC2 accepts ${local.user_data_limit}: shorten the collector's configuration or environment."
    }
  }
}
