//! Connection limits: total, and per place, which is an address or a network of one subscriber.
//!
//! When all connections are in use, a new one takes the place of one that has not sent a packet yet. The one closed is
//! the oldest of the place that has most of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::future::poll_fn;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Connections that were evicted and have not closed yet. While there are more, no other is evicted.
const CLOSING_MAX: usize = 64;
/// Connections kept for each listed address, at most half of all.
const KEPT_PER_LISTED: usize = 2;

/// Counts incoming connections against the limits.
#[derive(Debug)]
pub struct ConnectionLimits {
    total_max: usize,
    per_address_max: usize,
    open: Mutex<Open>,
}

/// Where connections come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    /// An address of the topology. It shares its limit with no other address of its network.
    Listed(IpAddr),
    /// An IPv4 address or an IPv6 /64.
    Subscriber(IpAddr),
}

#[derive(Debug, Default)]
struct Open {
    /// Without those that are closing.
    total: usize,
    /// Those of `total` that come from places that are not listed.
    unlisted: usize,
    closing: usize,
    places: HashMap<Place, OfPlace>,
    /// Every place with silent connections, by their number.
    silent: BTreeSet<(usize, Place)>,
    listed: HashSet<IpAddr>,
    next_number: u64,
    reached: Reached,
}

/// How often each limit was reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reached {
    /// Connections that came while all were in use: refused, or in the place of another.
    pub total: u64,
    /// Connections refused because their place had as many as it may.
    pub per_address: u64,
}

/// The connections of one place.
#[derive(Debug, Default)]
struct OfPlace {
    open: usize,
    /// Those that have not sent a packet, oldest first.
    silent: BTreeMap<u64, Arc<Eviction>>,
}

#[derive(Debug)]
struct Eviction {
    is_due: AtomicBool,
    waker: Waker,
}

/// Permit for one connection, released on drop.
#[derive(Debug)]
pub struct Permit {
    limits: Arc<ConnectionLimits>,
    place: Place,
    number: u64,
    /// `None` once it has sent a packet, and before it [can be evicted](Self::can_be_evicted).
    eviction: Option<Arc<Eviction>>,
}

/// The limit that a connection exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    Total,
    PerAddress,
}

impl ConnectionLimits {
    /// Creates limits on all connections, and on connections from one IPv4 address or one IPv6 /64.
    #[must_use]
    pub fn new(total_max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self { total_max, per_address_max, open: Mutex::default() })
    }

    /// Returns a permit for a connection from `ip`, if need be that of a connection that has not sent a packet.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Permit, Exceeded> {
        let mut open = self.lock();
        let place = open.place_of(ip);
        let here = open.places.get(&place).map_or(0, |here| here.open);
        if here >= self.per_address_max {
            open.reached.per_address += 1;
            return Err(Exceeded::PerAddress);
        }
        if open.is_full(place, self.total_max) {
            open.reached.total += 1;
            if !open.evict_for(place, here) {
                return Err(Exceeded::Total);
            }
        }
        let number = open.add(place);
        Ok(Permit { limits: Arc::clone(self), place, number, eviction: None })
    }

    /// Replaces the addresses of the topology. Each is a place of its own, and some connections are kept for them.
    pub fn set_listed(&self, addresses: impl Iterator<Item = IpAddr>) {
        let listed = addresses.map(|ip| ip.to_canonical()).collect();
        self.lock().listed = listed;
    }

    /// Number of open connections.
    #[must_use]
    pub fn open(&self) -> usize {
        self.lock().total
    }

    /// How often each limit was reached.
    #[must_use]
    pub fn reached(&self) -> Reached {
        self.lock().reached
    }

    /// Limit of open connections.
    #[must_use]
    pub fn total_max(&self) -> usize {
        self.total_max
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // The counters are consistent even after a panic: no update is partial.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn place_of(&self, ip: IpAddr) -> Place {
        let ip = ip.to_canonical();
        if self.listed.contains(&ip) { Place::Listed(ip) } else { Place::Subscriber(subscriber_of(ip)) }
    }

    fn is_full(&self, place: Place, total_max: usize) -> bool {
        let kept = (KEPT_PER_LISTED * self.listed.len()).min(total_max / 2);
        let is_unlisted = matches!(place, Place::Subscriber(_));
        self.total >= total_max || (is_unlisted && self.unlisted >= total_max - kept)
    }

    fn add(&mut self, place: Place) -> u64 {
        self.places.entry(place).or_default().open += 1;
        self.total += 1;
        self.unlisted += usize::from(matches!(place, Place::Subscriber(_)));
        self.next_number += 1;
        self.next_number
    }

    fn remove(&mut self, place: Place) {
        self.total -= 1;
        self.unlisted -= usize::from(matches!(place, Place::Subscriber(_)));
        if let Some(here) = self.places.get_mut(&place) {
            here.open -= 1;
            if here.open == 0 {
                self.places.remove(&place);
            }
        }
    }

    /// Changes the silent connections of a place.
    fn change_silent<R>(&mut self, place: Place, change: impl FnOnce(&mut BTreeMap<u64, Arc<Eviction>>) -> R) -> R {
        let silent = &mut self.places.entry(place).or_default().silent;
        let before = silent.len();
        let result = change(silent);
        let after = silent.len();
        if before != after {
            self.silent.remove(&(before, place));
            if after > 0 {
                self.silent.insert((after, place));
            }
        }
        result
    }

    /// Evicts a silent connection of the place that has most, if that place has more connections than the newcomer's,
    /// which has `here`.
    fn evict_for(&mut self, newcomer: Place, here: usize) -> bool {
        // A place that is kept for listed addresses helps no other.
        let helps = |place| matches!((newcomer, place), (Place::Listed(_), _) | (_, Place::Subscriber(_)));
        let largest = self.silent.iter().rev().map(|(_, place)| *place).find(|place| helps(*place));
        let Some(largest) = largest else { return false };
        if self.closing >= CLOSING_MAX || self.places.get(&largest).is_none_or(|of| of.open <= here) {
            return false;
        }
        let Some((_, evicted)) = self.change_silent(largest, BTreeMap::pop_first) else { return false };
        self.remove(largest);
        self.closing += 1;
        evicted.is_due.store(true, Ordering::Release);
        evicted.waker.wake_by_ref();
        true
    }

    /// Makes a silent connection one that stays; `false` if it is evicted already.
    fn keep(&mut self, place: Place, number: u64) -> bool {
        self.places.contains_key(&place) && self.change_silent(place, |silent| silent.remove(&number)).is_some()
    }
}

impl Permit {
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Lets a new connection take its place until it has [sent a packet](Self::has_sent). Wakes the owner to
    /// [look](Self::is_evicted).
    pub fn can_be_evicted(&mut self, waker: &Waker) {
        let eviction = Arc::new(Eviction { is_due: AtomicBool::new(false), waker: waker.clone() });
        self.limits.lock().change_silent(self.place, |silent| silent.insert(self.number, Arc::clone(&eviction)));
        self.eviction = Some(eviction);
    }

    /// As [`can_be_evicted`](Self::can_be_evicted), by the task that awaits this, which must own the connection from now on.
    pub async fn give_way(&mut self) {
        poll_fn(|context| {
            self.can_be_evicted(context.waker());
            Poll::Ready(())
        })
        .await;
    }

    /// Completes once a new connection has taken the place of this one, so that this one must end. Cancel-safe.
    pub async fn evicted(&self) {
        // The eviction wakes the task.
        poll_fn(|_| if self.is_evicted() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Keeps the connection open from now on: it has sent a packet.
    pub fn has_sent(&mut self) {
        if self.eviction.is_some() && self.limits.lock().keep(self.place, self.number) {
            self.eviction = None;
        }
    }

    /// Whether a new connection has taken its place, so that this one must end.
    #[must_use]
    pub fn is_evicted(&self) -> bool {
        self.eviction.as_ref().is_some_and(|eviction| eviction.is_due.load(Ordering::Acquire))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.limits.lock();
        if self.eviction.is_some() && !open.keep(self.place, self.number) {
            // It was counted out when it was evicted.
            open.closing -= 1;
        } else {
            open.remove(self.place);
        }
    }
}

/// Groups addresses by subscriber: an IPv4 address or an IPv6 /64.
fn subscriber_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests;
