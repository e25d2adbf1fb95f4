//! Memory for private keys: one copy each, in a page that is not swapped, dumped or inherited, and wiped on drop.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use memmap2::{Advice, MmapMut};
use zeroize::Zeroize;

/// Length of a private key in bytes.
const KEY_LEN: usize = 32;
/// One page on most machines; longer than a key file.
const PAGE_LEN: usize = 4096;
/// Upper bound on the stack that functions with a key in their frames use.
const STACK_LEN: usize = 64 << 10;

/// A page for secrets, which the kernel neither dumps nor copies to child processes.
///
/// The kernel does not swap it either, unless the limit on locked memory is too low.
pub struct SecretPage {
    memory: MmapMut,
    is_locked: bool,
}

impl SecretPage {
    /// A page full of zeros.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new() -> io::Result<Self> {
        let memory = MmapMut::map_anon(PAGE_LEN)?;
        // Before a secret is written. Kernels without these flags are accepted.
        memory.advise(Advice::DontDump).ok();
        memory.advise(Advice::DontFork).ok();
        let is_locked = memory.lock().is_ok();
        Ok(Self { memory, is_locked })
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory
    }
}

impl Drop for SecretPage {
    fn drop(&mut self) {
        self.memory.zeroize();
    }
}

/// A private key of 32 bytes. Clones share one copy.
#[derive(Clone)]
pub struct SecretKey(Arc<SecretPage>);

impl SecretKey {
    /// Creates a key that `write` fills in place, so that no other copy exists.
    ///
    /// # Errors
    /// Errors of `write`, and when there is no memory.
    pub fn written_by<E: From<io::Error>>(write: impl FnOnce(&mut [u8; KEY_LEN]) -> Result<(), E>) -> Result<Self, E> {
        let mut page = SecretPage::new()?;
        let key = page.bytes().first_chunk_mut().ok_or(io::ErrorKind::OutOfMemory).map_err(io::Error::from)?;
        write(key)?;
        Ok(Self::in_page(page))
    }

    /// Takes the key from the beginning of `page`.
    pub fn in_page(page: SecretPage) -> Self {
        Self(Arc::new(page))
    }

    /// Whether the kernel has promised not to swap the key.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.0.is_locked
    }
}

/// Prints no part of the key.
impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").finish_non_exhaustive()
    }
}

impl Deref for SecretKey {
    type Target = [u8; KEY_LEN];

    fn deref(&self) -> &[u8; KEY_LEN] {
        #[expect(clippy::expect_used, reason = "a page is longer than a key")]
        self.0.memory.first_chunk().expect("a page is longer than a key")
    }
}

/// Overwrites the stack below the caller, where functions that have returned may have left parts of a key.
#[inline(never)]
pub fn wipe_stack() {
    #[expect(clippy::large_stack_arrays, reason = "the stack is what it is for, and is longer on every thread")]
    let mut stack = [0_u8; STACK_LEN];
    stack.zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fill: u8) -> SecretKey {
        SecretKey::written_by(|key| {
            key.fill(fill);
            Ok::<_, io::Error>(())
        })
        .unwrap()
    }

    #[test]
    fn a_key_and_its_clones_are_one_copy() {
        let one = key(7);
        let other = one.clone();
        assert_eq!(*one, [7; KEY_LEN]);
        assert!(std::ptr::eq(one.as_ptr(), other.as_ptr()));
        assert!(!std::ptr::eq(one.as_ptr(), key(7).as_ptr()));
    }

    #[test]
    fn a_failed_write_creates_no_key() {
        let failed = SecretKey::written_by(|_| Err(io::Error::other("no randomness")));
        assert_eq!(failed.err().map(|error| error.to_string()), Some("no randomness".to_owned()));
    }

    /// The kernel's flags of the memory at `address`.
    fn flags_at(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_here = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            if let Some((Ok(from), Ok(to))) =
                range.map(|(from, to)| (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16)))
            {
                is_here = (from..to).contains(&address);
            } else if is_here && line.starts_with("VmFlags:") {
                return line.to_owned();
            }
        }
        panic!("no memory at {address:x}");
    }

    #[test]
    fn the_kernel_keeps_a_key_out_of_swap_dumps_and_children() {
        let key = key(9);
        let flags = flags_at(key.as_ptr().addr());
        let has = |flag: &str| flags.split(' ').any(|found| found == flag);
        assert!(has("dd") && has("dc"), "{flags}");
        assert_eq!(has("lo"), key.is_locked(), "{flags}");
        // The smallest limit in use is 64 KiB.
        assert!(key.is_locked() || rustix::process::getrlimit(rustix::process::Resource::Memlock).current == Some(0));
    }
}
