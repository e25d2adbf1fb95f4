//! Stops under adverse conditions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nym_mixnode_config::{Source, settings};
use nym_mixnode_telemetry::window::wall_clock;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::collector::{Collector, Manner};
use super::support::{ACK, PATIENCE, RunningNode, Sink, packet_via, send};

#[tokio::test]
async fn a_stop_ends_while_somebody_connects_again_and_again() {
    let node = RunningNode::with(|values| {
        values.set(&settings::SHUTDOWN_DRAIN_DEADLINE.about, "1h", &Source::Program);
    })
    .await;
    let address = node.address;
    let is_over = Arc::new(AtomicBool::new(false));
    let connecting = tokio::spawn({
        let is_over = Arc::clone(&is_over);
        async move {
            while !is_over.load(Ordering::Relaxed) {
                drop(TcpStream::connect(address).await);
                sleep(Duration::from_millis(10)).await;
            }
        }
    });
    let stopped = timeout(PATIENCE, node.stop()).await;
    is_over.store(true, Ordering::Relaxed);
    connecting.await.unwrap();
    assert!(stopped.is_ok(), "the node waits for the last stranger");
}

/// Waits until a window of ten seconds is open for six.
async fn late_in_a_window() -> u64 {
    loop {
        let now = wall_clock();
        if now.as_secs() % 10 == 6 {
            return now.as_secs() / 10;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_collector_gets_what_the_drain_has_dropped() {
    loop {
        let mut collector = Collector::start(Manner::Works).await;
        let node = RunningNode::with_telemetry(collector.telemetry(), |values| {
            values.set(&settings::SHUTDOWN_DRAIN_DEADLINE.about, "0s", &Source::Program);
            values.set(&settings::TELEMETRY_WINDOW.about, "10s", &Source::Program);
            values.set(&settings::MIX_DELAY_MAX.about, "1h", &Source::Program);
        })
        .await;
        let sink = Sink::start().await;
        // The node must be older than half a window.
        sleep(Duration::from_secs(5)).await;
        let window = late_in_a_window().await;
        let frame = packet_via(&node.hop(), sink.address, Duration::from_secs(1800), ACK);
        let _connection = send(node.address, &[frame]).await;
        node.wait_for("a packet in the pool", |status| status.pool == 1).await;
        assert_eq!(node.stop().await.dropped["shutdown"], 1);
        let now = wall_clock();
        if now.as_secs() / 10 > window {
            // On a busy machine the boundary may come before the drain.
            continue;
        }
        let (spans, metrics) = collector.exported();
        let last = format!("{:?}", metrics.last());
        assert!(last.contains("\"shutdown\""), "{last}");
        let spans = format!("{spans:?}");
        assert!(spans.contains("mix.window"), "{spans}");
        return;
    }
}

#[tokio::test]
async fn a_drain_that_runs_out_of_time_drops_what_is_left_and_counts_it() {
    let node = RunningNode::with(|values| {
        values.set(&settings::SHUTDOWN_DRAIN_DEADLINE.about, "0s", &Source::Program);
        values.set(&settings::MIX_DELAY_MAX.about, "1h", &Source::Program);
    })
    .await;
    let sink = Sink::start().await;
    let delay = Duration::from_secs(1800);
    let frames: Vec<_> = (0..100).map(|_| packet_via(&node.hop(), sink.address, delay, ACK)).collect();
    let _connection = send(node.address, &frames).await;
    node.wait_for("100 packets in the pool", |status| status.pool == 100).await;
    let status = node.stop().await;
    assert_eq!(status.dropped["shutdown"], 100, "{status:?}");
}
