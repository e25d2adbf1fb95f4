//! How many connections there may be, in total and from one place.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts incoming connections against their caps.
#[derive(Debug)]
pub struct ConnectionLimits {
    total_max: usize,
    per_place_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_place: HashMap<IpAddr, usize>,
}

/// The right to one connection; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    limits: Arc<ConnectionLimits>,
    place: IpAddr,
}

impl ConnectionLimits {
    /// Caps on connections: in total, and from one IPv4 address or one IPv6 /64.
    #[must_use]
    pub fn new(total_max: usize, per_place_max: usize) -> Arc<Self> {
        Arc::new(Self { total_max, per_place_max, open: Mutex::default() })
    }

    /// A permit for a connection from `ip`, unless a cap is reached.
    #[must_use]
    pub fn admit(self: &Arc<Self>, ip: IpAddr) -> Option<Permit> {
        let place = place_of(ip);
        let mut open = self.lock();
        if open.total >= self.total_max {
            return None;
        }
        let here = open.by_place.entry(place).or_default();
        if *here >= self.per_place_max {
            return None;
        }
        *here += 1;
        open.total += 1;
        Some(Permit { limits: Arc::clone(self), place })
    }

    /// Open connections.
    #[must_use]
    pub fn open(&self) -> usize {
        self.lock().total
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        // Counters are whole after any panic: nothing between lock and unlock can fail half-way.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.limits.lock();
        open.total -= 1;
        if let Some(here) = open.by_place.get_mut(&self.place) {
            *here -= 1;
            if *here == 0 {
                open.by_place.remove(&self.place);
            }
        }
    }
}

/// One subscriber has a whole IPv6 /64, and one IPv4 address.
fn place_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_hold_by_place_and_in_total_and_permits_come_back() {
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
