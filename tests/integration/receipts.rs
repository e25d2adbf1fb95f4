//! `client send --confirm` in a real network: what its exit code says about the recipient.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::clients::{Messaging, json, received};
use super::localnet::PATIENCE;

/// Time between two looks at the files of a client.
const STEP: Duration = Duration::from_millis(2);
/// Longer than one chunk.
const FILE_LEN: usize = 450_000;

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

#[tokio::test]
async fn a_confirmed_file_has_arrived_and_a_recipient_may_be_away_or_return_no_receipts() {
    let clients = Messaging::start().await;
    let content = clients.random_file(FILE_LEN);
    clients.create("alice").await;
    clients.create("dan").await;
    let bob = clients.create("bob").await;
    let carol = clients.create("carol").await;

    // No hour is complete, and each layer has one mix.
    let status = json(&clients.run("alice", &["status", "--json"]).await);
    assert_eq!(status["layers"][2], serde_json::json!({"layer": 3, "mixes": 1, "packets_of_others": null}));
    let warnings: Vec<_> = status["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert!(warnings.len() == 6 && warnings[0].contains("a single active mix"), "{warnings:?}");

    // `bob` is away, and `carol` returns no receipts.
    let limit = "20s";
    let (to_bob, to_carol, at_carol) = tokio::join!(
        clients.send_confirmed("alice", &bob, limit),
        clients.send_confirmed("dan", &carol, limit),
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
        sent = clients.send_confirmed("alice", &bob, "2m") => json(&sent),
        received = clients.receive("bob", &[]) => panic!("{received:?}"),
    };
    assert_eq!((&sent["confirmed"], &sent["bytes"]), (&Value::from(true), &Value::from(FILE_LEN)));

    // That was the end of the transfer: this is another one.
    let (sent, at_bob) = tokio::join!(clients.send_confirmed("alice", &bob, "2m"), clients.receive("bob", &[]));
    let sent = json(&sent);
    assert_eq!((&sent["confirmed"], &sent["bytes"]), (&Value::from(true), &Value::from(FILE_LEN)));
    assert!(received(&at_bob) == content);
}

/// A chunk is a message of many packets: the gateway has the confirmation of some of them when the client dies.
#[tokio::test]
async fn a_file_arrives_whole_although_its_sender_and_its_recipient_are_killed() {
    let clients = Messaging::start().await;
    let content = clients.random_file(5 * FILE_LEN);
    clients.create("alice").await;
    let bob = clients.create("bob").await;
    let collected = async {
        let fragments = clients.dir("bob", "received/fragments");
        for fewest in [1, 100_000] {
            let is_time = || fs::metadata(&fragments).is_ok_and(|file| file.len() >= fewest);
            killed_when(clients.receiving("bob", &[]), is_time).await;
        }
        received(&clients.receive("bob", &[]).await)
    };
    let sent = async {
        // Its beginning, and one acknowledged chunk at least.
        let progress =
            || Some(fs::read_dir(clients.dir("alice", "sending")).ok()?.next()?.ok()?.metadata().ok()?.len());
        killed_when(clients.sending("alice", &bob, &["--confirm", "--timeout", "2m"]), || {
            progress().is_some_and(|len| len > 24)
        })
        .await;
        json(&clients.send_confirmed("alice", &bob, "2m").await)
    };
    let (collected, sent) = tokio::join!(collected, sent);
    assert_eq!((&sent["confirmed"], &sent["bytes"]), (&Value::from(true), &Value::from(content.len())));
    assert!(collected == content);
    // One transfer: the second command has not begun another one.
    assert_eq!(fs::read_dir(clients.dir("bob", "received/incoming")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(clients.dir("bob", "received/done")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(clients.dir("alice", "sending")).unwrap().count(), 0);
}

#[tokio::test]
async fn commands_go_through_the_client_that_runs() {
    let clients = Messaging::start().await;
    let content = clients.random_file(FILE_LEN);
    clients.create("alice").await;
    let bob = clients.create("bob").await;
    let mut running = Vec::new();
    for id in ["alice", "bob"] {
        running.push(clients.serve(id).await.0);
    }
    let second = clients.run("bob", &["run", "--port", "0"]).await;
    assert!(second.status.code() == Some(75) && second.stdout.is_empty(), "{second:?}");

    let (sent, at_bob) = tokio::join!(clients.send_confirmed("alice", &bob, "2m"), clients.receive("bob", &[]));
    let sent = json(&sent);
    assert_eq!((&sent["confirmed"], &sent["bytes"]), (&Value::from(true), &Value::from(FILE_LEN)));
    assert!(received(&at_bob) == content);

    // What a killed client has left does not stop the next command.
    for mut child in running {
        child.kill().await.unwrap();
    }
    assert!(clients.dir("bob", "control").exists());
    let (sent, received) = tokio::join!(clients.send_confirmed("alice", &bob, "2m"), clients.receive("bob", &[]));
    assert_eq!((json(&sent)["bytes"].as_u64(), json(&received)["bytes"].as_u64()), (Some(450_000), Some(450_000)));
}
