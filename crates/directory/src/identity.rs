//! Check before registering with a directory without proofs: does another node have our address?

use std::net::{IpAddr, SocketAddr};

use nym_mixnode_api::Topology;
use tracing::warn;

use super::DirectoryError;
use super::announcement::Announcement;

/// Conflict that must be resolved before registering.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    None,
    /// Stale entry of another node at our address.
    StaleEntry {
        /// Our address.
        address: SocketAddr,
        /// Identity of the other node.
        holder: String,
    },
}

/// Checks that our registration takes no address from a running node.
///
/// `listen` are our bound addresses. If the contested address is this machine's own, its listed holder cannot be there
/// and the entry is stale, for example when another pod got the address of a restarted one. With `force`, all entries
/// at our addresses count as stale.
pub(super) fn check<A: Announcement>(
    topology: &Topology,
    ours: &A,
    listen: &[SocketAddr],
    force: bool,
) -> Result<Conflict, DirectoryError> {
    let announced = ours.addresses();
    if let Some((address, holder)) = other_holder(topology, ours.identity(), &announced) {
        if force || is_ourselves(address, listen) {
            return Ok(Conflict::StaleEntry { address, holder });
        }
        return Err(DirectoryError::AddressTaken { address, holder });
    }
    let Some(entry) = A::listed(topology, ours.identity()) else { return Ok(Conflict::None) };
    if entry.addresses().iter().any(|address| announced.contains(address)) {
        return Ok(Conflict::None);
    }
    warn!(listed_host = %entry.host(), our_host = %ours.host(),
        "this identity is registered at another address; replacing that registration");
    Ok(Conflict::None)
}

/// The first of these addresses that another identity has registered, with that identity.
fn other_holder(topology: &Topology, identity: &str, addresses: &[SocketAddr]) -> Option<(SocketAddr, String)> {
    let mixes = topology.mix_nodes.iter().map(|mix| (&mix.registration.identity_key, mix.announced_addresses()));
    let gateways =
        topology.gateways.iter().map(|gateway| (&gateway.registration.identity_key, gateway.announced_addresses()));
    mixes.chain(gateways).filter(|(holder, _)| *holder != identity).find_map(|(holder, taken)| {
        let address = addresses.iter().find(|address| taken.contains(address))?;
        Some((*address, holder.clone()))
    })
}

/// Whether it is a local address with a port that we listen on. Never true behind NAT.
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
    use nym_mixnode_api::testing::{listed, mix};

    fn listing(identity: &str, host: &str) -> Topology {
        Topology { mix_nodes: vec![listed(mix(identity, host))], ..Topology::default() }
    }

    #[test]
    fn an_unknown_identity_and_our_own_entry_pass() {
        let ours = mix("me", "192.0.2.1:1789");
        for topology in [Topology::default(), listing("me", "192.0.2.1:1789"), listing("other", "192.0.2.1:1790")] {
            assert_eq!(check(&topology, &ours, &[], false).unwrap(), Conflict::None);
        }
    }

    #[test]
    fn another_identity_on_any_of_our_addresses_is_an_error_unless_forced() {
        let mut ours = mix("me", "192.0.2.1:1789");
        let taken: SocketAddr = "[2001:db8::1]:1789".parse().unwrap();
        ours.mix_hosts = vec!["192.0.2.1:1789".into(), taken.to_string()];
        let topology = listing("other", &taken.to_string());
        let error = check(&topology, &ours, &[], false).unwrap_err();
        let expected = format!("{taken} is registered by another node, other;");
        assert!(
            matches!(error, DirectoryError::AddressTaken { .. }) && error.to_string().starts_with(&expected),
            "{error}"
        );
        let stale = Conflict::StaleEntry { address: taken, holder: "other".into() };
        assert_eq!(check(&topology, &ours, &[], true).unwrap(), stale);
    }

    #[test]
    fn another_identity_at_our_own_listen_address_is_a_stale_entry() {
        let address: SocketAddr = "127.0.0.1:1789".parse().unwrap();
        let ours = mix("me", address.to_string());
        let topology = listing("other", &address.to_string());
        let stale = Conflict::StaleEntry { address, holder: "other".into() };
        assert_eq!(check(&topology, &ours, &[address], false).unwrap(), stale);
        // Another program has the port if we listen elsewhere.
        let elsewhere = SocketAddr::new(address.ip(), 1);
        let error = check(&topology, &ours, &[elsewhere], false).unwrap_err();
        assert!(matches!(error, DirectoryError::AddressTaken { .. }), "{error}");
    }

    #[test]
    fn our_identity_elsewhere_is_no_obstacle() {
        let ours = mix("me", "192.0.2.1:1789");
        let elsewhere = listing("me", "192.0.2.9:1789");
        assert_eq!(check(&elsewhere, &ours, &[], false).unwrap(), Conflict::None);
    }

    #[test]
    fn a_port_that_we_do_not_listen_on_is_not_ourselves() {
        let ours = mix("me", "127.0.0.1:1789");
        let topology = listing("other", "127.0.0.1:1789");
        let wildcard = SocketAddr::from(([0, 0, 0, 0], 1789));
        assert!(matches!(check(&topology, &ours, &[wildcard], false), Ok(Conflict::StaleEntry { .. })));
        let other_port = SocketAddr::from(([0, 0, 0, 0], 1790));
        check(&topology, &ours, &[other_port], false).unwrap_err();
    }
}
