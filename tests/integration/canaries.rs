//! Marked peers and payloads pass through a real node under attack: no mark appears in its log or telemetry.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use nym_mixnode::node::NodeStatus;
use nym_mixnode_sphinx::PacketSize;
use nym_mixnode_wire::{FrameHeader, PacketMode};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use sphinx_packet::header::delays::Delay;
use sphinx_packet::packet::builder::SphinxPacketBuilder;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::collector::{Collector, Manner};
use super::process::{NodeFiles, NodeProcess, RegistryProcess, eventually};
use super::support::{ACK, hop, packet_via};

/// Addresses unique on this machine.
const HOSTILE: [u8; 3] = [127, 213, 97];
const NEXT_HOP: [u8; 3] = [127, 213, 98];
/// Unique text in payloads.
const MARK: &[u8; 16] = b"canary-inpayload";

fn host([a, b, c]: [u8; 3], d: u8) -> IpAddr {
    [a, b, c, d].into()
}

async fn connect_from(source: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(host(HOSTILE, source), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// Packet whose last hop is this node, which sees its payload in the clear.
fn packet_to(hop: &Node) -> Vec<u8> {
    let header = FrameHeader::v0_9(PacketSize::Ack, PacketMode::Mix);
    let destination = Destination::new(
        DestinationAddressBytes::from_bytes([*b"canarycanarycana"; 2].concat().try_into().unwrap()),
        *MARK,
    );
    let packet = SphinxPacketBuilder::new()
        .with_payload_size(header.size.payload_len())
        .build_packet(MARK, std::slice::from_ref(hop), &destination, &[Delay::new_from_nanos(0)])
        .unwrap();
    let mut frame = Vec::new();
    header.encode(&mut frame);
    frame.extend(packet.to_bytes());
    frame
}

/// Causes every kind of fault that a peer can; returns the open connections.
async fn trouble(node: &Node, address: SocketAddr, operator: SocketAddr) -> Vec<TcpStream> {
    let packet = |next: SocketAddr, delay_ms| packet_via(node, next, Duration::from_millis(delay_ms), ACK);
    let mut peers = Vec::new();
    let mut say = async |from: u8, bytes: &[u8]| {
        let mut peer = connect_from(from, address).await;
        // The node may already have disconnected.
        peer.write_all(bytes).await.ok();
        peers.push(peer);
    };
    for from in 1..20 {
        let next = SocketAddr::new(host(NEXT_HOP, from), 1789);
        let good = packet(next, 0);
        let mut bad_mac = packet(next, 0);
        bad_mac[40] ^= 1;
        say(from, MARK).await;
        say(from, &good[..100]).await;
        say(from, &[good.clone(), good, bad_mac, packet(next, 1 << 40), packet_to(node)].concat()).await;
        say(from, b"one too many").await;
        let mut asks = connect_from(from, operator).await;
        asks.write_all(&[b"POST /", &MARK[..], b"?\xff HTTP/9\r\n\r\n"].concat()).await.unwrap();
    }
    // More next hops at once than there are places: the node reads them together, so none can fail and give up its place.
    let crowd: Vec<u8> = (1..20).flat_map(|to| packet(SocketAddr::new(host(NEXT_HOP, to), 1790), 0)).collect();
    say(98, &crowd).await;
    // Next hops that never read, with more packets than their queue holds.
    let silent = std::net::TcpListener::bind(SocketAddr::new(host(NEXT_HOP, 99), 0)).unwrap();
    let flood: Vec<u8> = (0..50).flat_map(|_| packet(silent.local_addr().unwrap(), 0)).collect();
    say(99, &flood).await;
    peers
}

/// Forbidden texts, in all encodings.
fn marks() -> Vec<Vec<u8>> {
    let mut marks = Vec::new();
    for prefix in [HOSTILE, NEXT_HOP] {
        marks.push(format!("{}.{}.{}.", prefix[0], prefix[1], prefix[2]).into_bytes());
        marks.push(format!("{}, {}, {}, ", prefix[0], prefix[1], prefix[2]).into_bytes());
    }
    for mark in [&MARK[..8], b"canarycanary"] {
        marks.push(mark.to_vec());
        marks.push(mark.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat().into_bytes());
        marks.push(mark.iter().map(u8::to_string).collect::<Vec<_>>().join(", ").into_bytes());
    }
    marks
}

#[track_caller]
fn assert_no_mark(place: &str, output: &[u8]) {
    for mark in marks() {
        let found = output.windows(mark.len()).any(|window| window == mark);
        assert!(!found, "{} in {place}:\n{}", String::from_utf8_lossy(&mark), String::from_utf8_lossy(output));
    }
}

/// Everything that the collector received, as bytes and as text.
#[track_caller]
fn assert_exported_without_marks(collector: &mut Collector) {
    let mut all = String::new();
    while let Ok(request) = collector.requests.try_recv() {
        assert_no_mark("a request to the collector", &request.body);
        assert_no_mark("the head of one", request.head.as_bytes());
        let body = request.body.as_slice();
        let text = if request.head.starts_with("POST /v1/traces ") {
            format!("{:?}", ExportTraceServiceRequest::decode(body).unwrap())
        } else {
            format!("{:?}", ExportMetricsServiceRequest::decode(body).unwrap())
        };
        assert_no_mark("a request to the collector", text.as_bytes());
        all += &text;
    }
    for part in ["mix.window", "mix.dropped.replay", "directory.register", "mix.bad_frames", "mix.pool.size"] {
        assert!(all.contains(part), "{part} was not exported: {all}");
    }
}

#[tokio::test]
async fn no_mark_of_a_peer_or_a_payload_comes_out() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let files = NodeFiles::init(&registry.url()).await;
    let limits = ["--connections-per-address-max", "3", "--connections-frame-deadline", "100ms"];
    let forward = ["--forward-policy", "any", "--forward-stale-after", "200ms", "--forward-backoff-initial", "10ms"];
    let few = ["--forward-queue-packets-max", "2", "--forward-next-hops-max", "4", "--mix-workers", "1"];
    // Stricter than the rule, which allows peers below INFO.
    let log = ["--log-filter", "nym_mixnode=trace,info"];
    let window = ["--telemetry-window", "10s"];
    let mut collector = Collector::start(Manner::Works).await;
    let mut node = NodeProcess::spawn(&files, &[&limits[..], &forward, &few, &log, &window].concat(), |command| {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
    });
    let operator = node.http().await;
    node.registered().await;
    let first_hop = hop(files.address, *files.keys().sphinx.public());
    let _peers = trouble(&first_hop, files.address, operator).await;

    let happened = |status: &NodeStatus| {
        let of = |reason: &str| status.dropped.get(reason).copied().unwrap_or_default();
        let reasons = ["bad_mac", "replay", "delay_too_long", "too_many_next_hops"];
        reasons.iter().all(|reason| of(reason) > 0) && status.bad_frames > 0 && status.final_hop > 0
    };
    node.reports("every kind of trouble", happened).await;
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let get =
        async |path: &str| client.get(format!("http://{operator}{path}")).send().await.unwrap().bytes().await.unwrap();
    // Events are exported when their window is over.
    eventually("the trouble is told", async || {
        let text = String::from_utf8(get("/metrics").await.to_vec()).unwrap();
        text.contains("reason=\"replay\"").then_some(())?;
        (!text.contains("reason=\"replay\"} 0")).then_some(())
    })
    .await;
    for path in ["/status", "/livez", "/readyz", "/metrics", "/"] {
        let said = get(path).await;
        assert!(!said.is_empty());
        assert_no_mark(path, &said);
    }
    assert!(node.stop().await.success());
    assert_exported_without_marks(&mut collector);
    let log = fs::read(Path::new(files.root()).join("log")).unwrap();
    assert!(String::from_utf8_lossy(&log).contains("closed a connection"), "it logs what peers do");
    assert_no_mark("the log", &log);
}
