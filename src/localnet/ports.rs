//! Ports for the registry and the nodes, reserved until their processes bind them.

use std::io;
use std::net::TcpListener;

use nym_mixnode_monitor::IpFamily;

use super::error::LocalnetError;

/// Attempts to find a port that is free over IPv4 and IPv6.
const ATTEMPTS_MAX: usize = 100;

/// Port that no other process can bind until this is dropped.
#[derive(Debug)]
pub(super) struct ReservedPort {
    port: u16,
    held: Vec<TcpListener>,
}

impl ReservedPort {
    pub(super) fn number(&self) -> u16 {
        self.port
    }

    /// Releases the port for the process that binds it next.
    pub(super) fn release(self) -> u16 {
        drop(self.held);
        self.port
    }
}

/// Reserves `count` ports on the loopback addresses: consecutive ones from `base`, or any free ones.
pub(super) fn reserve(
    count: usize,
    base: Option<u16>,
    families: &[IpFamily],
) -> Result<Vec<ReservedPort>, LocalnetError> {
    let Some(base) = base else {
        let free = |_| reserve_free(families).map_err(LocalnetError::NoFreePort);
        return (0..count).map(free).collect();
    };
    let ports: Vec<u16> = (base..=u16::MAX).take(count).collect();
    if ports.len() < count {
        return Err(LocalnetError::PortRange { base, needed: count });
    }
    let exact = |port| reserve_exact(port, families).map_err(|reason| LocalnetError::Port { port, reason });
    ports.into_iter().map(exact).collect()
}

fn reserve_free(families: &[IpFamily]) -> io::Result<ReservedPort> {
    let mut refused = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS_MAX {
        let Some((first, others)) = families.split_first() else { break };
        let listener = TcpListener::bind((first.loopback(), 0))?;
        let port = listener.local_addr()?.port();
        match reserve_exact(port, others) {
            Ok(mut reserved) => {
                reserved.held.push(listener);
                return Ok(reserved);
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn reserve_exact(port: u16, families: &[IpFamily]) -> io::Result<ReservedPort> {
    let held = families.iter().map(|family| TcpListener::bind((family.loopback(), port))).collect::<io::Result<_>>()?;
    Ok(ReservedPort { port, held })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &[IpFamily] = &[IpFamily::V4];

    #[test]
    fn free_ports_are_distinct_held_and_then_given_up() {
        let mut reserved = reserve(5, None, V4).unwrap();
        let mut ports: Vec<u16> = reserved.iter().map(|reserved| reserved.port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 5);
        let one = reserved.pop().unwrap();
        let port = one.port;
        assert!(TcpListener::bind((IpFamily::V4.loopback(), port)).is_err());
        assert_eq!(one.release(), port);
        assert!(TcpListener::bind((IpFamily::V4.loopback(), port)).is_ok());
    }

    #[test]
    fn a_taken_port_is_named_with_the_way_out() {
        let taken = TcpListener::bind((IpFamily::V4.loopback(), 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = reserve(1, Some(port), V4).unwrap_err();
        let words = error.to_string();
        assert!(words.contains(&port.to_string()) && words.contains("--base-port"), "{words}");
        assert_eq!(error.exit_code().code(), 69);
    }

    #[test]
    fn ports_beyond_the_last_are_a_usage_error() {
        let error = reserve(7, Some(65_530), V4).unwrap_err();
        assert_eq!(error.exit_code().code(), 64);
        assert!(error.to_string().contains("65530"));
    }
}
