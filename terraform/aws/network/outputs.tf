output "vpc_id" {
  description = "ID of the VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "Private IPv4 range."
  value       = aws_vpc.this.cidr_block
}

output "subnet_ids" {
  description = "IDs of the subnets, in the order of the zones. They are available once their routes exist."
  value       = [for zone in var.zones : aws_subnet.this[zone].id]
  depends_on  = [aws_route.ipv4, aws_route.ipv6, aws_route_table_association.this]
}

output "subnets" {
  description = "ID of the subnet in each zone."
  value       = { for zone, subnet in aws_subnet.this : zone => subnet.id }
  depends_on  = [aws_route.ipv4, aws_route.ipv6, aws_route_table_association.this]
}

output "ipv6_cidrs" {
  description = "IPv6 range of the subnet in each zone."
  value       = { for zone, subnet in aws_subnet.this : zone => subnet.ipv6_cidr_block }
}
