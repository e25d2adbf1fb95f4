//! The keys of a store: one hides who the clients are, one encrypts.

use chacha20poly1305::aead::{Aead, AeadCore, KeyInit, OsRng, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::ClientId;

const NONCE_LEN: usize = 24;

/// A client's identity under the key of the store.
pub(super) type Hidden = [u8; 32];

/// Keys that only this gateway can derive.
pub(super) struct Vault {
    hiding: Zeroizing<[u8; 32]>,
    cipher: XChaCha20Poly1305,
}

impl Vault {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let derive = |info: &str| {
            let mut derived = Zeroizing::new([0; 32]);
            #[expect(clippy::expect_used, reason = "fails only beyond 255 blocks")]
            Hkdf::<Sha256>::new(None, key).expand(info.as_bytes(), &mut *derived).expect("one block");
            derived
        };
        let cipher = XChaCha20Poly1305::new((&*derive("nym-mixnode gateway store v1: contents")).into());
        Self { hiding: derive("nym-mixnode gateway store v1: identities"), cipher }
    }

    pub(super) fn hide(&self, client: &ClientId) -> Hidden {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut hmac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&*self.hiding).expect("any key length");
        hmac.update(client);
        hmac.finalize().into_bytes().into()
    }

    /// Nonce and ciphertext, bound to the client.
    pub(super) fn seal(&self, id: &Hidden, content: &[u8]) -> Vec<u8> {
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        // Fails only for contents of 256 GiB.
        let sealed = self.cipher.encrypt(&nonce, Payload { msg: content, aad: id }).unwrap_or_default();
        [&nonce[..], &sealed].concat()
    }

    /// `None` when the bytes were not sealed here for this client.
    pub(super) fn open(&self, id: &Hidden, bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let opened = self.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: id });
        opened.ok().map(Zeroizing::new)
    }
}
