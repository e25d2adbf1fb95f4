//! Connection limits: total, and per address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts incoming connections against the limits.
#[derive(Debug)]
pub struct ConnectionLimits {
    total_max: usize,
    per_address_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_subscriber: HashMap<IpAddr, usize>,
}

/// Permit for one connection, released on drop.
#[derive(Debug)]
pub struct Permit {
    limits: Arc<ConnectionLimits>,
    subscriber: IpAddr,
}

impl ConnectionLimits {
    /// Creates limits on all connections, and on connections from one IPv4 address or one IPv6 /64.
    #[must_use]
    pub fn new(total_max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self { total_max, per_address_max, open: Mutex::default() })
    }

    /// Returns a permit for a connection from `ip`; `None` when a limit is reached.
    #[must_use]
    pub fn admit(self: &Arc<Self>, ip: IpAddr) -> Option<Permit> {
        let subscriber = subscriber_of(ip);
        let mut open = self.lock();
        if open.total >= self.total_max {
            return None;
        }
        let here = open.by_subscriber.entry(subscriber).or_default();
        if *here >= self.per_address_max {
            return None;
        }
        *here += 1;
        open.total += 1;
        Some(Permit { limits: Arc::clone(self), subscriber })
    }

    /// Number of open connections.
    #[must_use]
    pub fn open(&self) -> usize {
        self.lock().total
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        // The counters are consistent even after a panic: no update is partial.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.limits.lock();
        open.total -= 1;
        if let Some(here) = open.by_subscriber.get_mut(&self.subscriber) {
            *here -= 1;
            if *here == 0 {
                open.by_subscriber.remove(&self.subscriber);
            }
        }
    }
}

/// Groups addresses by subscriber: an IPv4 address or an IPv6 /64.
fn subscriber_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_apply_per_address_and_in_total_and_permits_are_released() {
        let limits = ConnectionLimits::new(3, 2);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = limits.admit(ip("2001:db8::1")).unwrap();
        let _second = limits.admit(ip("2001:db8::2")).unwrap();
        assert!(limits.admit(ip("2001:db8::3")).is_none(), "the same /64");
        let _third = limits.admit(ip("192.0.2.1")).unwrap();
        assert!(limits.admit(ip("192.0.2.2")).is_none(), "the total");
        drop(first);
        let _fourth = limits.admit(ip("::ffff:192.0.2.1")).unwrap();
        assert!(limits.admit(ip("192.0.2.1")).is_none());
        assert_eq!(limits.open(), 3);
    }
}
