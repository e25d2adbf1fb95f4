//! A registry whose clock steps by an hour, forward and back, while nodes and a monitor call it.
//!
//! libfaketime answers the process's questions for the time of day; the machine's clock stays as it is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http;
use crate::part::root;
use crate::waiting::eventually;

const PROGRAM: &str = env!("CARGO_BIN_EXE_nym-mixnode");
const HOUR_S: i64 = 3600;
/// Points of a passed measurement.
const POINTS: i64 = 3;

/// Registry in a process, and its clock.
struct Registry {
    process: Child,
    folder: TempDir,
    url: String,
    /// Seconds by which its clock is ahead.
    ahead_s: i64,
}

impl Registry {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(PROGRAM);
        command
            .args(["registry", "--listen", "127.0.0.1:0", "--allow-private", "--data"])
            .arg(folder.path().join("store"));
        command.arg("--monitor-token-file").arg(folder.path().join("token"));
        command.env("LD_PRELOAD", library()).env("FAKETIME_TIMESTAMP_FILE", folder.path().join("clock"));
        // Deadlines follow a clock that never steps, and files have the machine's times.
        command.envs([("FAKETIME_NO_CACHE", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1"), ("NO_FAKE_STAT", "1")]);
        set_clock(&folder, 0);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("Registry serving at ").expect("it serves").to_owned();
        Self { process, folder, url, ahead_s: 0 }
    }

    /// Steps the clock.
    fn step_to(&mut self, ahead_s: i64) {
        set_clock(&self.folder, ahead_s);
        self.ahead_s = ahead_s;
    }

    #[expect(clippy::disallowed_methods, reason = "the registry stores dates")]
    fn now_ns(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        i64::try_from(since.as_nanos()).unwrap() + self.ahead_s * 1_000_000_000
    }

    fn get(&self, path: &str) -> Value {
        serde_json::from_str(&http::get(&format!("{}{path}", self.url)).unwrap()).unwrap()
    }

    fn post(&self, path: &str, body: &Value) {
        let token = fs::read_to_string(self.folder.path().join("token")).unwrap();
        http::post(&format!("{}{path}", self.url), body, token.trim()).unwrap();
    }

    fn register(&self, node: u8) {
        let mix = json!({
            "mixHost": format!("127.0.0.1:{}", 10_000 + u16::from(node)), "identityKey": identity(node),
            "sphinxKey": identity(0), "version": "0.9.2", "location": "", "incentivesAddress": "", "layer": 1,
        });
        self.post("/api/mixmining/register/mix", &mix);
    }

    fn register_gateway(&self, node: u8, expires_in_s: u64) {
        let gateway = json!({
            "mixHost": format!("127.0.0.1:{}", 10_000 + u16::from(node)), "clientsHost": "ws://127.0.0.1:9000",
            "identityKey": identity(node), "sphinxKey": identity(0), "version": "0.9.2", "location": "",
            "incentivesAddress": "", "expiresIn": expires_in_s,
        });
        self.post("/api/mixmining/register/gateway", &gateway);
    }

    fn measure(&self, node: u8) {
        let status = json!({"pubKey": identity(node), "ipVersion": "4", "up": true});
        self.post("/api/mixmining/batch", &json!({ "status": [status] }));
    }

    /// Time of registration of a listed node, in nanoseconds, and its reputation.
    fn listed(&self, node: u8) -> Option<(i64, i64)> {
        let topology = self.get("/api/mixmining/topology");
        let of = |role: &str| topology[role].as_array().unwrap().clone();
        let nodes = [of("mixNodes"), of("gateways")].concat();
        let entry = nodes.iter().find(|entry| entry["identityKey"] == identity(node))?;
        Some((entry["registrationTime"].as_i64().unwrap(), entry["reputation"].as_i64().unwrap()))
    }

    /// Checks that each of these nodes is listed, and what the first one's measurements say.
    fn check(&self, nodes: &[u8], measured: i64) {
        for node in nodes {
            assert!(self.listed(*node).is_some(), "node {node}, {} s ahead", self.ahead_s);
        }
        let (_, reputation) = self.listed(nodes[0]).unwrap();
        assert_eq!(reputation, POINTS * measured);
        let report = self.get(&format!("/api/mixmining/node/{}/report", identity(nodes[0])));
        for window in ["last5MinutesIPV4", "lastHourIPV4", "lastDayIPV4"] {
            assert_eq!(report[window], 100, "{report}, {} s ahead", self.ahead_s);
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Fails only if it has ended.
        self.process.kill().ok();
        self.process.wait().unwrap();
    }
}

fn set_clock(folder: &TempDir, ahead_s: i64) {
    let next = folder.path().join("clock.new");
    fs::write(&next, format!("{ahead_s:+}\n")).unwrap();
    fs::rename(next, folder.path().join("clock")).unwrap();
}

/// The library of the package faketime.
fn library() -> PathBuf {
    let check = Command::new(root().join("tests/kit/packages")).args(["check", "faketime"]).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let folders = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let library = folders.map(|folder| folder.join("faketime/libfaketime.so.1")).find(|path| path.exists());
    library.expect("the package libfaketime has its library")
}

fn identity(node: u8) -> String {
    bs58::encode([node + 1; 32]).into_string()
}

#[test]
fn entries_uptime_and_expiry_stay_sane_when_the_clock_steps_by_an_hour() {
    let mut registry = Registry::start();
    registry.register(1);
    registry.measure(1);
    registry.check(&[1], 1);

    registry.step_to(HOUR_S);
    registry.register(2);
    registry.register_gateway(3, 10);
    registry.measure(1);
    registry.check(&[1, 2], 2);
    let (registered_at, _) = registry.listed(2).unwrap();
    assert!(registered_at > registry.now_ns() - 600 * 1_000_000_000, "the clock has stepped");

    registry.step_to(0);
    registry.register(4);
    registry.measure(1);
    registry.check(&[1, 2, 4], 3);
    eventually("no node is registered in the future", || {
        registry.listed(2).filter(|(registered_at, _)| *registered_at <= registry.now_ns())
    });
    eventually("the gateway expires by its lifetime", || registry.listed(3).is_none().then_some(()));

    registry.step_to(-HOUR_S);
    registry.register(2);
    registry.measure(1);
    registry.check(&[1, 2, 4], 4);
    registry.get("/healthz");

    registry.step_to(0);
    registry.measure(1);
    registry.check(&[1, 2, 4], 5);
}
