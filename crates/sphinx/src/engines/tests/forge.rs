//! Packets that a sender could make, and others.

use aes::Aes128;
use ctr::Ctr64BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use sha2::Sha256;

use super::any_alpha;
use crate::key_schedule::HopKeys;
use crate::x25519::{Bytes32, multiply_clamped};
use crate::{ALPHA_LEN, BETA_LEN, HEADER_LEN, MAC_LEN, PacketSize, SphinxVersion, encode_next_hop};

/// A packet of any kind for the owner of `key`: about half of them are valid.
pub(super) fn forge(rng: &mut StdRng, key: &Bytes32) -> Vec<u8> {
    let mut packet = valid(rng, key);
    match rng.random_range(0..8) {
        // Damaged anywhere in the header.
        0 => packet[rng.random_range(0..HEADER_LEN)] ^= 1 << rng.random_range(0..8),
        1 => packet[..ALPHA_LEN].copy_from_slice(&any_alpha(rng)),
        2 => packet.truncate(rng.random_range(0..packet.len())),
        // X25519 ignores this bit, so the packet remains valid.
        3 => packet[ALPHA_LEN - 1] ^= 0x80,
        _ => {}
    }
    packet
}

/// A packet with a right MAC, of any version, for any point that has no low order.
pub(super) fn valid(rng: &mut StdRng, key: &Bytes32) -> Vec<u8> {
    let (alpha, secret) = loop {
        let alpha = any_alpha(rng);
        if let Some(secret) = multiply_clamped(key, &alpha) {
            break (alpha, secret);
        }
    };
    let sizes = [PacketSize::Ack, PacketSize::Ack, PacketSize::Ack, PacketSize::Regular, PacketSize::Extended8];
    let mut packet = vec![0; sizes[rng.random_range(0..sizes.len())].packet_len()];
    rng.fill_bytes(&mut packet);
    packet[..ALPHA_LEN].copy_from_slice(&alpha);
    let beta = &mut packet[ALPHA_LEN + MAC_LEN..][..BETA_LEN];
    write_slot(rng, beta);
    let keys = HopKeys::derive(&secret);
    Ctr64BE::<Aes128>::new(keys.stream_key().into(), &[0; 16].into()).apply_keystream(beta);
    let mut mac = Hmac::<Sha256>::new_from_slice(keys.mac_key()).unwrap();
    mac.update(beta);
    packet[ALPHA_LEN..][..MAC_LEN].copy_from_slice(&mac.finalize().into_bytes()[..MAC_LEN]);
    packet
}

/// Any slot that a hop can find: mostly for another hop or a client, sometimes one that it does not understand.
fn write_slot(rng: &mut StdRng, slot: &mut [u8]) {
    let version = SphinxVersion::ALL[rng.random_range(0..SphinxVersion::ALL.len())];
    slot[0] = [1, 1, 1, 1, 2, 3][rng.random_range(0..6)];
    slot[1..4].copy_from_slice(&u32::from(version.value()).to_be_bytes()[1..]);
    if rng.random_range(0..16) == 0 {
        slot[rng.random_range(1..5)] ^= 0x10;
    } else {
        let ip: [u8; 4] = rng.random();
        slot[4..36].copy_from_slice(&encode_next_hop((ip, rng.random()).into()));
    }
}
