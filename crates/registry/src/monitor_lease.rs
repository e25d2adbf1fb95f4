//! One monitor among the registries that share a database: the registry with the lease tests the nodes. The others
//! take the lease over when it runs out.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::service::Service;

/// After this time without a renewal, another registry may test the nodes.
const LENGTH: Duration = Duration::from_secs(15);

/// Interval between attempts to take or renew the lease. Two of them may fail.
const RENEW_EVERY: Duration = Duration::from_secs(4);

/// Limit on the last request of a registry that ends.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Lease of this registry's monitor.
#[derive(Debug)]
pub(super) struct MonitorLease {
    service: Service,
    owner: String,
    /// When the lease ends unless it is renewed.
    until: watch::Sender<Instant>,
}

/// Whether the monitor may run.
#[derive(Debug, Clone)]
pub(super) enum MonitorTurn {
    /// No other registry uses the database.
    Always,
    /// Until the lease ends.
    Leased(watch::Receiver<Instant>),
}

/// What the log has reported last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reported {
    Nothing,
    Owner,
    Standby,
    Failure,
}

impl MonitorTurn {
    pub(super) fn has_come(&self, now: Instant) -> bool {
        match self {
            Self::Always => true,
            Self::Leased(until) => now < *until.borrow(),
        }
    }
}

impl MonitorLease {
    /// A lease that is not taken yet. `owner` differs between registries and between starts.
    pub(super) fn new(service: Service, owner: String) -> Self {
        Self { service, owner, until: watch::Sender::new(Instant::now()) }
    }

    pub(super) fn turn(&self) -> MonitorTurn {
        if self.service.is_shared() { MonitorTurn::Leased(self.until.subscribe()) } else { MonitorTurn::Always }
    }

    /// Takes the lease when it is free, and renews it.
    pub(super) async fn keep(&self) -> Infallible {
        if !self.service.is_shared() {
            return pending().await;
        }
        let mut reported = Reported::Nothing;
        loop {
            reported = self.renew(reported).await;
            sleep(RENEW_EVERY).await;
        }
    }

    async fn renew(&self, reported: Reported) -> Reported {
        // Before the request: the lease must not end later here than in the database.
        let asked_at = Instant::now();
        let now = match self.service.take_monitor_lease(&self.owner, LENGTH).await {
            Ok(true) => {
                self.until.send_replace(asked_at + LENGTH);
                Reported::Owner
            }
            Ok(false) => {
                self.until.send_replace(asked_at);
                Reported::Standby
            }
            Err(error) if reported == Reported::Owner && *self.until.borrow() > Instant::now() => {
                debug!(%error, "cannot renew the lease of the network monitor; trying again");
                return reported;
            }
            Err(error) => {
                if reported != Reported::Failure {
                    warn!(%error, "cannot take the lease of the network monitor; it pauses until the database answers");
                }
                return Reported::Failure;
            }
        };
        match now {
            _ if reported == now => {}
            Reported::Owner => info!("this registry runs the network monitor for all that share its database"),
            _ => info!("another registry runs the network monitor for this database; this one is on standby"),
        }
        now
    }

    /// Ends the lease; the monitor must not run any more.
    pub(super) async fn end(&self) {
        if !self.turn().has_come(Instant::now()) || !self.service.is_shared() {
            return;
        }
        self.until.send_replace(Instant::now());
        match tokio::time::timeout(END_TIMEOUT, self.service.end_monitor_lease(&self.owner)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "cannot end the lease of the network monitor; it runs out by itself"),
            Err(_) => debug!("the lease of the network monitor runs out by itself: the database does not answer"),
        }
    }
}
