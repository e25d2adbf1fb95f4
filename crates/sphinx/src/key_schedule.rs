//! The keys of one hop, expanded from its shared secret with HKDF-SHA256.
//!
//! Labels and salt are protocol constants. They come from the sphinx-packet crate, so that they have one definition.
//!
//! "Wiped" refers to the value itself. Moves, and the libraries for hashes and curves, leave copies on the stack of a
//! worker. The next packets overwrite these copies, and core dumps are disabled.

use hkdf::Hkdf;
use sha2::Sha256;
use sphinx_packet::constants::{EXPANDED_SHARED_SECRET_HKDF_INFO, PAYLOAD_KEY_HKDF_INFO, PAYLOAD_KEY_HKDF_SALT};

use crate::SphinxVersion;
use crate::wiped::Wiped;
use crate::x25519::Bytes32;

const STREAM_KEY: usize = 0;
const MAC_KEY: usize = STREAM_KEY + 16;
const PAYLOAD_KEY: usize = MAC_KEY + 16;
const BLINDING: usize = PAYLOAD_KEY + PAYLOAD_KEY_LEN;
const REPLAY_TAG: usize = BLINDING + 32;
/// Length of all keys of a hop in bytes.
pub(crate) const EXPANDED_LEN: usize = REPLAY_TAG + 32;

/// Length of what newer versions derive the payload key from, in bytes.
const PAYLOAD_KEY_SEED_LEN: usize = 16;

/// Length of the four LIONESS round keys in bytes.
pub(crate) const PAYLOAD_KEY_LEN: usize = 192;

const _: () = assert!(EXPANDED_LEN == 288);

/// The LIONESS key of one hop; wiped when dropped.
pub(crate) type PayloadKey = Wiped<PAYLOAD_KEY_LEN>;

/// Everything a hop derives from its shared secret; wiped when dropped.
pub(crate) struct HopKeys(Wiped<EXPANDED_LEN>);

impl HopKeys {
    /// Zeros, to be replaced.
    pub(crate) fn empty() -> Self {
        Self(Wiped::new([0; EXPANDED_LEN]))
    }

    pub(crate) fn derive(shared_secret: &Bytes32) -> Self {
        Self(expand(None, shared_secret, EXPANDED_SHARED_SECRET_HKDF_INFO))
    }

    /// Replaces 32 bytes of the expanded secret.
    pub(crate) fn set(&mut self, start: usize, bytes: &[u8; 32]) {
        self.0[start..][..32].copy_from_slice(bytes);
    }

    /// AES-128 key of the header.
    pub(crate) fn stream_key(&self) -> &[u8; 16] {
        self.part(STREAM_KEY)
    }

    /// HMAC-SHA256 key of the header.
    pub(crate) fn mac_key(&self) -> &[u8; 16] {
        self.part(MAC_KEY)
    }

    /// What α is multiplied by for the next hop.
    pub(crate) fn blinding(&self) -> &Bytes32 {
        self.part(BLINDING)
    }

    /// Equal for all copies of a packet; reveals nothing about it.
    pub(crate) fn replay_tag(&self) -> &Bytes32 {
        self.part(REPLAY_TAG)
    }

    /// Payload key: stored directly in older versions, expanded from a seed in newer ones.
    pub(crate) fn payload_key(&self, version: SphinxVersion) -> PayloadKey {
        if version.seeds_payload_key() {
            expand(Some(PAYLOAD_KEY_HKDF_SALT), self.payload_key_seed(), PAYLOAD_KEY_HKDF_INFO)
        } else {
            self.unexpanded_payload_key()
        }
    }

    /// The payload key of older versions.
    pub(crate) fn unexpanded_payload_key(&self) -> PayloadKey {
        Wiped::new(*self.part(PAYLOAD_KEY))
    }

    /// What newer versions derive the payload key from.
    pub(crate) fn payload_key_seed(&self) -> &[u8; PAYLOAD_KEY_SEED_LEN] {
        self.part(PAYLOAD_KEY)
    }

    fn part<const LEN: usize>(&self, start: usize) -> &[u8; LEN] {
        const { assert!(LEN <= EXPANDED_LEN) };
        #[expect(clippy::expect_used, reason = "the parts lie inside by the constants above; the tests touch each")]
        self.0[start..].first_chunk().expect("a part of the expanded secret")
    }
}

fn expand<const LEN: usize>(salt: Option<&[u8]>, secret: &[u8], info: &[u8]) -> Wiped<LEN> {
    const { assert!(LEN <= 255 * 32, "HKDF-SHA256 has no longer output") };
    let mut out = Wiped::new([0; LEN]);
    #[expect(clippy::expect_used, reason = "fails only beyond 255 blocks, which the assertion above excludes")]
    Hkdf::<Sha256>::new(salt, secret).expand(info, &mut *out).expect("within HKDF's length");
    out
}
