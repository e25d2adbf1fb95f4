use std::fs;
use std::path::Path;

use nym_mixnode_message::address::ClientAddress;
use nym_mixnode_message::file::{CHUNK_LEN, Chunk, FileFacts, question};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::*;
use crate::daemon::Command;

fn facts(content: &[u8], name: &str) -> FileFacts {
    FileFacts { len: content.len() as u64, digest: Sha256::digest(content).into(), name: name.to_owned() }
}

fn chunks(content: &[u8], name: &str, transfer: u8) -> Vec<Vec<u8>> {
    let facts = facts(content, name);
    let encode = |index: u32| {
        let start = usize::try_from(u64::from(index) * CHUNK_LEN).unwrap();
        let len = usize::try_from(facts.chunk_len(index).unwrap()).unwrap();
        Chunk { transfer: [transfer; 16], facts: facts.clone(), index, data: &content[start..start + len] }.encode()
    };
    (0..facts.chunks().unwrap()).map(encode).collect()
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 % 251).to_le_bytes()[0]).collect()
}

fn receiver(dir: &Path) -> Receiver {
    Receiver::open(dir, ReceiverBounds { file_len: 2_000_000, transfers: 2 }).unwrap()
}

#[test]
fn a_file_is_complete_with_its_last_chunk_whatever_the_order() {
    let dir = tempfile::tempdir().unwrap();
    let content = content(1_000_000);
    let mut chunks = chunks(&content, "a.txt", 1);
    assert_eq!(chunks.len(), 3);
    chunks.reverse();
    assert_eq!(receiver(dir.path()).accept(&chunks[0]).unwrap(), None);
    // A repeated chunk, and another start of the client.
    let receiver = receiver(dir.path());
    assert_eq!(receiver.accept(&chunks[0]).unwrap(), None);
    assert_eq!(receiver.accept(&chunks[1]).unwrap(), None);
    let arrived = receiver.accept(&chunks[2]).unwrap().unwrap();
    assert_eq!(arrived.path.file_name().unwrap(), "a.txt");
    assert!(fs::read(&arrived.path).unwrap() == content);
    assert_eq!(receiver.complete().unwrap(), [arrived]);
    assert_eq!(fs::read_dir(dir.path().join("incoming")).unwrap().count(), 0);
}

#[test]
fn an_empty_file_and_a_message_are_files() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = receiver(dir.path());
    assert_eq!(receiver.accept(&chunks(b"", "empty", 1)[0]).unwrap().unwrap().len, 0);
    let arrived = receiver.accept(b"hello").unwrap().unwrap();
    assert_eq!(fs::read(arrived.path).unwrap(), b"hello");
}

#[test]
fn no_file_replaces_another() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let receiver = receiver(dir.path());
    for (transfer, text) in [(1, b"one"), (2, b"two")] {
        receiver.accept(&chunks(text, "a.txt", transfer)[0]).unwrap().unwrap();
    }
    let names = |dir: &Path| {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    fs::write(out.path().join("a.txt"), b"mine").unwrap();
    for arrived in receiver.complete().unwrap() {
        arrived.deliver(out.path()).unwrap();
    }
    assert_eq!(names(out.path()).len(), 3);
    assert_eq!(fs::read(out.path().join("a.txt")).unwrap(), b"mine");
    assert!(receiver.complete().unwrap().is_empty());
}

#[test]
fn a_file_that_cannot_be_copied_leaves_nothing_in_the_directory() {
    let (dir, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let arrived = receiver(dir.path()).accept(&chunks(b"one", "a.txt", 1)[0]).unwrap().unwrap();
    // Reading it fails, after the copy has begun.
    fs::remove_file(&arrived.path).unwrap();
    fs::create_dir(&arrived.path).unwrap();
    arrived.deliver(out.path()).unwrap_err();
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
}

#[test]
fn names_from_strangers_stay_in_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = receiver(dir.path());
    let names = ["../../etc/passwd", "/etc/passwd", "..", ".profile", "a\nb", "-rf", "\\\\host\\share"];
    for (transfer, name) in (0..).zip(names) {
        let arrived = receiver.accept(&chunks(b"x", name, transfer)[0]).unwrap().unwrap();
        assert_eq!(arrived.path.parent().unwrap(), dir.path().join("complete"), "{name}");
        let shown = arrived.path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(!shown.starts_with(['.', '-']) && !shown.contains('\n'), "{shown:?}");
    }
}

#[test]
fn a_receipt_is_for_a_file_that_is_whole_and_copies_of_its_chunks_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let content = content(500_000);
    let chunks = chunks(&content, "a", 1);
    let first = question(&[1; 16]);
    let receiver = receiver(dir.path());
    receiver.accept(&chunks[1]).unwrap();
    assert_eq!(receiver.take_receipt(&chunks[1]).unwrap(), None);
    assert_eq!(receiver.take_receipt(&first).unwrap(), None);
    receiver.accept(&chunks[0]).unwrap().unwrap();
    let receipt = Receipt { transfer: [1; 16], digest: Sha256::digest(&content).into() };
    // Another start of the client, after the file was taken.
    fs::remove_file(&receiver.complete().unwrap()[0].path).unwrap();
    let receiver = self::receiver(dir.path());
    for message in [&chunks[0], &chunks[1], &first] {
        assert_eq!(receiver.take_receipt(message).unwrap(), Some(receipt));
        assert_eq!(receiver.accept(message).unwrap(), None);
    }
    // A sender cannot learn without end when this client is connected.
    let more = (0..20).filter(|_| receiver.take_receipt(&first).unwrap().is_some()).count();
    assert_eq!(more, 5);
    assert!(receiver.complete().unwrap().is_empty());
    assert_eq!(fs::read_dir(dir.path().join("incoming")).unwrap().count(), 0);
    assert_eq!(receiver.take_receipt(&question(&[2; 16])).unwrap(), None);
}

#[test]
fn a_damaged_file_has_no_receipt() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = receiver(dir.path());
    let wrong = FileFacts { digest: [0; 32], ..facts(b"abc", "a") };
    let chunk = Chunk { transfer: [1; 16], facts: wrong, index: 0, data: b"abc" }.encode();
    receiver.accept(&chunk).unwrap_err();
    assert_eq!(receiver.take_receipt(&chunk).unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_sender_asks_until_it_has_the_receipt_of_this_transfer() {
    let (commands, mut asked) = mpsc::channel(1);
    let (receipts, receipts_end) = mpsc::channel(1);
    let receipt = Receipt { transfer: [1; 16], digest: [2; 32] };
    let identity = || *nym_mixnode_keys::IdentityKeyPair::generate().unwrap().public();
    let encryption = *nym_mixnode_keys::SphinxKeyPair::generate().unwrap().public();
    let recipient = ClientAddress::new(identity(), encryption, identity()).unwrap();
    let waiting = tokio::spawn(async move { wait_for(receipt, &recipient, &commands, receipts_end, false).await });
    for _ in 0..2 {
        let Some(Command::Send { data, with_reply_block: true, queued, .. }) = asked.recv().await else { panic!() };
        assert_eq!(data, question(&[1; 16]));
        // One that cannot be sent is followed by another one.
        queued.send(Err(crate::core::SendError::Full(7))).unwrap();
    }
    receipts.send(Receipt { digest: [3; 32], ..receipt }).await.unwrap();
    let Some(Command::Send { queued, .. }) = asked.recv().await else { panic!() };
    queued.send(Ok(1)).unwrap();
    receipts.send(receipt).await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[test]
fn what_is_damaged_too_long_or_too_much_is_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = receiver(dir.path());
    let wrong = FileFacts { digest: [0; 32], ..facts(b"abc", "a") };
    let chunk = Chunk { transfer: [1; 16], facts: wrong, index: 0, data: b"abc" }.encode();
    assert!(matches!(receiver.accept(&chunk), Err(Rejected::Damaged)));
    assert!(matches!(receiver.accept(&chunks(&content(2_000_001), "b", 2)[0]), Err(Rejected::TooLong { .. })));
    let big = content(500_000);
    for transfer in [3, 4] {
        receiver.accept(&chunks(&big, "c", transfer)[0]).unwrap();
    }
    assert!(matches!(receiver.accept(&chunks(&big, "c", 5)[0]), Err(Rejected::TooMany(2))));
    assert!(matches!(receiver.accept(&chunks(&big, "other", 3)[1]), Err(Rejected::Other)));
    assert!(receiver.accept(&chunks(&big, "c", 3)[1]).unwrap().is_some());
}
