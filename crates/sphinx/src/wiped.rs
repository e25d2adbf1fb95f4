//! Bytes that are wiped when they are dropped.

use std::ops::{Deref, DerefMut};

use zeroize::Zeroize;

/// As `Zeroizing<[u8; LEN]>`, which wipes arrays byte by byte: that takes longer than some stages of unwrapping.
#[derive(Clone)]
pub(crate) struct Wiped<const LEN: usize>([u8; LEN]);

impl<const LEN: usize> Wiped<LEN> {
    pub(crate) const fn new(bytes: [u8; LEN]) -> Self {
        Self(bytes)
    }
}

impl<const LEN: usize> Deref for Wiped<LEN> {
    type Target = [u8; LEN];

    fn deref(&self) -> &[u8; LEN] {
        &self.0
    }
}

impl<const LEN: usize> DerefMut for Wiped<LEN> {
    fn deref_mut(&mut self) -> &mut [u8; LEN] {
        &mut self.0
    }
}

impl<const LEN: usize> Drop for Wiped<LEN> {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}
