//! Checks the signatures of a topology, so that a node sends packets to none that another has put in a node's place.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::api::Topology;
use crate::signing::{self, Entry, RegistryKey};

/// Remembers which identities have signed, and which entries it has checked.
#[derive(Debug, Default)]
pub(super) struct Verifier {
    registry: Option<RegistryKey>,
    /// For each identity that has signed: what it signed last, and the signature.
    signed: HashMap<String, [u8; 32]>,
}

impl Verifier {
    /// Removes each entry whose signature is wrong, and each unsigned one of an identity that has signed before. Gives
    /// the number of removed entries. A topology without a registry's key has no signatures to check.
    pub(super) fn remove_forged(&mut self, topology: &mut Topology) -> usize {
        let Some(registry) = topology.registry_key.as_deref().and_then(signing::decode) else { return 0 };
        if self.registry != Some(registry) {
            self.registry = Some(registry);
            self.signed.clear();
        }
        let before = topology.mix_nodes.len() + topology.gateways.len();
        topology.mix_nodes.retain(|mix| self.is_genuine(&mix.registration, &registry));
        topology.gateways.retain(|gateway| self.is_genuine(&gateway.registration, &registry));
        before - topology.mix_nodes.len() - topology.gateways.len()
    }

    fn is_genuine<E: Entry>(&mut self, entry: &E, registry: &RegistryKey) -> bool {
        let known = self.signed.get(entry.identity());
        let Some(proof) = entry.proof() else { return known.is_none() };
        let message = entry.as_announced().message(registry, proof.counter);
        let digest = Sha256::new().chain_update(&message).chain_update(proof.signature.as_bytes()).finalize().into();
        if known == Some(&digest) {
            return true;
        }
        let is_signed = signing::is_signed_by(entry.identity(), &message, &proof.signature);
        if is_signed {
            self.signed.insert(entry.identity().to_owned(), digest);
        }
        is_signed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{MixRegistration, RegisteredMix};
    use crate::keys::IdentityKeyPair;

    const REGISTRY: RegistryKey = [9; 32];

    fn mix(keys: &IdentityKeyPair, host: &str) -> MixRegistration {
        MixRegistration {
            mix_host: host.into(),
            mix_hosts: Vec::new(),
            identity_key: keys.public_base58(),
            sphinx_key: "s".into(),
            version: "0.9.2".into(),
            location: String::new(),
            incentives_address: String::new(),
            layer: 1,
            proof: None,
        }
    }

    fn listing(key: Option<RegistryKey>, mixes: &[&MixRegistration]) -> Topology {
        let listed = |mix: &&MixRegistration| RegisteredMix {
            registration: MixRegistration::clone(mix),
            registration_time: 0,
            reputation: 0,
        };
        let registry_key = key.map(|key| bs58::encode(key).into_string());
        Topology { mix_nodes: mixes.iter().map(listed).collect(), registry_key, ..Topology::default() }
    }

    #[test]
    fn forged_entries_go_and_original_ones_stay() {
        let (keys, original) = (IdentityKeyPair::generate().unwrap(), IdentityKeyPair::generate().unwrap());
        let signed = signing::sign(&mix(&keys, "192.0.2.1:1"), &keys, &REGISTRY, 1, None).unwrap();
        let unsigned = mix(&original, "192.0.2.2:1");
        let stripped = mix(&keys, "192.0.2.9:1");
        let forged = MixRegistration { mix_host: "192.0.2.9:1".into(), ..signed.clone() };
        let mut verifier = Verifier::default();
        let mut check = |key, mixes: &[&MixRegistration]| {
            let mut topology = listing(key, mixes);
            verifier.remove_forged(&mut topology)
        };
        assert_eq!(check(Some(REGISTRY), &[&forged, &unsigned]), 1);
        assert_eq!(check(Some(REGISTRY), &[&stripped]), 0, "an identity that has not signed yet");
        for _ in 0..2 {
            assert_eq!(check(Some(REGISTRY), &[&signed, &unsigned]), 0);
            assert_eq!(check(Some(REGISTRY), &[&forged]), 1, "also after the genuine one");
            assert_eq!(check(Some(REGISTRY), &[&stripped]), 1, "an identity that has signed");
        }
        assert_eq!(check(None, &[&forged]), 0, "a directory without signatures");
        assert_eq!(check(Some([1; 32]), &[&signed]), 1, "signed for another registry");
        assert_eq!(check(Some([1; 32]), &[&stripped]), 0, "another registry begins anew");
    }
}
