//! `probe --every`: tests the nodes of a directory repeatedly, and reports to the directory which are up.

use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_api::{BatchMixStatus, IpVersion, MixStatus};
use nym_mixnode_directory::{Client, MonitorToken};
use nym_mixnode_monitor::check::{self, Label, NodeReport};
use nym_mixnode_monitor::{IpFamily, Prober, Registration};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::output::Outcome;
use super::{ProbeArgs, ProbeError, Targets, network_layers, open_prober, targets, words};
use crate::stop_request::StopSignals;

/// A prober that stays listed between rounds, so that nodes learn of it only once.
struct Listed {
    prober: Prober<Label>,
    registration: Registration,
}

/// Tests in rounds until a signal. Failed rounds and nodes that do not mix are logged and do not end it.
pub(super) async fn run(
    args: &ProbeArgs,
    client: &Arc<Client>,
    every: Duration,
    mut signals: StopSignals,
) -> Result<(), ProbeError> {
    let mut listed = None;
    tokio::select! {
        () = rounds(args, client, every, &mut listed) => {}
        _ = signals.next() => {}
    }
    if let Some(Listed { registration, .. }) = listed
        && let Err(error) = registration.withdraw().await
    {
        warn!("{error}");
    }
    Ok(())
}

async fn rounds(args: &ProbeArgs, client: &Arc<Client>, every: Duration, listed: &mut Option<Listed>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match round(args, client, listed).await {
            Ok(outcome) if outcome.ok => info!("{}", words::summary(&outcome)),
            Ok(outcome) => words::sentences(&outcome).iter().for_each(|sentence| warn!("{sentence}")),
            Err(error) => warn!("{error}"),
        }
    }
}

async fn round(args: &ProbeArgs, client: &Arc<Client>, listed: &mut Option<Listed>) -> Result<Outcome, ProbeError> {
    let Targets { nodes, layers } = targets(args, client).await?;
    let listed = if let Some(listed) = listed {
        listed
    } else {
        let prober = open_prober(args, &nodes).await?;
        let registration = Registration::register(client, &prober).await?;
        listed.insert(Listed { prober, registration })
    };
    let reports = check::run(&mut listed.prober, nodes, &args.plan(), |_| {}).await?;
    if args.report {
        report(args, client, &reports).await;
    }
    Ok(Outcome::new(&args.directory, reports, network_layers(args, client, layers).await?))
}

/// Reports measurements. A failed report is not repeated: the next round sends another.
async fn report(args: &ProbeArgs, client: &Client, reports: &[NodeReport]) {
    let status = BatchMixStatus { status: reports.iter().flat_map(measurements).collect() };
    let token = args.monitor_token_file.as_deref().map(MonitorToken::read).transpose();
    let reported = match &token {
        Ok(token) => client.report_status(&status, token.as_ref().map(MonitorToken::reveal)).await,
        Err(error) => return warn!("cannot report measurements: {error}"),
    };
    if let Err(error) = reported {
        warn!("{error}");
    }
}

/// Measurement of a node; omits families that it does not announce or that are undecided.
fn measurements(node: &NodeReport) -> impl Iterator<Item = MixStatus> {
    node.announces.iter().filter_map(|family| {
        let ip_version = match family {
            IpFamily::V4 => IpVersion::V4,
            IpFamily::V6 => IpVersion::V6,
        };
        Some(MixStatus { pub_key: node.target.identity.clone(), ip_version, up: node.over(*family).is_mixing()? })
    })
}
