//! The command `probe`, against the nodes of a network on this machine.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use nym_mixnode::directory::{Client, Directory};
use rustix::process::Signal;
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use super::localnet::{PATIENCE, Running, nym_mixnode};

struct Answer {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn probe(directory: &Url, arguments: &[&str]) -> Answer {
    let output = nym_mixnode(&[&["probe", "--directory", directory.as_str()], arguments].concat()).output();
    let output = timeout(PATIENCE, output).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[tokio::test]
async fn every_node_of_a_healthy_network_mixes_over_both_families() {
    let mut network = Running::start(&["--layers", "2", "--nodes", "1", "--rate", "5", "--json"]);
    let line = network.note("directory at ").await;
    let directory: Url = line.rsplit_once(' ').unwrap().1.parse().unwrap();
    network.note("packets per second").await;

    let answer = probe(&directory, &["--packets", "5", "--json"]).await;
    assert_eq!(answer.code, Some(0), "{} {}", answer.out, answer.err);
    let verdict: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((&verdict["ok"], &verdict["mixing"]), (&true.into(), &2.into()));
    for node in verdict["nodes"].as_array().unwrap() {
        assert_eq!((&node["ipv4"]["outcome"], &node["ipv4"]["returned"]), (&"tested".into(), &5.into()), "{node:#}");
        let ipv6 = &node["ipv6"];
        assert!(ipv6["returned"] == 5 || ipv6["reason"] == "no IPv6 here", "{node:#}");
    }

    let identity = verdict["nodes"][1]["identity"].as_str().unwrap();
    let one = probe(&directory, &["--node", identity, "--packets", "3"]).await;
    assert_eq!(one.code, Some(0), "{} {}", one.out, one.err);
    assert!(one.out.contains("The node mixes over IPv4"), "{}", one.out);

    let health = nym_mixnode(&["health", "--directory", directory.as_str()]).output().await.unwrap();
    assert_eq!((health.status.code(), &health.stdout[..]), (Some(0), &b"ready\n"[..]));

    let nobody = probe(&directory, &["--node", "nobody"]).await;
    assert_eq!(nobody.code, Some(69));
    assert!(nobody.err.contains("'nobody'") && nobody.err.contains("2 nodes"), "{}", nobody.err);

    // Every probe has taken itself off the list: what remains is the network's own prober.
    let topology = Client::new(&directory, &directory).unwrap().topology().await.unwrap();
    assert_eq!(topology.gateways.len(), 1, "{:?}", topology.gateways);
    assert_eq!(network.stop(Signal::TERM).await.status.code(), Some(0));
}

#[tokio::test]
async fn a_directory_that_is_down_is_named() {
    // Port 1 is nobody's on any machine that runs tests.
    let answer = probe(&"http://127.0.0.1:1".parse().unwrap(), &[]).await;
    assert_eq!(answer.code, Some(69));
    assert!(answer.err.contains("127.0.0.1:1"), "{}", answer.err);
    assert_eq!(answer.err.trim_end().lines().count(), 1, "{}", answer.err);
    let health = nym_mixnode(&["health", "--directory", "http://127.0.0.1:1"]).output().await.unwrap();
    assert_eq!(health.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&health.stderr).contains("127.0.0.1:1"));
}

#[tokio::test]
async fn nonsense_is_a_usage_error() {
    let answer = probe(&"http://127.0.0.1:1".parse().unwrap(), &["--packets", "0"]).await;
    assert_eq!(answer.code, Some(64));
}

#[tokio::test]
async fn a_prober_that_stays_tells_the_directory_which_nodes_are_up() {
    let mut network = Running::start(&["--layers", "1", "--nodes", "2", "--rate", "5", "--json"]);
    let line = network.note("directory at ").await;
    let directory: Url = line.rsplit_once(' ').unwrap().1.parse().unwrap();
    network.note("packets per second").await;

    let arguments = ["probe", "--directory", directory.as_str(), "--packets", "2", "--every", "1s", "--report"];
    let mut prober = nym_mixnode(&arguments).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let reports = directory.join("api/mixmining/fullreport").unwrap();
    let both_up = async {
        loop {
            let answer: Value = reqwest::get(reports.clone()).await.unwrap().json().await.unwrap();
            let up = |node: &Value| node["mostRecentIPV4"] == true;
            if answer["report"].as_array().is_some_and(|nodes| nodes.len() == 2 && nodes.iter().all(up)) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, both_up).await.unwrap();

    let pid = rustix::process::Pid::from_raw(prober.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(timeout(PATIENCE, prober.wait()).await.unwrap().unwrap().code(), Some(0));
    let topology = Client::new(&directory, &directory).unwrap().topology().await.unwrap();
    assert_eq!(topology.gateways.len(), 1, "{:?}", topology.gateways);
    assert_eq!(network.stop(Signal::TERM).await.status.code(), Some(0));
}
