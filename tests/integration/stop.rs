//! Stops under adverse conditions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nym_mixnode::config::{Source, settings};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

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

#[tokio::test]
async fn a_drain_that_runs_out_of_time_drops_what_is_left_and_counts_it() {
    let node = RunningNode::with(|values| {
        values.set(&settings::SHUTDOWN_DRAIN_DEADLINE.about, "0s", &Source::Program);
    })
    .await;
    let sink = Sink::start().await;
    let frames: Vec<_> = (0..100).map(|_| packet_via(&node.hop(), sink.address, Duration::from_secs(9), ACK)).collect();
    let _connection = send(node.address, &frames).await;
    node.wait_for("100 packets in the pool", |status| status.pool == 100).await;
    let status = node.stop().await;
    assert_eq!(status.dropped["shutdown"], 100, "{status:?}");
}
