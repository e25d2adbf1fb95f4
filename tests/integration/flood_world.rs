//! A registry in a separate network, honest nodes, and attackers with many addresses that flood it.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::netns::NetNs;

/// Flag of a registry on PostgreSQL.
pub(crate) const DATABASE_FILE: &str = "--database-file";

/// Deadline of an answer, generous for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const PORT: u16 = 8081;
const REGISTRY_V4: Ipv4Addr = Ipv4Addr::new(36, 0, 0, 1);
const REGISTRY_V6: Ipv6Addr = Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, 1);

/// Concurrent requests of a flood.
const AT_ONCE: usize = 16;

/// Numbers of the identities of honest nodes, of strangers, of a node that reports, and of a crowd.
const HONEST: u32 = 1 << 24;
const STRANGERS: u32 = 2 << 24;
const REPORTER: u32 = 3 << 24;
const CROWD: u32 = 4 << 24;

/// Pause between two rounds of an honest node.
const PAUSE: Duration = Duration::from_millis(100);

/// All addresses of 36.0.0.0/8 and `2600::/16` have a route to the registry.
pub(crate) struct FloodWorld {
    registry: Child,
    netns: NetNs,
    _home: tempfile::TempDir,
}

/// Results of honest nodes.
#[derive(Debug, Default)]
pub(crate) struct Honest {
    pub(crate) answered: usize,
    /// Errors, with the request.
    pub(crate) failures: Vec<String>,
    pub(crate) slowest: Duration,
}

impl FloodWorld {
    pub(crate) fn new(role: &str) -> Self {
        Self::with(role, &[])
    }

    /// A world whose registry has these arguments, too. Without a database among them it has a file.
    pub(crate) fn with(role: &str, arguments: &[&str]) -> Self {
        let files = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum }).unwrap();
        let netns = NetNs::new(role);
        netns.ip("route add local 36.0.0.0/8 dev lo");
        netns.ip("-6 route add local 2600::/16 dev lo");
        netns.sh("sysctl -qw net.ipv6.ip_nonlocal_bind=1");
        let home = tempfile::tempdir().unwrap();
        let mut command = netns.command(env!("CARGO_BIN_EXE_nym-mixnode"));
        command.args(["registry", "--listen", "[::]:8081", "--monitor-token-file"]).arg(home.path().join("token"));
        if !arguments.contains(&DATABASE_FILE) {
            command.arg("--data").arg(home.path().join("registry.sqlite"));
        }
        command.args(arguments);
        let registry = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let world = Self { registry, netns, _home: home };
        world.run(async || {
            let until_ready = async {
                while !matches!(get(honest_address(0), "/healthz").await, Ok((200, _))) {
                    sleep(PAUSE).await;
                }
            };
            timeout(PATIENCE, until_ready).await.expect("the registry starts");
        });
        world
    }

    /// Runs honest nodes during a flood.
    pub(crate) fn beside<T: Send>(&self, flood: impl AsyncFnOnce() -> T + Send) -> (T, Honest) {
        self.run(async || {
            let (stop, stopped) = watch::channel(false);
            let mut nodes: JoinSet<Honest> = (0..4).map(|number| honest_node(number, stopped.clone())).collect();
            let outcome = flood().await;
            stop.send_replace(true);
            let mut all = Honest::default();
            while let Some(node) = nodes.join_next().await {
                let node = node.unwrap();
                all.answered += node.answered;
                all.failures.extend(node.failures);
                all.slowest = all.slowest.max(node.slowest);
            }
            (outcome, all)
        })
    }

    /// Peak memory of the registry, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.registry.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    fn run<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> T {
        let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
        self.netns.inside(move || runtime().block_on(work()))
    }
}

impl Drop for FloodWorld {
    fn drop(&mut self) {
        self.registry.kill().ok();
        self.registry.wait().ok();
    }
}

fn honest_address(number: u8) -> IpAddr {
    if number == 0 {
        return Ipv6Addr::new(0x2600, 1, 0, 0, 0, 0, 0, 1).into();
    }
    Ipv4Addr::new(36, 1, number, 1).into()
}

/// Registers and checks that it is listed, until stopped.
async fn honest_node(number: u8, stopped: watch::Receiver<bool>) -> Honest {
    let from = honest_address(number);
    let entry = mix(HONEST + u32::from(number), &[SocketAddr::new(from, 1789)], "here");
    let identity = entry["identityKey"].as_str().unwrap().to_owned();
    let mut seen = Honest::default();
    while !*stopped.borrow() {
        let registered = Instant::now();
        match post(from, "/api/mixmining/register/mix", &entry).await {
            Ok((200, _)) => seen.answered += 1,
            other => seen.failures.push(format!("register: {other:?}")),
        }
        seen.slowest = seen.slowest.max(registered.elapsed());
        let asked = Instant::now();
        match get(from, "/api/mixmining/topology").await {
            Ok((200, topology)) if String::from_utf8_lossy(&topology).contains(&identity) => seen.answered += 1,
            Ok((status, topology)) => seen.failures.push(format!("topology: {status}, {} bytes", topology.len())),
            Err(error) => seen.failures.push(format!("topology: {error}")),
        }
        seen.slowest = seen.slowest.max(asked.elapsed());
        sleep(PAUSE).await;
    }
    seen
}

/// Sends registrations of maximum length from these addresses in turn; returns how many were accepted.
pub(crate) async fn registrations(count: u32, from: &[IpAddr]) -> usize {
    registrations_of(STRANGERS, count, from).await
}

async fn registrations_of(first: u32, count: u32, from: &[IpAddr]) -> usize {
    let register = |number: u32| {
        let from = from[number as usize % from.len()];
        async move {
            let port = u16::try_from(number % 16_000).unwrap() * 4 + 1024;
            let hosts = (port..port + 4).map(|port| SocketAddr::new(from, port)).collect::<Vec<_>>();
            let entry = mix(first + number, &hosts, &"x".repeat(512));
            matches!(post(from, "/api/mixmining/register/mix", &entry).await, Ok((200, _)))
        }
    };
    all((0..count).map(register)).await.into_iter().filter(|accepted| *accepted).count()
}

/// Nodes from so many networks that no limit but the total holds: two of three take the place of another one.
pub(crate) struct Crowd {
    count: u32,
    places: u32,
}

impl Crowd {
    /// A small one, or as many nodes as the variable says.
    pub(crate) fn new() -> Self {
        const COUNT: u32 = 1_500;
        const COUNT_VARIABLE: &str = "FLOOD_REGISTRATIONS";
        let count = std::env::var(COUNT_VARIABLE).map_or(COUNT, |count| count.parse().unwrap());
        Self { count, places: (count / 3).min(10_000) }
    }

    /// Value of the registry's flag.
    pub(crate) fn entries_max(&self) -> String {
        self.places.to_string()
    }

    /// Registers all; returns how many were accepted.
    pub(crate) async fn register(&self) -> usize {
        let address = |network: u16| {
            let [high, low] = network.to_be_bytes();
            IpAddr::from(Ipv4Addr::new(36, 128 + high, low, 1))
        };
        let networks: Vec<IpAddr> = (0..u16::try_from(self.places / 3).unwrap()).map(address).collect();
        registrations_of(CROWD, self.count, &networks).await
    }

    /// Checks that all were accepted, and that the list is full and no longer; returns the figures.
    pub(crate) fn check(&self, world: &FloodWorld, accepted: usize) -> String {
        let (answer, _) = world.beside(async || get(honest_address(1), "/api/mixmining/topology").await.unwrap());
        let topology: Value = serde_json::from_slice(&answer.1).unwrap();
        let listed = topology["mixNodes"].as_array().unwrap().len();
        assert_eq!((accepted, listed), (self.count as usize, self.places as usize));
        let memory = world.peak_memory() >> 20;
        format!("{accepted} registrations, {listed} listed in {} bytes, {memory} MB", answer.1.len())
    }
}

/// Opens clients that request the topology and never read it, until the result is dropped.
pub(crate) async fn readers_that_do_not_read(count: u8) -> Vec<TcpStream> {
    let mut readers = Vec::new();
    for number in 0..count {
        let mut reader = connect(Ipv4Addr::new(36, 66, number / 16, number).into()).await.unwrap();
        // Many requests on one connection: the registry must keep each answer.
        let request = b"GET /api/mixmining/topology HTTP/1.1\r\nHost: registry\r\n\r\n".repeat(8);
        reader.write_all(&request).await.unwrap();
        readers.push(reader);
    }
    readers
}

/// Sends reports with this many next hops from registered nodes; returns how many were accepted.
pub(crate) async fn metrics_reports(count: u16, next_hops: u16) -> usize {
    let from: IpAddr = Ipv4Addr::new(36, 67, 0, 1).into();
    let entry = mix(REPORTER, &[SocketAddr::new(from, 1789)], "");
    assert!(matches!(post(from, "/api/mixmining/register/mix", &entry).await, Ok((200, _))));
    let sent: Map<String, Value> = (0..next_hops).map(|port| (format!("36.67.0.1:{port}"), json!(port))).collect();
    let report = json!({"pubKey": entry["identityKey"], "received": 1, "sent": sent});
    let reports = (0..count).map(|_| post(from, "/api/metrics/mixes", &report));
    all(reports).await.into_iter().filter(|answer| matches!(answer, Ok((201, _)))).count()
}

/// Opens clients that send bytes slowly, from four IPv6 /64, until the result is dropped.
pub(crate) async fn slow_clients(of_each: u16) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for number in 0..4 * of_each {
        let from = Ipv6Addr::new(0x2600, 0xbad, 0, number % 4, 0, 0, 0, number);
        let mut client = connect(from.into()).await.unwrap();
        // A client that was already disconnected counts as well.
        drop(client.write_all(b"GET /api/mixmining/topology HTTP/1.1\r\nHost:").await);
        clients.push(client);
    }
    clients
}

/// Opens connections from as many networks, of which every second one sends half a request, until the result is dropped.
pub(crate) async fn idle_connections(count: u16) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for number in 0..count {
        let [high, low] = number.to_be_bytes();
        let mut client = connect(Ipv4Addr::new(36, 100 + high, low, 1).into()).await.unwrap();
        if number % 2 == 0 {
            // A client that was already disconnected counts as well.
            drop(client.write_all(b"POST /api/mixmining/register/mix HTTP/1.1\r\nHost: x\r\nContent-Le").await);
        }
        clients.push(client);
    }
    clients
}

/// Registration with these hosts.
fn mix(number: u32, hosts: &[SocketAddr], location: &str) -> Value {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    let key = bs58::encode(bytes).into_string();
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    json!({
        "mixHost": hosts[0], "mixHosts": hosts, "identityKey": key, "sphinxKey": key, "version": "0.9.2",
        "location": location, "incentivesAddress": "", "layer": 1,
    })
}

/// Runs some at a time.
async fn all<T: 'static>(work: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut done = Vec::new();
    let mut work = work.map(Box::pin);
    let mut running: Vec<_> = work.by_ref().take(AT_ONCE).collect();
    while !running.is_empty() {
        let (result, index) = std::future::poll_fn(|cx| {
            for (index, future) in running.iter_mut().enumerate() {
                if let std::task::Poll::Ready(result) = future.as_mut().poll(cx) {
                    return std::task::Poll::Ready((result, index));
                }
            }
            std::task::Poll::Pending
        })
        .await;
        drop(running.swap_remove(index));
        running.extend(work.next());
        done.push(result);
    }
    done
}

pub(crate) async fn get(from: IpAddr, path: &str) -> io::Result<(u16, Vec<u8>)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n\r\n");
    ask(from, request.into_bytes()).await
}

pub(crate) async fn post(from: IpAddr, path: &str, body: &Value) -> io::Result<(u16, Vec<u8>)> {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 36.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    ask(from, [head.into_bytes(), body.into_bytes()].concat()).await
}

async fn ask(from: IpAddr, request: Vec<u8>) -> io::Result<(u16, Vec<u8>)> {
    let exchange = async {
        let mut connection = connect(from).await?;
        connection.write_all(&request).await?;
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = timeout(PATIENCE, exchange).await.map_err(|_| io::Error::other("no answer in time"))??;
    let head_end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let status =
        answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|text| text.parse().ok());
    match (status, head_end) {
        (Some(status), Some(end)) => Ok((status, answer[end + 4..].to_vec())),
        _ => Err(io::Error::other("the answer is no HTTP")),
    }
}

async fn connect(from: IpAddr) -> io::Result<TcpStream> {
    let (socket, to): (_, IpAddr) = match from {
        IpAddr::V4(_) => (TcpSocket::new_v4()?, REGISTRY_V4.into()),
        IpAddr::V6(_) => (TcpSocket::new_v6()?, REGISTRY_V6.into()),
    };
    socket.bind((from, 0).into())?;
    socket.connect((to, PORT).into()).await
}
