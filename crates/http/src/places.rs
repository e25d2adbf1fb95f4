//! Connection limits of a server, and the choice of connections to close at a limit.
//!
//! A new connection is always accepted. At the limit of its subscriber, its network or the server, another connection
//! is closed: in the network and at the subscriber with the most connections, the one without progress for longest,
//! where connections whose request is being served come last.
//! Clients with many slow connections therefore lose their own connections, and do not block others.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use nym_mixnode_net::prefix;

use super::activity::Activity;

/// Maximum numbers of connections.
#[derive(Debug, Clone, Copy)]
pub struct PlaceLimits {
    /// Total.
    pub total: usize,
    /// Per IPv4 /24 or IPv6 /48.
    pub per_network: usize,
    /// Per IPv4 address or IPv6 /64.
    pub per_subscriber: usize,
}

/// The open connections of a server.
#[derive(Debug)]
pub(super) struct Places {
    limits: PlaceLimits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next_id: u64,
    by_id: HashMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    subscriber: IpNet,
    network: IpNet,
    activity: Arc<Activity>,
}

/// The slot of a connection, released on drop.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
}

impl Places {
    pub(super) fn new(limits: PlaceLimits) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default() })
    }

    /// Admits a connection from `ip`, and closes others at a limit.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr, activity: &Arc<Activity>) -> Place {
        let new = Connection {
            subscriber: prefix::subscriber(ip),
            network: prefix::network(ip),
            activity: Arc::clone(activity),
        };
        let mut open = self.lock();
        while let Some(victim) = open.victim(&new, &self.limits) {
            if let Some(closed) = open.by_id.remove(&victim) {
                closed.activity.close();
            }
        }
        let id = open.next_id;
        open.next_id += 1;
        open.by_id.insert(id, new);
        Place { places: Arc::clone(self), id }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // The map is consistent even after a panic: each change is one call.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().by_id.remove(&self.id);
    }
}

impl Open {
    /// The connection to close before `new` is opened; `None` below the limits.
    fn victim(&self, new: &Connection, limits: &PlaceLimits) -> Option<u64> {
        let of_subscriber = |other: &Connection| other.subscriber == new.subscriber;
        let of_network = |other: &Connection| other.network == new.network;
        if self.count(of_subscriber) >= limits.per_subscriber {
            return self.slowest(of_subscriber);
        }
        if self.count(of_network) >= limits.per_network {
            return self.slowest_at_largest(of_network);
        }
        if self.by_id.len() < limits.total {
            return None;
        }
        let networks = largest(self.by_id.values().chain([new]).map(|other| other.network));
        self.slowest_at_largest(|other| networks.contains(&other.network)).or_else(|| self.slowest(|_| true))
    }

    fn slowest_at_largest(&self, is_among: impl Fn(&Connection) -> bool) -> Option<u64> {
        let subscribers = largest(self.by_id.values().filter(|other| is_among(other)).map(|other| other.subscriber));
        self.slowest(|other| is_among(other) && subscribers.contains(&other.subscriber))
    }

    fn count(&self, is_counted: impl Fn(&Connection) -> bool) -> usize {
        self.by_id.values().filter(|other| is_counted(other)).count()
    }

    fn slowest(&self, is_among: impl Fn(&Connection) -> bool) -> Option<u64> {
        let among = self.by_id.iter().filter(|(_, other)| is_among(other));
        among
            .min_by_key(|(id, other)| (other.activity.is_serving(), other.activity.last_progress(), **id))
            .map(|(id, _)| *id)
    }
}

/// The most frequent values.
fn largest<T: Hash + Eq + Copy>(all: impl Iterator<Item = T>) -> HashSet<T> {
    let mut counts = HashMap::new();
    for each in all {
        *counts.entry(each).or_insert(0_usize) += 1;
    }
    let most = counts.values().copied().max();
    counts.into_iter().filter(|(_, count)| Some(*count) == most).map(|(each, _)| each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::advance;

    const LIMITS: PlaceLimits = PlaceLimits { total: 8, per_network: 6, per_subscriber: 4 };

    struct Server {
        places: Arc<Places>,
        connections: Vec<(&'static str, Arc<Activity>, Place)>,
    }

    impl Server {
        fn new() -> Self {
            Self { places: Places::new(LIMITS), connections: Vec::new() }
        }

        /// Opens connections one second apart, each with older progress than the later ones.
        async fn open(&mut self, addresses: &[&'static str]) {
            for address in addresses {
                let activity = Activity::new();
                let place = self.places.admit(address.parse().unwrap(), &activity);
                self.connections.push((address, activity, place));
                advance(Duration::from_secs(1)).await;
            }
        }

        /// Indexes of the closed connections.
        fn closed(&self) -> Vec<usize> {
            (0..self.connections.len()).filter(|index| self.connections[*index].1.is_closed()).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_connection_of_the_largest_group_is_closed() {
        const A: [&str; 4] = ["2001:db8:1:1::1", "2001:db8:1:1::2", "2001:db8:1:1::3", "2001:db8:1:1::4"];
        for (name, before, new, expected) in [
            ("below all limits", vec![A[0], A[1], A[2]], "192.0.2.1", vec![]),
            ("a subscriber's limit", A.to_vec(), "2001:db8:1:1::9", vec![0]),
            (
                "a network's limit: its largest subscriber loses a connection",
                vec!["2001:db8:1:2::1", A[0], A[1], A[2], "2001:db8:1:2::2", "2001:db8:1:3::1"],
                "2001:db8:1:4::1",
                vec![1],
            ),
            (
                "the total: the largest network loses a connection",
                vec!["192.0.2.1", "198.51.100.1", A[0], A[1], A[2], "2001:db8:1:2::2", "203.0.113.1", "203.0.113.2"],
                "192.0.2.9",
                vec![2],
            ),
            (
                "the total, with each connection from another network",
                vec!["1.0.0.1", "2.0.0.1", "3.0.0.1", "4.0.0.1", "5.0.0.1", "6.0.0.1", "7.0.0.1", "8.0.0.1"],
                "9.0.0.1",
                vec![0],
            ),
        ] {
            let mut server = Server::new();
            server.open(&before).await;
            assert_eq!(server.closed(), Vec::<usize>::new(), "{name}: before");
            server.open(&[new]).await;
            assert_eq!(server.closed(), expected, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn progress_keeps_a_connection_and_dropping_releases_its_slot() {
        let mut server = Server::new();
        server.open(&["192.0.2.1"; 4]).await;
        server.connections[0].1.progressed();
        server.open(&["192.0.2.1"]).await;
        assert_eq!(server.closed(), [1]);
        drop(server.connections.remove(2));
        server.open(&["192.0.2.1"]).await;
        assert_eq!(server.closed(), [1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_request_is_served_is_closed_last() {
        let mut server = Server::new();
        server.open(&["1.0.0.1", "2.0.0.1", "3.0.0.1", "4.0.0.1", "5.0.0.1", "6.0.0.1", "7.0.0.1", "8.0.0.1"]).await;
        server.connections[0].1.serves(true);
        server.open(&["9.0.0.1", "10.0.0.1"]).await;
        assert_eq!(server.closed(), [1, 2]);
        server.connections[0].1.serves(false);
        server.connections.iter().skip(1).for_each(|(_, activity, _)| activity.serves(true));
        server.open(&["11.0.0.1"]).await;
        assert_eq!(server.closed(), [0, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn clients_with_many_connections_close_none_of_others() {
        let mut server = Server::new();
        server.open(&["192.0.2.1", "198.51.100.1"]).await;
        for _ in 0..50 {
            server.open(&["2001:db8:1:1::1", "2001:db8:1:2::1", "2001:db8:1:3::1", "2001:db8:1:4::1"]).await;
        }
        assert!(!server.closed().contains(&0) && !server.closed().contains(&1));
        let closed = server.closed().len();
        server.open(&["203.0.113.1"]).await;
        assert_eq!(server.closed().len(), closed + 1);
        assert!(!server.connections.last().unwrap().1.is_closed());
    }
}
