//! `/metrics` of a node that mixes, and the same numbers in what is exported and in `/status`.

use std::time::Duration;

use nym_mixnode_config::{Source, settings};

use super::collector::{Collector, Manner};
use super::process::eventually;
use super::support::{ACK, RunningNode, Sink, own_address, packet_via, send};

async fn get(url: &str, accept: &str) -> Option<(String, String)> {
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let reply = client.get(url).header("accept", accept).send().await.ok()?;
    let content_type = reply.headers()["content-type"].to_str().unwrap().to_owned();
    Some((content_type, reply.text().await.ok()?))
}

#[tokio::test]
async fn the_numbers_of_a_window_are_the_same_everywhere_and_rounded() {
    let mut collector = Collector::start(Manner::Works).await;
    let http = own_address();
    let mut sink = Sink::start().await;
    let node = RunningNode::with_telemetry(collector.telemetry(), |values| {
        values.set(&settings::TELEMETRY_WINDOW.about, "10s", &Source::Program);
        values.set(&settings::HTTP_LISTEN.about, http.to_string(), &Source::Program);
    })
    .await;
    let url = format!("http://{http}/metrics");
    let (content_type, before) = get(&url, "*/*").await.unwrap();
    assert!(content_type.starts_with("text/plain; version=0.0.4"), "{content_type}");
    assert!(before.contains("\nmix_packets_total{stage=\"received\"} 0\n"), "{before}");

    let packet = |delay| packet_via(&node.hop(), sink.address, delay, ACK);
    let packets: Vec<_> = (0..5).map(|ms| packet(Duration::from_millis(ms))).collect();
    let _connection = send(node.address, &packets).await;
    sink.take(5).await;
    let text = eventually("the window is over", async || {
        let (_, text) = get(&url, "*/*").await?;
        text.contains("\nmix_packets_total{stage=\"forwarded\"} 64\n").then_some(text)
    })
    .await;
    for sample in [
        "mix_packets_total{stage=\"received\"} 64",
        "mix_packets_total{stage=\"unwrapped\"} 64",
        "mix_packets_total{stage=\"delayed\"} 64",
        "mix_pool_size 0",
        "mix_connections{direction=\"in\"} 4",
        "mix_forward_lag_seconds_count 0",
        "mixnode_ready 0",
    ] {
        assert!(text.contains(&format!("\n{sample}\n")), "{sample} is not in\n{text}");
    }
    assert!(!text.contains(&sink.address.to_string()) && !text.contains("127.0.0.1"), "{text}");
    let (content_type, open) = get(&url, "application/openmetrics-text; version=1.0.0").await.unwrap();
    assert!(content_type.starts_with("application/openmetrics-text"), "{content_type}");
    assert!(open.ends_with("# EOF\n"), "{open}");
    let (_, status) = get(&url.replace("metrics", "status"), "*/*").await.unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["packets"]["total"]["forwarded"], 64, "{status}");

    node.stop().await;
    let exported = collector.exported();
    let text = format!("{exported:?}");
    assert!(text.contains("mix.window") && text.contains("directory.counter"), "{text}");
    assert!(text.contains("mix.packets"), "{text}");
    assert!(!text.contains("127.0.0.1"), "{text}");
}
