//! A registry whose disk is full for a while, simulated by a file size limit.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;
use std::process::Stdio;

use nym_mixnode_api::{MixRegistration, testing};
use nym_mixnode_directory::{Client, Directory};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use url::Url;

use crate::process::eventually;
use crate::program::PROGRAM;
use crate::support::PATIENCE;

/// File size limit: the schema and some registrations fit.
const SPACE_BYTES: u64 = 256 << 10;

/// More registrations than fit.
const REGISTRATIONS: u16 = 2000;

/// Consecutive rejections that show a full disk: a failure closes a connection, which may free some space.
const FAILURES: u16 = 10;

struct Registry {
    child: Child,
    url: Url,
}

impl Registry {
    async fn start(home: &Path) -> Self {
        // Without the trap, the signal for the exceeded file size would kill it.
        let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script, PROGRAM, "registry", "--listen", "127.0.0.1:0", "--allow-private", "--data"]);
        command.arg(home.join("registry.sqlite")).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let url = line.strip_prefix("Registry serving at ").unwrap().parse().unwrap();
        Self { child, url }
    }

    fn client(&self) -> Client {
        Client::new(&self.url, &self.url).unwrap()
    }

    /// Sets the file size limit.
    fn limit_files(&self, bytes: Option<u64>) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        assert!(pid.is_some(), "the registry runs");
        prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    }
}

fn mix(number: u16) -> MixRegistration {
    let [high, low] = number.to_be_bytes();
    let mut key = [high; 32];
    key[0] = low;
    let key = bs58::encode(key).into_string();
    let mix = testing::mix(&key, format!("127.0.0.1:{}", 10_000 + number));
    MixRegistration { sphinx_key: key, location: "x".repeat(500), ..mix }
}

#[tokio::test]
async fn reads_go_on_while_the_disk_is_full_and_writes_come_back_with_space() {
    let home = tempfile::tempdir().unwrap();
    let registry = Registry::start(home.path()).await;
    let client = registry.client();
    client.check_health().await.unwrap();
    registry.limit_files(Some(SPACE_BYTES));
    let (mut taken, mut failed) = (0, 0);
    for number in 0..REGISTRATIONS {
        match client.register_mix(&mix(number), None).await {
            Ok(_) => (taken, failed) = (taken + 1, 0),
            Err(_) => failed += 1,
        }
        if failed == FAILURES {
            break;
        }
    }
    assert!(taken > 0 && failed == FAILURES, "{taken} fit, {failed} failed at the end");
    eventually("the registry says that it cannot write", async || client.check_health().await.err()).await;
    // Each failed write must leave its connection usable, or the pool runs empty.
    for _ in 0..20 {
        client.register_mix(&mix(REGISTRATIONS), None).await.unwrap_err();
        assert_eq!(client.topology().await.unwrap().mix_nodes.len(), taken);
    }
    let error = client.check_health().await.unwrap_err();
    assert!(error.to_string().contains("503"), "{error}");
    registry.limit_files(None);
    client.register_mix(&mix(REGISTRATIONS), None).await.unwrap();
    assert_eq!(client.topology().await.unwrap().mix_nodes.len(), taken + 1);
    eventually("the registry is well", async || client.check_health().await.ok()).await;
}
