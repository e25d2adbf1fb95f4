//! The payload's LIONESS layer: ChaCha20 and keyed BLAKE2b in four rounds over a 32-byte left block.

use blake2b_simd::many::{HashManyJob, hash_many};
use zeroize::Zeroizing;

use crate::HEADER_LEN;
use crate::engines::Job;

const LEFT_LEN: usize = 32;

/// Payloads hashed in parallel: BLAKE2b lanes of one AVX2 register.
pub(super) const LANES: usize = 4;

/// Removes one layer of encryption from up to [`LANES`] payloads, of any lengths.
pub(super) fn peel(jobs: &mut [Option<Job<'_>>]) {
    // The order of the round keys is stream, hash, stream, hash; decryption uses them in reverse.
    hash_round(jobs, 128);
    stream_round(jobs, 96);
    hash_round(jobs, 32);
    stream_round(jobs, 0);
}

/// `left ^= BLAKE2b(key, right)`, key at `offset` of each payload key.
fn hash_round(jobs: &mut [Option<Job<'_>>], offset: usize) {
    let mut params: [blake2b_simd::Params; LANES] = Default::default();
    for (params, job) in params.iter_mut().zip(jobs.iter().flatten()) {
        params.hash_length(LEFT_LEN).key(&job.work.payload_key[offset..offset + 64]);
    }
    let mut digests = [[0; LEFT_LEN]; LANES];
    {
        let mut hashes: [Option<HashManyJob<'_>>; LANES] = Default::default();
        for ((hash, params), job) in hashes.iter_mut().zip(&params).zip(jobs.iter().flatten()) {
            *hash = Some(HashManyJob::new(params, &job.packet[HEADER_LEN + LEFT_LEN..]));
        }
        hash_many(hashes.iter_mut().flatten());
        for (digest, hash) in digests.iter_mut().zip(hashes.iter().flatten()) {
            digest.copy_from_slice(hash.to_hash().as_bytes());
        }
    }
    for (job, digest) in jobs.iter_mut().flatten().zip(&digests) {
        xor(&mut job.packet[HEADER_LEN..][..LEFT_LEN], digest);
    }
}

/// `right ^= ChaCha20(left ^ key)`, key at `offset` of each payload key.
fn stream_round(jobs: &mut [Option<Job<'_>>], offset: usize) {
    for job in jobs.iter_mut().flatten() {
        let (left, right) = job.packet[HEADER_LEN..].split_at_mut(LEFT_LEN);
        let mut key = Zeroizing::new([0; LEFT_LEN]);
        key.copy_from_slice(left);
        xor(key.as_mut(), &job.work.payload_key[offset..offset + LEFT_LEN]);
        stream(&key, right);
    }
}

/// `bytes ^= ChaCha20(key)`, with a zero nonce.
///
/// aws-lc-rs offers this cipher only with a MAC. The chacha20 crate takes two and a half times as long (Zen 5).
pub(in crate::engines) fn stream(key: &[u8; LEFT_LEN], bytes: &mut [u8]) {
    const NONCE: [u8; 12] = [0; 12];
    let (out, len) = (bytes.as_mut_ptr(), bytes.len());
    #[expect(unsafe_code, reason = "aws-lc-rs has no stream cipher without a MAC")]
    // SAFETY: the function reads 32 bytes of the key and 12 of the nonce, and reads and writes `len` bytes of the
    // payload, where input and output may be the same. It keeps no pointer.
    unsafe {
        aws_lc_sys::CRYPTO_chacha_20(out, out, len, key.as_ptr(), NONCE.as_ptr(), 0);
    }
}

fn xor(into: &mut [u8], other: &[u8]) {
    for (a, b) in into.iter_mut().zip(other) {
        *a ^= b;
    }
}
