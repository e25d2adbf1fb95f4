//! A node under test, as the directory lists it.

use std::net::SocketAddr;

use nym_mixnode_api::{MixRegistration, signing};
use nym_mixnode_net::Reach;
use nym_mixnode_sphinx::Hop;
use serde::Serialize;

use crate::family::IpFamily;

/// Node under test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Base58 of its identity key.
    pub identity: String,
    /// Base58 of its Sphinx key, as listed.
    pub sphinx_key: String,
    /// Its layer, from 1.
    pub layer: u64,
    /// Its addresses, with host names resolved.
    pub addresses: Vec<SocketAddr>,
    /// Why no packet can be built for it, if its entry is unusable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defect: Option<String>,
    #[serde(skip)]
    key: [u8; 32],
}

impl Target {
    /// Reads an entry and resolves its host names. Errors go to [`Target::defect`]: one bad entry must not prevent the
    /// test of the other nodes.
    pub async fn resolve(listed: &MixRegistration) -> Self {
        let hosts = if listed.mix_hosts.is_empty() {
            std::slice::from_ref(&listed.mix_host)
        } else {
            listed.mix_hosts.as_slice()
        };
        let mut addresses = Vec::new();
        let mut defect = None;
        for host in hosts {
            match tokio::net::lookup_host(host).await {
                Ok(found) => addresses.extend(found),
                Err(error) => defect = Some(format!("listed with host '{host}': {error}")),
            }
        }
        let key = signing::decode(&listed.sphinx_key);
        if key.is_none() {
            defect = Some(format!("listed with Sphinx key '{}', which is not 32 bytes of base58", listed.sphinx_key));
        } else if !addresses.is_empty() {
            // One resolved name is enough for a test.
            defect = None;
        }
        Self {
            identity: listed.identity_key.clone(),
            sphinx_key: listed.sphinx_key.clone(),
            layer: listed.layer,
            addresses,
            defect,
            key: key.unwrap_or_default(),
        }
    }

    /// Removes the addresses that nodes of such a network cannot have: an attacker may have listed them to redirect
    /// connections.
    #[must_use]
    pub fn within(mut self, reach: Reach) -> Self {
        let mut refused = None;
        self.addresses.retain(|address| match reach.check(*address) {
            Ok(_) => true,
            Err(reason) => {
                refused = Some(format!("listed with {address}, which {reason}"));
                false
            }
        });
        if self.addresses.is_empty() && self.defect.is_none() {
            self.defect = refused;
        }
        self
    }

    /// Whether it has an address of this family.
    pub(super) fn announces(&self, family: IpFamily) -> bool {
        family.first_in(&self.addresses).is_some()
    }

    /// The node at its address of this family.
    pub(crate) fn hop(&self, family: IpFamily) -> Option<Hop> {
        family.first_in(&self.addresses).map(|address| Hop { address, sphinx_key: self.key })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use nym_mixnode_api::testing;

    pub(in crate::check) fn listed(hosts: &[&str], key: &str) -> MixRegistration {
        MixRegistration {
            mix_hosts: hosts.iter().map(ToString::to_string).collect(),
            sphinx_key: key.to_owned(),
            layer: 2,
            ..testing::mix("identity", hosts[0])
        }
    }

    /// Node with this identity, of this layer.
    pub(crate) async fn target_of(identity: &str, layer: u64, hosts: &[&str]) -> Target {
        let listed = listed(hosts, &bs58::encode([9; 32]).into_string());
        Target::resolve(&MixRegistration { identity_key: identity.to_owned(), layer, ..listed }).await
    }

    #[tokio::test]
    async fn each_family_finds_its_address() {
        let key = bs58::encode([7; 32]).into_string();
        let target = Target::resolve(&listed(&["192.0.2.1:1789", "[2001:db8::1]:1790"], &key)).await;
        assert_eq!(target.defect, None);
        let v6 = Hop { address: "[2001:db8::1]:1790".parse().unwrap(), sphinx_key: [7; 32] };
        assert_eq!(target.hop(IpFamily::V6), Some(v6));
        assert_eq!(target.hop(IpFamily::V4).unwrap().address.to_string(), "192.0.2.1:1789");

        let mut old = listed(&["192.0.2.1:1789"], &key);
        old.mix_hosts.clear();
        let target = Target::resolve(&old).await;
        assert_eq!(target.hop(IpFamily::V6), None);
        assert!(target.hop(IpFamily::V4).is_some());
    }

    #[tokio::test]
    async fn an_unusable_entry_has_a_reason() {
        let target = Target::resolve(&listed(&["192.0.2.1:1789"], "0OIl")).await;
        assert!(target.defect.unwrap().contains("0OIl"));
        let key = bs58::encode([7; 32]).into_string();
        let target = Target::resolve(&listed(&["no port"], &key)).await;
        assert!(target.defect.unwrap().contains("no port"));
    }

    #[tokio::test]
    async fn addresses_of_other_kinds_of_networks_are_left_out() {
        let key = bs58::encode([7; 32]).into_string();
        let target = Target::resolve(&listed(&["36.68.243.18:1789", "127.0.0.1:6379"], &key)).await;
        let public = target.clone().within(Reach::Internet);
        assert_eq!(public.addresses, ["36.68.243.18:1789".parse().unwrap()]);
        assert_eq!(public.defect, None);
        assert_eq!(target.clone().within(Reach::Machine), target);
        let aimed = Target::resolve(&listed(&["127.0.0.1:6379"], &key)).await.within(Reach::Internet);
        assert!(aimed.addresses.is_empty());
        assert!(aimed.defect.is_some_and(|defect| defect.contains("127.0.0.1:6379") && defect.contains("loopback")));
    }
}
