"""A stand-in of AWS on 127.0.0.1. usage: aws.py PORT

What moto lacks, as of 5.2, and is mended here: subnets tell the state of their IPv6 range as text within text, and an
instance whose interface is given whole forgets its IPv6 addresses and security groups.
"""

import sys

from moto.ec2.models import instances, subnets
from moto.server import main


def ipv6_ranges(subnet):
    """The associated IPv6 ranges, in the form of the API's reply."""
    ranges = subnet.ipv6_cidr_block_associations.values()
    return [
        {**{key: one[key] for key in ("ipv6CidrBlock", "associationId")}, "ipv6CidrBlockState": {"state": "associated"}}
        for one in ranges
        if one["ipv6CidrBlockState"]["State"] == "associated"
    ]


make_interfaces = instances.Instance.prep_nics


def with_addresses_and_groups(instance, interfaces, *rest, **options):
    """Makes the interfaces of an instance with all that the request says of them."""
    make_interfaces(instance, interfaces, *rest, **options)
    wanted = [interface.get("Ipv6Addresses") for interface in interfaces if interface.get("Ipv6Addresses")]
    for nic, addresses in zip(instance.nics.values(), wanted):
        nic.ipv6_addresses[:] = [entry["Ipv6Address"] if isinstance(entry, dict) else entry for entry in addresses]
    if not instance.security_groups:
        instance.security_groups.extend(group for nic in instance.nics.values() for group in nic.group_set)


subnets.Subnet.ipv6_cidr_block_association_set = property(ipv6_ranges)
instances.Instance.prep_nics = with_addresses_and_groups
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
