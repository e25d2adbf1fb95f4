//! The payload's LIONESS layer: ChaCha20 and keyed BLAKE2b in four rounds over a 32-byte left block.

use blake2b_simd::many::{HashManyJob, hash_many};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use zeroize::Zeroizing;

use crate::key_schedule::PayloadKey;

const LEFT_LEN: usize = 32;
const ZERO_PREFIX_LEN: usize = 16;
const END_OF_MESSAGE: u8 = 1;

/// Payloads hashed in parallel: BLAKE2b lanes of one AVX2 register.
pub(crate) const LANES: usize = 4;

/// A payload between two rounds.
pub(crate) struct Layer<'a> {
    pub payload: &'a mut [u8],
    pub key: PayloadKey,
}

/// Up to [`LANES`] payloads, of any lengths.
pub(crate) type Layers<'a> = [Option<Layer<'a>>; LANES];

/// Removes one layer of encryption from each payload.
pub(crate) fn peel(layers: &mut Layers<'_>) {
    // The order of the round keys is stream, hash, stream, hash; decryption uses them in reverse.
    hash_round(layers, 128);
    stream_round(layers, 96);
    hash_round(layers, 32);
    stream_round(layers, 0);
}

/// The message in an innermost layer, between 16 zero bytes and the last 0x01; `None` when that is not its form.
#[must_use]
pub fn plaintext(innermost: &[u8]) -> Option<&[u8]> {
    let (zeros, padded) = innermost.split_at_checked(ZERO_PREFIX_LEN)?;
    if zeros.iter().any(|byte| *byte != 0) {
        return None;
    }
    let end = padded.iter().rposition(|byte| *byte == END_OF_MESSAGE)?;
    Some(&padded[..end])
}

/// `left ^= BLAKE2b(key, right)`, key at `offset` of each payload key.
fn hash_round(layers: &mut Layers<'_>, offset: usize) {
    let mut params: [blake2b_simd::Params; LANES] = Default::default();
    for (params, layer) in params.iter_mut().zip(layers.iter().flatten()) {
        params.hash_length(LEFT_LEN).key(&layer.key[offset..offset + 64]);
    }
    let mut digests = [[0; LEFT_LEN]; LANES];
    {
        let mut jobs: [Option<HashManyJob<'_>>; LANES] = Default::default();
        for ((job, params), layer) in jobs.iter_mut().zip(&params).zip(layers.iter().flatten()) {
            *job = Some(HashManyJob::new(params, &layer.payload[LEFT_LEN..]));
        }
        hash_many(jobs.iter_mut().flatten());
        for (digest, job) in digests.iter_mut().zip(jobs.iter().flatten()) {
            digest.copy_from_slice(job.to_hash().as_bytes());
        }
    }
    for (layer, digest) in layers.iter_mut().flatten().zip(&digests) {
        xor(&mut layer.payload[..LEFT_LEN], digest);
    }
}

/// `right ^= ChaCha20(left ^ key)`, key at `offset` of each payload key.
fn stream_round(layers: &mut Layers<'_>, offset: usize) {
    for layer in layers.iter_mut().flatten() {
        let (left, right) = layer.payload.split_at_mut(LEFT_LEN);
        let mut key = Zeroizing::new([0; LEFT_LEN]);
        key.copy_from_slice(left);
        xor(key.as_mut(), &layer.key[offset..offset + LEFT_LEN]);
        ChaCha20::new((&*key).into(), &[0; 12].into()).apply_keystream(right);
    }
}

fn xor(into: &mut [u8], other: &[u8]) {
    for (a, b) in into.iter_mut().zip(other) {
        *a ^= b;
    }
}

#[cfg(test)]
mod tests {
    use crate::*;

    #[test]
    fn plaintext_lies_between_the_zeros_and_the_last_one() {
        let mut innermost = vec![0; 64];
        innermost[16..21].copy_from_slice(&[5, 1, 7, 9, 1]);
        assert_eq!(plaintext(&innermost), Some(&[5, 1, 7, 9][..]));
        innermost[3] = 1;
        assert_eq!(plaintext(&innermost), None);
        assert_eq!(plaintext(&[0; 64]), None);
        assert_eq!(plaintext(&[0; 15]), None);
    }
}
