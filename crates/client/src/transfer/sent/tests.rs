use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use nym_mixnode_keys::{IdentityKeyPair, SphinxKeyPair};

use super::*;

fn recipient() -> ClientAddress {
    let key = *IdentityKeyPair::generate().unwrap().public();
    ClientAddress::new(key, *SphinxKeyPair::generate().unwrap().public(), key).unwrap()
}

fn facts() -> FileFacts {
    FileFacts { len: 1_000_000, digest: [1; 32], name: "file".to_owned() }
}

#[test]
fn the_same_file_to_the_same_recipient_goes_on_and_others_begin() {
    let (dir, to) = (tempfile::tempdir().unwrap(), recipient());
    let open = |to: &ClientAddress, facts: &FileFacts| SentChunks::open(dir.path(), to, facts).unwrap();
    let mut first = open(&to, &facts());
    for index in [2, 0, 2] {
        first.mark(index).unwrap();
    }
    let busy = SentChunks::open(dir.path(), &to, &facts()).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::WouldBlock);
    let transfer = *first.transfer();
    drop(first);
    let again = open(&to, &facts());
    assert_eq!((again.transfer(), again.done()), (&transfer, &HashSet::from([0, 2])));
    assert_eq!(fs::metadata(&again.path).unwrap().permissions().mode() & 0o777, 0o600);
    for other in [open(&recipient(), &facts()), open(&to, &FileFacts { digest: [2; 32], ..facts() })] {
        assert!(other.transfer() != &transfer && other.done().is_empty());
    }
    again.remove().unwrap();
    assert_ne!(open(&to, &facts()).transfer(), &transfer);
}

#[test]
fn what_a_power_cut_leaves_is_no_chunk() {
    let (dir, to) = (tempfile::tempdir().unwrap(), recipient());
    let mut first = SentChunks::open(dir.path(), &to, &facts()).unwrap();
    first.mark(1).unwrap();
    let (path, transfer) = (first.path.clone(), *first.transfer());
    drop(first);
    let whole = fs::read(&path).unwrap();
    for (tail, marked) in [(&[0; 8][..], 5), (&[0, 0, 0], 6)] {
        fs::write(&path, [&whole, tail].concat()).unwrap();
        let mut again = SentChunks::open(dir.path(), &to, &facts()).unwrap();
        assert_eq!((again.transfer(), again.done()), (&transfer, &HashSet::from([1])), "{tail:?}");
        again.mark(marked).unwrap();
        drop(again);
        let third = SentChunks::open(dir.path(), &to, &facts()).unwrap();
        assert_eq!(third.done(), &HashSet::from([1, marked]), "{tail:?}");
    }
    // A damaged beginning begins the transfer again.
    fs::write(&path, [0; 40]).unwrap();
    let again = SentChunks::open(dir.path(), &to, &facts()).unwrap();
    assert!(again.transfer() != &transfer && again.done().is_empty());
}

#[test]
fn an_old_transfer_begins_again() {
    let (dir, to) = (tempfile::tempdir().unwrap(), recipient());
    let mut first = SentChunks::open(dir.path(), &to, &facts()).unwrap();
    first.mark(1).unwrap();
    first.file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let transfer = *first.transfer();
    drop(first);
    let again = SentChunks::open(dir.path(), &to, &facts()).unwrap();
    assert!(again.transfer() != &transfer && again.done().is_empty());
}
