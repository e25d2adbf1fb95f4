# Mixnodes on EC2: each a machine with a fixed IPv4 and IPv6 address, and a disk of its own for the keys. Machine and
# system can be replaced at any time; address and identity stay.

data "aws_region" "current" {}

data "aws_partition" "current" {}

data "aws_caller_identity" "current" {}

data "aws_availability_zones" "available" {
  #checkov:skip=CKV_AWS_394:the disk of the keys would have to move, which prevent_destroy refuses; `zones` pins them
  state = "available"

  # Local zones, which one has to opt in to, have neither all instance types nor all of EC2.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

# Amazon Linux 2023: it has the agent of Session Manager, and Docker among its packages.
data "aws_ami" "this" {
  count = var.ami_id == null ? 1 : 0

  owners      = [var.ami_owner]
  most_recent = true

  filter {
    name   = "name"
    values = [var.ami_name]
  }

  filter {
    name   = "architecture"
    values = ["x86_64"]
  }
}

data "aws_subnet" "given" {
  for_each = { for index, id in var.subnet_ids : tostring(index) => id }
  id       = each.value

  lifecycle {
    postcondition {
      condition     = can(cidrhost(self.ipv6_cidr_block, 0))
      error_message = "subnet_ids: ${self.id} has no IPv6 range, and nodes have an address of each family: give it one, or name a dual-stack subnet."
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

  # The nodes go around the subnets in turn.
  given = [for index in range(length(var.subnet_ids)) : data.aws_subnet.given[tostring(index)]]
  nodes = {
    for index in range(var.node_count) : tostring(index + 1) => {
      # The first keeps its name when further ones come.
      name        = index == 0 ? var.node_id : "${var.node_id}-${index + 1}"
      zone        = length(var.subnet_ids) == 0 ? local.zones[index % length(local.zones)] : local.given[index % length(local.given)].availability_zone
      subnet_id   = length(var.subnet_ids) == 0 ? module.network[0].subnets[local.zones[index % length(local.zones)]] : local.given[index % length(local.given)].id
      ipv6_subnet = length(var.subnet_ids) == 0 ? module.network[0].ipv6_cidrs[local.zones[index % length(local.zones)]] : local.given[index % length(local.given)].ipv6_cidr_block
    }
  }

  vpc_id   = length(var.subnet_ids) == 0 ? module.network[0].vpc_id : local.given[0].vpc_id
  ami_id   = var.ami_id == null ? one(data.aws_ami.this[*].id) : var.ami_id
  location = var.location == "" ? var.region : var.location
  log_name = "/nym-mixnode/${var.node_id}"

  # What EC2 takes, which counts bytes, where `length` counts characters: four of base64 are three bytes.
  user_data_limit = 16384
  user_data_bytes = { for key, made in module.bootstrap : key => floor(length(replace(base64encode(made.user_data), "=", "")) * 3 / 4) }
  # Packed only where it has to be, as with a collector: another version of Terraform might pack it otherwise, which
  # would be another machine.
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
  nofile             = var.nofile
  otlp_endpoint      = var.otlp_endpoint
  environment        = var.environment
  collector          = var.collector
  cloud              = "aws"
  # By the volume's own name alone, which Nitro machines give it: names such as /dev/sdf are taken by whichever disk comes
  # first, and a blank one would be formatted and get a new identity.
  key_disks  = ["/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${replace(aws_ebs_volume.keys[each.key].id, "-", "")}"]
  log_driver = var.cloud_logging ? "awslogs" : "none"
  # A node that waits for CloudWatch would keep its packets waiting: lines are dropped instead, of this copy alone.
  log_options = !var.cloud_logging ? {} : {
    awslogs-region  = var.region
    awslogs-group   = local.log_name
    awslogs-stream  = each.value.name
    mode            = "non-blocking"
    max-buffer-size = "4m"
  }
}

# The keys are the identity of the node. Neither a new machine nor `terraform destroy` takes this disk away: who wants it
# gone takes it out of the state first (`terraform state rm`) and deletes it by hand.
resource "aws_ebs_volume" "keys" {
  #checkov:skip=CKV_AWS_189:encrypted with the account's key unless kms_key_id names another
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
  # The node drains, and the file system is unmounted, before the disk goes.
  stop_instance_before_detaching = true
}

resource "aws_eip" "node" {
  #checkov:skip=CKV2_AWS_19:it is associated by aws_eip_association, so that it outlives the machine
  for_each = local.nodes

  domain = "vpc"
  tags   = merge(local.tags, { Name = each.value.name })
}

resource "aws_eip_association" "node" {
  for_each = local.nodes

  allocation_id = aws_eip.node[each.key].id
  instance_id   = aws_instance.node[each.key].id
}

# associate_public_ip_address is left out: once the fixed address is associated, AWS says true, and a false would ask for
# another machine at each plan.
resource "aws_instance" "node" {
  #checkov:skip=CKV_AWS_126:the node has metrics of its own, every minute and finer
  for_each = local.nodes

  ami                    = local.ami_id
  instance_type          = var.instance_type
  subnet_id              = each.value.subnet_id
  vpc_security_group_ids = [aws_security_group.node.id]
  # By the name, not by chance: the next machine has the same address.
  ipv6_addresses              = [cidrhost(each.value.ipv6_subnet, parseint(substr(sha256(each.value.name), 0, 12), 16))]
  iam_instance_profile        = aws_iam_instance_profile.node.name
  ebs_optimized               = true
  user_data                   = contains(keys(local.packed), each.key) ? null : module.bootstrap[each.key].user_data
  user_data_base64            = lookup(local.packed, each.key, null)
  user_data_replace_on_change = true
  tags                        = merge(local.tags, { Name = each.value.name })

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
    # Room for a container with a network of its own: with 1 its requests would time out.
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

  lifecycle {
    # A newer system image does not replace running nodes: change the image, or use -replace, when it suits you.
    ignore_changes = [ami]

    precondition {
      condition     = data.aws_region.current.id == var.region
      error_message = "region = \"${var.region}\", but the aws provider works in ${data.aws_region.current.id}: set the same in both."
    }

    precondition {
      condition     = lookup(local.packed_bytes, each.key, 0) <= local.user_data_limit
      error_message = "The user data has ${lookup(local.packed_bytes, each.key, 0)} bytes, although packed, and EC2 takes ${local.user_data_limit}: shorten the collector's configuration or environment."
    }
  }
}
