//! Sockets that listen, with the options that every server here wants.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel completes before they are accepted.
const BACKLOG: i32 = 1024;

/// Binds `address` and listens, without blocking. `others` are the addresses that the same server listens on besides.
///
/// `[::]` takes IPv4 as well, unless `others` has an IPv4 address with the same port. On a machine without IPv6 it
/// stands for `0.0.0.0`; beside such an IPv4 address it is then left out, which is `None`.
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

/// Binds and listens, without blocking. `[::]` takes IPv4 as well unless `v6_only`.
///
/// For a second or so after an interface has come up, the kernel still asks the link whether a neighbour has its IPv6
/// address, and lets nobody bind it. A program that starts with its machine must not fail for that: such an address is
/// bound beforehand, and hears from the moment it is the machine's own.
pub fn listen(address: SocketAddr, v6_only: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        match socket.set_only_v6(v6_only) {
            // A single address has no IPv4 in any case.
            Err(error) if address.ip().is_unspecified() => return Err(error),
            _ => {}
        }
    }
    // A restarted program must not wait for its predecessor's connections to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if crate::is_tentative(address.ip()) {
        socket.set_freebind_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
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
