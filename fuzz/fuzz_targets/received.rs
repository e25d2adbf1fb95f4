//! Any messages that a gateway pushes, and any fragments in any order, keep a client within its bounds.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use nym_mixnode_message::ack::AckKey;
use nym_mixnode_message::fragment::{FRAGMENT_LEN, Fragment, FragmentHeader};
use nym_mixnode_message::reassembly::{Bounds, Progress, Reassembly};
use nym_mixnode_message::reply::{ReplyBlock, ReplyKey};
use nym_mixnode_message::sealed::Pushed;

fuzz_target!(|input: (Vec<u8>, Vec<([u8; 10], Vec<u8>)>)| {
    let (pushed, fragments) = input;
    match Pushed::decode(&pushed) {
        Ok(Pushed::Ack(ack)) => drop(AckKey::from_bytes(&[7; 16]).open(&ack)),
        Ok(Pushed::Message(message)) => {
            assert_eq!(message.to_bytes(), pushed);
            message.clone().open_reply(&ReplyKey::from_bytes(&[7; 16])).ok();
            message.open(&[7; 32]).ok();
        }
        Err(_) => {}
    }
    if let Ok(text) = std::str::from_utf8(&pushed)
        && let Ok(block) = text.parse::<ReplyBlock>()
    {
        assert_eq!(*block.to_base58(), text);
    }
    let bounds = Bounds { bytes: 20 * FRAGMENT_LEN, idle: Duration::from_secs(5), remembered: 9 };
    let mut reassembly = Reassembly::new(bounds);
    let start = Instant::now();
    for (second, (header, payload)) in (0..).zip(fragments) {
        let mut bytes = header.to_vec();
        // Few sets, so that fragments meet.
        bytes[..3].copy_from_slice(&[0x80, 0, 0]);
        bytes.extend_from_slice(&payload);
        bytes.resize(FRAGMENT_LEN, 0);
        if let Ok((header, rest)) = FragmentHeader::decode(&bytes) {
            assert_eq!([&header.encode(), rest].concat(), bytes);
        }
        let Ok(fragment) = Fragment::decode(&bytes) else { continue };
        let progress = reassembly.insert(&fragment, start + Duration::from_secs(second));
        assert!(reassembly.bytes() <= bounds.bytes);
        if let Ok(Progress::Complete(content)) = progress {
            assert!(content.data.len() <= bounds.bytes);
        }
    }
});
