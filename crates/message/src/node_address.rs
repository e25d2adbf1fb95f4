//! Addresses of nodes outside Sphinx headers: without the padding, or padded to 19 bytes.

use std::net::SocketAddr;

use nym_mixnode_sphinx::{AddressError, NEXT_HOP_ADDRESS_LEN, decode_next_hop, encode_next_hop};

/// Length of an IPv6 address, and of any padded one.
pub(crate) const PADDED_LEN: usize = 19;
const IPV4_LEN: usize = 7;

/// 7 bytes for IPv4, 19 for IPv6.
pub(crate) fn encode_short(address: SocketAddr) -> Vec<u8> {
    let len = if address.is_ipv4() { IPV4_LEN } else { PADDED_LEN };
    encode_next_hop(address)[..len].to_vec()
}

/// The address at the beginning, and the rest.
pub(crate) fn decode_short(bytes: &[u8]) -> Result<(SocketAddr, &[u8]), AddressError> {
    let kind = bytes.first().copied().unwrap_or(0);
    let len = if kind == 4 { IPV4_LEN } else { PADDED_LEN };
    let (address, rest) = bytes.split_at_checked(len).ok_or(AddressError(kind))?;
    Ok((decode(address)?, rest))
}

pub(crate) fn encode_padded(address: SocketAddr) -> [u8; PADDED_LEN] {
    let mut bytes = [0; PADDED_LEN];
    bytes.copy_from_slice(&encode_next_hop(address)[..PADDED_LEN]);
    bytes
}

pub(crate) fn decode_padded(bytes: &[u8; PADDED_LEN]) -> Result<SocketAddr, AddressError> {
    decode(bytes)
}

fn decode(bytes: &[u8]) -> Result<SocketAddr, AddressError> {
    let mut padded = [0; NEXT_HOP_ADDRESS_LEN];
    padded[..bytes.len()].copy_from_slice(bytes);
    decode_next_hop(&padded)
}
