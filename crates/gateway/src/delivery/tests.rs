use nym_mixnode_message::gateway::SharedKey;
use nym_mixnode_sphinx::PacketSize;

use super::*;
use crate::store::StoreBounds;

struct World {
    store: Arc<Store>,
    connected: Arc<Connected>,
    arrivals: mpsc::Sender<Arrival>,
    acks: mpsc::Receiver<ReturnPacket>,
    counters: Arc<Counters>,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new(bounds: StoreBounds) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(&dir.path().join("s"), &[7; 32], bounds).await.unwrap());
        let (connected, counters) = (Arc::new(Connected::default()), Arc::<Counters>::default());
        let (acks, acks_end) = mpsc::channel(100);
        let (arrivals, arrivals_end) = mpsc::channel(100);
        let delivery = Delivery {
            store: Arc::clone(&store),
            connected: Arc::clone(&connected),
            acks,
            counters: Arc::clone(&counters),
            now: || 1_800_000_000,
        };
        tokio::spawn(delivery.run(arrivals_end));
        Self { store, connected, arrivals, acks: acks_end, counters, _dir: dir }
    }

    async fn arrive(&self, client: u8, fill: u8) {
        let packet = Box::new([fill; PacketSize::Ack.packet_len()]);
        let return_packet = Some(ReturnPacket { first_hop: ([192, 0, 2, 1], 1789).into(), packet });
        self.arrivals.send(Arrival { client: [client; 32], content: vec![fill], return_packet }).await.ok().unwrap();
    }

    async fn next_ack(&mut self) -> u8 {
        let ack = tokio::time::timeout(Duration::from_secs(60), self.acks.recv()).await;
        ack.unwrap().unwrap().packet[0]
    }
}

#[tokio::test]
async fn messages_are_safe_before_they_are_acknowledged() {
    let mut world = World::new(StoreBounds::default()).await;
    for client in 1..=3 {
        world.store.register(&[client; 32], &SharedKey::from_bytes(&[0; 32]), 0).await.unwrap();
    }
    let (_claim, mut confirming) = world.connected.claim(&[1; 32]).unwrap();
    let (_other_claim, mut silent) = world.connected.claim(&[2; 32]).unwrap();
    // Nothing has arrived for a while.
    tokio::time::sleep(10 * TICK).await;
    let began = Instant::now();
    for client in 1..=3 {
        world.arrive(client, 10 * client).await;
    }
    let confirmed = confirming.queue.recv().await.unwrap();
    assert_eq!(confirmed.content, [10]);
    confirmed.set_safe();
    assert_eq!(silent.queue.recv().await.unwrap().content, [20]);
    let mut acks = [world.next_ack().await, world.next_ack().await, world.next_ack().await];
    assert!(began.elapsed() >= ACKNOWLEDGED_AFTER, "as late for all");
    acks.sort_unstable();
    assert_eq!(acks, [10, 20, 30]);
    let mut stored = Vec::new();
    for client in 1..=3 {
        let messages = world.store.after(&[client; 32], 0, 9).await.unwrap();
        stored.push(messages.into_iter().map(|message| message.content).collect::<Vec<_>>());
    }
    assert_eq!(stored, [vec![], vec![vec![20]], vec![vec![30]]]);
    assert_eq!((world.counters.pushed(), world.counters.stored()), (2, 1));
}

#[tokio::test]
async fn what_is_dropped_is_not_acknowledged() {
    let bounds = StoreBounds { messages_per_client: 1, ..StoreBounds::default() };
    let mut world = World::new(bounds).await;
    world.store.register(&[1; 32], &SharedKey::from_bytes(&[0; 32]), 0).await.unwrap();
    for (client, fill) in [(9, 1), (1, 2), (1, 3)] {
        world.arrive(client, fill).await;
    }
    assert_eq!(world.next_ack().await, 2);
    drop(world.arrivals);
    assert!(world.acks.recv().await.is_none());
    assert_eq!(world.counters.dropped(), [1, 1, 0]);
}

#[tokio::test]
async fn a_message_that_is_stored_while_its_client_connects_is_announced() {
    let mut world = World::new(StoreBounds::default()).await;
    world.store.register(&[1; 32], &SharedKey::from_bytes(&[0; 32]), 0).await.unwrap();
    let (_claim, live) = world.connected.claim(&[1; 32]).unwrap();
    // The queue is full, so the message goes to the inbox.
    while world.connected.push(Message { client: [1; 32], content: vec![0] }).is_ok() {}
    world.arrive(1, 7).await;
    assert_eq!(world.next_ack().await, 7);
    tokio::time::timeout(Duration::from_secs(60), live.inbox.notified()).await.unwrap();
    assert_eq!(world.store.messages(), 1);
}

#[tokio::test]
async fn the_order_of_acknowledgements_shows_neither_who_is_present_nor_which_message_came_first() {
    const MESSAGES: u8 = 80;
    let mut world = World::new(StoreBounds::default()).await;
    for client in 0..2 {
        world.store.register(&[client; 32], &SharedKey::from_bytes(&[0; 32]), 0).await.unwrap();
    }
    let (_claim, _live) = world.connected.claim(&[0; 32]).unwrap();
    // All of them are there before the delivery looks, and so belong to one tick.
    for number in 0..MESSAGES {
        world.arrive(number % 2, number).await;
    }
    let mut order = Vec::new();
    for _ in 0..MESSAGES {
        order.push(world.next_ack().await);
    }
    assert_eq!((world.counters.pushed(), world.counters.stored()), (40, 40));
    let changes = |of: &dyn Fn(u8) -> u8| order.windows(2).filter(|pair| of(pair[0]) != of(pair[1])).count();
    let rises = order.windows(2).filter(|pair| pair[0] < pair[1]).count();
    // About 40 in a random order; those who are present first would be one change.
    assert!(changes(&|number| number % 2) > 15, "{order:?}");
    assert!(rises < 65, "{order:?}");
}
