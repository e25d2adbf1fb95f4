//! The files of a client's own keys, beside those of its identity: PEM around the raw bytes, as in 0.9.2.
//!
//! The labels of 0.9.2 have hyphens, which the PEM library of the other key files rejects.

use base64ct::{Base64, Encoding};
use thiserror::Error;
use zeroize::Zeroizing;

/// More than the longest file.
const TEXT_LEN_MAX: usize = 512;

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKeyFile {
    /// `private_identity.pem`.
    PrivateIdentity,
    /// `public_identity.pem`.
    PublicIdentity,
    /// `private_encryption.pem`.
    PrivateEncryption,
    /// `public_encryption.pem`.
    PublicEncryption,
    /// `gateway_shared.pem`: a [`SharedKey`](crate::gateway::SharedKey).
    GatewayShared,
    /// `ack_key.pem`: an [`AckKey`](crate::ack::AckKey).
    Ack,
}

/// Why a text is no key of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ClientKeyFileError {
    /// No label, another one at the end, or no base64 between.
    #[error("the file is not PEM")]
    NotPem,
    /// PEM of another kind.
    #[error("the file has a {found:?} instead of a {expected:?}")]
    WrongKind { found: String, expected: &'static str },
    /// A key of another length.
    #[error("the key has {len} bytes instead of {expected}")]
    WrongLength { len: usize, expected: usize },
}

impl ClientKeyFile {
    /// All files of a client.
    pub const ALL: [Self; 6] = [
        Self::PrivateIdentity,
        Self::PublicIdentity,
        Self::PrivateEncryption,
        Self::PublicEncryption,
        Self::GatewayShared,
        Self::Ack,
    ];

    /// Its name in the client's directory.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrivateIdentity => "private_identity.pem",
            Self::PublicIdentity => "public_identity.pem",
            Self::PrivateEncryption => "private_encryption.pem",
            Self::PublicEncryption => "public_encryption.pem",
            Self::GatewayShared => "gateway_shared.pem",
            Self::Ack => "ack_key.pem",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::PrivateIdentity => "ED25519 PRIVATE KEY",
            Self::PublicIdentity => "ED25519 PUBLIC KEY",
            Self::PrivateEncryption => "X25519 PRIVATE KEY",
            Self::PublicEncryption => "X25519 PUBLIC KEY",
            Self::GatewayShared => "AES-128-CTR + HMAC-BLAKE3 GATEWAY SHARED KEYS",
            Self::Ack => "AES-128-CTR ACKNOWLEDGEMENTS KEY",
        }
    }

    /// Length of the key in bytes.
    #[must_use]
    pub const fn key_len(self) -> usize {
        if matches!(self, Self::Ack) { 16 } else { 32 }
    }

    /// The text of the file; lines end in CR LF.
    #[must_use]
    pub fn encode(self, key: &[u8]) -> Zeroizing<String> {
        let (label, body) = (self.label(), Zeroizing::new(Base64::encode_string(key)));
        Zeroizing::new(format!("-----BEGIN {label}-----\r\n{}\r\n-----END {label}-----\r\n", *body))
    }

    /// The key in the text of a file, with any line ends.
    ///
    /// # Errors
    /// When the text is no PEM, or has a key of another kind or length.
    pub fn decode(self, text: &[u8]) -> Result<Zeroizing<Vec<u8>>, ClientKeyFileError> {
        let (found, body) = parts(text).ok_or(ClientKeyFileError::NotPem)?;
        if found != self.label() {
            return Err(ClientKeyFileError::WrongKind { found: found.to_owned(), expected: self.label() });
        }
        let lines = Zeroizing::new(body.split_ascii_whitespace().collect::<String>());
        let key = Zeroizing::new(Base64::decode_vec(&lines).map_err(|_| ClientKeyFileError::NotPem)?);
        if key.len() != self.key_len() {
            return Err(ClientKeyFileError::WrongLength { len: key.len(), expected: self.key_len() });
        }
        Ok(key)
    }
}

/// Label and body.
fn parts(text: &[u8]) -> Option<(&str, &str)> {
    if text.len() > TEXT_LEN_MAX {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?.trim_ascii();
    let (label, rest) = text.strip_prefix("-----BEGIN ")?.split_once("-----")?;
    let body = rest.strip_suffix("-----")?.strip_suffix(label)?.strip_suffix("-----END ")?;
    Some((label, body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_key_survives_its_file(key: [u8; 32]) {
            for file in ClientKeyFile::ALL {
                let key = &key[..file.key_len()];
                let text = file.encode(key);
                prop_assert_eq!(&**file.decode(text.as_bytes()).unwrap(), key);
                let unix = text.replace("\r\n", "\n");
                prop_assert_eq!(&**file.decode(unix.as_bytes()).unwrap(), key);
            }
        }

        #[test]
        fn any_text_is_a_key_or_an_error(bytes: Vec<u8>) {
            for file in ClientKeyFile::ALL {
                prop_assert_eq!(file.decode(&bytes), Err(ClientKeyFileError::NotPem));
            }
        }
    }

    #[test]
    fn keys_of_another_kind_or_length_are_errors() {
        let text = ClientKeyFile::Ack.encode(&[1; 16]);
        let error = ClientKeyFile::GatewayShared.decode(text.as_bytes()).unwrap_err();
        assert!(matches!(error, ClientKeyFileError::WrongKind { .. }));
        let text = ClientKeyFile::Ack.encode(&[1; 32]);
        let error = ClientKeyFile::Ack.decode(text.as_bytes()).unwrap_err();
        assert_eq!(error, ClientKeyFileError::WrongLength { len: 32, expected: 16 });
    }
}
