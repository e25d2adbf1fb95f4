//! Attacks on a registry at full size: floods, addresses that aim nodes at others, strangers behind a proxy; and a full
//! disk.
//!
//! `make kit KIT=attacks` runs them, as root, each in a network of its own. The same honest nodes run alone first;
//! `--nocapture` prints the figures of both.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

#[path = "../integration/flood_world.rs"]
mod flood_world;

use crate::waiting::{PATIENCE, eventually};
use crate::{netns, postgres};
use flood_world::{
    Crowd, DATABASE_FILE, FloodWorld, Honest, get, idle_connections, metrics_reports, post, readers_that_do_not_read,
    registrations, slow_clients,
};

const MEMORY_MAX: u64 = 256 << 20;
const PROGRAM: &str = env!("CARGO_BIN_EXE_nym-mixnode");
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(36, 66, 6, 6));

/// Runs a flood beside honest nodes, after the same nodes alone, and prints both.
fn attack<T: Send>(role: &str, flood: impl AsyncFnOnce() -> T + Send) -> (FloodWorld, T) {
    attack_in(FloodWorld::new(role), role, flood)
}

/// The same in a world that exists.
fn attack_in<T: Send>(world: FloodWorld, role: &str, flood: impl AsyncFnOnce() -> T + Send) -> (FloodWorld, T) {
    let ((), control) = world.beside(async || tokio::time::sleep(Duration::from_secs(10)).await);
    let before = world.peak_memory();
    let began = Instant::now();
    let (outcome, honest) = world.beside(flood);
    let print = |label: &str, honest: &Honest, memory: u64| {
        let (answered, failed, slowest) = (honest.answered, honest.failures.len(), honest.slowest.as_millis());
        eprintln!("{role}, {label}: {answered} answered, {failed} failed, slowest {slowest} ms, {} MB", memory >> 20);
    };
    print("control", &control, before);
    print(&format!("attack of {:.1} s", began.elapsed().as_secs_f32()), &honest, world.peak_memory());
    for honest in [&control, &honest] {
        assert!(honest.answered > 0 && honest.failures.is_empty(), "{role}: {:?}", honest.failures);
    }
    assert!(world.peak_memory() < MEMORY_MAX, "{role}: {} bytes", world.peak_memory());
    (world, outcome)
}

#[test]
fn registrations_from_one_address_and_from_one_network() {
    let (world, accepted) = attack("registrations", async || registrations(14_500, &[STRANGER]).await);
    assert_eq!(accepted, 32);
    let neighbours: Vec<IpAddr> = (0..=255).map(|last| Ipv4Addr::new(36, 77, 7, last).into()).collect();
    let (accepted, honest) = world.beside(async || registrations(3_000, &neighbours).await);
    assert!(accepted <= 256 && honest.failures.is_empty(), "{accepted}: {:?}", honest.failures);
    let ((_, topology), _) = world.beside(async || get(STRANGER, "/api/mixmining/topology").await.unwrap());
    eprintln!("topology after both: {} bytes", topology.len());
    assert!(topology.len() < 1 << 20);
}

#[test]
fn floods_of_a_registry_on_postgresql() {
    let server = postgres::Server::new();
    let url = server.url_file();
    let (crowd, url) = (Crowd::new(), url.to_str().unwrap());
    let world = FloodWorld::with("floodspg", &[DATABASE_FILE, url, "--entries-max", &crowd.entries_max()]);
    let (world, accepted) = attack_in(world, "postgresql", async || {
        assert_eq!(registrations(1_000, &[STRANGER]).await, 32);
        assert_eq!(metrics_reports(200, 5_000).await, 200);
        let clients = (readers_that_do_not_read(60).await, slow_clients(64).await, idle_connections(1_500).await);
        let accepted = crowd.register().await;
        drop(clients);
        accepted
    });
    eprintln!("{}", crowd.check(&world, accepted));
}

#[test]
fn readers_that_read_nothing() {
    attack("readers", async || {
        // Long entries from many networks, so that there is something to read.
        let strangers: Vec<IpAddr> = (0..40).map(|network| Ipv4Addr::new(36, 80, network, 1).into()).collect();
        registrations(1_200, &strangers).await;
        let readers = readers_that_do_not_read(60).await;
        tokio::time::sleep(Duration::from_secs(15)).await;
        drop(readers);
    });
}

#[test]
fn metrics_reports_with_thousands_of_next_hops() {
    let (world, accepted) = attack("reports", async || metrics_reports(1_500, 5_000).await);
    assert_eq!(accepted, 1_500);
    let (answer, _) = world.beside(async || get(STRANGER, "/api/metrics/mixes").await.unwrap());
    assert_eq!(answer, (200, b"[]".to_vec()));
}

#[test]
fn slow_clients_from_four_networks() {
    attack("slow", async || {
        let clients = slow_clients(256).await;
        tokio::time::sleep(Duration::from_secs(15)).await;
        drop(clients);
    });
}

#[test]
fn ten_thousand_connections_that_are_idle_or_send_half_a_request() {
    attack("idle", async || {
        let clients = idle_connections(10_000).await;
        tokio::time::sleep(Duration::from_secs(15)).await;
        drop(clients);
    });
}

#[test]
fn addresses_that_no_node_can_have_are_refused() {
    let world = FloodWorld::new("aiming");
    let key = bs58::encode([9; 32]).into_string();
    for target in ["127.0.0.1:6379", "[::1]:6379", "169.254.169.254:80", "[64:ff9b::7f00:1]:6379", "10.0.0.1:22"] {
        let entry = json!({
            "mixHost": target, "identityKey": key, "sphinxKey": key, "version": "0.9.2", "location": "",
            "incentivesAddress": "", "layer": 1,
        });
        let (answer, _) = world.beside(async || post(STRANGER, "/api/mixmining/register/mix", &entry).await);
        let (status, body) = answer.unwrap();
        assert_eq!(status, 400, "{target}: {}", String::from_utf8_lossy(&body));
    }
}

/// A registry of one machine, on a disk of its own that is small.
struct OnSmallDisk {
    registry: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl OnSmallDisk {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs -o size=1m tmpfs \"$1\" && exec \"$0\" registry --listen 127.0.0.1:0 \
                      --allow-private --data \"$1/\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, PROGRAM]).arg(folder.path());
        let mut registry = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(registry.stdout.as_mut().unwrap()), &mut line)
            .unwrap();
        let address = line.trim().strip_prefix("Registry serving at http://").expect("it serves").parse().unwrap();
        Self { registry, address, folder }
    }

    /// A path of its file system, seen from here.
    fn path(&self, name: &str) -> std::path::PathBuf {
        let inside = self.folder.path().join(name);
        format!("/proc/{}/root{}", self.registry.id(), inside.display()).into()
    }

    fn ask(&self, head: &str, body: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(self.address).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let host = self.address;
        let request = format!(
            "{head} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    fn register(&self, number: u8) -> u16 {
        let key = bs58::encode([number; 32]).into_string();
        let entry = json!({
            "mixHost": format!("127.0.0.1:{}", 10_000 + u16::from(number)), "identityKey": key, "sphinxKey": key, "version": "0.9.2",
            "location": "x".repeat(500), "incentivesAddress": "", "layer": 1,
        });
        self.ask("POST /api/mixmining/register/mix", &entry.to_string()).0
    }

    fn listed(&self) -> usize {
        let (status, topology) = self.ask("GET /api/mixmining/topology", "");
        assert_eq!(status, 200);
        serde_json::from_str::<Value>(&topology).unwrap()["mixNodes"].as_array().unwrap().len()
    }
}

impl Drop for OnSmallDisk {
    fn drop(&mut self) {
        self.registry.kill().ok();
        self.registry.wait().ok();
    }
}

#[test]
fn a_full_disk_stops_writes_until_there_is_space_again() {
    let registry = OnSmallDisk::start();
    assert_eq!(registry.register(1), 200);
    let filler = registry.path("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 1024]).is_ok() {}
    let mut failed = 0;
    for number in 2..250 {
        failed = if registry.register(number) == 200 { 0 } else { failed + 1 };
        if failed == 20 {
            break;
        }
    }
    assert_eq!(failed, 20, "the disk is never full");
    let listed = registry.listed();
    eventually("the registry says that it cannot write", || (registry.ask("GET /healthz", "").0 == 503).then_some(()));
    assert_eq!(registry.listed(), listed, "reads go on");
    drop(file);
    fs::remove_file(&filler).unwrap();
    assert_eq!(registry.register(251), 200, "the first write after that");
    assert_eq!(registry.listed(), listed + 1);
}

#[test]
fn strangers_behind_a_proxy_on_the_registrys_machine_have_no_privilege() {
    let registry = OnSmallDisk::start();
    assert_eq!(registry.register(1), 200);
    let key = bs58::encode([1; 32]).into_string();
    let status = json!({"pubKey": key, "ipVersion": "4", "up": true}).to_string();
    for (head, body) in [
        (format!("PATCH /api/mixmining/reputation/{key}?reputation=100"), String::new()),
        ("POST /api/mixmining".to_owned(), status.clone()),
        ("POST /api/mixmining/batch".to_owned(), format!("{{\"status\":[{status}]}}")),
    ] {
        assert_eq!(registry.ask(&head, &body).0, 403, "{head}");
    }
}
