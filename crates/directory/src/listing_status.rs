//! Compares a directory's entry for this node with what the node announces.

use std::net::SocketAddr;

use nym_mixnode_api::Topology;
use nym_mixnode_api::signing::{self, RegistryKey};

use super::announcement::Announcement;

/// How the directory lists this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListingStatus {
    /// As announced, with at least one of its addresses.
    AsAnnounced,
    /// As a newer start of the same identity.
    Newer {
        /// Listed address.
        address: String,
        counter: u64,
    },
    /// Without signatures, with none of its addresses.
    Elsewhere {
        /// Listed address.
        address: String,
    },
    /// With a field that differs from the announced one.
    Differs {
        /// Name of the field.
        field: &'static str,
        /// Listed address.
        address: String,
    },
    Absent,
}

/// Status of a node that signs. `used` is the greatest counter that it has signed for this registry.
pub(super) fn signed<A: Announcement>(
    topology: &Topology,
    ours: &A,
    registry: &RegistryKey,
    used: u64,
) -> ListingStatus {
    if let Some((address, counter)) = A::in_other_role(topology, ours.identity(), registry) {
        return match counter {
            Some(counter) if counter > used => ListingStatus::Newer { address, counter },
            _ => ListingStatus::Differs { field: "role", address },
        };
    }
    let Some(listed) = A::listed(topology, ours.identity()) else {
        return ListingStatus::Absent;
    };
    let address = listed.host().to_owned();
    match signing::signed_counter(listed, registry) {
        Some(counter) if counter > used => ListingStatus::Newer { address, counter },
        Some(_) => match A::difference(&listed.as_announced(), ours) {
            None => ListingStatus::AsAnnounced,
            Some(field) => ListingStatus::Differs { field, address },
        },
        None => ListingStatus::Differs { field: "signature", address },
    }
}

/// Status of a node that does not sign, at a directory without signatures. Such a directory keeps one address per node.
pub(super) fn unsigned<A: Announcement>(topology: &Topology, ours: &A) -> ListingStatus {
    let Some(listed) = A::listed(topology, ours.identity()) else { return ListingStatus::Absent };
    let announced = ours.addresses();
    let is_ours = |address: &SocketAddr| announced.contains(address);
    let address = listed.host().to_owned();
    if !listed.addresses().iter().any(is_ours) {
        return ListingStatus::Elsewhere { address };
    }
    match A::unsigned_difference(listed, ours) {
        Some(field) => ListingStatus::Differs { field, address },
        None => ListingStatus::AsAnnounced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nym_mixnode_api::{GatewayRegistration, MixRegistration, RegisteredGateway, testing};
    use nym_mixnode_keys::IdentityKeyPair;

    const REGISTRY: RegistryKey = [9; 32];

    type Change = fn(&mut MixRegistration);

    fn ours(keys: &IdentityKeyPair) -> MixRegistration {
        MixRegistration {
            mix_hosts: vec!["192.0.2.1:1789".into(), "[2001:db8::1]:1789".into()],
            location: "here".into(),
            ..testing::mix(keys.public_base58(), "192.0.2.1:1789")
        }
    }

    fn listing(registration: MixRegistration) -> Topology {
        Topology { mix_nodes: vec![testing::listed(registration)], ..Topology::default() }
    }

    #[test]
    fn every_field_of_a_signed_entry_is_compared() {
        let keys = IdentityKeyPair::generate().unwrap();
        let ours = ours(&keys);
        let changes: [(Option<&str>, Change); 8] = [
            (None, |_| {}),
            (Some("mixHost"), |mix| mix.mix_host = "192.0.2.2:1789".into()),
            (Some("mixHosts"), |mix| mix.mix_hosts = vec!["192.0.2.1:1789".into(), "192.0.2.9:1".into()]),
            (Some("sphinxKey"), |mix| mix.sphinx_key = "t".into()),
            (Some("version"), |mix| mix.version = "0.9.3".into()),
            (Some("location"), |mix| mix.location = "there".into()),
            (Some("incentivesAddress"), |mix| mix.incentives_address = "x".into()),
            (Some("layer"), |mix| mix.layer = 3),
        ];
        for (field, change) in changes {
            let mut listed = ours.clone();
            change(&mut listed);
            let address = listed.mix_host.clone();
            let topology = listing(signing::sign(&listed, &keys, &REGISTRY, 5, None).unwrap());
            let expected = field
                .map_or(ListingStatus::AsAnnounced, |field| ListingStatus::Differs { field, address: address.clone() });
            assert_eq!(signed(&topology, &ours, &REGISTRY, 5), expected);
            assert_eq!(
                signed(&topology, &ours, &REGISTRY, 4),
                ListingStatus::Newer { address, counter: 5 },
                "{field:?}"
            );
        }
        assert_eq!(signed(&Topology::default(), &ours, &REGISTRY, 5), ListingStatus::Absent);
    }

    #[test]
    fn an_entry_that_our_identity_has_not_signed_is_repaired() {
        let keys = IdentityKeyPair::generate().unwrap();
        let ours = ours(&keys);
        let differs = ListingStatus::Differs { field: "signature", address: ours.mix_host.clone() };
        assert_eq!(signed(&listing(ours.clone()), &ours, &REGISTRY, 5), differs, "unsigned");
        let of_another = signing::sign(&ours, &IdentityKeyPair::generate().unwrap(), &REGISTRY, 9, None).unwrap();
        assert_eq!(signed(&listing(of_another), &ours, &REGISTRY, 5), differs, "signed by another identity");
        let elsewhere = signing::sign(&ours, &keys, &[1; 32], 9, None).unwrap();
        assert_eq!(signed(&listing(elsewhere), &ours, &REGISTRY, 5), differs, "signed for another registry");
    }

    #[test]
    fn our_identity_listed_as_a_gateway_is_repaired_unless_a_newer_start_signed_it() {
        let keys = IdentityKeyPair::generate().unwrap();
        let ours = ours(&keys);
        let gateway =
            GatewayRegistration { expires_in: Some(1), ..testing::gateway(ours.identity_key.clone(), "192.0.2.9:1") };
        let listing = |registration| {
            let gateway = RegisteredGateway { registration, registration_time: 0, reputation: 0 };
            Topology { gateways: vec![gateway], ..Topology::default() }
        };
        let address = gateway.mix_host.clone();
        let differs = ListingStatus::Differs { field: "role", address: address.clone() };
        assert_eq!(signed(&listing(gateway.clone()), &ours, &REGISTRY, 5), differs);
        let newer = signing::sign(&gateway, &keys, &REGISTRY, 6, None).unwrap();
        assert_eq!(signed(&listing(newer), &ours, &REGISTRY, 5), ListingStatus::Newer { address, counter: 6 });
    }

    #[test]
    fn without_signatures_address_key_and_layer_are_compared() {
        let keys = IdentityKeyPair::generate().unwrap();
        let ours = ours(&keys);
        let old = MixRegistration { mix_hosts: Vec::new(), location: "other".into(), ..ours.clone() };
        assert_eq!(unsigned(&listing(old.clone()), &ours), ListingStatus::AsAnnounced, "it keeps one address");
        let moved = MixRegistration { mix_host: "192.0.2.9:1".into(), ..old.clone() };
        let elsewhere = ListingStatus::Elsewhere { address: "192.0.2.9:1".into() };
        assert_eq!(unsigned(&listing(moved), &ours), elsewhere);
        for (field, listed) in [
            ("sphinxKey", MixRegistration { sphinx_key: "t".into(), ..old.clone() }),
            ("layer", MixRegistration { layer: 2, ..old.clone() }),
        ] {
            let address = listed.mix_host.clone();
            assert_eq!(unsigned(&listing(listed), &ours), ListingStatus::Differs { field, address });
        }
        assert_eq!(unsigned(&Topology::default(), &ours), ListingStatus::Absent);
    }
}
