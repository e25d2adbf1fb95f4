//! Messages that identities and registries sign. Fields are length-prefixed, so that no two calls have the same bytes.
//!
//! A signature covers a domain string, the public key of its registry, the method, every field of the entry, and a
//! counter. It is invalid at other registries, and a second time at the same one.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use nym_mixnode_keys::{IdentityKeyPair, KeyGenerationError};

use crate::{Announced, GatewayRegistration, MixRegistration, Proof};

/// Public key of a registry.
pub type RegistryKey = [u8; 32];

/// Base58 of 64 bytes has at most 88 digits. Decoding is quadratic, so longer text is rejected first.
const DIGITS_MAX: usize = 88;

const REGISTRATION: &str = "nym-mixnode registration v1";
const COUNTER: &str = "nym-mixnode counter v1";
const RELEASE: &str = "nym-mixnode release v1";

/// Entry that its identity can sign.
pub trait Entry: Clone {
    /// Bytes to sign for this registry, with this counter.
    fn message(&self, registry: &RegistryKey, counter: u64) -> Vec<u8>;
    /// Base58 of the identity key.
    fn identity(&self) -> &str;
    /// Signature, if it has one.
    fn proof(&self) -> Option<&Proof>;
    /// Replaces the signature.
    fn set_proof(&mut self, proof: Option<Proof>);
    /// Replaces the addresses.
    fn set_addresses(&mut self, addresses: Announced);
    /// Entry as its identity announced it: without signature, with all addresses.
    #[must_use]
    fn as_announced(&self) -> Self {
        let mut entry = self.clone();
        entry.set_proof(None);
        if let Some(announced) = self.proof().and_then(|proof| proof.announced.clone()) {
            entry.set_addresses(announced);
        }
        entry
    }
}

/// Implements `Entry` for a registration. The message has the fields common to all kinds, then those of its own kind.
macro_rules! entry {
    ($registration:ty, $kind:literal, $own_fields:expr) => {
        impl Entry for $registration {
            fn message(&self, registry: &RegistryKey, counter: u64) -> Vec<u8> {
                let own_fields: fn(&Self, Message) -> Message = $own_fields;
                let shared_fields = Message::new(REGISTRATION, registry)
                    .text("POST")
                    .text($kind)
                    .text(&self.identity_key)
                    .text(&self.sphinx_key)
                    .text(&self.version)
                    .text(&self.location)
                    .text(&self.incentives_address)
                    .text(&self.mix_host)
                    .texts(&self.mix_hosts);
                own_fields(self, shared_fields).number(counter).0
            }

            fn identity(&self) -> &str {
                &self.identity_key
            }

            fn proof(&self) -> Option<&Proof> {
                self.proof.as_ref()
            }

            fn set_proof(&mut self, proof: Option<Proof>) {
                self.proof = proof;
            }

            fn set_addresses(&mut self, addresses: Announced) {
                (self.mix_host, self.mix_hosts) = (addresses.mix_host, addresses.mix_hosts);
            }
        }
    };
}

entry!(MixRegistration, "mix", |mix, message| message.number(mix.layer));
entry!(GatewayRegistration, "gateway", |gateway, message| {
    // 0 is free for `None`: no lifetime is 0.
    let message = message.text(&gateway.clients_host).number(gateway.expires_in.unwrap_or(0));
    // Without it, the bytes are those from before there was TLS. Two fields more cannot be mistaken for them.
    match &gateway.clients_tls {
        None => message,
        Some(tls) => message.text(&tls.url).text(&tls.key_hash),
    }
});

/// Bytes that an identity signs to be unregistered.
#[must_use]
pub fn unregistration(registry: &RegistryKey, identity: &str, counter: u64) -> Vec<u8> {
    Message::new(REGISTRATION, registry).text("DELETE").text(identity).number(counter).0
}

/// Bytes that an identity signs to be unregistered and released.
#[must_use]
pub fn release_request(registry: &RegistryKey, identity: &str, counter: u64) -> Vec<u8> {
    Message::new(REGISTRATION, registry).text("RELEASE").text(identity).number(counter).0
}

/// Bytes that a registry signs to release an identity. Signatures of the identity with this counter or a lower one are
/// void.
#[must_use]
pub fn release(registry: &RegistryKey, identity: &str, counter: u64) -> Vec<u8> {
    Message::new(RELEASE, registry).text(identity).number(counter).0
}

/// Bytes that a registry signs to report the counter of an identity.
#[must_use]
pub fn counter_answer(registry: &RegistryKey, nonce: &str, identity: &str, counter: u64) -> Vec<u8> {
    Message::new(COUNTER, registry).text(nonce).text(identity).number(counter).0
}

/// Signs an entry for this registry.
///
/// # Errors
/// When the cryptography library fails.
pub fn sign<E: Entry>(
    entry: &E,
    keys: &IdentityKeyPair,
    registry: &RegistryKey,
    counter: u64,
    join_token: Option<&[u8]>,
) -> Result<E, KeyGenerationError> {
    let message = entry.message(registry, counter);
    let signature = bs58::encode(keys.sign(&message)?).into_string();
    let admission = join_token.map(|token| bs58::encode(admission(token, &message).as_ref()).into_string());
    let mut signed = entry.clone();
    signed.set_proof(Some(Proof { counter, signature, admission, announced: None }));
    Ok(signed)
}

/// Counter of an entry that is signed by its own identity for this registry; `None` for all other entries.
pub fn signed_counter<E: Entry>(entry: &E, registry: &RegistryKey) -> Option<u64> {
    let proof = entry.proof()?;
    let message = entry.as_announced().message(registry, proof.counter);
    is_signed_by(entry.identity(), &message, &proof.signature).then_some(proof.counter)
}

/// Whether the entry proves knowledge of this join token.
pub fn is_admitted<E: Entry>(entry: &E, registry: &RegistryKey, join_token: &[u8]) -> bool {
    let Some(proof) = entry.proof() else { return false };
    let Some(code) = proof.admission.as_deref().and_then(decode::<32>) else { return false };
    let message = entry.message(registry, proof.counter);
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, join_token), &message, &code).is_ok()
}

/// Whether the signature of the key over the message is valid; key and signature in base58.
#[must_use]
pub fn is_signed_by(public: &str, message: &[u8], signature: &str) -> bool {
    let (Some(public), Some(signature)) = (decode::<32>(public), decode::<64>(signature)) else { return false };
    UnparsedPublicKey::new(&ED25519, public).verify(message, &signature).is_ok()
}

/// Decodes a key from base58.
#[must_use]
pub fn decode<const LEN: usize>(base58: &str) -> Option<[u8; LEN]> {
    let mut bytes = [0; LEN];
    let is_whole = base58.len() <= DIGITS_MAX && bs58::decode(base58).onto(&mut bytes[..]) == Ok(LEN);
    is_whole.then_some(bytes)
}

fn admission(token: &[u8], message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, token), message)
}

/// Encoder of length-prefixed fields.
struct Message(Vec<u8>);

impl Message {
    fn new(domain: &str, registry: &RegistryKey) -> Self {
        Self(Vec::with_capacity(512)).text(domain).bytes(registry)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    fn texts(self, texts: &[String]) -> Self {
        let counted = self.number(texts.len() as u64);
        texts.iter().fold(counted, |message, text| message.text(text))
    }

    fn number(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::{ClientsTls, PROTOCOL_VERSION};

    const REGISTRY: RegistryKey = [9; 32];

    fn mix(keys: &IdentityKeyPair) -> MixRegistration {
        MixRegistration {
            mix_host: "192.0.2.1:1789".into(),
            mix_hosts: vec!["192.0.2.1:1789".into(), "[2001:db8::1]:1789".into()],
            identity_key: keys.public_base58(),
            sphinx_key: "s".into(),
            version: PROTOCOL_VERSION.into(),
            location: "Zürich".into(),
            incentives_address: "a".into(),
            layer: 2,
            proof: None,
        }
    }

    fn gateway(keys: &IdentityKeyPair) -> GatewayRegistration {
        GatewayRegistration {
            mix_host: "192.0.2.1:1789".into(),
            mix_hosts: Vec::new(),
            clients_host: "ws://192.0.2.1:9000".into(),
            identity_key: keys.public_base58(),
            sphinx_key: "s".into(),
            version: PROTOCOL_VERSION.into(),
            location: String::new(),
            incentives_address: String::new(),
            expires_in: Some(60),
            clients_tls: None,
            proof: None,
        }
    }

    #[test]
    fn a_signature_covers_every_field_of_a_mix() {
        let keys = IdentityKeyPair::generate().unwrap();
        let signed = sign(&mix(&keys), &keys, &REGISTRY, 7, None).unwrap();
        assert_eq!(signed_counter(&signed, &REGISTRY), Some(7));
        assert_eq!(signed_counter(&signed, &[8; 32]), None, "another registry");
        let others = IdentityKeyPair::generate().unwrap().public_base58();
        let spoilt: [&dyn Fn(&mut MixRegistration); 11] = [
            &|mix| mix.mix_host = "192.0.2.2:1789".into(),
            &|mix| mix.mix_hosts.truncate(1),
            &|mix| mix.mix_hosts.swap(0, 1),
            &|mix| mix.identity_key = others.clone(),
            &|mix| mix.sphinx_key = "t".into(),
            &|mix| mix.version = "0.9.3".into(),
            &|mix| mix.location = "Bern".into(),
            &|mix| mix.incentives_address = String::new(),
            &|mix| mix.layer = 3,
            &|mix| mix.proof.as_mut().unwrap().counter += 1,
            &|mix| mix.proof.as_mut().unwrap().signature = "1".repeat(64),
        ];
        for (number, spoil) in spoilt.iter().enumerate() {
            let mut spoilt = signed.clone();
            spoil(&mut spoilt);
            assert_eq!(signed_counter(&spoilt, &REGISTRY), None, "case {number}");
        }
        assert_eq!(signed_counter(&mix(&keys), &REGISTRY), None, "unsigned");
    }

    #[test]
    fn a_signature_covers_every_field_of_a_gateway_and_is_invalid_for_a_mix() {
        let keys = IdentityKeyPair::generate().unwrap();
        let tls = || ClientsTls { url: "wss://192.0.2.1:9443".into(), key_hash: "h".into() };
        let signed = GatewayRegistration { clients_tls: Some(tls()), ..gateway(&keys) };
        let signed = sign(&signed, &keys, &REGISTRY, 1, None).unwrap();
        assert_eq!(signed_counter(&signed, &REGISTRY), Some(1));
        let spoilt: [&dyn Fn(&mut GatewayRegistration); 7] = [
            &|gateway| gateway.clients_tls = None,
            &|gateway| gateway.clients_tls = Some(ClientsTls { url: "wss://192.0.2.2:9443".into(), ..tls() }),
            &|gateway| gateway.clients_tls = Some(ClientsTls { key_hash: "g".into(), ..tls() }),
            &|gateway| gateway.clients_host = "ws://192.0.2.2:9000".into(),
            &|gateway| gateway.expires_in = Some(1),
            &|gateway| gateway.expires_in = None,
            &|gateway| gateway.mix_hosts = vec!["192.0.2.1:1789".into()],
        ];
        for (number, spoil) in spoilt.iter().enumerate() {
            let mut spoilt = signed.clone();
            spoil(&mut spoilt);
            assert_eq!(signed_counter(&spoilt, &REGISTRY), None, "case {number}");
        }
        let mut without = sign(&gateway(&keys), &keys, &REGISTRY, 1, None).unwrap();
        assert_eq!(signed_counter(&without, &REGISTRY), Some(1));
        without.clients_tls = Some(tls());
        assert_eq!(signed_counter(&without, &REGISTRY), None, "added");
        let mut as_mix = mix(&keys);
        as_mix.proof = signed.proof;
        assert_eq!(signed_counter(&as_mix, &REGISTRY), None);
    }

    #[test]
    fn moving_text_between_fields_changes_the_bytes() {
        let keys = IdentityKeyPair::generate().unwrap();
        let one = MixRegistration { version: "ab".into(), location: "c".into(), ..mix(&keys) };
        let other = MixRegistration { version: "a".into(), location: "bc".into(), ..mix(&keys) };
        assert_ne!(one.message(&REGISTRY, 1), other.message(&REGISTRY, 1));
        assert_ne!(unregistration(&REGISTRY, "a", 1), unregistration(&REGISTRY, "b", 1));
        assert_ne!(counter_answer(&REGISTRY, "n", "a", 1), counter_answer(&REGISTRY, "m", "a", 1));
        assert_ne!(unregistration(&REGISTRY, "a", 1), release_request(&REGISTRY, "a", 1));
        assert_ne!(release(&REGISTRY, "a", 1), release_request(&REGISTRY, "a", 1));
        assert_ne!(release(&REGISTRY, "a", 1), release(&REGISTRY, "a", 2));
    }

    #[test]
    fn an_entry_listed_with_fewer_addresses_verifies_with_the_announced_ones() {
        let keys = IdentityKeyPair::generate().unwrap();
        let mut listed = sign(&mix(&keys), &keys, &REGISTRY, 7, None).unwrap();
        let (mix_host, mix_hosts) = (listed.mix_host.clone(), listed.mix_hosts.clone());
        listed.mix_hosts.clear();
        assert_eq!(signed_counter(&listed, &REGISTRY), None);
        listed.proof.as_mut().unwrap().announced = Some(Announced { mix_host, mix_hosts });
        assert_eq!(signed_counter(&listed, &REGISTRY), Some(7));
        assert_eq!(listed.as_announced(), mix(&keys));
    }

    /// Digests of the bytes from an independent implementation: signatures must stay valid across releases.
    #[test]
    fn the_signed_bytes_of_an_entry_never_change() {
        let keys = IdentityKeyPair::generate().unwrap();
        let mix = MixRegistration { identity_key: "i".into(), ..mix(&keys) };
        let gateway = GatewayRegistration { identity_key: "i".into(), ..gateway(&keys) };
        let digest = |message: Vec<u8>| bs58::encode(Sha256::digest(message)).into_string();
        assert_eq!(digest(mix.message(&REGISTRY, 7)), "CjNMaNZ9w2f49oQtGK85nr2ANs5MaxNDFvZCjF5PVuev");
        assert_eq!(digest(gateway.message(&REGISTRY, 7)), "4cHD45TxBd1o1HwRhmsCz3izVZtYc1j5QeAUBqf8M75s");
        let tls = ClientsTls { url: "wss://192.0.2.1:9443".into(), key_hash: "h".into() };
        let gateway = GatewayRegistration { clients_tls: Some(tls), ..gateway };
        assert_eq!(digest(gateway.message(&REGISTRY, 7)), "79ZG9vQX19fb2K9HmKmnf942dWxm9rXyT3WZmoERomk1");
    }

    #[test]
    fn a_join_token_code_admits_one_call_only() {
        let keys = IdentityKeyPair::generate().unwrap();
        let signed = sign(&mix(&keys), &keys, &REGISTRY, 7, Some(b"token")).unwrap();
        assert!(is_admitted(&signed, &REGISTRY, b"token"));
        assert!(!is_admitted(&signed, &REGISTRY, b"another"));
        let mut replayed = signed;
        replayed.layer = 1;
        assert!(!is_admitted(&replayed, &REGISTRY, b"token"));
        assert!(!is_admitted(&sign(&mix(&keys), &keys, &REGISTRY, 8, None).unwrap(), &REGISTRY, b"token"));
    }

    #[test]
    fn malformed_keys_and_signatures_are_invalid() {
        for text in ["", "0OIl", &"1".repeat(60_000)] {
            assert_eq!(decode::<64>(text), None);
            assert!(!is_signed_by(text, b"m", text));
        }
    }
}
