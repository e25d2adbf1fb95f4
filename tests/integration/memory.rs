//! Counts copies of the private keys in the memory of a running node.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use rustix::process::geteuid;

use super::packets::{ACK, packet_via};
use super::process::{NodeFiles, NodeProcess};
use super::support::{NOWHERE, Sink, hop, send};

/// Search text stored as its complement, so that this process's memory does not contain it.
struct Needle(Vec<u8>);

impl Needle {
    fn of(secret: &[u8]) -> Self {
        Self(secret.iter().map(|byte| !byte).collect())
    }

    /// Offsets in `memory` where it begins.
    fn places<'a>(&'a self, memory: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let first = !self.0[0];
        let is_here = move |start: &usize| {
            let there = &memory[*start..];
            there.len() >= self.0.len() && there.iter().zip(&self.0).all(|(found, wanted)| *found == !wanted)
        };
        memory.iter().enumerate().filter(move |(_, byte)| **byte == first).map(|(start, _)| start).filter(is_here)
    }
}

/// What is in memory of a private key file: the key, as far as clamping leaves it alone, and the text of its file.
fn needles(file: &std::path::Path) -> [Needle; 2] {
    let text = fs::read_to_string(file).unwrap();
    let key = pem::parse(&text).unwrap().into_contents();
    [Needle::of(&key[1..31]), Needle::of(text.lines().nth(1).unwrap().as_bytes())]
}

/// The mappings of a process's memory in which one of these texts is, once for each time.
fn found_in(pid: u32, needles: &[Needle]) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = Vec::new();
    for map in maps.lines().filter(|map| map.split(' ').nth(1).is_some_and(|rights| rights.starts_with('r'))) {
        let range = map.split(' ').next().unwrap().split_once('-').unwrap();
        let (from, to) = (u64::from_str_radix(range.0, 16).unwrap(), u64::from_str_radix(range.1, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // Kernel pages cannot be read.
        if memory.read_exact_at(&mut bytes, from).is_err() {
            continue;
        }
        for needle in needles {
            found.extend(needle.places(&bytes).map(|place| format!("{:x} in {map}", from + place as u64)));
        }
    }
    found
}

#[tokio::test]
#[ignore = "needs root: `make kit`"]
async fn a_running_node_has_each_private_key_in_its_memory_once() {
    assert!(
        geteuid().is_root(),
        "this test reads the memory of a node, which only root can: run it as root (make kit)"
    );
    let files = NodeFiles::init(&NOWHERE.parse().unwrap()).await;
    let data = files.dir().join("data");
    let sphinx = needles(&data.join("private_sphinx.pem"));
    let identity = needles(&data.join("private_identity.pem"));
    let mut node = NodeProcess::spawn(&files, &["--forward-policy", "any", "--mix-workers", "4"], |_| {});
    node.event().await;
    let pid = node.child.id().unwrap();
    let found = found_in(pid, &sphinx);
    assert_eq!(found.len(), 1, "{found:#?}");
    let found = found_in(pid, &identity);
    assert_eq!(found.len(), 1, "{found:#?}");

    // A computation leaves at most one copy on each thread.
    let mut sink = Sink::start().await;
    let own = hop(files.address, *files.keys().sphinx.public());
    for _ in 0..40 {
        let frames: Vec<_> = (0..5).map(|_| packet_via(&own, sink.address, std::time::Duration::ZERO, ACK)).collect();
        drop(send(files.address, &frames).await);
    }
    sink.take(200).await;
    let found = found_in(pid, &sphinx);
    assert!(found.len() <= 1 + 4, "{found:#?}");
}
