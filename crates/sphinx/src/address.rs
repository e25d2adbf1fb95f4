//! The 32-byte next-hop address of a Sphinx slot: `4 | port BE | 4 octets | zeros` or
//! `6 | port BE | 16 octets | zeros`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

/// Length of an encoded next-hop address in bytes.
pub const NEXT_HOP_ADDRESS_LEN: usize = 32;

/// The first byte of an address is not a known address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("address type {0} is neither 4 (IPv4) nor 6 (IPv6)")]
pub struct AddressError(pub u8);

/// Decodes a next-hop address. Bytes behind the address are ignored, as the 0.9.2 network does.
///
/// # Errors
/// When the first byte is neither 4 nor 6.
pub fn decode_next_hop(bytes: &[u8; NEXT_HOP_ADDRESS_LEN]) -> Result<SocketAddr, AddressError> {
    let port = u16::from_be_bytes([bytes[1], bytes[2]]);
    let ip = match bytes[0] {
        4 => {
            let mut octets = [0; 4];
            octets.copy_from_slice(&bytes[3..7]);
            IpAddr::V4(Ipv4Addr::from(octets))
        }
        6 => {
            let mut octets = [0; 16];
            octets.copy_from_slice(&bytes[3..19]);
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        other => return Err(AddressError(other)),
    };
    Ok(SocketAddr::new(ip, port))
}

/// Encodes a next-hop address, without the scope and flow label of an IPv6 address.
#[must_use]
pub fn encode_next_hop(address: SocketAddr) -> [u8; NEXT_HOP_ADDRESS_LEN] {
    let mut bytes = [0; NEXT_HOP_ADDRESS_LEN];
    bytes[1..3].copy_from_slice(&address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => {
            bytes[0] = 4;
            bytes[3..7].copy_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes[0] = 6;
            bytes[3..19].copy_from_slice(&ip.octets());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_address_survives_the_round_trip(ip: IpAddr, port: u16) {
            let address = SocketAddr::new(ip, port);
            prop_assert_eq!(decode_next_hop(&encode_next_hop(address)), Ok(address));
        }

        #[test]
        fn any_bytes_give_an_address_or_the_offending_type(bytes: [u8; 32]) {
            match decode_next_hop(&bytes) {
                Ok(address) => prop_assert_eq!(address.port(), u16::from_be_bytes([bytes[1], bytes[2]])),
                Err(AddressError(kind)) => {
                    prop_assert_eq!(kind, bytes[0]);
                    prop_assert!(kind != 4 && kind != 6);
                }
            }
        }
    }
}
