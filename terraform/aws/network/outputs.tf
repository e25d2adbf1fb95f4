output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "The private IPv4 range."
  value       = aws_vpc.this.cidr_block
}

output "subnet_ids" {
  description = "The subnets, in the order of the zones. They are ready once they have a way out."
  value       = [for zone in var.zones : aws_subnet.this[zone].id]
  depends_on  = [aws_route.ipv4, aws_route.ipv6, aws_route_table_association.this]
}

output "subnets" {
  description = "The subnets by zone."
  value       = { for zone, subnet in aws_subnet.this : zone => subnet.id }
  depends_on  = [aws_route.ipv4, aws_route.ipv6, aws_route_table_association.this]
}

output "ipv6_cidrs" {
  description = "The subnets' IPv6 ranges by zone."
  value       = { for zone, subnet in aws_subnet.this : zone => subnet.ipv6_cidr_block }
}
