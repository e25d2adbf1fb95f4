//! A gateway process that is killed, in a real network.

use super::clients::{Messaging, json, received};

/// More than a thousand packets.
const FILE_LEN: usize = 1_700_000;

#[tokio::test]
async fn a_gateway_that_is_killed_loses_no_message_that_it_has_acknowledged() {
    let mut clients = Messaging::start().await;
    let content = clients.random_file(FILE_LEN);
    clients.create("alice").await;
    let bob = clients.create("bob").await;

    // `bob` is away: all of it is stored.
    json(&clients.send("alice", &bob, &[]).await);
    clients.kill_gateway().await;
    let (mut again, _) = clients.gateway_again(&[]);
    assert!(received(&clients.receive("bob", &["--no-receipts"]).await) == content);
    assert!(again.try_wait().unwrap().is_none(), "the gateway runs");
}
