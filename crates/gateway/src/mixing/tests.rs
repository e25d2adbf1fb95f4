use std::time::{Duration, Instant};

use nym_mixnode_message::ack::{ACK_LEN, ReturnPacket};
use nym_mixnode_message::sealed::Sealed;
use nym_mixnode_mix::ReplayWindow;
use nym_mixnode_sphinx::{CLIENT_HOPS, ClientHeader, Hop, public_key};
use nym_mixnode_wire::{BufferPool, FrameHeader, PacketMode};

use super::*;

const GATEWAY_KEY: [u8; 32] = [9; 32];

/// The gateway is every hop, so that a test peels the layers of the mixes with the same key.
fn route(port: u16) -> [Hop; CLIENT_HOPS] {
    [Hop { address: ([192, 0, 2, 1], port).into(), sphinx_key: public_key(&GATEWAY_KEY) }; CLIENT_HOPS]
}

fn at_gateway(size: PacketSize, message: &[u8]) -> Vec<u8> {
    let delays = [Duration::ZERO; CLIENT_HOPS - 1];
    let header = ClientHeader::build(&route(1789), &delays, &[3; 32], &mut rand::rng()).unwrap();
    let mut batch = [header.seal(size, message).unwrap()];
    for _mix in 0..CLIENT_HOPS - 1 {
        Engine::new(GATEWAY_KEY).unwrap_batch(&mut batch, &mut Vec::new(), |_| Ok::<_, UnwrapError>(()));
    }
    let [packet] = batch;
    packet
}

fn message(port: u16) -> (Vec<u8>, ReturnPacket, Sealed) {
    let delays = [Duration::ZERO; CLIENT_HOPS - 1];
    let packet = ReturnPacket::build(&route(port), &delays, &[4; 32], &[5; ACK_LEN], &mut rand::rng()).unwrap();
    let sealed = Sealed::cover(&public_key(&[6; 32]), &mut rand::rng()).unwrap();
    (sealed.with_return_packet(&packet), packet, sealed)
}

/// What arrives of these packets, and what is dropped.
async fn process(packets: &[(PacketSize, Vec<u8>)]) -> (Vec<Arrival>, [u64; 4]) {
    let window = ReplayWindow { length: Duration::from_secs(3600), expected_rate: 100 };
    let (arrivals, mut arrived) = mpsc::channel(100);
    let (received, received_end) = mpsc::channel(100);
    let counters = Arc::<MixingCounters>::default();
    let hops = FinalHops {
        engine: Engine::new(GATEWAY_KEY),
        replays: Arc::new(ReplayFilter::new(window).unwrap()),
        arrivals,
        is_node: Arc::new(|address| address.port() == 1789),
        counters: Arc::clone(&counters),
    };
    let buffers = BufferPool::new(1 << 24);
    for (size, packet) in packets {
        let header = FrameHeader::v0_9(*size, PacketMode::Mix);
        let mut frame = Vec::new();
        header.encode(&mut frame);
        frame.extend_from_slice(packet);
        received.send(Received { packet: buffers.take(header, &frame), at: Instant::now() }).await.unwrap();
    }
    drop(received);
    hops.run(received_end).await;
    let mut all = Vec::new();
    while let Some(arrival) = arrived.recv().await {
        all.push(arrival);
    }
    (all, counters.dropped())
}

#[tokio::test]
async fn a_message_arrives_once_with_its_return_packet() {
    let (plaintext, return_packet, sealed) = message(1789);
    let packet = (PacketSize::Regular, at_gateway(PacketSize::Regular, &plaintext));
    let (arrived, dropped) = process(&[packet.clone(), packet.clone(), packet]).await;
    let [Arrival { client, content, return_packet: Some(found) }] = &arrived[..] else { panic!() };
    assert_eq!((client, content, found), (&[3; 32], &sealed.to_bytes(), &return_packet));
    assert_eq!(dropped, [0, 0, 2, 0]);
}

#[tokio::test]
async fn acknowledgements_arrive_and_return_packets_to_strangers_do_not_leave() {
    let (plaintext, _, _) = message(22);
    let packets = [
        (PacketSize::Ack, at_gateway(PacketSize::Ack, &[8; ACK_LEN])),
        (PacketSize::Regular, at_gateway(PacketSize::Regular, &plaintext)),
    ];
    let (arrived, dropped) = process(&packets).await;
    assert_eq!((arrived.len(), dropped), (2, [0; 4]));
    assert_eq!(arrived[0].content, [8; ACK_LEN]);
    assert!(arrived.iter().all(|arrival| arrival.return_packet.is_none()));
}

#[tokio::test]
async fn packets_that_are_not_for_clients_are_counted() {
    let mut forged = at_gateway(PacketSize::Ack, &[8; ACK_LEN]);
    forged[40] ^= 1;
    let delays = [Duration::ZERO; CLIENT_HOPS - 1];
    let header = ClientHeader::build(&route(1789), &delays, &[3; 32], &mut rand::rng()).unwrap();
    let packets = [
        (PacketSize::Ack, forged),
        (PacketSize::Ack, header.seal(PacketSize::Ack, &[8; ACK_LEN]).unwrap()),
        (PacketSize::Regular, at_gateway(PacketSize::Regular, &[9; 2048])),
        (PacketSize::Regular, at_gateway(PacketSize::Regular, &[4; 100])),
    ];
    let (arrived, dropped) = process(&packets).await;
    assert!(arrived.is_empty());
    assert_eq!(dropped, [1, 1, 0, 2]);
}
