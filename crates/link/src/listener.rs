//! Receiving frames: bound sockets, connection limits, and packets with arrival times.

mod accept;
mod connection;
mod limits;
mod turns;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use nym_mixnode_net::{BindAddr, is_globally_routable, socket};
use nym_mixnode_wire::FrameError;
use thiserror::Error;

pub use accept::{Admitted, accept};
pub use connection::{Intake, Share, serve, serve_all};
pub use limits::{ConnectionLimits, Exceeded, Permit, Reached};

/// Counters of the listener.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    received: AtomicU64,
    bad_frames: [AtomicU64; FrameError::KINDS],
    timeouts: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    /// Connections accepted within the limits.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Complete frames received.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Malformed frames, each of which closed its connection, by [`FrameError::kind`].
    #[must_use]
    pub fn bad_frames(&self) -> [u64; FrameError::KINDS] {
        std::array::from_fn(|kind| self.bad_frames[kind].load(Ordering::Relaxed))
    }

    /// Connections closed because of a [deadline](Deadlines).
    #[must_use]
    pub fn timeouts(&self) -> u64 {
        self.timeouts.load(Ordering::Relaxed)
    }

    /// Connections closed at once because of a [connection limit](ConnectionLimits).
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Failed binding of an address, with its cause and a remedy.
#[derive(Debug, Error)]
pub enum BindError {
    /// Another process has the port.
    #[error(
        "cannot listen on {0}: the address is in use; stop the program that uses the port (`ss -ltnp` shows it) or \
         choose another port (--port; for clients of a gateway --gateway-listen and --gateway-tls-listen)"
    )]
    InUse(SocketAddr),
    /// No interface of this machine has the address.
    #[error(
        "cannot listen on {address}: AddrNotAvailable, no interface of this machine has that address: {}",
        advice(*.address, *.own)
    )]
    NotAvailable {
        address: SocketAddr,
        /// The address to suggest instead.
        own: BindAddr,
    },
    /// The port is a privileged one.
    #[error("cannot listen on {0}: permission denied; choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE")]
    Forbidden(SocketAddr),
    /// The kernel has no IPv6.
    #[error("cannot listen on {0}: this machine has no IPv6; take the address out of --host (listen.addresses)")]
    NoIpv6(SocketAddr),
    /// Any other error.
    #[error("cannot listen on {0}: {1}")]
    Other(SocketAddr, #[source] io::Error),
}

/// Advice for an address that is not on this machine.
fn advice(address: SocketAddr, own: BindAddr) -> String {
    if is_globally_routable(address.ip()) {
        return format!(
            "on AWS, Google and others the public address is on no interface; bind to this machine's own with --host, \
             such as {own}, and announce the public one with --announce-host {}",
            address.ip()
        );
    }
    // Announcing it would not help: other machines cannot reach it either.
    format!("pass a local address with --host (`ip address` lists them), or {own} for all of them")
}

/// Binds and listens. `[::]` accepts IPv4 as well, unless `others` has an IPv4 address with the same port.
///
/// On a machine without IPv6, `[::]` means `0.0.0.0`; if `others` has such an IPv4 address, the result is `None`.
///
/// # Errors
/// When the address cannot be bound; no socket is left open.
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
    fn a_taken_port_and_a_foreign_address_have_different_errors() {
        let bind = |address: &str| bind(BindAddr::new(address.parse().unwrap()), &[]);
        let first = bind("127.0.0.1:0").unwrap().unwrap();
        let taken = first.local_addr().unwrap();
        assert!(matches!(bind(&taken.to_string()), Err(BindError::InUse(address)) if address == taken));
        let error = bind("36.68.243.18:1789").unwrap_err();
        assert!(matches!(error, BindError::NotAvailable { .. }));
        assert!(error.to_string().contains("--announce-host 36.68.243.18"), "{error}");
        // A private address must not be announced, local or not.
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
    fn an_ipv6_address_without_ipv6_support_is_rejected_with_advice() {
        let address = BindAddr::new("[::1]:0".parse().unwrap());
        let error = without_ipv6::run(without_ipv6::NO_FAMILY, || bind(address, &[]).unwrap_err());
        assert!(matches!(error, BindError::NoIpv6(refused) if refused == address.get()), "{error}");
        assert!(error.to_string().contains("--host"), "{error}");
    }
}
