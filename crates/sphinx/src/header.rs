//! The header of one packet: MAC, slot, and the header for the next hop.

use std::net::SocketAddr;
use std::time::Duration;

use aes::Aes128;
use ctr::Ctr64BE;
use ctr::cipher::{KeyIvInit, StreamCipher};

use crate::engine::UnwrapError;
use crate::key_schedule::HopKeys;
use crate::x25519::Bytes32;
use crate::{ALPHA_LEN, BETA_LEN, HEADER_LEN, MAC_LEN, SLOT_LEN, SphinxVersion, decode_next_hop};

const FLAG_FORWARD: u8 = 1;
const FLAG_FINAL: u8 = 2;

/// The group element that the shared secret is derived from.
pub(crate) fn alpha(packet: &[u8]) -> &Bytes32 {
    part(packet, 0)
}

/// The truncated HMAC over β.
pub(crate) fn mac(packet: &[u8]) -> &[u8; MAC_LEN] {
    part(packet, ALPHA_LEN)
}

/// The encrypted routing information.
pub(crate) fn beta(packet: &[u8]) -> &[u8; BETA_LEN] {
    part(packet, ALPHA_LEN + MAC_LEN)
}

/// β followed by 60 zero bytes for the next hop's filler, decrypted.
pub(crate) type PaddedBeta = [u8; SLOT_LEN + BETA_LEN];

pub(crate) fn decrypt_beta(packet: &[u8], keys: &HopKeys) -> PaddedBeta {
    let mut padded = [0; SLOT_LEN + BETA_LEN];
    padded[..BETA_LEN].copy_from_slice(beta(packet));
    Ctr64BE::<Aes128>::new(keys.stream_key().into(), &[0; 16].into()).apply_keystream(&mut padded);
    padded
}

/// Replaces the header by the one for the next hop: blinded α, the slot's MAC, the shifted β.
pub(crate) fn rewrite(packet: &mut [u8], blinded_alpha: &Bytes32, beta: &PaddedBeta) {
    packet[..ALPHA_LEN].copy_from_slice(blinded_alpha);
    // The next MAC is the last part of the slot and the next β follows it: one piece, as in the header.
    packet[ALPHA_LEN..HEADER_LEN].copy_from_slice(&beta[SLOT_LEN - MAC_LEN..]);
}

/// Part of the header of a packet, which is at least [`MIN_PACKET_LEN`](crate::MIN_PACKET_LEN) long.
fn part<const LEN: usize>(packet: &[u8], start: usize) -> &[u8; LEN] {
    const { assert!(LEN <= BETA_LEN) };
    #[expect(clippy::expect_used, reason = "the parts lie inside by the constants above; the tests touch each")]
    packet[start..].first_chunk().expect("a part of the header")
}

/// This hop's part of β.
pub(crate) struct Slot {
    pub version: SphinxVersion,
    pub hop: Hop,
}

pub(crate) enum Hop {
    Forward { next_hop: SocketAddr, delay: Duration },
    Final { destination: [u8; 32], identifier: [u8; 16] },
}

impl Slot {
    pub(crate) fn decode(beta: &PaddedBeta) -> Result<Self, UnwrapError> {
        let [flag, v0, v1, v2, rest @ ..] = beta;
        if !matches!(*flag, FLAG_FORWARD | FLAG_FINAL) {
            return Err(UnwrapError::BadRoutingFlag);
        }
        let version = SphinxVersion::from_wire([*v0, *v1, *v2]).ok_or(UnwrapError::BadVersion)?;
        let (address, rest) = take::<32>(rest);
        let hop = if *flag == FLAG_FORWARD {
            let next_hop = decode_next_hop(&address).map_err(|_| UnwrapError::BadAddress)?;
            let (nanos, _) = take::<8>(rest);
            Hop::Forward { next_hop, delay: Duration::from_nanos(u64::from_be_bytes(nanos)) }
        } else {
            Hop::Final { destination: address, identifier: take::<16>(rest).0 }
        };
        Ok(Self { version, hop })
    }
}

fn take<const LEN: usize>(bytes: &[u8]) -> ([u8; LEN], &[u8]) {
    let mut out = [0; LEN];
    let (head, rest) = bytes.split_at(LEN);
    out.copy_from_slice(head);
    (out, rest)
}
