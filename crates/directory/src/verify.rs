//! Checks the signatures of a topology, so that a node sends no packets to forged entries.

use std::collections::{HashMap, HashSet};

use nym_mixnode_api::signing::{self, Entry, RegistryKey};
use nym_mixnode_api::{Release, Topology};
use sha2::{Digest, Sha256};

/// Maximum number of remembered unlisted identities: several times as many as a registry lists.
const REMEMBERED_MAX: usize = 40_000;

/// Remembers which identities have signed, and which entries are already checked.
#[derive(Debug, Default)]
pub struct Verifier {
    registry: Option<RegistryKey>,
    /// Last counter of each identity that has signed.
    signed: HashMap<String, Signed>,
}

#[derive(Debug, PartialEq, Eq)]
struct Signed {
    /// Digest of the message and the signature.
    digest: [u8; 32],
    counter: u64,
}

impl Verifier {
    /// Removes entries with invalid signatures, and unsigned entries of identities that have signed before. Returns the
    /// number of removed entries. Without a registry's key there are no signatures to check.
    pub fn remove_forged(&mut self, topology: &mut Topology) -> usize {
        let Some(registry) = topology.registry_key.as_deref().and_then(signing::decode) else { return 0 };
        if self.registry != Some(registry) {
            self.registry = Some(registry);
            self.signed.clear();
        }
        self.forget_released(topology, &registry);
        let before = topology.mix_nodes.len() + topology.gateways.len();
        topology.mix_nodes.retain(|mix| self.is_genuine(&mix.registration, &registry));
        topology.gateways.retain(|gateway| self.is_genuine(&gateway.registration, &registry));
        if self.signed.len() > REMEMBERED_MAX {
            self.forget_unlisted(topology);
        }
        before - topology.mix_nodes.len() - topology.gateways.len()
    }

    /// Bounds the memory when a registry lists ever new identities.
    fn forget_unlisted(&mut self, topology: &Topology) {
        let mixes = topology.mix_nodes.iter().map(|mix| mix.registration.identity());
        let gateways = topology.gateways.iter().map(|gateway| gateway.registration.identity());
        let listed: HashSet<&str> = mixes.chain(gateways).collect();
        self.signed.retain(|identity, _| listed.contains(identity.as_str()));
    }

    /// Forgets identities that the registry has released, so that their unsigned entries are accepted.
    fn forget_released(&mut self, topology: &Topology, registry: &RegistryKey) {
        let Some(key) = topology.registry_key.as_deref() else { return };
        for Release { identity_key, counter, signature } in &topology.releases {
            let is_later = self.signed.get(identity_key).is_some_and(|signed| signed.counter <= *counter);
            if is_later && signing::is_signed_by(key, &signing::release(registry, identity_key, *counter), signature) {
                self.signed.remove(identity_key);
            }
        }
    }

    fn is_genuine<E: Entry>(&mut self, entry: &E, registry: &RegistryKey) -> bool {
        let known = self.signed.get(entry.identity());
        let Some(proof) = entry.proof() else { return known.is_none() };
        let message = entry.as_announced().message(registry, proof.counter);
        let digest = Sha256::new().chain_update(&message).chain_update(proof.signature.as_bytes()).finalize().into();
        let signed = Signed { digest, counter: proof.counter };
        if known == Some(&signed) {
            return true;
        }
        let is_signed = signing::is_signed_by(entry.identity(), &message, &proof.signature);
        if is_signed {
            self.signed.insert(entry.identity().to_owned(), signed);
        }
        is_signed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nym_mixnode_api::{MixRegistration, testing};
    use nym_mixnode_keys::IdentityKeyPair;

    const REGISTRY: RegistryKey = [9; 32];

    fn mix(keys: &IdentityKeyPair, host: &str) -> MixRegistration {
        testing::mix(keys.public_base58(), host)
    }

    fn listing(key: Option<RegistryKey>, mixes: &[&MixRegistration]) -> Topology {
        let listed = |mix: &&MixRegistration| testing::listed(MixRegistration::clone(mix));
        let registry_key = key.map(|key| bs58::encode(key).into_string());
        Topology { mix_nodes: mixes.iter().map(listed).collect(), registry_key, ..Topology::default() }
    }

    #[test]
    fn forged_entries_are_removed_and_genuine_ones_stay() {
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
        assert_eq!(check(Some([1; 32]), &[&stripped]), 0, "another registry has no known signers");
    }

    #[test]
    fn a_released_identity_may_be_listed_unsigned_until_it_signs_again() {
        let (keys, registry) = (IdentityKeyPair::generate().unwrap(), IdentityKeyPair::generate().unwrap());
        let key = *registry.public();
        let sign = |counter| signing::sign(&mix(&keys, "192.0.2.1:1"), &keys, &key, counter, None).unwrap();
        let unsigned = mix(&keys, "192.0.2.1:1");
        let release = |by: &IdentityKeyPair, counter| {
            let signature = by.sign(&signing::release(&key, &keys.public_base58(), counter)).unwrap();
            let signature = bs58::encode(signature).into_string();
            Release { identity_key: keys.public_base58(), counter, signature }
        };
        let mut verifier = Verifier::default();
        let mut check = |entry: &MixRegistration, releases: Vec<Release>| {
            let mut topology = Topology { releases, ..listing(Some(key), &[entry]) };
            verifier.remove_forged(&mut topology)
        };
        assert_eq!(check(&sign(5), vec![]), 0);
        assert_eq!(check(&unsigned, vec![release(&keys, 6)]), 1, "signed by the identity itself");
        assert_eq!(check(&unsigned, vec![release(&registry, 4)]), 1, "an earlier release");
        assert_eq!(check(&unsigned, vec![Release { counter: 7, ..release(&registry, 6) }]), 1, "another counter");
        assert_eq!(check(&unsigned, vec![release(&registry, 6)]), 0);
        assert_eq!(check(&unsigned, vec![]), 0, "the release is remembered");
        assert_eq!(check(&sign(7), vec![release(&registry, 6)]), 0);
        assert_eq!(check(&unsigned, vec![release(&registry, 6)]), 1, "it has signed since");
    }

    #[test]
    fn memory_is_bounded_when_a_registry_lists_ever_new_identities() {
        let keys = IdentityKeyPair::generate().unwrap();
        let signed = signing::sign(&mix(&keys, "192.0.2.1:1"), &keys, &REGISTRY, 1, None).unwrap();
        let mut verifier = Verifier { registry: Some(REGISTRY), ..Verifier::default() };
        for number in 0..REMEMBERED_MAX {
            verifier.signed.insert(number.to_string(), Signed { digest: [0; 32], counter: 1 });
        }
        assert_eq!(verifier.remove_forged(&mut listing(Some(REGISTRY), &[&signed])), 0);
        assert_eq!(verifier.signed.len(), 1);
        assert_eq!(verifier.remove_forged(&mut listing(Some(REGISTRY), &[&mix(&keys, "192.0.2.1:1")])), 1);
    }
}
