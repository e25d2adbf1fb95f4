//! Registration: an exchange of ephemeral keys, which both sides sign with their identities.
//!
//! The signatures cover the two ephemeral keys only. Each state is consumed by its step, so no step runs twice.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use nym_mixnode_keys::IdentityKeyPair;
use nym_mixnode_sphinx::{multiply_clamped, public_key};
use rand::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use super::SharedKey;
use crate::ciphers::{derive, take};
use crate::text::is_point;

const SIGNATURE_LEN: usize = 64;
/// Length of the client's first message: identity and ephemeral key.
pub const FIRST_LEN: usize = 64;
/// Length of the gateway's answer: ephemeral key and encrypted signature.
pub const SECOND_LEN: usize = 32 + SIGNATURE_LEN;
/// Length of the client's encrypted signature.
pub const THIRD_LEN: usize = SIGNATURE_LEN;
/// The gateway's last message when it has registered the client.
pub const ACCEPTED: [u8; 1] = [1];
/// The gateway's last message when it has not.
pub const REFUSED: [u8; 1] = [0];

/// Why a handshake failed. The texts are those of 0.9.2, and go to the other side.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// The first message has another length, or an identity that no key has.
    #[error("sent request was malformed")]
    MalformedRequest,
    /// A signature has another length.
    #[error("received key material of invalid length - {0}. Expected: {SIGNATURE_LEN}")]
    SignatureLength(usize),
    /// The signature is by another identity, or over other keys.
    #[error("received invalid signature")]
    Signature,
    /// An answer of the gateway has no meaning.
    #[error("received response was malformed:")]
    MalformedResponse,
    /// The gateway refused, or signing failed, or the ephemeral key of the other side has low order.
    #[error("unknown handshake failure")]
    Unknown,
    /// The other side has given up.
    #[error("error on the remote: {0}")]
    Remote(String),
}

/// An ephemeral key pair.
struct Ephemeral {
    private: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl Ephemeral {
    fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut private = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *private);
        Self { public: public_key(&private), private }
    }

    fn shared_key(&self, other: &[u8; 32]) -> Result<SharedKey, HandshakeError> {
        let secret = multiply_clamped(&self.private, other).ok_or(HandshakeError::Unknown)?;
        Ok(SharedKey::from_bytes(&derive(&*secret)))
    }
}

/// A client that has sent its first message.
pub struct ClientHandshake<'a> {
    identity: &'a IdentityKeyPair,
    gateway: [u8; 32],
    ephemeral: Ephemeral,
}

/// A client that waits for the gateway's decision.
pub struct ClientVerdict(SharedKey);

/// A gateway that has answered a client's first message.
pub struct GatewayHandshake {
    client: [u8; 32],
    client_ephemeral: [u8; 32],
    ephemeral_public: [u8; 32],
    key: SharedKey,
}

impl<'a> ClientHandshake<'a> {
    /// Begins to register at the gateway with this identity. Returns the first message.
    #[must_use]
    pub fn begin(
        identity: &'a IdentityKeyPair,
        gateway: [u8; 32],
        rng: &mut impl CryptoRng,
    ) -> (Self, [u8; FIRST_LEN]) {
        let ephemeral = Ephemeral::generate(rng);
        let first = joined(identity.public(), &ephemeral.public);
        (Self { identity, gateway, ephemeral }, first)
    }

    /// Checks the gateway's answer. Returns the next message.
    ///
    /// # Errors
    /// When the answer is malformed, or signed by another identity.
    pub fn answer(self, second: &[u8]) -> Result<(ClientVerdict, [u8; THIRD_LEN]), HandshakeError> {
        let (remote, signature) = take::<32>(second).ok_or(HandshakeError::MalformedResponse)?;
        let key = self.ephemeral.shared_key(&remote)?;
        let own = self.ephemeral.public;
        verify(&key, &self.gateway, &joined(&remote, &own), signature)?;
        let third = sign(&key, self.identity, &joined(&own, &remote))?;
        Ok((ClientVerdict(key), third))
    }
}

impl ClientVerdict {
    /// The shared key, if the gateway has accepted.
    ///
    /// # Errors
    /// When it has not, or has sent something else.
    pub fn finish(self, fourth: &[u8]) -> Result<SharedKey, HandshakeError> {
        match fourth {
            [1] => Ok(self.0),
            [0] => Err(HandshakeError::Unknown),
            _ => Err(HandshakeError::MalformedResponse),
        }
    }
}

impl GatewayHandshake {
    /// The identity in a first message that is long enough for one, if it can be one.
    #[must_use]
    pub fn identity_in(first: &[u8]) -> Option<[u8; 32]> {
        take(first).map(|(identity, _)| identity).filter(is_point)
    }

    /// Answers a client's first message. Returns the second one.
    ///
    /// # Errors
    /// When the message is malformed.
    pub fn begin(
        identity: &IdentityKeyPair,
        first: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, [u8; SECOND_LEN]), HandshakeError> {
        let first: &[u8; FIRST_LEN] = first.try_into().map_err(|_| HandshakeError::MalformedRequest)?;
        let client = Self::identity_in(first).ok_or(HandshakeError::MalformedRequest)?;
        let mut client_ephemeral = [0; 32];
        client_ephemeral.copy_from_slice(&first[32..]);
        let ephemeral = Ephemeral::generate(rng);
        let key = ephemeral.shared_key(&client_ephemeral)?;
        let mut second = [0; SECOND_LEN];
        second[..32].copy_from_slice(&ephemeral.public);
        second[32..].copy_from_slice(&sign(&key, identity, &joined(&ephemeral.public, &client_ephemeral))?);
        Ok((Self { client, client_ephemeral, ephemeral_public: ephemeral.public, key }, second))
    }

    /// Who registers.
    #[must_use]
    pub fn client(&self) -> &[u8; 32] {
        &self.client
    }

    /// Checks the client's signature. The gateway stores the key, then sends [`ACCEPTED`].
    ///
    /// # Errors
    /// When the signature is malformed, or of another identity.
    pub fn finish(self, third: &[u8]) -> Result<SharedKey, HandshakeError> {
        let signed = joined(&self.client_ephemeral, &self.ephemeral_public);
        verify(&self.key, &self.client, &signed, third)?;
        Ok(self.key)
    }
}

fn sign(
    key: &SharedKey,
    identity: &IdentityKeyPair,
    message: &[u8; 64],
) -> Result<[u8; SIGNATURE_LEN], HandshakeError> {
    let mut signature = identity.sign(message).map_err(|_| HandshakeError::Unknown)?;
    key.apply(&mut signature);
    Ok(signature)
}

fn verify(key: &SharedKey, signer: &[u8; 32], message: &[u8; 64], encrypted: &[u8]) -> Result<(), HandshakeError> {
    let mut signature: [u8; SIGNATURE_LEN] =
        encrypted.try_into().map_err(|_| HandshakeError::SignatureLength(encrypted.len()))?;
    key.apply(&mut signature);
    let signer = UnparsedPublicKey::new(&ED25519, signer);
    signer.verify(message, &signature).map_err(|_| HandshakeError::Signature)
}

fn joined(first: &[u8; 32], second: &[u8; 32]) -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(first);
    bytes[32..].copy_from_slice(second);
    bytes
}
