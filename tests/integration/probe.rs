//! The command `probe`, against the nodes of a network on this machine.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Stdio;

use nym_mixnode_directory::{Client, Directory};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;
use url::Url;

use super::localnet::{PATIENCE, Running, nym_mixnode};
use super::process::{NodeFiles, RegistryProcess, eventually, own_address, program};

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
    let line = network.note("explorer  ").await;
    let directory: Url = line.rsplit_once(' ').unwrap().1.parse().unwrap();
    network.note("packets per second").await;

    let answer = probe(&directory, &["--packets", "5", "--layers", "2", "--wait-active", "2m", "--json"]).await;
    assert_eq!(answer.code, Some(0), "{} {}", answer.out, answer.err);
    let verdict: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((&verdict["ok"], &verdict["mixing"]), (&true.into(), &2.into()));
    for node in verdict["nodes"].as_array().unwrap() {
        assert_eq!((&node["ipv4"]["outcome"], &node["ipv4"]["returned"]), (&"tested".into(), &5.into()), "{node:#}");
        let ipv6 = &node["ipv6"];
        assert!(ipv6["returned"] == 5 || ipv6["reason"] == "the prober has no IPv6 address", "{node:#}");
    }

    // A network needs a node in each layer, even if all nodes mix.
    let answer = probe(&directory, &["--packets", "1", "--layers", "4"]).await;
    assert_eq!(answer.code, Some(69), "{} {}", answer.out, answer.err);
    assert!(answer.out.contains("Layers 3 and 4"), "{}", answer.out);
    assert!(answer.err.contains("Layers 3 and 4"), "{}", answer.err);
    let answer = probe(&directory, &["--packets", "1", "--layers", "3", "--json"]).await;
    assert_eq!(answer.code, Some(69), "{} {}", answer.out, answer.err);
    let verdict: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((&verdict["ok"], &verdict["mixing"], &verdict["not_mixing"]), (&false.into(), &2.into(), &0.into()));
    assert_eq!(verdict["layers"][2], serde_json::json!({"layer": 3, "nodes": 0, "mixing": 0, "active": 0}));

    let identity = verdict["nodes"][1]["identity"].as_str().unwrap();
    let one = probe(&directory, &["--node", identity, "--packets", "3"]).await;
    assert_eq!(one.code, Some(0), "{} {}", one.out, one.err);
    assert!(one.out.contains("The node mixes over IPv4"), "{}", one.out);

    for deep in [&[][..], &["--deep"]] {
        let health = [&["health", "--directory", directory.as_str()], deep].concat();
        let health = nym_mixnode(&health).output().await.unwrap();
        assert_eq!((health.status.code(), &health.stdout[..]), (Some(0), &b"ready\n"[..]), "{deep:?}");
    }

    let nobody = probe(&directory, &["--node", "nobody"]).await;
    assert_eq!(nobody.code, Some(69));
    assert!(nobody.err.contains("'nobody'") && nobody.err.contains("2 nodes"), "{}", nobody.err);

    // Every probe has unregistered: only the network's own prober remains.
    let topology = Client::new(&directory, &directory).unwrap().topology().await.unwrap();
    assert_eq!(topology.gateways.len(), 1, "{:?}", topology.gateways);
    assert_eq!(network.stop(Signal::TERM).await.status.code(), Some(0));
}

#[tokio::test]
async fn a_directory_that_is_down_is_named() {
    let address = own_address().to_string();
    let url: Url = format!("http://{address}").parse().unwrap();
    let answer = probe(&url, &[]).await;
    assert_eq!((answer.code, answer.out.as_str()), (Some(69), ""));
    assert!(answer.err.contains(&address), "{}", answer.err);
    assert_eq!(answer.err.trim_end().lines().count(), 1, "{}", answer.err);
    let answer = probe(&url, &["--json"]).await;
    let document: Value = serde_json::from_str(&answer.out).unwrap();
    assert!(document["ok"] == false && document["error"].as_str().unwrap().contains(&address), "{document:#}");
    let health = nym_mixnode(&["health", "--directory", url.as_str()]).output().await.unwrap();
    assert_eq!(health.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&health.stderr).contains(&address));
}

#[tokio::test]
async fn a_node_is_blamed_for_silence_only_when_it_must_know_the_prober_and_for_being_gone_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&folder.path().join("registry.sqlite")).await;
    let files = NodeFiles::init(&registry.url()).await;
    // Once it knows itself it does not look at the list again.
    let run = ["run", "--home", files.root(), "--id", "mix", "--http-listen", "off", "--topology-refresh", "1h"];
    let mut node = program(&run).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let identity = files.identity();
    eventually("the node is listed", async || registry.listed(&identity).await).await;
    let impatient = ["--node", &identity, "--settle", "2s", "--timeout", "1s"];
    // Its second look at the list comes a second after the first; a prober that is listed then is known.
    let early = eventually("a probe that the node does not know", async || {
        let answer = probe(&registry.url(), &impatient).await;
        (answer.code != Some(0)).then_some(answer)
    });
    let early = early.await;
    assert_eq!(early.code, Some(75), "{} {}", early.out, early.err);
    assert!(early.out.contains("UNDECIDED") && !early.out.contains("DOES NOT MIX"), "{}", early.out);
    assert!(early.out.contains("need not be a fault") && early.out.contains("--settle 40s"), "{}", early.out);

    // Like a power cut: it stays listed.
    node.kill().await.unwrap();
    let gone = probe(&registry.url(), &impatient).await;
    assert_eq!(gone.code, Some(69), "{} {}", gone.out, gone.err);
    assert!(gone.out.contains("NOT REACHABLE over IPv4: cannot connect to"), "{}", gone.out);
    assert!(gone.out.contains(&identity), "{}", gone.out);
    let gone = probe(&registry.url(), &[&impatient[..], &["--json"]].concat()).await;
    let document: Value = serde_json::from_str(&gone.out).unwrap();
    assert_eq!((&document["not_mixing"], &document["nodes"][0]["verdict"]), (&1.into(), &"not_reachable".into()));
}

#[tokio::test]
async fn nonsense_is_a_usage_error() {
    let answer = probe(&"http://127.0.0.1:1".parse().unwrap(), &["--packets", "0"]).await;
    assert_eq!(answer.code, Some(64));
}

#[tokio::test]
async fn a_repeated_probe_reports_to_the_directory_which_nodes_are_up() {
    let mut network = Running::start(&["--layers", "1", "--nodes", "2", "--rate", "5", "--json"]);
    let line = network.note("explorer  ").await;
    let directory: Url = line.rsplit_once(' ').unwrap().1.parse().unwrap();
    let line = network.note("monitor token in ").await;
    let token = line.rsplit_once(' ').unwrap().1;
    network.note("packets per second").await;

    let every = ["--packets", "2", "--every", "1s", "--report", "--monitor-token-file", token];
    let arguments = [&["probe", "--directory", directory.as_str()], &every[..]].concat();
    let mut prober = nym_mixnode(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    // The network's own monitor reports too, so only the prober's log shows that it has. It logs a failed report before the result.
    let mut log = BufReader::new(prober.stderr.take().unwrap()).lines();
    let first_round = async {
        let mut earlier = Vec::new();
        loop {
            let line = log.next_line().await.unwrap().unwrap_or_else(|| panic!("the prober ended: {earlier:#?}"));
            if line.contains("All 2 nodes mix") {
                return earlier;
            }
            earlier.push(line);
        }
    };
    let earlier = timeout(PATIENCE, first_round).await.unwrap();
    assert!(!earlier.iter().any(|line| line.contains("report")), "{earlier:#?}");
    let reports = directory.join("api/mixmining/fullreport").unwrap();
    let answer: Value = reqwest::get(reports).await.unwrap().json().await.unwrap();
    let nodes = answer["report"].as_array().unwrap();
    assert!(nodes.len() == 2 && nodes.iter().all(|node| node["mostRecentIPV4"] == true), "{answer:#}");

    let pid = rustix::process::Pid::from_raw(prober.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(timeout(PATIENCE, prober.wait()).await.unwrap().unwrap().code(), Some(0));
    let topology = Client::new(&directory, &directory).unwrap().topology().await.unwrap();
    assert_eq!(topology.gateways.len(), 1, "{:?}", topology.gateways);
    assert_eq!(network.stop(Signal::TERM).await.status.code(), Some(0));
}
