//! Before the first registration with a directory that asks for no proof: is our address another node's?

use std::net::{IpAddr, SocketAddr};

use nym_mixnode_api::{MixRegistration, Topology};
use tracing::warn;

use super::DirectoryError;

/// What has to go before we can be registered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InTheWay {
    Nothing,
    /// The entry of a node that is not at our address any more.
    Leftover {
        /// Ours.
        address: SocketAddr,
        /// The node's identity.
        holder: String,
    },
}

/// Checks that no other node would suffer from our registration.
///
/// `listen` are our own bound addresses. Who is listed at an address that leads to ourselves cannot be there: addresses
/// of pods, say, are given to others when the pods come back. With `force` that is taken for granted of any address of
/// ours.
pub(super) fn check(
    topology: &Topology,
    ours: &MixRegistration,
    listen: &[SocketAddr],
    force: bool,
) -> Result<InTheWay, DirectoryError> {
    let announced = ours.announced_addresses();
    if let Some((address, holder)) = other_holder(topology, &ours.identity_key, &announced) {
        if force || is_ourselves(address, listen) {
            return Ok(InTheWay::Leftover { address, holder });
        }
        return Err(DirectoryError::AddressTaken { address, holder });
    }
    let Some(entry) = topology.mix(&ours.identity_key) else { return Ok(InTheWay::Nothing) };
    if entry.announced_addresses().iter().any(|address| announced.contains(address)) {
        return Ok(InTheWay::Nothing);
    }
    warn!(listed_host = %entry.registration.mix_host, our_host = %ours.mix_host,
        "our identity is registered at another address; replacing that registration");
    Ok(InTheWay::Nothing)
}

/// The first of these addresses that a node with another identity has registered, and that identity.
fn other_holder(topology: &Topology, identity: &str, addresses: &[SocketAddr]) -> Option<(SocketAddr, String)> {
    let mixes = topology.mix_nodes.iter().map(|mix| (&mix.registration.identity_key, mix.announced_addresses()));
    let gateways =
        topology.gateways.iter().map(|gateway| (&gateway.registration.identity_key, gateway.announced_addresses()));
    mixes.chain(gateways).filter(|(holder, _)| *holder != identity).find_map(|(holder, taken)| {
        let address = addresses.iter().find(|address| taken.contains(address))?;
        Some((*address, holder.clone()))
    })
}

/// Whether the address is this machine's, with a port that we listen on. Behind a translation of addresses it never is.
fn is_ourselves(address: SocketAddr, listen: &[SocketAddr]) -> bool {
    let takes = |own: &SocketAddr| own.ip() == address.ip() || own.ip().is_unspecified() && is_local(address.ip());
    listen.iter().any(|own| own.port() == address.port() && takes(own))
}

fn is_local(ip: IpAddr) -> bool {
    let of_an_interface = || if_addrs::get_if_addrs().is_ok_and(|all| all.iter().any(|interface| interface.ip() == ip));
    ip.is_loopback() || of_an_interface()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nym_mixnode_api::RegisteredMix;

    fn mix(identity: &str, host: &str) -> MixRegistration {
        MixRegistration {
            mix_host: host.into(),
            mix_hosts: Vec::new(),
            identity_key: identity.into(),
            sphinx_key: "s".into(),
            version: "0.9.2".into(),
            location: String::new(),
            incentives_address: String::new(),
            layer: 1,
            proof: None,
        }
    }

    fn listing(identity: &str, host: &str) -> Topology {
        let registered = RegisteredMix { registration: mix(identity, host), registration_time: 1, reputation: 0 };
        Topology { mix_nodes: vec![registered], ..Topology::default() }
    }

    #[test]
    fn an_unknown_identity_and_our_own_entry_pass() {
        let ours = mix("me", "192.0.2.1:1789");
        for topology in [Topology::default(), listing("me", "192.0.2.1:1789"), listing("other", "192.0.2.1:1790")] {
            assert_eq!(check(&topology, &ours, &[], false).unwrap(), InTheWay::Nothing);
        }
    }

    #[test]
    fn another_identity_on_any_of_our_addresses_is_an_error_unless_forced() {
        let mut ours = mix("me", "192.0.2.1:1789");
        let taken: SocketAddr = "[2001:db8::1]:1789".parse().unwrap();
        ours.mix_hosts = vec!["192.0.2.1:1789".into(), taken.to_string()];
        let topology = listing("other", &taken.to_string());
        let error = check(&topology, &ours, &[], false).unwrap_err();
        let told = format!("{taken} is registered by another node, other;");
        assert!(
            matches!(error, DirectoryError::AddressTaken { .. }) && error.to_string().starts_with(&told),
            "{error}"
        );
        let leftover = InTheWay::Leftover { address: taken, holder: "other".into() };
        assert_eq!(check(&topology, &ours, &[], true).unwrap(), leftover);
    }

    #[test]
    fn another_identity_at_an_address_that_leads_to_ourselves_is_a_leftover() {
        let address: SocketAddr = "127.0.0.1:1789".parse().unwrap();
        let ours = mix("me", &address.to_string());
        let topology = listing("other", &address.to_string());
        let leftover = InTheWay::Leftover { address, holder: "other".into() };
        assert_eq!(check(&topology, &ours, &[address], false).unwrap(), leftover);
        // Whoever answers there is somebody else if we listen elsewhere.
        let elsewhere = SocketAddr::new(address.ip(), 1);
        let error = check(&topology, &ours, &[elsewhere], false).unwrap_err();
        assert!(matches!(error, DirectoryError::AddressTaken { .. }), "{error}");
    }

    #[test]
    fn our_identity_elsewhere_is_no_obstacle() {
        let ours = mix("me", "192.0.2.1:1789");
        let elsewhere = listing("me", "192.0.2.9:1789");
        assert_eq!(check(&elsewhere, &ours, &[], false).unwrap(), InTheWay::Nothing);
    }

    #[test]
    fn a_port_that_we_do_not_listen_on_is_not_ourselves() {
        let ours = mix("me", "127.0.0.1:1789");
        let topology = listing("other", "127.0.0.1:1789");
        let wildcard = SocketAddr::from(([0, 0, 0, 0], 1789));
        assert!(matches!(check(&topology, &ours, &[wildcard], false), Ok(InTheWay::Leftover { .. })));
        let other_port = SocketAddr::from(([0, 0, 0, 0], 1790));
        check(&topology, &ours, &[other_port], false).unwrap_err();
    }
}
