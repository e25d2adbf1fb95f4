//! Keeping the announced addresses true while the node runs.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;
use tracing::{info, warn};

use super::AnnounceAddr;
use super::detect::{Detected, Detection, Detector};

/// The addresses that were detected, and what detected them. Those that an operator wrote are not watched.
#[derive(Debug, Clone)]
pub struct AnnounceWatch {
    detector: Detector,
    current: Vec<Detected>,
}

impl AnnounceWatch {
    /// Of what `detector` has just found.
    #[must_use]
    pub fn new(detector: Detector, detected: Vec<Detected>) -> Self {
        Self { detector, current: detected }
    }
}

/// Looks again at intervals and on SIGHUP; `on_change` gets the new addresses. Without a watch SIGHUP is only answered.
pub async fn watch(
    watch: Option<AnnounceWatch>,
    changes: &AtomicU64,
    on_change: impl Fn(&[AnnounceAddr]),
) -> Infallible {
    let mut hangups = signal(SignalKind::hangup())
        .inspect_err(|error| warn!(%error, "SIGHUP cannot be received; it would end the node"))
        .ok();
    let Some(mut watch) = watch else {
        loop {
            hangup(hangups.as_mut()).await;
            info!("SIGHUP: the announced addresses are configured, there is nothing to look for again");
        }
    };
    loop {
        tokio::select! {
            () = sleep(watch.detector.recheck()) => {}
            () = hangup(hangups.as_mut()) => info!("SIGHUP: looking again for the announced addresses"),
        }
        let found = watch.detector.detect().await;
        if let Some(now) = changed(&watch.current, &found) {
            info!("The announced addresses have changed: {} → {}", listed(&watch.current), listed(&now));
            changes.fetch_add(1, Ordering::Relaxed);
            let addresses: Vec<_> = now.iter().map(|detected| detected.address).collect();
            on_change(&addresses);
            watch.current = now;
        }
    }
}

async fn hangup(hangups: Option<&mut Signal>) {
    match hangups {
        Some(hangups) => drop(hangups.recv().await),
        None => std::future::pending().await,
    }
}

/// The addresses from now on, if they are others.
///
/// Who does not answer has taken nothing back: what it said before holds, also against what another source says.
fn changed(before: &[Detected], found: &Detection) -> Option<Vec<Detected>> {
    let failed = found.has_failures();
    if failed {
        let failures = found.steps.iter().filter(|step| step.failed);
        let failures: Vec<_> = failures.map(|step| format!("{}: {}", step.asked, step.answer)).collect();
        warn!("looking again for the announced addresses: {}", failures.join("; "));
    }
    let of = |list: &[Detected], is_v4: bool| list.iter().find(|one| one.address.get().is_ipv4() == is_v4).cloned();
    let mut now = Vec::new();
    for is_v4 in [true, false] {
        now.extend(match (of(before, is_v4), of(&found.announce, is_v4)) {
            (Some(old), Some(new)) if failed && old.source != new.source => Some(old),
            (Some(old), None) if failed => Some(old),
            (_, new) => new,
        });
    }
    if now.is_empty() {
        warn!("no announce address is found any more; the node keeps {}", listed(before));
        return None;
    }
    (addresses(&now) != addresses(before)).then_some(now)
}

fn addresses(list: &[Detected]) -> Vec<SocketAddr> {
    list.iter().map(|detected| detected.address.get()).collect()
}

fn listed(list: &[Detected]) -> String {
    let each: Vec<_> = list.iter().map(|detected| format!("{} ({})", detected.address, detected.source)).collect();
    each.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::inquiry::Step;
    use super::*;

    fn detected(all: &[(&str, &str)]) -> Vec<Detected> {
        let one = |(address, source): &(&str, &str)| Detected {
            address: AnnounceAddr::new(address.parse().unwrap(), false).unwrap(),
            source: (*source).to_owned(),
        };
        all.iter().map(one).collect()
    }

    fn found(all: &[(&str, &str)], failed: bool) -> Detection {
        let step = Step { asked: "aws metadata".to_owned(), answer: "…".to_owned(), failed };
        Detection { announce: detected(all), steps: vec![step] }
    }

    fn after(before: &[(&str, &str)], now: &[(&str, &str)], failed: bool) -> Option<Vec<String>> {
        let changed = changed(&detected(before), &found(now, failed))?;
        Some(changed.iter().map(|detected| detected.address.to_string()).collect())
    }

    const OLD: (&str, &str) = ("36.68.243.18:1789", "aws");
    const NEW: (&str, &str) = ("36.68.243.19:1789", "aws");
    const LOCAL: (&str, &str) = ("36.68.243.20:1789", "local");
    const SIX: (&str, &str) = ("[2600::1]:1789", "aws");

    #[test]
    fn a_new_address_replaces_the_old_one() {
        assert_eq!(after(&[OLD, SIX], &[NEW, SIX], false).unwrap(), [NEW.0, SIX.0]);
        assert_eq!(after(&[OLD], &[OLD, SIX], false).unwrap(), [OLD.0, SIX.0]);
        assert_eq!(after(&[OLD, SIX], &[SIX], false).unwrap(), [SIX.0], "taken away");
        assert_eq!(after(&[OLD, SIX], &[OLD, SIX], false), None);
    }

    #[test]
    fn who_does_not_answer_changes_nothing() {
        assert_eq!(after(&[OLD], &[], true), None);
        assert_eq!(after(&[OLD], &[LOCAL], true), None);
        assert_eq!(after(&[OLD, SIX], &[SIX], true), None);
        assert_eq!(after(&[OLD], &[NEW], true).unwrap(), [NEW.0], "the source itself has answered");
    }

    #[test]
    fn the_last_address_is_never_given_up() {
        assert_eq!(after(&[OLD], &[], false), None);
    }
}
