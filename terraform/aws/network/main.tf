# A dual-stack network: one public subnet in each zone.

# Flow logs would record who sends to whom, which is what a mix network hides: they stay off.
#trivy:ignore:AVD-AWS-0178
resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11:a record of the peers' addresses is what a mix network must not leave
  cidr_block                       = var.cidr
  assign_generated_ipv6_cidr_block = true
  enable_dns_support               = true
  enable_dns_hostnames             = true
  tags                             = merge(var.tags, { Name = var.name })
}

# Nothing is to use the group that each network comes with.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = "${var.name}-unused" })
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = var.name })
}

resource "aws_subnet" "this" {
  #checkov:skip=CKV_AWS_130:off unless asked for, and mixnodes are reached from everywhere
  for_each = { for index, zone in var.zones : zone => index }

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.key
  cidr_block              = cidrsubnet(var.cidr, 8, each.value)
  ipv6_cidr_block         = cidrsubnet(aws_vpc.this.ipv6_cidr_block, 8, each.value)
  map_public_ip_on_launch = var.public_ipv4
  tags                    = merge(var.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_route_table" "this" {
  vpc_id = aws_vpc.this.id
  tags   = merge(var.tags, { Name = var.name })
}

resource "aws_route" "ipv4" {
  route_table_id         = aws_route_table.this.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_route" "ipv6" {
  route_table_id              = aws_route_table.this.id
  destination_ipv6_cidr_block = "::/0"
  gateway_id                  = aws_internet_gateway.this.id
}

resource "aws_route_table_association" "this" {
  # Not by the subnets, which nothing is known of when a disk of keys is imported into an empty state.
  for_each = toset(var.zones)

  subnet_id      = aws_subnet.this[each.key].id
  route_table_id = aws_route_table.this.id
}
