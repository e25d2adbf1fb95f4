//! Clients of a registry that dies again and again. Whatever it acknowledged must be there afterwards.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Mutex, RwLock};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const CLIENTS: u16 = 8;
const NODES_PER_CLIENT: u16 = 6;
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// Points of a passed measurement.
const POINTS: i64 = 3;

/// Clients that register, unregister and measure until they are stopped.
pub(crate) struct Clients {
    world: Arc<World>,
    running: JoinSet<()>,
}

struct World {
    registry: SocketAddr,
    token: String,
    http: Client,
    nodes: Vec<Mutex<Entry>>,
    measured: Mutex<Measured>,
    /// Read during each request, written during a check.
    requests: RwLock<()>,
    acknowledged: AtomicU64,
    is_over: AtomicBool,
}

/// Possible states of an entry: the acknowledged one, and those of later calls without an answer. `None` is no entry.
struct Entry {
    possible: Vec<Option<u32>>,
    calls: u32,
}

/// Measurements of the one node that stays registered.
#[derive(Default)]
struct Measured {
    sent: i64,
    acknowledged: i64,
}

impl Clients {
    /// Starts clients of the registry at this address, with its token. The address stays the same.
    pub(crate) async fn start(registry: SocketAddr, token: String) -> Self {
        let nodes = (0..CLIENTS * NODES_PER_CLIENT).map(|_| Mutex::new(Entry { possible: vec![None], calls: 0 }));
        let world = Arc::new(World {
            registry,
            token,
            http: Client::builder().no_proxy().timeout(PATIENCE).build().unwrap(),
            nodes: nodes.collect(),
            measured: Mutex::default(),
            requests: RwLock::new(()),
            acknowledged: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let measured = mix(u16::MAX, 0);
        assert_eq!(world.call("register/mix", Some(&measured)).await, Some(StatusCode::OK));
        let mut running = JoinSet::new();
        for client in 0..CLIENTS {
            let world = Arc::clone(&world);
            running.spawn(async move { world.run_client(client).await });
        }
        let monitor = Arc::clone(&world);
        running.spawn(async move { monitor.run_monitor().await });
        Self { world, running }
    }

    /// Number of acknowledged calls so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.world.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until the registry lists what it has acknowledged. While its database fails, it lists an earlier state.
    pub(crate) async fn check(&self) {
        let _no_requests = self.world.requests.write().await;
        let began = Instant::now();
        while let Err(difference) = self.world.compare().await {
            assert!(began.elapsed() < PATIENCE, "{difference}");
            sleep(PAUSE).await;
        }
    }

    /// Ends the clients.
    pub(crate) async fn stop(mut self) {
        self.world.is_over.store(true, Ordering::Relaxed);
        while let Some(client) = self.running.join_next().await {
            client.unwrap();
        }
    }
}

impl World {
    async fn run_client(&self, client: u16) {
        let mut turn = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            let request = self.requests.read().await;
            let is_acknowledged = self.change(client * NODES_PER_CLIENT + turn % NODES_PER_CLIENT).await;
            drop(request);
            turn = turn.wrapping_add(1);
            if !is_acknowledged {
                sleep(PAUSE).await;
            }
        }
    }

    /// Registers a node with a new number, or unregisters it; returns whether the registry acknowledged it.
    async fn change(&self, number: u16) -> bool {
        let mut entry = self.nodes[usize::from(number)].lock().await;
        entry.calls += 1;
        let next = (entry.calls % 4 != 0).then_some(entry.calls);
        entry.possible.push(next);
        let status = match next {
            Some(calls) => self.call("register/mix", Some(&mix(number, calls))).await,
            None => self.call(&format!("register/{}", identity(number)), None).await,
        };
        match status {
            // There was nothing to remove: an earlier call without an answer did not register it.
            Some(StatusCode::OK) => {}
            Some(StatusCode::NOT_FOUND) if next.is_none() => {}
            // The registry has failed, or its database.
            None => return false,
            Some(status) if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => return false,
            Some(status) => panic!("node {number}: {status}"),
        }
        entry.possible = vec![next];
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        true
    }

    async fn run_monitor(&self) {
        let status = json!({"pubKey": identity(u16::MAX), "ipVersion": "4", "up": true});
        while !self.is_over.load(Ordering::Relaxed) {
            let request = self.requests.read().await;
            let mut measured = self.measured.lock().await;
            measured.sent += 1;
            let is_acknowledged =
                self.call("batch", Some(&json!({"status": [status]}))).await == Some(StatusCode::CREATED);
            measured.acknowledged += i64::from(is_acknowledged);
            drop((measured, request));
            sleep(PAUSE).await;
        }
    }

    /// Posts a body, or deletes; returns the status of the answer.
    async fn call(&self, path: &str, body: Option<&Value>) -> Option<StatusCode> {
        let url = format!("http://{}/api/mixmining/{path}", self.registry);
        let request = match body {
            Some(body) => self.http.post(url).json(body),
            None => self.http.delete(url),
        };
        request.bearer_auth(&self.token).send().await.ok().map(|answer| answer.status())
    }

    /// Compares the registry's list with what it has acknowledged.
    async fn compare(&self) -> Result<(), String> {
        let url = format!("http://{}/api/mixmining/topology", self.registry);
        let answer = async { self.http.get(&url).send().await?.error_for_status()?.json().await };
        let topology: Value = answer.await.map_err(|error: reqwest::Error| error.to_string())?;
        for (number, entry) in (0..).zip(&self.nodes) {
            let possible = &entry.lock().await.possible;
            let listed = sequence(&topology, number);
            if !possible.contains(&listed) {
                return Err(format!("node {number}: {listed:?} instead of {possible:?}"));
            }
        }
        let measured = self.measured.lock().await;
        let possible = POINTS * measured.acknowledged..=POINTS * measured.sent;
        let reputation = entry(&topology, u16::MAX).and_then(|node| node["reputation"].as_i64());
        if reputation.is_some_and(|reputation| possible.contains(&reputation)) {
            return Ok(());
        }
        Err(format!("reputation {reputation:?} instead of {possible:?}"))
    }
}

fn identity(number: u16) -> String {
    let mut key = [9; 32];
    key[..2].copy_from_slice(&number.to_be_bytes());
    bs58::encode(key).into_string()
}

/// Registration of a node; its location is the number of the call.
fn mix(number: u16, call: u32) -> Value {
    json!({
        "mixHost": format!("127.0.0.1:{}", 10_000 + u32::from(number) % 50_000), "identityKey": identity(number),
        "sphinxKey": identity(1), "version": "0.9.2", "location": call.to_string(), "incentivesAddress": "", "layer": 1,
    })
}

fn entry(topology: &Value, number: u16) -> Option<&Value> {
    let identity = identity(number);
    topology["mixNodes"].as_array().unwrap().iter().find(|node| node["identityKey"] == identity)
}

fn sequence(topology: &Value, number: u16) -> Option<u32> {
    entry(topology, number).map(|node| node["location"].as_str().unwrap().parse().unwrap())
}
