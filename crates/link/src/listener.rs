//! Taking frames from the network: bound sockets, capped connections, and packets stamped with their arrival.

mod accept;
mod connection;
mod limits;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nym_mixnode_net::{BindAddr, is_globally_routable, socket};
use nym_mixnode_wire::FrameError;
use thiserror::Error;

pub use accept::{Admitted, accept};
pub use connection::{Intake, serve};
pub use limits::{ConnectionLimits, Permit};

/// When the node drains, how long a connection or bytes that are already on their way may take to show. A sender's
/// kernel holds back the rest of what it was given until our acknowledgement, which may be delayed by 40 ms.
const LAST_CALL: Duration = Duration::from_millis(100);

/// How long a peer may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// A frame that has begun must be whole within this.
    pub frame: Duration,
    /// A connection without bytes is closed after this.
    pub idle: Duration,
}

/// What the listener counts.
#[derive(Debug, Default)]
pub struct Counters {
    received: AtomicU64,
    bad_frames: [AtomicU64; FrameError::KINDS],
    timeouts: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    /// Whole frames taken from the network.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Frames that closed their connection, by [`FrameError::kind`].
    #[must_use]
    pub fn bad_frames(&self) -> [u64; FrameError::KINDS] {
        std::array::from_fn(|kind| self.bad_frames[kind].load(Ordering::Relaxed))
    }

    /// Connections closed because a frame took too long or nothing came at all.
    #[must_use]
    pub fn timeouts(&self) -> u64 {
        self.timeouts.load(Ordering::Relaxed)
    }

    /// Connections closed at once because there are too many.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// An address that cannot be listened on, why, and what to do.
#[derive(Debug, Error)]
pub enum BindError {
    /// Another process has the port.
    #[error(
        "cannot listen on {0}: the address is in use; stop the program that holds the port (`ss -ltnp` names it) or \
         choose another with --port"
    )]
    InUse(SocketAddr),
    /// No interface of this machine has the address.
    #[error(
        "cannot listen on {address}: AddrNotAvailable, no interface of this machine has that address: {}",
        advice(*.address, *.own)
    )]
    NotAvailable {
        /// The foreign address.
        address: SocketAddr,
        /// What can be listened on.
        own: BindAddr,
    },
    /// The port is a privileged one.
    #[error("cannot listen on {0}: permission denied; choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE")]
    Forbidden(SocketAddr),
    /// The kernel has no IPv6.
    #[error("cannot listen on {0}: this machine has no IPv6; take the address out of --host (listen.addresses)")]
    NoIpv6(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {0}: {1}")]
    Other(SocketAddr, #[source] io::Error),
}

/// What to do about an address that this machine does not have.
fn advice(address: SocketAddr, own: BindAddr) -> String {
    if is_globally_routable(address.ip()) {
        return format!(
            "on AWS, Google and others the public address is on no interface; bind to this machine's own with --host, \
             such as {own}, and announce the public one with --announce-host {}",
            address.ip()
        );
    }
    // Announcing it would help nobody: other machines cannot reach it either.
    format!("bind to one that it has with --host (`ip address` lists them), such as {own} for all of them")
}

/// Binds and listens. `[::]` takes IPv4 as well, unless `others` has an IPv4 address with the same port. On a machine
/// without IPv6 it stands for `0.0.0.0`, and beside an IPv4 address with the same port it is left out (`None`).
///
/// # Errors
/// When the address cannot be bound; nothing is left open.
pub fn bind(address: BindAddr, others: &[BindAddr]) -> Result<Option<std::net::TcpListener>, BindError> {
    let address = address.get();
    let others: Vec<SocketAddr> = others.iter().map(|other| other.get()).collect();
    socket::listen_beside(address, &others).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address),
        io::ErrorKind::AddrNotAvailable => {
            BindError::NotAvailable { address, own: BindAddr::everywhere(address.port()) }
        }
        io::ErrorKind::PermissionDenied => BindError::Forbidden(address),
        _ if socket::is_unknown_family(&error) => BindError::NoIpv6(address),
        _ => BindError::Other(address, error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nym_mixnode_net::socket::without_ipv6;

    #[test]
    fn a_taken_port_and_a_foreign_address_are_told_apart() {
        let bind = |address: &str| bind(BindAddr::new(address.parse().unwrap()), &[]);
        let first = bind("127.0.0.1:0").unwrap().unwrap();
        let taken = first.local_addr().unwrap();
        assert!(matches!(bind(&taken.to_string()), Err(BindError::InUse(address)) if address == taken));
        let error = bind("36.68.243.18:1789").unwrap_err();
        assert!(matches!(error, BindError::NotAvailable { .. }));
        assert!(error.to_string().contains("--announce-host 36.68.243.18"), "{error}");
        // A private address is no address to announce, whether or not it is this machine's.
        let error = advice("10.126.5.7:1789".parse().unwrap(), BindAddr::everywhere(1789));
        assert!(!error.contains("--announce-host") && error.contains("--host"), "{error}");
    }

    #[test]
    fn both_families_may_share_a_port() {
        let v4 = bind(BindAddr::new("127.0.0.1:0".parse().unwrap()), &[]).unwrap().unwrap();
        let port = v4.local_addr().unwrap().port();
        bind(BindAddr::new(SocketAddr::new("::1".parse().unwrap(), port)), &[]).unwrap();
    }

    #[test]
    fn an_ipv6_address_of_a_machine_without_ipv6_is_refused_with_what_to_do() {
        let address = BindAddr::new("[::1]:0".parse().unwrap());
        let error = without_ipv6::run(without_ipv6::NO_FAMILY, || bind(address, &[]).unwrap_err());
        assert!(matches!(error, BindError::NoIpv6(refused) if refused == address.get()), "{error}");
        assert!(error.to_string().contains("--host"), "{error}");
    }
}
