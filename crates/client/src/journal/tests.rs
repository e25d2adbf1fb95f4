use std::os::unix::fs::PermissionsExt;

use nym_mixnode_message::content::Content;
use nym_mixnode_message::fragment::Fragments;

use super::*;

fn fragments() -> Vec<Fragment> {
    let content = Content { data: vec![7; 10 * FRAGMENT_LEN], reply_block: None };
    Fragments::of(content, &mut rand::rng()).iter().collect()
}

#[test]
fn fragments_outlive_the_process_and_are_for_the_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (path, all) = (dir.path().join("journal"), fragments());
    let (mut journal, known) = Journal::open(&path).unwrap();
    assert!(known.is_empty());
    journal.append(&all[..4]).unwrap();
    journal.append(&all[4..5]).unwrap();
    let (mut journal, known) = Journal::open(&path).unwrap();
    assert!(known == all[..5]);
    journal.replace(&all[2..4]).unwrap();
    journal.append(&all[7..8]).unwrap();
    let (mut journal, known) = Journal::open(&path).unwrap();
    assert!(known == [&all[2..4], &all[7..8]].concat());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    journal.replace(&[]).unwrap();
    assert!(Journal::open(&path).unwrap().1.is_empty());
}

#[test]
fn a_record_that_is_damaged_or_cut_ends_the_journal_and_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let (path, all) = (dir.path().join("journal"), fragments());
    Journal::open(&path).unwrap().0.append(&all[..5]).unwrap();
    let whole = fs::read(&path).unwrap();
    for (at, left) in [(RECORD_LEN * 3 + 100, 3), (RECORD_LEN * 3 + FRAGMENT_LEN, 3), (0, 0)] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert_eq!(Journal::open(&path).unwrap().1.len(), left, "{at}");
    }
    fs::write(&path, &whole[..4 * RECORD_LEN + 50]).unwrap();
    let (mut journal, known) = Journal::open(&path).unwrap();
    assert!(known == all[..4]);
    journal.append(&all[6..7]).unwrap();
    assert!(Journal::open(&path).unwrap().1 == [&all[..4], &all[6..7]].concat());
}
