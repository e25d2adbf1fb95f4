//! A registry that is killed at random moments while clients write to it.

use std::time::Duration;

use rand::RngExt;

use super::acknowledged::Clients;
use super::process::{RegistryProcess, eventually};

/// Number of kills, or what this variable says: `REGISTRY_KILLS=200 cargo test --test integration registry_kills`.
const KILLS: u32 = 20;
const VARIABLE: &str = "REGISTRY_KILLS";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_killed_again_and_again_loses_nothing_that_it_acknowledged() {
    let kills = std::env::var(VARIABLE).map_or(KILLS, |count| count.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    let store = home.path().join("registry.sqlite");
    let mut registry = RegistryProcess::start(&store).await;
    let address = registry.address;
    let token = std::fs::read_to_string(home.path().join("monitor.token")).unwrap().trim().to_owned();
    let clients = Clients::start(address, token).await;
    for _ in 0..kills {
        let before = clients.acknowledged();
        eventually("the registry acknowledges calls", async || (clients.acknowledged() > before).then_some(())).await;
        let moment = rand::rng().random_range(0..150);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        registry.kill().await;
        registry = RegistryProcess::start_at(address, &store).await;
        clients.check().await;
    }
    let acknowledged = clients.acknowledged();
    clients.stop().await;
    println!("{kills} kills, {acknowledged} acknowledged calls, none lost");
}
