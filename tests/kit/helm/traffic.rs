//! A client outside of the cluster that follows the topology. Its packets through listed nodes must return.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nym_mixnode_directory::{Client, Directory};
use nym_mixnode_monitor::{Endpoint, IpFamily, Prober, Registration};
use nym_mixnode_sphinx::Hop;
use tokio::time::{Instant, timeout};

use super::private_network::directory;
use crate::cluster::OUTSIDE;
use crate::waiting::{PATIENCE, eventually};

/// Long enough that every node has packets in its pool at any time.
const MEAN_DELAY: Duration = Duration::from_secs(1);
const BETWEEN_PACKETS: Duration = Duration::from_millis(100);
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);
/// Maximum age of a topology that packets are sent by, from the request for it. On a busy machine the answer takes long,
/// and a node mixes only for 5 s after it has unregistered.
const FRESH: Duration = Duration::from_secs(1);
/// A packet that is later than this in addition to its delays is lost.
const LATE: Duration = Duration::from_secs(15);

/// Sent and returned packets by identity of the node.
pub(super) type Counts = BTreeMap<String, (usize, usize)>;

/// A packet on its way.
struct Sent {
    identity: String,
    address: SocketAddr,
    at: Instant,
}

/// What became of the packets, and when nodes joined and left the list.
struct Outcome {
    counts: Counts,
    events: Vec<String>,
}

/// Packets through each listed node, until it is stopped.
pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    client: JoinHandle<Outcome>,
}

impl Traffic {
    /// Returns once packets return through all of these nodes.
    pub(super) fn start(through: &[String]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flows = Arc::new(AtomicBool::new(false));
        let (stopped, flowing, through) = (Arc::clone(&stop), Arc::clone(&flows), through.to_vec());
        let url = directory();
        let client = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(flow(&url, &through, &flowing, &stopped))
        });
        eventually("traffic", || {
            assert!(!client.is_finished() || flows.load(Ordering::Relaxed), "the client has ended");
            flows.load(Ordering::Relaxed).then_some(())
        });
        Self { stop, client }
    }

    /// Stops sending, waits for packets in flight, and checks that no packet was lost.
    pub(super) fn nothing_is_lost(self) -> Counts {
        self.stop.store(true, Ordering::Relaxed);
        let Outcome { counts, events } = self.client.join().expect("the client");
        for (identity, (sent, returned)) in &counts {
            assert_eq!(sent, returned, "packets were lost in {identity}: {counts:?}\n{}", events.join("\n"));
        }
        counts
    }
}

async fn flow(url: &str, through: &[String], flowing: &AtomicBool, stop: &AtomicBool) -> Outcome {
    let url = url.parse().expect("a URL");
    let client = Arc::new(Client::new(&url, &url).expect("a client"));
    let endpoints = OUTSIDE.map(|ip| Endpoint::local((ip.parse::<std::net::IpAddr>().expect("an address"), 0).into()));
    let mut prober = Prober::bind(&endpoints, MEAN_DELAY).expect("a prober");
    let registration = Registration::register(&client, &prober).await.expect("a registration");
    warm_up(&client, &mut prober, through).await;
    flowing.store(true, Ordering::Relaxed);

    let began = Instant::now();
    let seconds = |at: Instant| at.duration_since(began).as_secs_f64();
    let (mut counts, mut events) = (Counts::new(), Vec::new());
    let mut looked = Instant::now();
    let mut nodes = listed(&client, through).await;
    while !stop.load(Ordering::Relaxed) {
        if looked.elapsed() > BETWEEN_LOOKS {
            looked = Instant::now();
            let before = std::mem::replace(&mut nodes, listed(&client, through).await);
            for (what, nodes, others) in [("joined", &nodes, &before), ("left", &before, &nodes)] {
                let (asked, answered) = (seconds(looked), seconds(Instant::now()));
                let new = nodes.iter().filter(|node| !others.contains(node));
                events.extend(
                    new.map(|(id, hop)| format!("{asked:.2} to {answered:.2} s: {id} {what}, {}", hop.address)),
                );
            }
        }
        if looked.elapsed() < FRESH {
            send(&mut prober, &nodes, &mut counts);
        }
        take(&mut prober, &mut counts, BETWEEN_PACKETS).await;
    }
    // A lost packet must not hide that others are still on their way.
    while prober.in_transit() > 0 {
        let lost = prober.give_up_late(LATE);
        events.extend(
            lost.iter().map(|sent| format!("{:.2} s: lost in {}, {}", seconds(sent.at), sent.identity, sent.address)),
        );
        take(&mut prober, &mut counts, BETWEEN_PACKETS).await;
    }
    registration.withdraw().await.expect("to be withdrawn");
    Outcome { counts, events }
}

/// Nodes forward to the prober once their topology lists it.
async fn warm_up(client: &Client, prober: &mut Prober<Sent>, through: &[String]) {
    let mut counts = Counts::new();
    let began = Instant::now();
    while through.iter().any(|identity| counts.get(identity).is_none_or(|(_, returned)| *returned == 0)) {
        assert!(began.elapsed() < PATIENCE, "no packet comes back through all of {through:?}: {counts:?}");
        send(prober, &listed(client, through).await, &mut counts);
        take(prober, &mut counts, Duration::from_secs(1)).await;
    }
    // Packets sent before the last node knew the prober do not count.
    while prober.in_transit() > 0 {
        prober.give_up_late(Duration::from_secs(2));
        take(prober, &mut counts, BETWEEN_PACKETS).await;
    }
}

fn send(prober: &mut Prober<Sent>, nodes: &[(String, Hop)], counts: &mut Counts) {
    for (identity, hop) in nodes {
        let family = IpFamily::of(hop.address.ip());
        let last_hop = prober.last_hop(family).expect("an address of each family");
        let sent = Sent { identity: identity.clone(), address: hop.address, at: Instant::now() };
        prober.send(&[*hop], last_hop, sent).expect("a packet");
        counts.entry(identity.clone()).or_default().0 += 1;
    }
}

/// Counts packets that return within this time.
async fn take(prober: &mut Prober<Sent>, counts: &mut Counts, time: Duration) {
    let end = Instant::now() + time;
    while let Ok(returned) = timeout(end.saturating_duration_since(Instant::now()), prober.returned()).await {
        counts.entry(returned.label.identity).or_default().1 += 1;
    }
}

/// The addresses of the listed nodes among `through`.
async fn listed(client: &Client, through: &[String]) -> Vec<(String, Hop)> {
    let topology = client.topology().await.expect("the topology");
    let mut hops = Vec::new();
    for node in &topology.mix_nodes {
        let identity = &node.registration.identity_key;
        if through.contains(identity) {
            let key = bs58::decode(&node.registration.sphinx_key).into_vec().expect("base58");
            let sphinx_key = key.try_into().expect("32 bytes");
            let addresses = node.announced_addresses();
            hops.extend(addresses.into_iter().map(|address| (identity.clone(), Hop { address, sphinx_key })));
        }
    }
    hops
}
