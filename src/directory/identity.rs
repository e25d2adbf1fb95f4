//! Before the first registration: is our address, or our identity, somebody's already?

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::warn;

use super::DirectoryError;
use crate::api::{MixRegistration, Topology};

/// How long the node at the listed address has to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// A node announces one or two addresses; a directory's list is not trusted to be short.
const ADDRESSES_TRIED_MAX: usize = 4;

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
pub(super) async fn check(
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
    let registered = entry.announced_addresses();
    if registered.iter().any(|address| announced.contains(address)) {
        return Ok(InTheWay::Nothing);
    }
    if !force {
        for &address in registered.iter().take(ADDRESSES_TRIED_MAX) {
            if answers(address, listen).await {
                return Err(DirectoryError::IdentityInUse { identity: ours.identity_key.clone(), address });
            }
        }
    }
    warn!(listed_host = %entry.registration.mix_host, our_host = %ours.mix_host, forced = force,
        "our identity was registered at another address; replacing that registration");
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

/// Whether another node answers there.
async fn answers(address: SocketAddr, listen: &[SocketAddr]) -> bool {
    !is_ourselves(address, listen) && matches!(timeout(ANSWER_TIMEOUT, TcpStream::connect(address)).await, Ok(Ok(_)))
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
    use crate::api::RegisteredMix;
    use tokio::net::TcpListener;

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

    async fn listening(ip: &str) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn an_unknown_identity_and_our_own_entry_pass() {
        let ours = mix("me", "192.0.2.1:1789");
        for topology in [Topology::default(), listing("me", "192.0.2.1:1789"), listing("other", "192.0.2.1:1790")] {
            assert_eq!(check(&topology, &ours, &[], false).await.unwrap(), InTheWay::Nothing);
        }
    }

    #[tokio::test]
    async fn another_identity_on_any_of_our_addresses_is_an_error_unless_forced() {
        let mut ours = mix("me", "192.0.2.1:1789");
        let taken: SocketAddr = "[2001:db8::1]:1789".parse().unwrap();
        ours.mix_hosts = vec!["192.0.2.1:1789".into(), taken.to_string()];
        let topology = listing("other", &taken.to_string());
        let error = check(&topology, &ours, &[], false).await.unwrap_err();
        let told = format!("{taken} is registered by another node, other;");
        assert!(
            matches!(error, DirectoryError::AddressTaken { .. }) && error.to_string().starts_with(&told),
            "{error}"
        );
        let leftover = InTheWay::Leftover { address: taken, holder: "other".into() };
        assert_eq!(check(&topology, &ours, &[], true).await.unwrap(), leftover);
    }

    #[tokio::test]
    async fn another_identity_at_an_address_that_leads_to_ourselves_is_a_leftover() {
        let (_listener, address) = listening("127.0.0.1").await;
        let ours = mix("me", &address.to_string());
        let topology = listing("other", &address.to_string());
        let leftover = InTheWay::Leftover { address, holder: "other".into() };
        assert_eq!(check(&topology, &ours, &[address], false).await.unwrap(), leftover);
        // Whoever answers there is somebody else if we listen elsewhere.
        let elsewhere = SocketAddr::new(address.ip(), 1);
        let error = check(&topology, &ours, &[elsewhere], false).await.unwrap_err();
        assert!(matches!(error, DirectoryError::AddressTaken { .. }), "{error}");
    }

    #[tokio::test]
    async fn our_identity_elsewhere_is_an_error_only_when_a_node_answers_there() {
        // No other test binds on this address, so the port stays free once it is dropped.
        let (listener, address) = listening("127.0.0.4").await;
        let ours = mix("me", "192.0.2.1:1789");
        let topology = listing("me", &address.to_string());

        let error = check(&topology, &ours, &[], false).await.unwrap_err();
        assert!(matches!(&error, DirectoryError::IdentityInUse { address: at, .. } if *at == address), "{error}");
        assert!(error.to_string().contains("--force"), "{error}");
        check(&topology, &ours, &[], true).await.unwrap();

        drop(listener);
        check(&topology, &ours, &[], false).await.unwrap();
    }

    #[tokio::test]
    async fn an_old_address_that_leads_to_ourselves_is_not_another_node() {
        let (_listener, address) = listening("127.0.0.1").await;
        let ours = mix("me", "192.0.2.1:1789");
        let topology = listing("me", &address.to_string());
        let wildcard = SocketAddr::from(([0, 0, 0, 0], address.port()));
        check(&topology, &ours, &[address], false).await.unwrap();
        check(&topology, &ours, &[wildcard], false).await.unwrap();
        let other_port = SocketAddr::from(([0, 0, 0, 0], address.port() ^ 1));
        check(&topology, &ours, &[other_port], false).await.unwrap_err();
    }
}
