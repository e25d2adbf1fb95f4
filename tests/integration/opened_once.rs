//! How often commands open a node's configuration file.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::cli::Home;
use crate::process::{NodeFiles, RegistryProcess};

/// Counts how often a file is opened.
struct Opens(OwnedFd);

impl Opens {
    fn of(path: &Path) -> Self {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        // The kernel merges equal events in a row, so there has to be another one after each opening.
        inotify::add_watch(&inotify, path, WatchFlags::OPEN | WatchFlags::CLOSE).unwrap();
        let opens = Self(inotify);
        for expected in [1, 2] {
            (0..expected).for_each(|_| drop(File::open(path).unwrap()));
            assert_eq!(opens.count(), expected, "the test itself opened it");
        }
        opens
    }

    /// The number since the last call.
    fn count(&self) -> usize {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&self.0, &mut buffer);
        let mut count = 0;
        loop {
            match events.next() {
                Ok(event) => count += usize::from(event.events().contains(ReadFlags::OPEN)),
                Err(Errno::WOULDBLOCK) => return count,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_start_opens_the_configuration_file_once() {
    let store = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&store.path().join("registry.sqlite")).await;
    let files = NodeFiles::init(&registry.url()).await;
    let opens = Opens::of(&files.dir().join("config/config.yaml"));
    let port = files.address.port().to_string();
    for flags in [&[][..], &["--port", &port], &["--init-if-missing"], &["--set", "log.format=json"]] {
        let mut node = files.run(flags);
        node.registered().await;
        assert!(node.stop().await.success());
        assert_eq!(opens.count(), 1, "{flags:?}");
    }
}

#[test]
fn other_commands_open_the_configuration_file_once() {
    let home = Home::with_node();
    let opens = Opens::of(&home.config());
    for command in [
        &["config", "check"][..],
        &["config", "show"],
        &["keys", "show"],
        &["detect"],
        &["health"],
        &["unregister"],
        &["doctor", "--no-probe"],
    ] {
        home.run(&[command, &["--id", "mix"]].concat());
        assert_eq!(opens.count(), 1, "{command:?}");
    }
}
