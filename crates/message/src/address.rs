//! The address of a client: its keys, and the gateway that receives for it.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::text::{decode_base58_array, encode_base58, is_point};

/// Length of a binary address in bytes.
pub const ADDRESS_LEN: usize = 96;

/// Where a message goes: `identity.encryption-key@gateway-identity`, each base58.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress {
    identity: [u8; 32],
    encryption_key: [u8; 32],
    gateway: [u8; 32],
}

/// Why a text or bytes are no address. The texts are those of 0.9.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Not `a.b@c`, or not 96 bytes.
    #[error("recipient is malformed")]
    Form,
    /// The first part.
    #[error("recipient's identity key is malformed: it is not base58 of an Ed25519 public key")]
    Identity,
    /// The second part.
    #[error("recipient's encryption key is malformed: Invalid public key bytes")]
    EncryptionKey,
    /// The part behind the `@`.
    #[error("recipient gateway's identity key is malformed: it is not base58 of an Ed25519 public key")]
    Gateway,
}

impl ClientAddress {
    /// # Errors
    /// When an identity is not a point of the curve.
    pub fn new(identity: [u8; 32], encryption_key: [u8; 32], gateway: [u8; 32]) -> Result<Self, AddressError> {
        if !is_point(&identity) {
            return Err(AddressError::Identity);
        }
        if !is_point(&gateway) {
            return Err(AddressError::Gateway);
        }
        Ok(Self { identity, encryption_key, gateway })
    }

    /// The client's Ed25519 public key, which is also the destination in its packets.
    #[must_use]
    pub fn identity(&self) -> &[u8; 32] {
        &self.identity
    }

    /// The client's X25519 public key.
    #[must_use]
    pub fn encryption_key(&self) -> &[u8; 32] {
        &self.encryption_key
    }

    /// The Ed25519 public key of the client's gateway.
    #[must_use]
    pub fn gateway(&self) -> &[u8; 32] {
        &self.gateway
    }

    /// Identity, encryption key and gateway.
    #[must_use]
    pub fn to_bytes(self) -> [u8; ADDRESS_LEN] {
        let mut bytes = [0; ADDRESS_LEN];
        bytes[..32].copy_from_slice(&self.identity);
        bytes[32..64].copy_from_slice(&self.encryption_key);
        bytes[64..].copy_from_slice(&self.gateway);
        bytes
    }

    /// # Errors
    /// When an identity is not a point of the curve.
    pub fn from_bytes(bytes: &[u8; ADDRESS_LEN]) -> Result<Self, AddressError> {
        let (keys, _) = bytes.as_chunks();
        Self::new(keys[0], keys[1], keys[2])
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [identity, key, gateway] = [&self.identity, &self.encryption_key, &self.gateway].map(|k| encode_base58(k));
        write!(f, "{identity}.{key}@{gateway}")
    }
}

impl FromStr for ClientAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (client, gateway) = text.split_once('@').ok_or(AddressError::Form)?;
        let (identity, key) = client.split_once('.').ok_or(AddressError::Form)?;
        if [identity, key, gateway].iter().any(|part| part.contains(['@', '.'])) {
            return Err(AddressError::Form);
        }
        Self::new(
            decode_base58_array(identity).ok_or(AddressError::Identity)?,
            decode_base58_array(key).ok_or(AddressError::EncryptionKey)?,
            decode_base58_array(gateway).ok_or(AddressError::Gateway)?,
        )
    }
}

#[cfg(test)]
mod tests;
