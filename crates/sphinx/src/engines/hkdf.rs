//! HMAC-SHA256 and HKDF-SHA256 of N keys side by side.

#[cfg(test)]
mod tests;

use std::array::from_fn;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::sha256::{Block, INITIAL_STATE, Sha256, State, digest, last_block, padded};
use crate::wiped::Wiped;

/// HMAC keys: the states of the inner and the outer hash after the key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct HmacKeys<const N: usize> {
    inner: [State; N],
    outer: [State; N],
}

impl HmacKeys<1> {
    /// The same key N times.
    fn repeated<const N: usize>(&self) -> HmacKeys<N> {
        HmacKeys { inner: [self.inner[0]; N], outer: [self.outer[0]; N] }
    }
}

/// Keys of at most 64 bytes, padded with zeros.
pub(super) fn hmac_keys<const N: usize>(sha256: Sha256, keys: &[&Block; N]) -> HmacKeys<N> {
    let start = |pad: u8| {
        let mut states = [INITIAL_STATE; N];
        let blocks = keys.map(|key| Wiped::new(key.map(|byte| byte ^ pad)));
        sha256.compress(&mut states, &references(&blocks));
        states
    };
    HmacKeys { inner: start(0x36), outer: start(0x5c) }
}

/// MACs of messages of one length, each in blocks of which the last one is padded.
pub(super) fn hmac<'a, const N: usize>(
    sha256: Sha256,
    keys: &HmacKeys<N>,
    messages: impl Iterator<Item = [&'a Block; N]>,
) -> [[u8; 32]; N] {
    let mut inner = keys.inner;
    for blocks in messages {
        sha256.compress(&mut inner, &blocks);
    }
    // The key and the inner hash.
    let blocks = inner.map(|state| Wiped::new(last_block(&digest(&state), 64 + 32)));
    let mut outer = keys.outer;
    sha256.compress(&mut outer, &references(&blocks));
    outer.map(|state| digest(&state))
}

/// HKDF-Extract of secrets of at most 55 bytes and one length, and the results as keys.
pub(super) fn extract<const N: usize, const LEN: usize>(
    sha256: Sha256,
    salt: &HmacKeys<1>,
    secrets: &[&[u8; LEN]; N],
) -> HmacKeys<N> {
    let blocks = secrets.map(|secret| Wiped::new(last_block(secret, 64 + LEN)));
    let keys = hmac(sha256, &salt.repeated(), std::iter::once(references(&blocks))).map(|key| Wiped::new(padded(&key)));
    hmac_keys(sha256, &references(&keys))
}

/// HKDF-Expand with these messages. `take` gets the lane, the position and 32 bytes.
pub(super) fn expand<const N: usize>(
    sha256: Sha256,
    keys: &HmacKeys<N>,
    messages: &[ExpansionMessage],
    mut take: impl FnMut(usize, usize, &[u8; 32]),
) {
    let mut previous: [_; N] = from_fn(|_| Wiped::new([0; 32]));
    for (at, message) in messages.iter().enumerate() {
        let [first, others @ ..] = &message[..] else { continue };
        let firsts: [_; N] = from_fn(|n| {
            let mut first = Wiped::new(*first);
            // Each output but the first follows the one before.
            if at > 0 {
                first[..32].copy_from_slice(&*previous[n]);
            }
            first
        });
        let others = others.iter().map(|block| [block; N]);
        let outputs = hmac(sha256, keys, std::iter::once(references(&firsts)).chain(others));
        for (lane, (previous, output)) in previous.iter_mut().zip(&outputs).enumerate() {
            **previous = *output;
            take(lane, 32 * at, output);
        }
    }
}

/// What HKDF-Expand hashes after the key for one output: padded blocks, with zeros in place of the output before.
pub(super) type ExpansionMessage = Vec<Block>;

/// The messages for `len` bytes. Each but the first has room for the output before.
pub(super) fn expansion_messages(info: &[u8], len: usize) -> Vec<ExpansionMessage> {
    (0..len / 32).zip(1..).map(|(at, number)| expansion_message(if at > 0 { 32 } else { 0 }, info, number)).collect()
}

fn expansion_message(start: usize, info: &[u8], number: u8) -> ExpansionMessage {
    let len = start + info.len() + 1;
    let mut blocks = vec![[0; 64]; (len + 9).div_ceil(64)];
    let bytes = blocks.as_flattened_mut();
    bytes[start..][..info.len()].copy_from_slice(info);
    bytes[len - 1] = number;
    bytes[len] = 0x80;
    if let Some(end) = bytes.last_chunk_mut() {
        // The key is a block before the message.
        *end = (8 * (64 + len) as u64).to_be_bytes();
    }
    blocks
}

pub(super) fn references<const N: usize>(blocks: &[Wiped<64>; N]) -> [&Block; N] {
    blocks.each_ref().map(|block| &**block)
}
