//! Listening sockets with the options that all servers of this project use.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel completes before they are accepted.
const BACKLOG: i32 = 1024;

/// Binds `address` and listens, non-blocking. `others` are the other bind addresses of the same server.
///
/// `[::]` accepts IPv4 as well, unless `others` has an IPv4 address with the same port. On a machine without IPv6,
/// `[::]` means `0.0.0.0`; if `others` has such an IPv4 address, nothing is bound and the result is `None`.
pub fn listen_beside(address: SocketAddr, others: &[SocketAddr]) -> io::Result<Option<TcpListener>> {
    let has_ipv4 = others.iter().any(|other| other.is_ipv4() && other.port() == address.port());
    let every_ipv6 = address.is_ipv6() && address.ip().is_unspecified();
    match listen(address, has_ipv4 || !every_ipv6) {
        Err(error) if every_ipv6 && lacks_ipv6(&error) => {
            if has_ipv4 {
                tracing::info!(%address, "This machine has no IPv6: listening on IPv4 only");
                return Ok(None);
            }
            let instead = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
            tracing::info!(%address, %instead, "This machine has no IPv6: listening on IPv4 instead");
            listen(instead, false).map(Some)
        }
        listening => listening.map(Some),
    }
}

/// Binds and listens, non-blocking. `[::]` accepts IPv4 as well unless `v6_only`.
///
/// For about a second after an interface comes up, duplicate address detection runs, and its IPv6 address cannot be
/// bound. A program that starts with the machine must not fail because of that. So it binds such an address in
/// advance, and the socket receives connections as soon as the address is usable.
pub fn listen(address: SocketAddr, v6_only: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        match socket.set_only_v6(v6_only) {
            // IPV6_V6ONLY affects only the unspecified address.
            Err(error) if address.ip().is_unspecified() => return Err(error),
            _ => {}
        }
    }
    // After a restart, connections of the previous process may still be in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if crate::interfaces::is_tentative(address.ip()) {
        socket.set_freebind_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The first address after `taken`, on the same IP address, on which a server can listen now. If there is none nearby, as
/// in another network namespace, it is the next one.
#[must_use]
pub fn next_free(taken: SocketAddr) -> SocketAddr {
    const TRIED_MAX: u16 = 100;
    let after = |step| taken.port().checked_add(step).map(|port| SocketAddr::new(taken.ip(), port));
    let free = (1..=TRIED_MAX).filter_map(after).find(|address| TcpListener::bind(address).is_ok());
    free.or(after(1)).unwrap_or(taken)
}

/// Whether the kernel has no IPv6 at all: built without it, started with `ipv6.disable=1`, or forbidden by a sandbox.
pub fn is_unknown_family(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT)
}

/// Whether this error of `[::]` means that there is no IPv6: the family, its addresses or its options are unknown.
fn lacks_ipv6(error: &io::Error) -> bool {
    let unknown = [Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT, Errno::ADDRNOTAVAIL, Errno::NOPROTOOPT];
    Errno::from_io_error(error).is_some_and(|errno| unknown.contains(&errno))
}

#[cfg(any(test, feature = "testing"))]
pub mod without_ipv6;

#[cfg(test)]
mod tests {
    use super::without_ipv6::{NO_ADDRESS, NO_FAMILY, NO_OPTION};
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn bound(listener: &TcpListener) -> IpAddr {
        listener.local_addr().unwrap().ip()
    }

    #[test]
    fn every_address_is_that_of_ipv4_where_the_machine_has_no_ipv6() {
        for denied in [NO_FAMILY, NO_ADDRESS, NO_OPTION] {
            without_ipv6::run(denied, || {
                let listener = listen_beside(address("[::]:0"), &[]).unwrap().unwrap();
                assert_eq!(bound(&listener), Ipv4Addr::UNSPECIFIED, "{denied:?}");
                let beside = listen_beside(address("[::]:0"), &[address("[::]:0"), address("127.0.0.1:0")]);
                assert!(beside.unwrap().is_none(), "{denied:?}");
            });
        }
    }

    #[test]
    fn a_free_address_is_suggested_after_one_that_is_taken() {
        let taken = listen(address("127.0.0.6:0"), false).unwrap();
        let taken = taken.local_addr().unwrap();
        let free = next_free(taken);
        assert_eq!(free.ip(), taken.ip());
        assert!(free.port() > taken.port() || taken.port() == u16::MAX, "{free}");
        // An address of no interface here.
        assert_eq!(next_free(address("192.0.2.99:8000")), address("192.0.2.99:8001"));
    }

    #[test]
    fn a_single_ipv6_address_never_becomes_another_one() {
        let error = without_ipv6::run(NO_FAMILY, || listen_beside(address("[::1]:0"), &[]).unwrap_err());
        assert!(is_unknown_family(&error), "{error}");
        let foreign = listen_beside(address("[2001:db8::1]:0"), &[]).unwrap_err();
        assert_eq!(foreign.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn every_ipv6_address_takes_ipv4_unless_an_ipv4_address_has_the_port() {
        let first = listen_beside(address("[::]:0"), &[]).unwrap().unwrap();
        let port = first.local_addr().unwrap().port();
        let v4 = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        assert_eq!(listen_beside(v4, &[]).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        let all = [SocketAddr::new("::".parse().unwrap(), port), v4];
        let both: Vec<_> = all.iter().map(|address| listen_beside(*address, &all).unwrap().unwrap()).collect();
        assert_eq!(both.len(), 2);
    }
}
