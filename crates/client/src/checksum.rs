//! Checksums of records on disk.

use sha2::{Digest, Sha256};

/// Bytes of a [`checksum`].
pub(crate) const CHECKSUM_LEN: usize = 8;

/// The first bytes of the SHA-256.
pub(crate) fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut first = [0; CHECKSUM_LEN];
    first.copy_from_slice(&Sha256::digest(bytes)[..CHECKSUM_LEN]);
    first
}
