//! A self-signed certificate, whose key follows from an identity key.
//!
//! Clients know the server by the hash of this key, so no authority is needed. Nothing has to be created, stored, backed up or
//! mounted: a server that is moved or restored with its identity keeps its TLS key. A key of its own would protect no more,
//! because who has the identity key can announce any TLS key. It does not open recorded connections: their keys are ephemeral.

use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use hkdf::Hkdf;
use nym_mixnode_base::secret::wipe_stack;
use nym_mixnode_keys::IdentityKeyPair;
use rcgen::{CertificateParams, PKCS_ED25519, PublicKeyData, SignatureAlgorithm, SigningKey};
use rustls::crypto::aws_lc_rs::sign::any_eddsa_type;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::CertifiedKey;
use rustls::{Error, OtherError};
use sha2::Sha256;
use zeroize::Zeroizing;

const INFO: &[u8] = b"nym-mixnode tls v1: certificate";

/// PKCS #8 of an Ed25519 key up to the seed (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// The name in the certificate. Clients do not check it.
const NAME: &str = "nym-mixnode.invalid";

/// The certificate of this identity with its key, the same at each call.
pub(crate) fn certified(identity: &IdentityKeyPair) -> Result<Arc<CertifiedKey>, Error> {
    let mut key = Zeroizing::new([0; PKCS8_PREFIX.len() + 32]);
    let (prefix, seed) = key.split_at_mut(PKCS8_PREFIX.len());
    prefix.copy_from_slice(&PKCS8_PREFIX);
    Hkdf::<Sha256>::new(None, identity.seed()).expand(INFO, seed).map_err(other)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(other)?;
    let params = CertificateParams::new([NAME.to_owned()]).map_err(other)?;
    let certificate = params.self_signed(&Signing(pair)).map_err(other)?;
    let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(&key[..]))?;
    wipe_stack();
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Other(OtherError(Arc::new(error)))
}

/// The key for signing the certificate. The one of rcgen keeps another copy of it.
struct Signing(Ed25519KeyPair);

impl PublicKeyData for Signing {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for Signing {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}
