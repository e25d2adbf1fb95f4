//! The payload's LIONESS layer, for several payloads at once.

use blake2b_simd::many::{HashManyJob, hash_many};

use crate::HEADER_LEN;
use crate::engines::Job;
use crate::lioness::{LEFT_LEN, hash_parameters, stream_round, xor};

/// Payloads hashed in parallel: BLAKE2b lanes of one AVX2 register.
pub(super) const LANES: usize = 4;

/// Removes one layer of encryption from up to [`LANES`] payloads, of any lengths.
pub(super) fn peel(jobs: &mut [Option<Job<'_>>]) {
    hash_rounds(jobs, 128);
    stream_rounds(jobs, 96);
    hash_rounds(jobs, 32);
    stream_rounds(jobs, 0);
}

/// With the key at `offset` of each payload key.
fn hash_rounds(jobs: &mut [Option<Job<'_>>], offset: usize) {
    let mut params: [blake2b_simd::Params; LANES] = Default::default();
    for (params, job) in params.iter_mut().zip(jobs.iter().flatten()) {
        *params = hash_parameters(&job.work.payload_key[offset..offset + 64]);
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

/// With the key at `offset` of each payload key.
fn stream_rounds(jobs: &mut [Option<Job<'_>>], offset: usize) {
    for job in jobs.iter_mut().flatten() {
        stream_round(&mut job.packet[HEADER_LEN..], &job.work.payload_key[offset..offset + LEFT_LEN]);
    }
}
