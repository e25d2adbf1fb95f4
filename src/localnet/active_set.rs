//! Waits until the registry's monitor has brought all nodes to the active set, the only nodes that clients use.

use std::time::Duration;

use nym_mixnode_base::count::counted;
use nym_mixnode_directory::{Client, Directory, DirectoryError};
use nym_mixnode_monitor::rounds::ReputationTrend;
use tokio::time::{Instant, sleep};

use super::error::LocalnetError;
use super::network::Network;
use super::view::View;

/// Deadline; a machine that is too busy does not reach it, and the network goes on without.
const LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(250);

/// Waits until all nodes are active, or for a minute. Shows how far they are.
pub(super) async fn wait(network: &mut Network, client: &Client, view: &mut View) -> Result<(), LocalnetError> {
    let (started, mut trend) = (Instant::now(), ReputationTrend::default());
    loop {
        if let Some(casualty) = network.casualties().into_iter().next() {
            return Err(LocalnetError::NotReady(casualty.death.in_full()));
        }
        let progress = look(network, client, &mut trend).await.map_err(|error| LocalnetError::directory(&error))?;
        let Some(progress) = progress else {
            let all = match network.nodes().len() {
                1 => "the node is".to_owned(),
                nodes => format!("all {nodes} nodes are"),
            };
            view.note(&format!("{all} active after {} s", started.elapsed().as_secs()));
            return Ok(());
        };
        if started.elapsed() >= LIMIT {
            view.alert(&format!("not all nodes are active after {} s: {progress}", LIMIT.as_secs()));
            return Ok(());
        }
        view.progress(&format!("waiting for the active set: {progress}"));
        sleep(POLL).await;
    }
}

/// Progress of the last node on its way; `None` if all nodes are active.
async fn look(
    network: &Network,
    client: &Client,
    trend: &mut ReputationTrend,
) -> Result<Option<String>, DirectoryError> {
    let active = client.active_topology().await?;
    // Entries that expire, as that of the prober, are never active.
    let gateways = (active.gateways.len(), network.gateways());
    if active.mix_nodes.len() >= network.nodes().len() {
        let of_gateways = format!("{} of {} gateways are active", gateways.0, gateways.1);
        return Ok((gateways.0 < gateways.1).then_some(of_gateways));
    }
    let (topology, now) = (client.topology().await?, Instant::now());
    let names = topology.mix_nodes.iter().filter_map(|mix| {
        let name = network.name_at(&mix.announced_addresses())?;
        Some((name, mix.reputation))
    });
    trend.observe(names, now);
    let slowest = trend.slowest(topology.active_reputation.unwrap_or_default(), now);
    let count = active.mix_nodes.len();
    Ok(Some(
        slowest.map_or_else(
            || format!("{} active", counted(count, "node is", "nodes are")),
            |progress| progress.to_string(),
        ),
    ))
}
