//! `client send --confirm` in a real network: what its exit code says about the recipient.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tokio::time::timeout;

use super::applications::{NETWORK, created};
use super::localnet::{PATIENCE, Running, nym_mixnode};

/// Longer than one chunk.
const FILE_LEN: usize = 450_000;

/// Clients in one directory.
struct Clients<'a>(&'a Path);

impl Clients<'_> {
    async fn run(&self, id: &str, command: &[&str]) -> Output {
        let own = ["--id", id, "--home", self.0.to_str().unwrap()];
        let command = [&["client"], command, &own].concat();
        timeout(PATIENCE, nym_mixnode(&command).output()).await.unwrap().unwrap()
    }

    /// Sends the file to this address, and waits so long for the receipt.
    async fn send(&self, id: &str, to: &str, limit: &str) -> Output {
        let file = self.0.join("file");
        self.run(id, &["send", "--confirm", "--json", "--timeout", limit, "--to", to, file.to_str().unwrap()]).await
    }

    async fn receive(&self, id: &str, flags: &[&str]) -> Output {
        let out = self.0.join(id);
        let command = ["receive", "--count", "1", "--json", "--timeout", "2m", "--out", out.to_str().unwrap()];
        self.run(id, &[&command, flags].concat()).await
    }
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_confirmed_file_has_arrived_and_a_recipient_may_be_away_or_return_no_receipts() {
    let home = tempfile::tempdir().unwrap();
    let mut content = vec![0; FILE_LEN];
    rand::fill(&mut content[..]);
    fs::write(home.path().join("file"), &content).unwrap();
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

    let (sent, received) = tokio::join!(clients.send("alice", &bob, "2m"), clients.receive("bob", &[]));
    let (sent, received) = (json(&sent), json(&received));
    assert_eq!((&sent["confirmed"], &sent["bytes"]), (&Value::from(true), &Value::from(FILE_LEN)));
    assert!(fs::read(received["path"].as_str().unwrap()).unwrap() == content);
}
