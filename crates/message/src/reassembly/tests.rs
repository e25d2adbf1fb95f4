use proptest::prelude::*;

use super::*;
use crate::fragment::{FragmentHeader, Fragments};

fn fragments(data: Vec<u8>) -> Vec<Fragment> {
    Fragments::of(Content { data, reply_block: None }, &mut rand::rng()).iter().collect()
}

fn reassembly(bytes_max: usize) -> Reassembly {
    Reassembly::new(Bounds { bytes: bytes_max, ..Bounds::default() })
}

fn id(number: u32) -> SetId {
    SetId::new(number).unwrap()
}

/// A fragment with this place and zeros.
fn fragment(set: u32, total: u8, current: u8, link: Option<u32>) -> Fragment {
    let mut bytes = FragmentHeader::new(id(set), total, current, link.map(id)).unwrap().encode();
    bytes.resize(FRAGMENT_LEN, 0);
    Fragment::decode(&bytes).unwrap()
}

/// All 255 fragments of a set with these neighbours.
fn set(number: u32, previous: Option<u32>, next: Option<u32>) -> Vec<Fragment> {
    let link = |current| match current {
        1 => previous,
        255 => next,
        _ => None,
    };
    (1..=255).map(|current| fragment(number, 255, current, link(current))).collect()
}

/// The result of the last fragment.
fn insert_all(reassembly: &mut Reassembly, fragments: &[Fragment]) -> Result<Progress, ReassemblyError> {
    let now = Instant::now();
    let (last, others) = fragments.split_last().unwrap();
    for fragment in others {
        assert!(matches!(reassembly.insert(fragment, now), Ok(Progress::Incomplete)), "{fragment:?}");
    }
    reassembly.insert(last, now)
}

#[test]
fn three_sets_in_reverse_order_are_one_message() {
    let data: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let mut fragments = fragments(data.clone());
    fragments.reverse();
    let mut reassembly = Reassembly::new(Bounds::default());
    let Ok(Progress::Complete(content)) = insert_all(&mut reassembly, &fragments) else { panic!() };
    assert!(content.data == data);
    assert_eq!((reassembly.bytes(), reassembly.forgotten()), (0, 0));
    assert!(reassembly.messages.is_empty() && reassembly.order.is_empty() && reassembly.sets.is_empty());
    for fragment in &fragments {
        assert!(matches!(reassembly.insert(fragment, Instant::now()), Ok(Progress::Repeated)));
    }
}

#[test]
fn a_fragment_that_is_there_changes_nothing() {
    let fragments = fragments(vec![1; 2000]);
    let mut reassembly = Reassembly::new(Bounds::default());
    let now = Instant::now();
    assert!(matches!(reassembly.insert(&fragments[0], now), Ok(Progress::Incomplete)));
    assert!(matches!(reassembly.insert(&fragments[0], now), Ok(Progress::Repeated)));
    assert_eq!(reassembly.bytes(), FRAGMENT_LEN);
    assert!(matches!(reassembly.insert(&fragments[1], now), Ok(Progress::Complete(_))));
}

#[test]
fn a_set_has_one_number_of_fragments() {
    let mut reassembly = Reassembly::new(Bounds::default());
    let now = Instant::now();
    assert!(reassembly.insert(&fragment(1, 3, 1, None), now).is_ok());
    let error = reassembly.insert(&fragment(1, 9, 8, None), now).unwrap_err();
    assert_eq!(error, ReassemblyError::Total { known: 3, claimed: 9 });
}

#[test]
fn sets_that_contradict_each_other_are_dropped() {
    let ring = [set(1, Some(2), Some(2)), set(2, Some(1), Some(1))].concat();
    let other_next = [set(3, None, Some(4)), set(2, Some(3), None)].concat();
    for fragments in [ring, other_next] {
        let mut reassembly = Reassembly::new(Bounds::default());
        assert_eq!(insert_all(&mut reassembly, &fragments).unwrap_err(), ReassemblyError::Links);
        assert_eq!(reassembly.bytes(), 0);
        assert!(matches!(reassembly.insert(&fragments[0], Instant::now()), Ok(Progress::Repeated)));
    }
}

#[test]
fn fragments_that_are_no_message_are_dropped() {
    let mut reassembly = Reassembly::new(Bounds::default());
    let now = Instant::now();
    let mut content = |bytes: &[u8]| {
        let number = u32::try_from(reassembly.done.len() + 1).unwrap();
        let mut whole = FragmentHeader::new(id(number), 1, 1, None).unwrap().encode();
        whole.extend_from_slice(bytes);
        whole.resize(FRAGMENT_LEN, 0);
        reassembly.insert(&Fragment::decode(&whole).unwrap(), now).unwrap_err()
    };
    assert_eq!(content(&[]), ReassemblyError::Content(ContentError::NoEnd));
    assert_eq!(content(&[0, 5]), ReassemblyError::Content(ContentError::NoEnd));
    assert_eq!(content(&[1]), ReassemblyError::Content(ContentError::Empty));
    assert_eq!(content(&[2, 1]), ReassemblyError::Content(ContentError::Flag(2)));
    assert_eq!(content(&[1, 7, 7, 1]), ReassemblyError::Content(ContentError::ShortReplyBlock));
    let bad_block = [&[1; 1][..], &[0; 1164], &[1]].concat();
    assert!(matches!(content(&bad_block), ReassemblyError::Content(ContentError::ReplyBlock(_))));
}

#[test]
fn the_least_recently_continued_message_makes_room() {
    let mut reassembly = reassembly(4 * FRAGMENT_LEN);
    let now = Instant::now();
    for (set, current) in [(1, 1), (2, 1), (1, 2), (3, 1), (4, 1)] {
        assert!(matches!(reassembly.insert(&fragment(set, 200, current, None), now), Ok(Progress::Incomplete)));
    }
    assert_eq!(reassembly.forgotten(), 1);
    assert!(!reassembly.sets.contains_key(&id(2)) && reassembly.sets.contains_key(&id(1)));
    assert_eq!(reassembly.bytes(), 4 * FRAGMENT_LEN);
}

#[test]
fn linked_sets_stay_or_leave_together() {
    let mut reassembly = reassembly(600 * FRAGMENT_LEN);
    let start = Instant::now();
    for fragment in set(1, None, Some(2)) {
        reassembly.insert(&fragment, start).unwrap();
    }
    let later = start + Duration::from_secs(599);
    reassembly.insert(&fragment(2, 255, 1, Some(1)), later).unwrap();
    reassembly.forget_idle(start + Duration::from_secs(601));
    assert_eq!(reassembly.bytes(), 256 * FRAGMENT_LEN);
    reassembly.forget_idle(later + Duration::from_secs(601));
    assert_eq!((reassembly.bytes(), reassembly.forgotten()), (0, 1));
}

#[test]
fn a_message_that_is_too_long_is_dropped_once() {
    let mut reassembly = reassembly(3 * FRAGMENT_LEN);
    let now = Instant::now();
    let results: Vec<_> = (1..=5).map(|n| reassembly.insert(&fragment(1, 9, n, None), now)).collect();
    assert_eq!(results[3].as_ref().unwrap_err(), &ReassemblyError::TooLong(3 * FRAGMENT_LEN));
    assert!(matches!(results[4], Ok(Progress::Repeated)));
    assert_eq!(reassembly.bytes(), 0);
}

#[test]
fn remembered_sets_are_bounded() {
    let mut reassembly = Reassembly::new(Bounds { remembered: 3, ..Bounds::default() });
    for number in 1..=9 {
        assert!(reassembly.insert(&fragment(number, 1, 1, None), Instant::now()).is_err());
    }
    assert_eq!((reassembly.done.len(), reassembly.done_order.len()), (3, 3));
}

proptest! {
    #[test]
    fn any_fragments_keep_the_books(places in prop::collection::vec((1_u32..6, 1_u8..=255, 1_u8..=255, 1_u32..9), 1..300)) {
        let mut reassembly = reassembly(50 * FRAGMENT_LEN);
        let start = Instant::now();
        for (step, (set, total, current, link)) in (0..).zip(places) {
            let link = SetId::new(link).filter(|_| step % 2 == 0);
            let Ok(header) = FragmentHeader::new(id(set), total, current, link) else { continue };
            let mut bytes = header.encode();
            bytes.resize(FRAGMENT_LEN, 0);
            let now = start + Duration::from_secs(10 * step);
            reassembly.insert(&Fragment::decode(&bytes).unwrap(), now).ok();
            let stored: usize = reassembly.sets.values().map(|set| set.fragments.len()).sum();
            prop_assert_eq!(stored * FRAGMENT_LEN, reassembly.bytes());
            prop_assert!(reassembly.bytes() <= 50 * FRAGMENT_LEN);
            let listed: usize = reassembly.messages.values().map(|message| message.sets.len()).sum();
            prop_assert_eq!(listed, reassembly.sets.len());
            prop_assert_eq!(reassembly.order.len(), reassembly.messages.len());
        }
    }

    #[test]
    fn any_order_gives_the_message(seed: u64, len in 0..30_000_usize) {
        use rand::seq::SliceRandom;
        use rand::SeedableRng;
        let data: Vec<u8> = (0..len).map(|n| n.to_le_bytes()[0]).collect();
        let mut fragments = fragments(data.clone());
        fragments.shuffle(&mut rand::rngs::SmallRng::seed_from_u64(seed));
        let result = insert_all(&mut Reassembly::new(Bounds::default()), &fragments);
        let Ok(Progress::Complete(content)) = result else { panic!() };
        prop_assert_eq!(content.data, data);
    }
}
