//! The header of one packet: MAC, slot, and the header for the next hop.

use std::net::SocketAddr;
use std::time::Duration;

use aes::Aes128;
use ctr::Ctr64BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::engine::UnwrapError;
use crate::key_schedule::HopKeys;
use crate::x25519::{Bytes32, multiply_clamped, multiply_unclamped};
use crate::{ALPHA_LEN, BETA_LEN, HEADER_LEN, MAC_LEN, SLOT_LEN, SphinxVersion, decode_next_hop};

const FLAG_FORWARD: u8 = 1;
const FLAG_FINAL: u8 = 2;

/// The group element that the shared secret is derived from.
pub(crate) fn alpha(header: &[u8; HEADER_LEN]) -> &Bytes32 {
    split(header).0
}

/// Identifies a packet and all its copies.
///
/// The replay tag alone follows from α, and 0.9.2 clients in VPN mode use one α for up to 1001 packets; their MACs
/// differ. An authentic header has no second MAC, so only the sender can change the key.
pub(crate) fn replay_key(header: &[u8; HEADER_LEN], keys: &HopKeys) -> Bytes32 {
    let (_, mac, _) = split(header);
    Sha256::new().chain_update(keys.replay_tag()).chain_update(mac).finalize().into()
}

/// β followed by 60 zero bytes for the next hop's filler, decrypted.
pub(crate) type PaddedBeta = [u8; SLOT_LEN + BETA_LEN];

/// Whether the MAC over β is right; compared in constant time.
pub(crate) fn is_authentic(header: &[u8; HEADER_LEN], keys: &HopKeys) -> bool {
    let (_, mac, beta) = split(header);
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut hmac = Hmac::<Sha256>::new_from_slice(keys.mac_key()).expect("any key length");
    hmac.update(beta);
    hmac.verify_truncated_left(mac).is_ok()
}

pub(crate) fn decrypt_beta(header: &[u8; HEADER_LEN], keys: &HopKeys) -> PaddedBeta {
    let mut beta = [0; SLOT_LEN + BETA_LEN];
    beta[..BETA_LEN].copy_from_slice(split(header).2);
    Ctr64BE::<Aes128>::new(keys.stream_key().into(), &[0; 16].into()).apply_keystream(&mut beta);
    beta
}

/// Replaces the header by the one for the next hop: blinded α, the slot's MAC, the shifted β.
pub(crate) fn rewrite(
    header: &mut [u8; HEADER_LEN],
    beta: &PaddedBeta,
    version: SphinxVersion,
    keys: &HopKeys,
) -> Result<(), UnwrapError> {
    let alpha = split(header).0;
    let blinded = if version.blinds_unclamped() {
        multiply_unclamped(keys.blinding(), alpha)
    } else {
        multiply_clamped(keys.blinding(), alpha)
    };
    let blinded = blinded.ok_or(UnwrapError::LowOrderPoint)?;
    header[..ALPHA_LEN].copy_from_slice(&*blinded);
    // The next MAC is the last part of the slot and the next β follows it: one piece, as in the header.
    header[ALPHA_LEN..].copy_from_slice(&beta[SLOT_LEN - MAC_LEN..]);
    Ok(())
}

/// α, MAC and β.
fn split(header: &[u8; HEADER_LEN]) -> (&Bytes32, &[u8; MAC_LEN], &[u8; BETA_LEN]) {
    #[expect(clippy::expect_used, reason = "the lengths add up: asserted where HEADER_LEN is defined")]
    let (alpha, rest) = header.split_first_chunk().expect("α at the start");
    #[expect(clippy::expect_used, reason = "the lengths add up: asserted where HEADER_LEN is defined")]
    let (mac, beta) = rest.split_first_chunk().expect("MAC behind it");
    #[expect(clippy::expect_used, reason = "the lengths add up: asserted where HEADER_LEN is defined")]
    let beta = beta.try_into().expect("β last");
    (alpha, mac, beta)
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
