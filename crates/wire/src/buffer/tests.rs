use super::*;
use crate::PacketMode;

fn ack_frame() -> (FrameHeader, Vec<u8>) {
    let header = FrameHeader::v0_9(PacketSize::Ack, PacketMode::Mix);
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    bytes.resize(header.frame_len(), 7);
    (header, bytes)
}

#[test]
fn packets_are_charged_until_dropped() {
    let pool = BufferPool::new(1 << 20);
    let (header, frame) = ack_frame();
    let packets: Vec<_> = (0..10).map(|_| pool.take(header, &frame)).collect();
    assert_eq!(pool.packets_in_flight(), 10);
    assert_eq!(pool.bytes_in_flight(), 10 * (PacketSize::Ack.packet_len() + OVERHEAD_BYTES));
    assert_eq!(packets[0].frame(), frame);
    assert_eq!(packets[0].packet(), &frame[2..]);
    drop(packets);
    assert_eq!((pool.packets_in_flight(), pool.bytes_in_flight()), (0, 0));
}

#[test]
fn a_place_has_a_share_of_what_is_left_once_half_of_the_budget_is_used() {
    let (header, frame) = ack_frame();
    let charge = header.size.packet_len() + OVERHEAD_BYTES;
    let (pool, now) = (BufferPool::new(100 * charge), Instant::now());
    let (large, small) = (pool.payer("large"), pool.payer("small"));
    let mut packets: Vec<_> = (0..49).map(|_| pool.take(header, &frame)).collect();
    pool.charge_read(large, 49 * charge, 0, || now);
    assert_eq!(pool.over_share(large, || now), None, "nothing is charged while there is enough");
    packets.push(pool.take(header, &frame));
    pool.charge_read(large, 24 * charge, 0, || now);
    pool.charge_read(small, charge, 0, || now);
    assert_eq!(pool.over_share(large, || now), None, "within a half of what is left");
    packets.extend((0..10).map(|_| pool.take(header, &frame)));
    assert!(pool.over_share(large, || now).is_some());
    assert_eq!(pool.over_share(small, || now), None);
    packets.truncate(49);
    assert_eq!(pool.over_share(large, || now), None, "no shares again");
}

#[tokio::test]
async fn readers_wait_while_the_budget_is_spent() {
    let (header, frame) = ack_frame();
    let pool = BufferPool::new(frame.len());
    drop(pool.read_permit().await);
    let packet = pool.take(header, &frame);
    let waiter = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { drop(pool.read_permit().await) }
    });
    tokio::task::yield_now().await;
    assert!(!waiter.is_finished());
    drop(packet);
    waiter.await.unwrap();
}

#[tokio::test]
async fn a_reader_wakes_the_next_one_and_a_cancelled_reader_blocks_none() {
    let (header, frame) = ack_frame();
    let pool = BufferPool::new(1);
    let packet = pool.take(header, &frame);
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let waiters: Vec<_> = (0..10)
        .map(|number| {
            let (pool, order) = (Arc::clone(&pool), Arc::clone(&order));
            tokio::spawn(async move {
                let permit = pool.read_permit().await;
                order.lock().unwrap().push(number);
                drop(permit);
            })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(order.lock().unwrap().is_empty());
    drop(packet);
    // Notified, and dropped before it was polled.
    waiters[0].abort();
    waiters[4].abort();
    for waiter in waiters {
        waiter.await.ok();
    }
    assert_eq!(*order.lock().unwrap(), [1, 2, 3, 5, 6, 7, 8, 9]);
    assert_eq!(pool.waiting.load(Ordering::SeqCst), 0);
}

#[test]
fn a_reused_buffer_fits_every_framing_without_growing() {
    let pool = BufferPool::new(1 << 20);
    let longest = HEADROOM_LEN + PacketSize::Regular.packet_len();
    for framing in [Framing::V0_9, Framing::V2025_12, Framing::V1_1, Framing::V2025_12] {
        let header = FrameHeader { framing, size: PacketSize::Regular, mode: PacketMode::Mix, key_rotation: 0 };
        let mut packet = pool.take(header, &vec![0; header.frame_len()]);
        packet.frame_for(framing).unwrap();
        assert_eq!(packet.frame().len(), header.frame_len());
        assert!(packet.bytes.capacity() <= longest, "{}", packet.bytes.capacity());
    }
}

#[test]
fn nothing_of_a_received_frame_header_remains_in_the_packet() {
    let pool = BufferPool::new(1 << 20);
    for (size, framing) in PacketSize::ALL.into_iter().flat_map(|size| Framing::ALL.map(|framing| (size, framing))) {
        for (mode, key_rotation) in [(PacketMode::Mix, 0), (PacketMode::Vpn, 1), (PacketMode::Vpn, 2)] {
            let header = FrameHeader { framing, size, mode, key_rotation };
            let mut frame = Vec::new();
            header.encode(&mut frame);
            frame.resize(header.frame_len(), 7);
            let packet = pool.take(header, &frame);
            assert_eq!(packet.frame()[..2], [size as u8, 0]);
            assert_eq!(packet.frame()[2..], frame[framing.header_len()..]);
            assert_eq!(packet.charged_bytes(), charge(size));
        }
    }
}

#[test]
fn an_unsupported_size_is_an_error() {
    let pool = BufferPool::new(1 << 20);
    let header = FrameHeader { framing: Framing::V1_1, size: PacketSize::Extended8, ..ack_frame().0 };
    let mut packet = pool.take(header, &vec![7; header.frame_len()]);
    packet.frame_for(Framing::V2025_12).unwrap();
    assert_eq!(packet.frame()[..5], [8, 4, 0, 0, 7]);
    packet.frame_for(Framing::V1_1).unwrap();
    assert_eq!(packet.frame()[..4], [7, 4, 0, 7]);
    assert_eq!(packet.frame_for(Framing::V0_9), Err(SizeUnknown));
}

#[test]
fn a_packet_never_shows_its_bytes_in_debug_output() {
    let (header, frame) = ack_frame();
    let pool = BufferPool::new(1 << 20);
    assert!(!format!("{:?}", pool.take(header, &frame)).contains("7, 7"));
}
