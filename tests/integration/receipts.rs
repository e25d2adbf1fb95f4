//! `client send --confirm` in a real network: what its exit code says about the recipient.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::applications::{NETWORK, created};
use super::localnet::{PATIENCE, Running, nym_mixnode};

/// Time between two looks at the files of a client.
const STEP: Duration = Duration::from_millis(2);
/// Longer than one chunk.
const FILE_LEN: usize = 450_000;

/// Clients in one directory.
pub(crate) struct Clients<'a>(pub(crate) &'a Path);

impl Clients<'_> {
    fn command(&self, id: &str, command: &[&str]) -> Command {
        let own = ["--id", id, "--home", self.0.to_str().unwrap()];
        nym_mixnode(&[&["client"], command, &own].concat())
    }

    pub(crate) async fn run(&self, id: &str, command: &[&str]) -> Output {
        timeout(PATIENCE, self.command(id, command).output()).await.unwrap().unwrap()
    }

    fn sending(&self, id: &str, to: &str, limit: &str) -> Command {
        let file = self.0.join("file");
        self.command(id, &["send", "--confirm", "--json", "--timeout", limit, "--to", to, file.to_str().unwrap()])
    }

    /// Sends the file to this address, and waits so long for the receipt.
    async fn send(&self, id: &str, to: &str, limit: &str) -> Output {
        timeout(PATIENCE, self.sending(id, to, limit).output()).await.unwrap().unwrap()
    }

    fn receiving(&self, id: &str, flags: &[&str]) -> Command {
        let out = self.0.join(id);
        let command = ["receive", "--count", "1", "--json", "--timeout", "2m", "--out", out.to_str().unwrap()];
        self.command(id, &[&command, flags].concat())
    }

    pub(crate) async fn receive(&self, id: &str, flags: &[&str]) -> Output {
        timeout(PATIENCE, self.receiving(id, flags).output()).await.unwrap().unwrap()
    }

    fn dir(&self, id: &str, below: &str) -> PathBuf {
        self.0.join("clients").join(id).join(below)
    }
}

/// Runs a command, and kills it once this is true.
async fn killed_when(mut command: Command, is_time: impl Fn() -> bool) {
    let mut child = command.spawn().unwrap();
    let looks = async {
        while !is_time() {
            sleep(STEP).await;
        }
    };
    tokio::select! {
        ended = child.wait() => panic!("{ended:?}"),
        looked = timeout(PATIENCE, looks) => looked.unwrap(),
    }
    child.kill().await.unwrap();
}

/// Writes a file of random bytes, and returns these.
pub(crate) fn random_file(home: &Path, len: usize) -> Vec<u8> {
    let mut content = vec![0; len];
    rand::fill(&mut content[..]);
    fs::write(home.join("file"), &content).unwrap();
    content
}

pub(crate) fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_confirmed_file_has_arrived_and_a_recipient_may_be_away_or_return_no_receipts() {
    let home = tempfile::tempdir().unwrap();
    let content = random_file(home.path(), FILE_LEN);
    let mut network = Running::start(&NETWORK);
    let registry = network.registry().await;
    let clients = Clients(home.path());
    created(home.path(), "alice", &registry, &[]).await;
    created(home.path(), "dan", &registry, &[]).await;
    let bob = created(home.path(), "bob", &registry, &[]).await;
    let carol = created(home.path(), "carol", &registry, &[]).await;

    // No hour is complete, and each layer has one mix.
    let status = json(&clients.run("alice", &["status", "--json"]).await);
    assert_eq!(status["layers"][2], serde_json::json!({"layer": 3, "mixes": 1, "packets_of_others": null}));
    let warnings: Vec<_> = status["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert!(warnings.len() == 6 && warnings[0].contains("a single active mix"), "{warnings:?}");

    // `bob` is away, and `carol` returns no receipts.
    let limit = "20s";
    let (to_bob, to_carol, at_carol) = tokio::join!(
        clients.send("alice", &bob, limit),
        clients.send("dan", &carol, limit),
        clients.receive("carol", &["--no-receipts"])
    );
    for sent in [to_bob, to_carol] {
        let error = String::from_utf8_lossy(&sent.stderr);
        assert!(sent.status.code() == Some(75) && error.contains("no receipt"), "{error}");
    }
    assert_eq!(json(&at_carol)["bytes"], FILE_LEN);
    // It collects the file, and answers a sender that has gone.
    json(&clients.receive("bob", &[]).await);

    // The same command goes on: it asks again, and sends nothing.
    let sent = tokio::select! {
        sent = clients.send("alice", &bob, "2m") => json(&sent),
        received = clients.receive("bob", &[]) => panic!("{received:?}"),
    };
    assert_eq!((&sent["confirmed"], &sent["bytes"]), (&Value::from(true), &Value::from(FILE_LEN)));

    // That was the end of the transfer: this is another one.
    let (sent, received) = tokio::join!(clients.send("alice", &bob, "2m"), clients.receive("bob", &[]));
    let (sent, received) = (json(&sent), json(&received));
    assert_eq!((&sent["confirmed"], &sent["bytes"]), (&Value::from(true), &Value::from(FILE_LEN)));
    assert!(fs::read(received["path"].as_str().unwrap()).unwrap() == content);
}

/// A chunk is a message of many packets: the gateway has the confirmation of some of them when the client dies.
#[tokio::test]
async fn a_file_arrives_whole_although_its_sender_and_its_recipient_are_killed() {
    let home = tempfile::tempdir().unwrap();
    let content = random_file(home.path(), 5 * FILE_LEN);
    let mut network = Running::start(&NETWORK);
    let registry = network.registry().await;
    let clients = Clients(home.path());
    created(home.path(), "alice", &registry, &[]).await;
    let bob = created(home.path(), "bob", &registry, &[]).await;
    let received = async {
        let fragments = clients.dir("bob", "received/fragments");
        for fewest in [1, 100_000] {
            let is_time = || fs::metadata(&fragments).is_ok_and(|file| file.len() >= fewest);
            killed_when(clients.receiving("bob", &[]), is_time).await;
        }
        json(&clients.receive("bob", &[]).await)
    };
    let sent = async {
        // Its beginning, and one acknowledged chunk at least.
        let progress =
            || Some(fs::read_dir(clients.dir("alice", "sending")).ok()?.next()?.ok()?.metadata().ok()?.len());
        killed_when(clients.sending("alice", &bob, "2m"), || progress().is_some_and(|len| len > 24)).await;
        json(&clients.send("alice", &bob, "2m").await)
    };
    let (received, sent) = tokio::join!(received, sent);
    assert_eq!((&sent["confirmed"], &sent["bytes"]), (&Value::from(true), &Value::from(content.len())));
    assert!(fs::read(received["path"].as_str().unwrap()).unwrap() == content);
    // One transfer: the second command has not begun another one.
    assert_eq!(fs::read_dir(clients.dir("bob", "received/incoming")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(clients.dir("bob", "received/done")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(clients.dir("alice", "sending")).unwrap().count(), 0);
}

#[tokio::test]
async fn commands_go_through_the_client_that_runs() {
    let home = tempfile::tempdir().unwrap();
    let content = random_file(home.path(), FILE_LEN);
    let mut network = Running::start(&NETWORK);
    let registry = network.registry().await;
    let clients = Clients(home.path());
    created(home.path(), "alice", &registry, &[]).await;
    let bob = created(home.path(), "bob", &registry, &[]).await;
    let mut running = Vec::new();
    for id in ["alice", "bob"] {
        let mut child = clients.command(id, &["run", "--port", "0"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().is_some());
        running.push(child);
    }
    let second = clients.run("bob", &["run", "--port", "0"]).await;
    assert!(second.status.code() == Some(75) && second.stdout.is_empty(), "{second:?}");

    let (sent, received) = tokio::join!(clients.send("alice", &bob, "2m"), clients.receive("bob", &[]));
    let (sent, received) = (json(&sent), json(&received));
    assert_eq!((&sent["confirmed"], &sent["bytes"]), (&Value::from(true), &Value::from(FILE_LEN)));
    assert!(fs::read(received["path"].as_str().unwrap()).unwrap() == content);

    // What a killed client has left does not stop the next command.
    for mut child in running {
        child.kill().await.unwrap();
    }
    assert!(clients.dir("bob", "control").exists());
    let (sent, received) = tokio::join!(clients.send("alice", &bob, "2m"), clients.receive("bob", &[]));
    assert_eq!((json(&sent)["bytes"].as_u64(), json(&received)["bytes"].as_u64()), (Some(450_000), Some(450_000)));
}
