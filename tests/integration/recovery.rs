//! What a node must survive without anybody's help: its own death, the directory's, and a second node that takes it for
//! itself. Real processes throughout.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use nym_mixnode_directory::Directory;
use tokio::time::timeout;

use super::process::{NodeFiles, NodeProcess, RegistryProcess, eventually, own_address, program};
use super::support::{ACK, PATIENCE, Sink, hop, packet_via, send};

/// Deadline of a stop: 5 s for the request to unregister; the rest is for a busy machine.
const STOP_BOUND: Duration = Duration::from_secs(20);

fn store() -> (tempfile::TempDir, std::path::PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("registry.sqlite");
    (home, store)
}

#[tokio::test]
async fn a_killed_node_comes_back_without_a_manual_step() {
    let (_home, store) = store();
    let registry = RegistryProcess::start(&store).await;
    let files = NodeFiles::init(&registry.url()).await;
    for _ in 0..5 {
        let mut node = files.run(&[]);
        node.registered().await;
        node.kill().await;
        assert_eq!(registry.topology().await.mix_nodes.len(), 1, "the stale entry, and nothing else");
    }
    let mut node = files.run(&[]);
    node.registered().await;
    assert_eq!(registry.topology().await.mix_nodes.len(), 1);
    assert_eq!(registry.listed(&files.identity()).await, Some(files.address.to_string()));
    assert!(node.stop().await.success());
    assert!(registry.topology().await.mix_nodes.is_empty());
}

#[tokio::test]
async fn the_newest_start_of_an_identity_wins_and_the_older_one_keeps_mixing() {
    let (_home, store) = store();
    let registry = RegistryProcess::start(&store).await;
    let first = NodeFiles::init(&registry.url()).await;
    let second = NodeFiles::with_keys_of(&first, &registry.url()).await;
    let mut older = first.run(&[]);
    older.registered().await;

    let mut newer = second.run(&[]);
    newer.registered().await;
    assert_eq!(registry.listed(&first.identity()).await, Some(second.address.to_string()));
    assert_eq!(registry.topology().await.mix_nodes.len(), 1);
    older.reports("no longer registered", |status| !status.registered).await;
    let log = older.log();
    let error = log.lines().find(|line| line.contains("newer start")).unwrap_or_else(|| panic!("not in:\n{log}"));
    assert!(error.contains("ERROR") && error.contains(&second.address.to_string()), "{error}");
    assert!(older.stop().await.success());
    assert_eq!(registry.listed(&first.identity()).await, Some(second.address.to_string()), "it is not its entry");
    assert!(newer.stop().await.success());
    assert_eq!(registry.listed(&first.identity()).await, None);
}

#[tokio::test]
async fn a_second_process_of_a_node_starts_when_the_first_has_ended() {
    let (home, store) = store();
    let registry = RegistryProcess::start(&store).await;
    let files = NodeFiles::init(&registry.url()).await;
    let mut first = files.run(&[]);
    first.registered().await;

    let path = home.path().join("second.log");
    let log = File::create(&path).unwrap();
    let mut second = NodeProcess::spawn(&files, &[], |command| {
        command.stderr(log);
    });
    eventually("the second process waits", async || {
        fs::read_to_string(&path).unwrap().contains("waiting for its end").then_some(())
    })
    .await;
    assert_eq!(registry.listed(&files.identity()).await, Some(files.address.to_string()));
    assert!(first.stop().await.success());
    second.registered().await;
    assert_eq!(registry.listed(&files.identity()).await, Some(files.address.to_string()));
    assert!(second.stop().await.success());
}

#[tokio::test]
async fn a_second_process_of_a_node_that_does_not_stop_gives_up_or_is_stopped() {
    let (home, store) = store();
    let registry = RegistryProcess::start(&store).await;
    let files = NodeFiles::init(&registry.url()).await;
    let mut first = files.run(&[]);
    first.registered().await;

    let spawn = |name: &str| {
        let path = home.path().join(name);
        let log = File::create(&path).unwrap();
        let flags = ["--shutdown-drain-deadline", "0s"];
        let node = NodeProcess::spawn(&files, &flags, |command| {
            command.stderr(log);
        });
        (node, path)
    };
    let ((mut gives_up, log), (stopped, other_log)) = (spawn("gives-up.log"), spawn("stopped.log"));
    eventually("the other waits", async || {
        fs::read_to_string(&other_log).unwrap().contains("waiting for its end").then_some(())
    })
    .await;
    assert!(stopped.stop().await.success());
    let ended = timeout(PATIENCE, gives_up.child.wait()).await.expect("it ends").unwrap();
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(ended.code(), Some(75), "{log}");
    assert!(log.contains(&format!("another process runs the node in {}", files.dir().display())), "{log}");
    assert_eq!(registry.listed(&files.identity()).await, Some(files.address.to_string()));
    assert!(first.stop().await.success());
}

#[tokio::test]
async fn a_running_node_that_is_unregistered_by_hand_stays_so_until_it_is_restarted() {
    let (_home, store) = store();
    let registry = RegistryProcess::start(&store).await;
    let files = NodeFiles::init(&registry.url()).await;
    let mut node = files.run(&[]);
    node.registered().await;
    let output = program(&["unregister", "--home", files.root(), "--id", "mix"]).output().await.unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && out.contains("until it is restarted"), "{out}");
    // It looks ten times a second.
    node.reports("no longer registered", |status| !status.registered).await;
    node.reports("still not registered", |status| !status.registered).await;
    node.reports("still not registered", |status| !status.registered).await;
    assert_eq!(registry.listed(&files.identity()).await, None);
    assert!(node.log().contains("was unregistered"), "{}", node.log());
    assert!(node.stop().await.success());

    let mut restarted = files.run(&[]);
    restarted.registered().await;
    assert!(restarted.stop().await.success());
}

#[tokio::test]
async fn the_same_identity_may_move_once_the_old_place_is_silent() {
    let (_home, store) = store();
    let registry = RegistryProcess::start(&store).await;
    let old = NodeFiles::init(&registry.url()).await;
    let new = NodeFiles::with_keys_of(&old, &registry.url()).await;
    let mut killed = old.run(&[]);
    killed.registered().await;
    killed.kill().await;

    let mut moved = new.run(&[]);
    moved.registered().await;
    assert_eq!(registry.listed(&old.identity()).await, Some(new.address.to_string()));
    assert!(moved.stop().await.success());
}

#[tokio::test]
async fn a_node_that_announces_the_address_of_another_is_not_listed_and_does_not_end() {
    let (_home, store) = store();
    let registry = RegistryProcess::start(&store).await;
    let holder = NodeFiles::init(&registry.url()).await;
    let other = NodeFiles::init(&registry.url()).await;
    let mut running = holder.run(&[]);
    running.registered().await;

    let announced = holder.address.to_string();
    let mut squatter = other.run(&["--announce-host", &announced]);
    eventually("it says why", async || squatter.log().contains("another node has proved this address").then_some(()))
        .await;
    squatter.reports("not registered", |status| !status.registered).await;
    // Long enough for the test packet, which the holder cannot read.
    tokio::time::sleep(Duration::from_secs(3)).await;
    squatter.reports("still not registered", |status| !status.registered).await;
    running.reports("still registered", |status| status.registered).await;
    assert_eq!(registry.listed(&holder.identity()).await, Some(announced.clone()));
    assert_eq!(registry.listed(&other.identity()).await, None);

    assert!(running.stop().await.success());
    squatter.registered().await;
    assert_eq!(registry.listed(&other.identity()).await, Some(announced));
    assert!(squatter.stop().await.success());
}

#[tokio::test]
async fn nodes_that_come_back_at_each_others_addresses_register_by_themselves() {
    let (_home, store) = store();
    let registry = RegistryProcess::start(&store).await;
    let (one, two) = (NodeFiles::init(&registry.url()).await, NodeFiles::init(&registry.url()).await);
    for files in [&one, &two] {
        let mut node = files.run(&[]);
        node.registered().await;
        node.kill().await;
    }

    // One after the other, so that the first finds the second's entry in its way and its own where nobody is yet.
    let (of_one, of_two) = (one.address.to_string(), two.address.to_string());
    let mut first = one.run(&["--host", &of_two, "--announce-host", &of_two]);
    first.registered().await;
    assert_eq!(registry.listed(&two.identity()).await, None, "what it left behind is gone");
    let mut second = two.run(&["--host", &of_one, "--announce-host", &of_one]);
    second.registered().await;
    assert_eq!(registry.listed(&one.identity()).await, Some(of_two));
    assert_eq!(registry.listed(&two.identity()).await, Some(of_one));
    assert!(first.stop().await.success() && second.stop().await.success());
}

#[tokio::test]
async fn a_killed_registry_comes_back_with_its_store_or_without() {
    let (home, store) = store();
    let registry = RegistryProcess::start(&store).await;
    let address = registry.address;
    let files = NodeFiles::init(&registry.url()).await;
    let mut node = files.run(&[]);
    node.registered().await;

    registry.kill().await;
    let registry = RegistryProcess::start_at(address, &store).await;
    let listed = registry.listed(&files.identity()).await;
    assert_eq!(listed, Some(files.address.to_string()), "the store outlives the process");

    registry.kill().await;
    let registry = RegistryProcess::start_at(address, &home.path().join("empty.sqlite")).await;
    eventually("listed in the new store", async || registry.listed(&files.identity()).await).await;
    node.registered().await;
    assert_eq!(registry.topology().await.mix_nodes.len(), 1);
    assert!(node.stop().await.success());
}

#[tokio::test]
async fn a_node_serves_from_its_last_topology_while_the_directory_is_down() {
    let (_home, store) = store();
    let registry = RegistryProcess::start(&store).await;
    let directory = registry.address;
    let files = NodeFiles::init(&registry.url()).await;
    let mut sink = Sink::start().await;
    registry.client().register_gateway(&sink.as_gateway(), None).await.unwrap();
    let mut node = files.run(&[]);
    // The third is where the registry's test packets return to.
    node.reports("knows itself and the sink", |status| status.registered && status.next_hops_allowed == 3).await;
    assert!(node.stop().await.success());
    registry.kill().await;

    let mut node = files.run(&[]);
    let status = node.reports("ready", |_| true).await;
    assert!(!status.registered && status.next_hops_allowed > 0, "{status:?}");
    let first_hop = hop(files.address, *files.keys().sphinx.public());
    let packet = packet_via(&first_hop, sink.address, Duration::ZERO, ACK);
    let _connection = send(files.address, &[packet]).await;
    sink.next().await;

    let registry = RegistryProcess::start_at(directory, &store).await;
    node.registered().await;
    assert_eq!(registry.listed(&files.identity()).await, Some(files.address.to_string()));
    assert!(node.stop().await.success());
}

#[tokio::test]
async fn a_directory_that_is_gone_or_silent_does_not_hold_up_the_stop() {
    for silent in [false, true] {
        let (_home, store) = store();
        let registry = RegistryProcess::start(&store).await;
        let files = NodeFiles::init(&registry.url()).await;
        let mut node = files.run(&[]);
        node.registered().await;
        // Frozen, it takes the request and never answers; killed, it refuses it.
        let _frozen = if silent {
            registry.freeze();
            Some(registry)
        } else {
            registry.kill().await;
            None
        };
        let asked = Instant::now();
        assert!(node.stop().await.success());
        assert!(asked.elapsed() < STOP_BOUND, "silent: {silent}, {:?}", asked.elapsed());
    }
}

#[tokio::test]
async fn a_node_waits_for_a_directory_that_was_never_there() {
    let (_home, store) = store();
    let directory = own_address();
    let files = NodeFiles::init(&format!("http://{directory}").parse().unwrap()).await;
    let mut node = files.run(&[]);
    node.reports("ready and not registered", |status| !status.registered).await;
    let registry = RegistryProcess::start_at(directory, &store).await;
    node.registered().await;
    assert_eq!(registry.listed(&files.identity()).await, Some(files.address.to_string()));
    assert!(node.stop().await.success());
}
