//! Faulty next hops lose their own packets, and no others.

use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode::node::NodeStatus;
use nym_mixnode_config::{Source, settings};
use nym_mixnode_sphinx::PacketSize;
use nym_mixnode_wire::{FrameHeader, PacketMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::support::{ACK, PATIENCE, RunningNode, Sink, packet_via, send};

const LARGE: FrameHeader = FrameHeader::v0_9(PacketSize::Extended32, PacketMode::Mix);

/// Sends until the peer disconnects; returns the number of bytes sent.
async fn talk(mut stream: TcpStream) -> usize {
    let junk = vec![b'x'; 1 << 14];
    let mut sent = 0;
    while let Ok(written) = stream.write(&junk).await {
        sent += written;
    }
    sent
}

#[tokio::test]
async fn a_next_hop_that_talks_is_hung_up_on() {
    let node = RunningNode::with(|values| {
        values.set(&settings::MIX_WORKERS.about, "1", &Source::Program);
        values.set(&settings::FORWARD_BACKOFF_INITIAL.about, "10ms", &Source::Program);
    })
    .await;
    let talker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = talker.local_addr().unwrap();
    let mut bystander = Sink::start().await;
    for _ in 0..3 {
        let frames = [address, bystander.address].map(|next| packet_via(&node.hop(), next, Duration::ZERO, ACK));
        let _connection = send(node.address, &frames).await;
        let (stream, _) = timeout(PATIENCE, talker.accept()).await.expect("the node calls again").unwrap();
        // Until the peer disconnects.
        timeout(PATIENCE, talk(stream)).await.expect("the node hangs up");
        bystander.next().await;
    }
    // Also while packets for it keep arriving.
    let frames: Vec<_> = (0..200).map(|_| packet_via(&node.hop(), address, Duration::ZERO, ACK)).collect();
    let _connection = send(node.address, &frames).await;
    let (stream, _) = timeout(PATIENCE, talker.accept()).await.expect("the node calls again").unwrap();
    timeout(PATIENCE, talk(stream)).await.expect("the node hangs up");
    drop(talker);
    let last = packet_via(&node.hop(), bystander.address, Duration::ZERO, ACK);
    let _connection = send(node.address, &[last]).await;
    bystander.next().await;
}

/// A next hop with small buffers.
fn narrow_listener() -> (TcpListener, SocketAddr) {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1 << 15).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(16).unwrap();
    socket.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(socket.into()).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn send_large(node: &RunningNode, next_hop: SocketAddr, count: u64) -> TcpStream {
    let frames: Vec<_> = (0..count).map(|_| packet_via(&node.hop(), next_hop, Duration::ZERO, LARGE)).collect();
    send(node.address, &frames).await
}

#[tokio::test]
async fn a_next_hop_that_takes_nothing_keeps_its_share_of_the_budget_and_no_more() {
    /// More than the kernels' buffers and the share hold.
    const COUNT: u64 = 220;
    /// Half of so small a budget, and one packet beyond it.
    const SHARE: u64 = (2 << 20) + 33_500;
    let node = RunningNode::with(|values| {
        values.set_list(&settings::MIX_PACKET_SIZES.about, ["ack", "extended32"], &Source::Program);
        values.set(&settings::MIX_MEMORY.about, "4MiB", &Source::Program);
        values.set(&settings::FORWARD_STALE_AFTER.about, "1h", &Source::Program);
        values.set(&settings::SHUTDOWN_DRAIN_DEADLINE.about, "1s", &Source::Program);
    })
    .await;
    let (_deaf, address) = narrow_listener();
    let _connection = send_large(&node, address, COUNT).await;
    let settled = |status: &NodeStatus| {
        let dropped: u64 = status.dropped.values().sum();
        status.received == COUNT && status.in_flight * LARGE.frame_len() as u64 <= SHARE && dropped > 0
    };
    let status = node.wait_for("what is over the share is dropped", settled).await;
    assert_eq!(status.dropped.keys().collect::<Vec<_>>(), ["next_hop_queue_full"], "{status:?}");
    let mut bystander = Sink::start().await;
    let other = packet_via(&node.hop(), bystander.address, Duration::ZERO, ACK);
    let _connection = send(node.address, &[other]).await;
    bystander.next().await;
    node.stop().await;
}

#[tokio::test]
async fn a_next_hop_that_trickles_keeps_nothing_past_its_time() {
    /// Far more than the kernels' buffers hold.
    const COUNT: u64 = 400;
    let node = RunningNode::with(|values| {
        values.set_list(&settings::MIX_PACKET_SIZES.about, ["extended32"], &Source::Program);
        values.set(&settings::FORWARD_STALE_AFTER.about, "2s", &Source::Program);
    })
    .await;
    let (listener, address) = narrow_listener();
    let trickle = tokio::spawn(async move {
        let mut taken = 0;
        let mut buffer = vec![0; 1 << 12];
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                taken += count as u64;
                assert!(taken < COUNT * LARGE.frame_len() as u64 / 2, "so slow that it cannot get them all");
                sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let _connection = send_large(&node, address, COUNT).await;
    let status = node.wait_for("nothing is kept", |status| status.received == COUNT && status.in_flight <= 1).await;
    assert!(status.dropped["next_hop_unreachable"] > 0, "{status:?}");
    assert!(!trickle.is_finished(), "it takes more all the while");
    trickle.abort();
    node.stop().await;
}
