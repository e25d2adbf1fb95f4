//! The program that traces single packets, as it is built and run for development: it does so on loopback, when asked,
//! and nowhere else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "integration/packets.rs"]
mod packets;
#[path = "integration/process.rs"]
#[allow(dead_code, reason = "other tests have more use for it")]
mod process;
#[path = "integration/support.rs"]
#[allow(dead_code, reason = "other tests have more use for it")]
mod support;

use std::time::Duration;

use process::{NodeFiles, NodeProcess, RegistryProcess, program_at};
use support::{ACK, PATIENCE, Sink, hop, packet_via, send};
use tokio::time::timeout;

const PROGRAM: &str = env!("CARGO_BIN_EXE_nym-mixnode-unsafe");
const FLAG: &str = "--unsafe-per-packet-traces";
const TRACED: [&str; 2] = ["--log-filter", "info,nym_mixnode::packet=trace"];

/// A directory that knows of a place to forward to, and a node's files.
struct Place {
    registry: RegistryProcess,
    files: NodeFiles,
    sink: Sink,
    _home: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
        let files = NodeFiles::init(&registry.url()).await;
        let sink = Sink::start().await;
        registry.client().register_gateway(&sink.as_gateway()).await.unwrap();
        Self { registry, files, sink, _home: home }
    }

    fn run(&self, flags: &[&str]) -> NodeProcess {
        NodeProcess::of(program_at(PROGRAM, &[]), &self.files, flags, |_| {})
    }

    /// Sends packets through the node and waits until they are at the sink; the lines of the log that are about one.
    async fn traces_of(&mut self, mut node: NodeProcess, packets: usize) -> Vec<String> {
        // The third is where the registry's test packets return to.
        node.reports("knows itself and the sink", |status| status.registered && status.next_hops_allowed == 3).await;
        let first_hop = hop(self.files.address, *self.files.keys().sphinx.public());
        let packet = |_| packet_via(&first_hop, self.sink.address, Duration::from_millis(20), ACK);
        let frames: Vec<_> = (0..packets).map(packet).collect();
        let _connection = send(self.files.address, &frames).await;
        self.sink.take(packets).await;
        node.reports("has told of all", |status| status.forwarded == packets as u64).await;
        node.terminate();
        let status = timeout(PATIENCE, node.child.wait()).await.expect("the node stops").unwrap();
        let log = node.log();
        assert!(status.success(), "{log}");
        log.lines().filter(|line| line.contains(" nym_mixnode::packet > ")).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn each_packet_is_told_with_the_flag_and_none_without() {
    let mut place = Place::new().await;
    let node = place.run(&TRACED);
    assert_eq!(place.traces_of(node, 3).await, [""; 0], "nobody has asked");

    let node = place.run(&[&[FLAG], &TRACED[..]].concat());
    let told = place.traces_of(node, 3).await;
    assert_eq!(told.len(), 3, "{told:#?}");
    let next_hop = format!("next_hop={}", place.sink.address);
    assert!(told.iter().all(|line| line.contains(&next_hop) && line.contains("received_at=")), "{told:#?}");
}

#[tokio::test]
async fn a_node_that_can_be_reached_from_elsewhere_does_not_start() {
    let place = Place::new().await;
    for (flags, words) in [
        (&[FLAG, "--host", "0.0.0.0"][..], "a listening address is 0.0.0.0"),
        (&[FLAG, "--announce-host", "36.68.243.18"], "an announced address is 36.68.243.18"),
        (&[FLAG, "--forward-policy", "any"], "forward.policy is not topology"),
    ] {
        let (code, line) = place.run(flags).end().await;
        assert_eq!(code, Some(78), "{line}");
        assert!(line.contains(words), "{words:?} is not in: {line}");
    }
}

#[tokio::test]
async fn a_directory_that_leads_elsewhere_ends_it() {
    let place = Place::new().await;
    let mut node = place.run(&[FLAG]);
    node.registered().await;
    let mut elsewhere = place.sink.as_gateway();
    elsewhere.mix_host = "192.0.2.1:1789".into();
    elsewhere.identity_key = bs58::encode([6; 32]).into_string();
    place.registry.client().register_gateway(&elsewhere).await.unwrap();
    let (code, line) = node.end().await;
    assert_eq!(code, Some(78), "{line}");
    assert!(line.contains(FLAG) && line.contains("192.0.2.1:1789"), "{line}");
}
