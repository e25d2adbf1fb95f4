use nym_mixnode_keys::SphinxKeyPair;
use nym_mixnode_message::ack::AckKey;
use nym_mixnode_message::address::ClientAddress;
use nym_mixnode_message::content::Content;
use nym_mixnode_message::fragment::Fragments;

use super::*;
use crate::core::{ClientKeys, Settings};

const PING: &[u8] = b"ping";

fn core() -> Core {
    let encryption = SphinxKeyPair::generate().unwrap();
    let key = *nym_mixnode_keys::IdentityKeyPair::generate().unwrap().public();
    let address = ClientAddress::new(key, *encryption.public(), key).unwrap();
    Core::new(ClientKeys { address, encryption, ack: AckKey::from_bytes(&[1; 16]) }, Settings::default())
}

fn fragments() -> Vec<Fragment> {
    let content = Content { data: vec![7; 10_000], reply_block: None };
    Fragments::of(content, &mut rand::rng()).iter().collect()
}

/// The answer, and the number of ticks until it came.
async fn answer(confirming: &mut Confirming, core: &Core) -> (Vec<u8>, usize) {
    for ticks in 1.. {
        if let Some(content) = confirming.tick(core).await.unwrap() {
            return (content, ticks);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    unreachable!()
}

#[tokio::test]
async fn a_ping_is_answered_at_the_second_tick_when_nothing_is_to_be_stored() {
    let (core, mut confirming) = (core(), Confirming::default());
    for _ in 0..2 {
        confirming.received();
        confirming.pinged(PING.to_vec());
        assert_eq!(answer(&mut confirming, &core).await, (PING.to_vec(), 2));
    }
    assert!(confirming.is_confirmed(confirming.position()));
}

#[tokio::test]
async fn fragments_are_on_disk_before_the_answer_and_leave_with_their_message() {
    let dir = tempfile::tempdir().unwrap();
    let (path, stored) = (dir.path().join("journal"), Arc::<AtomicU64>::default());
    let (journal, _) = Journal::open(&path).unwrap();
    let on_disk = || Journal::open(&path).unwrap().1.len();
    let (mut core, all) = (core(), fragments());
    let mut confirming = Confirming::new(Storage { journal, stored: Arc::clone(&stored) });
    let (last, first) = all.split_last().unwrap();
    for fragment in first {
        assert!(core.restore(std::slice::from_ref(fragment), std::time::Instant::now()).is_empty());
        confirming.keep(fragment.clone());
    }
    confirming.pinged(PING.to_vec());
    assert_eq!(on_disk(), 0);
    assert_eq!(answer(&mut confirming, &core).await.0, PING);
    assert_eq!(on_disk(), first.len());

    // Complete, but its receiver has not stored it.
    assert_eq!(core.restore(std::slice::from_ref(last), std::time::Instant::now()).len(), 1);
    confirming.handed_over();
    confirming.received();
    confirming.pinged(PING.to_vec());
    for _ in 0..10 {
        assert_eq!(confirming.tick(&core).await.unwrap(), None);
    }
    assert_eq!(on_disk(), first.len());
    assert!(!confirming.is_confirmed(confirming.position()));
    stored.store(1, Ordering::Release);
    assert_eq!(answer(&mut confirming, &core).await.0, PING);
    while on_disk() > 0 {
        assert_eq!(confirming.tick(&core).await.unwrap(), None);
    }
}
