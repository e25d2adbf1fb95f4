//! The engine that runs on every CPU: the best library for each primitive.

mod hashes;
mod payload;

use hashes::Hashes;

pub(super) use crate::lioness::stream;

use super::sha256::Sha256;
use super::{Job, Jobs, Secret, symmetric};
use crate::x25519::{Bytes32, multiply_clamped};
use crate::{UnwrapError, header};

/// One X25519 after the other.
#[derive(Default)]
pub(super) struct Curve {
    points: Vec<Bytes32>,
}

impl super::Curve for Curve {
    fn load(&mut self, points: &[Bytes32]) {
        self.points.clear();
        self.points.extend_from_slice(points);
    }

    fn multiply_all(&mut self, scalar: &Bytes32, products: &mut [Result<Secret, UnwrapError>]) {
        for (product, point) in products.iter_mut().zip(&self.points) {
            *product = multiply_clamped(scalar, point).ok_or(UnwrapError::LowOrderPoint);
        }
    }

    fn multiply_each(&mut self, scalars: &[Option<Secret>], products: &mut [Bytes32]) {
        for ((product, point), scalar) in products.iter_mut().zip(&self.points).zip(scalars) {
            if let Some(result) = scalar.as_ref().and_then(|scalar| multiply_clamped(scalar, point)) {
                *product = *result;
            }
        }
    }
}

/// The libraries of `RustCrypto`, which use the CPU's SHA and AES instructions, and `blake2b_simd`.
pub(super) struct Symmetric {
    hashes: Hashes,
}

impl Symmetric {
    pub(super) fn new() -> Self {
        Self { hashes: Hashes::new(Sha256::detect()) }
    }
}

impl symmetric::Symmetric for Symmetric {
    fn key_schedule(&self, jobs: &mut Jobs<'_>) {
        self.hashes.key_schedule(jobs);
    }

    fn macs(&self, jobs: &mut Jobs<'_>) {
        self.hashes.macs(jobs);
    }

    fn headers(&self, jobs: &mut Jobs<'_>) {
        for job in jobs.iter_mut().flatten() {
            job.work.beta = header::decrypt_beta(job.packet, &job.work.keys);
        }
    }

    fn payload_keys(&self, jobs: &mut Jobs<'_>) {
        self.hashes.payload_keys(jobs);
    }

    fn payloads(&self, jobs: &mut Jobs<'_>) {
        decrypt_payloads(jobs);
    }
}

/// Removes one layer of encryption from each payload.
pub(super) fn decrypt_payloads(jobs: &mut [Option<Job<'_>>]) {
    jobs.chunks_mut(payload::LANES).for_each(payload::peel);
}
