//! The hash of a server's public key (SHA-256 of its `SubjectPublicKeyInfo`), as RFC 7469 and curl write it.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64, Encoding};
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Hash of a public key. Its text is base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

/// The text is no hash of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not base64 of 32 bytes")]
pub struct KeyHashError;

impl KeyHash {
    /// Hash of the key of a certificate.
    ///
    /// # Errors
    /// When it is no X.509 certificate of version 3.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, rustls::Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        Ok(Self(Sha256::digest(key).into()))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Base64::encode_string(&self.0))
    }
}

impl FromStr for KeyHash {
    type Err = KeyHashError;

    fn from_str(text: &str) -> Result<Self, KeyHashError> {
        let mut hash = [0; 32];
        let len = Base64::decode(text, &mut hash).map_err(|_| KeyHashError)?.len();
        if len == hash.len() { Ok(Self(hash)) } else { Err(KeyHashError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_hash_is_base64_of_32_bytes() {
        let hash = KeyHash([7; 32]);
        assert_eq!(hash.to_string(), "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        let long = "A".repeat(44);
        for bad in
            ["", "Bwc=", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc", &long, &"=".repeat(44), &"A".repeat(9000)]
        {
            assert_eq!(bad.parse::<KeyHash>(), Err(KeyHashError), "{bad}");
        }
    }
}
