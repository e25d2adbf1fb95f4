//! Keeps gateways that never sign: gateways of 0.9.2 register once, when they start, and report nothing afterwards.
//!
//! Shortly before such an entry expires, the registry connects to both ports of the gateway and sends nothing. The
//! addresses come from untrusted callers: they must follow the rules for addresses of this network, and attempts are
//! rate-limited.

use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode_monitor::gateways::addresses_of_clients_host;
use nym_mixnode_net::Reach;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info};

use super::service::Service;
use super::store::SilentGateway;

/// Number of gateways per round, all dialled at the same time.
const GATEWAYS_PER_ROUND: i64 = 16;

/// Time limit for one gateway, including the look-up of its name.
const PATIENCE: Duration = Duration::from_secs(10);

/// Maximum number of addresses per host name.
const ADDRESSES_MAX: usize = 4;

/// Renews the entries of unsigned gateways that answer on both ports. The others expire.
pub(super) async fn renew_silent(service: &Service, reach: Reach, now: i64) -> sqlx::Result<()> {
    let silent = service.silent_gateways(GATEWAYS_PER_ROUND, now).await?;
    if silent.is_empty() {
        return Ok(());
    }
    let mut dials: JoinSet<_> = silent.into_iter().map(|gateway| dial(gateway, reach)).collect();
    let mut there = Vec::new();
    while let Some(dialled) = dials.join_next().await {
        match dialled {
            Ok((identity, true)) => there.push(identity),
            Ok((identity, false)) => {
                info!(identity, "an unsigned gateway does not answer; its entry expires soon");
            }
            Err(error) => debug!(%error, "the dial task failed"),
        }
    }
    service.renew_tested(&there, now).await
}

async fn dial(gateway: SilentGateway, reach: Reach) -> (String, bool) {
    let SilentGateway { identity, mix_hosts, clients_host } = gateway;
    let both = async {
        answers(&mix_hosts, reach).await && answers(&addresses_of_clients_host(&clients_host).await, reach).await
    };
    let is_there = timeout(PATIENCE, both).await.unwrap_or(false);
    (identity, is_there)
}

/// Whether one of these addresses accepts a connection. Addresses not allowed in this network are skipped.
async fn answers(addresses: &[SocketAddr], reach: Reach) -> bool {
    let allowed = addresses.iter().filter_map(|address| reach.check(*address).ok()).take(ADDRESSES_MAX);
    let mut dials: JoinSet<_> = allowed.map(TcpStream::connect).collect();
    while let Some(dialled) = dials.join_next().await {
        if matches!(dialled, Ok(Ok(_))) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
