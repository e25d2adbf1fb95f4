//! A gateway process that is killed, in a real network.

use std::fs;

use super::applications::{NETWORK, created};
use super::localnet::{Running, nym_mixnode};
use super::receipts::{Clients, json, random_file};

/// More than a thousand packets.
const FILE_LEN: usize = 1_700_000;

/// Looks for the keys of a client in a log, in all encodings.
fn assert_names_no_client(log: &[u8], address: &str) {
    let contains = |mark: &str| log.windows(mark.len()).any(|window| window == mark.as_bytes());
    assert!(contains("Listening for packets and clients"), "{}", String::from_utf8_lossy(log));
    for key in address.split('@').next().unwrap().split('.') {
        let bytes = bs58::decode(key).into_vec().unwrap();
        let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        let list = bytes[..8].iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        for mark in [&key[..16], &hex[..16], list.as_str()] {
            assert!(!contains(mark), "{mark} in {}", String::from_utf8_lossy(log));
        }
    }
}

#[tokio::test]
async fn a_gateway_that_is_killed_loses_no_message_that_it_has_acknowledged_and_logs_no_client() {
    let home = tempfile::tempdir().unwrap();
    let content = random_file(home.path(), FILE_LEN);
    let kept = home.path().join("network");
    let flags = [&NETWORK[..], &["--keep-going", "--keep", kept.to_str().unwrap()]].concat();
    let mut network = Running::start(&flags);
    let registry = network.registry().await;
    let clients = Clients(home.path());
    created(home.path(), "alice", &registry, &[]).await;
    let bob = created(home.path(), "bob", &registry, &[]).await;

    // `bob` is away: all of it is stored.
    let file = home.path().join("file");
    json(&clients.run("alice", &["send", "--json", "--to", &bob, file.to_str().unwrap()]).await);
    network.kill_node("gateway1");
    network.note("last log lines").await;

    let dir = kept.join("gateway1");
    let own = ["gateway", "run", "--home", dir.to_str().unwrap(), "--id", "gateway1", "--http-listen", "off"];
    let times = ["--shutdown-linger", "0s", "--topology-refresh", "1s"];
    let log = home.path().join("log");
    let mut again = nym_mixnode(&[&own[..], &times, &["--log-filter", "nym_mixnode=trace,info"]].concat());
    let file = fs::File::create(&log).unwrap();
    let mut again = again.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    let received = json(&clients.receive("bob", &["--no-receipts"]).await);
    assert!(fs::read(received["path"].as_str().unwrap()).unwrap() == content);
    assert!(again.try_wait().unwrap().is_none(), "the gateway runs");
    again.kill().await.unwrap();
    assert_names_no_client(&fs::read(log).unwrap(), &bob);
}
