//! The stages of an unwrap one by one, for the benchmark that says where the time goes.

use super::header;
use super::key_schedule::{HopKeys, PAYLOAD_KEY_LEN};
use super::payload::{LANES, Layer, peel};
use super::x25519::multiply_clamped;
use crate::packet::{HEADER_LEN, SphinxVersion};

/// Payloads that [`payloads`] peels together.
pub const PAYLOADS: usize = LANES;

/// One multiplication; a packet takes two.
#[must_use]
pub fn multiply(scalar: &[u8; 32], point: &[u8; 32]) -> [u8; 32] {
    *multiply_clamped(scalar, point).unwrap_or_default()
}

/// The keys of a hop of version 260, its payload key included; gives that key's first byte.
#[must_use]
pub fn key_derivation(shared_secret: &[u8; 32]) -> u8 {
    HopKeys::derive(shared_secret).payload_key(SphinxVersion::V260)[0]
}

/// The MAC under the keys of `shared_secret`, and β decrypted under them; subtract [`expansion`] for these two alone.
#[must_use]
pub fn mac_and_header(header: &[u8; HEADER_LEN], shared_secret: &[u8; 32]) -> bool {
    let keys = HopKeys::derive(shared_secret);
    let is_authentic = header::is_authentic(header, &keys);
    header::decrypt_beta(header, &keys)[0] != 0 && is_authentic
}

/// The first expansion of a shared secret alone; gives a byte of it.
#[must_use]
pub fn expansion(shared_secret: &[u8; 32]) -> u8 {
    HopKeys::derive(shared_secret).mac_key()[0]
}

/// Peels the payloads side by side.
pub fn payloads(payloads: [&mut [u8]; PAYLOADS]) {
    let key = || zeroize::Zeroizing::new([7; PAYLOAD_KEY_LEN]);
    peel(&mut payloads.map(|payload| Some(Layer { payload, key: key() })));
}
