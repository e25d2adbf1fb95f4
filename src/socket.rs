//! Sockets that listen, with the options that every server here wants.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::address;

/// Connections that the kernel completes before they are accepted.
const BACKLOG: i32 = 1024;

/// Binds and listens, without blocking. `[::]` takes IPv4 as well unless `v6_only`.
///
/// For a second or so after an interface has come up, the kernel still asks the link whether a neighbour has its IPv6
/// address, and lets nobody bind it. A program that starts with its machine must not fail for that: such an address is
/// bound beforehand, and hears from the moment it is the machine's own.
pub(crate) fn listen(address: SocketAddr, v6_only: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    // A restarted program must not wait for its predecessor's connections to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address::is_tentative(address.ip()) {
        socket.set_freebind_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
