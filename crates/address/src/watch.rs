//! Keeps the announced addresses up to date while the node runs.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nym_mixnode_base::backoff::Backoff;
use nym_mixnode_base::optional::if_some;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch::Sender;
use tokio::time::sleep;
use tracing::{info, warn};

use super::detect::{Detection, Detector, tried};
use super::{AnnounceAddr, Announced};

/// Pauses between detections without a result: a load balancer takes minutes to create.
const AWAIT_INITIAL: Duration = Duration::from_secs(1);
const AWAIT_MAX: Duration = Duration::from_secs(15);

/// Repeats the detection of announce addresses. Configured addresses are not watched.
#[derive(Debug, Clone)]
pub struct AnnounceWatch {
    detector: Detector,
    /// Why no address has been found yet; `None` if one has.
    lacking: String,
}

impl AnnounceWatch {
    /// Starts from a result that `detector` has just returned.
    #[must_use]
    pub fn new(detector: Detector, detection: &Detection) -> Self {
        Self { detector, lacking: detection.tried() }
    }
}

/// The current announce addresses, shared with all modules that need them.
#[derive(Debug)]
pub struct Announcing(Sender<Now>);

#[derive(Debug, Default)]
struct Now {
    announced: Vec<Announced>,
    lacking: String,
}

impl Announcing {
    /// Starts with these addresses; with an empty list, `watch` waits for the first ones.
    #[must_use]
    pub fn new(announced: Vec<Announced>, watch: Option<&AnnounceWatch>) -> Self {
        let lacking = watch.map(|watch| watch.lacking.clone()).unwrap_or_default();
        Self(Sender::new(Now { announced, lacking }))
    }

    /// The current addresses: at most one IPv4 and one IPv6.
    pub fn now(&self) -> Vec<Announced> {
        self.0.borrow().announced.clone()
    }

    /// Why there is no address to announce; `None` if there is one.
    pub fn lacking(&self) -> Option<String> {
        let now = self.0.borrow();
        now.announced.is_empty().then(|| now.lacking.clone())
    }

    /// Completes once there is an address to announce.
    pub async fn begun(&self) {
        // Never fails: `self` owns the sender.
        drop(self.0.subscribe().wait_for(|now| !now.announced.is_empty()).await);
    }

    fn set(&self, announced: Vec<Announced>) {
        self.0.send_modify(|now| now.announced = announced);
    }

    /// Returns whether the reason has changed.
    fn lack(&self, why: String) -> bool {
        self.0.send_if_modified(|now| {
            let is_news = now.lacking != why;
            now.lacking = why;
            is_news
        })
    }
}

/// Repeats `detect` at intervals and on SIGHUP; calls `on_change` with new addresses before updating `announcing`.
/// Without a watch it only handles SIGHUP.
pub async fn watch(
    watch: Option<AnnounceWatch>,
    announcing: &Announcing,
    changes: &AtomicU64,
    detect: impl AsyncFn(&Detector) -> Detection,
    on_change: impl Fn(&[AnnounceAddr]),
) -> Infallible {
    let mut hangups = signal(SignalKind::hangup())
        .inspect_err(|error| warn!(%error, "Cannot handle SIGHUP; it would end the node"))
        .ok();
    let Some(AnnounceWatch { detector, .. }) = watch else {
        loop {
            if_some(hangups.as_mut().map(Signal::recv)).await;
            info!("SIGHUP: the announce addresses are configured, so they are not detected again");
        }
    };
    let mut backoff = Backoff::new(AWAIT_INITIAL, AWAIT_MAX);
    loop {
        let before = announcing.now();
        let pause = if before.is_empty() { backoff.wait().min(detector.recheck()) } else { detector.recheck() };
        tokio::select! {
            () = sleep(pause) => {}
            _ = if_some(hangups.as_mut().map(Signal::recv)) => info!("SIGHUP: detecting the announce addresses again"),
        }
        let found = detect(&detector).await;
        if before.is_empty() && found.announce.is_empty() {
            if announcing.lack(found.tried()) {
                warn!("No address to announce yet: {}", found.tried());
            }
            continue;
        }
        let Some(now) = changed(&before, &found) else { continue };
        if before.is_empty() {
            info!("Announcing {}", listed(&now));
        } else {
            info!("The announced addresses have changed: {} → {}", listed(&before), listed(&now));
            changes.fetch_add(1, Ordering::Relaxed);
        }
        on_change(&now.iter().map(|announced| announced.address).collect::<Vec<_>>());
        announcing.set(now);
    }
}

/// The new addresses, if they differ.
///
/// A source that does not answer keeps its previous address, even if another source reports a different one.
fn changed(before: &[Announced], found: &Detection) -> Option<Vec<Announced>> {
    let failed = found.has_failures();
    if failed {
        warn!("Cannot detect all announce addresses: {}", tried(found.steps.iter().filter(|step| step.failed)));
    }
    let of = |list: &[Announced], is_v4: bool| list.iter().find(|one| one.address.get().is_ipv4() == is_v4).cloned();
    let mut now = Vec::new();
    for is_v4 in [true, false] {
        now.extend(match (of(before, is_v4), of(&found.announce, is_v4)) {
            (Some(old), Some(new)) if failed && old.source != new.source => Some(old),
            (Some(old), None) if failed => Some(old),
            (_, new) => new,
        });
    }
    if now.is_empty() {
        warn!("No announce address found; the node keeps {}", listed(before));
        return None;
    }
    (addresses(&now) != addresses(before)).then_some(now)
}

fn addresses(list: &[Announced]) -> Vec<SocketAddr> {
    list.iter().map(|detected| detected.address.get()).collect()
}

fn listed(list: &[Announced]) -> String {
    let each: Vec<_> = list.iter().map(|detected| format!("{} ({})", detected.address, detected.source)).collect();
    each.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::inquiry::Step;
    use super::*;

    fn detected(all: &[(&str, &str)]) -> Vec<Announced> {
        let one = |(address, source): &(&str, &str)| Announced {
            address: AnnounceAddr::new(address.parse().unwrap(), false).unwrap(),
            source: (*source).to_owned(),
        };
        all.iter().map(one).collect()
    }

    fn found(all: &[(&str, &str)], failed: bool) -> Detection {
        let step = Step { asked: "aws metadata".to_owned(), answer: "…".to_owned(), failed };
        Detection { announce: detected(all), steps: vec![step], is_awaited: false }
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
    fn a_source_without_an_answer_keeps_its_address() {
        assert_eq!(after(&[OLD], &[], true), None);
        assert_eq!(after(&[OLD], &[LOCAL], true), None);
        assert_eq!(after(&[OLD, SIX], &[SIX], true), None);
        assert_eq!(after(&[OLD], &[NEW], true).unwrap(), [NEW.0], "the source has answered");
    }

    #[tokio::test]
    async fn waiting_ends_with_the_first_address() {
        let announcing = Announcing(Sender::new(Now { announced: Vec::new(), lacking: "no balancer".to_owned() }));
        assert_eq!(announcing.lacking().as_deref(), Some("no balancer"));
        assert!(!announcing.lack("no balancer".to_owned()), "told already");
        assert!(announcing.lack("no name".to_owned()));
        tokio::join!(announcing.begun(), async { announcing.set(detected(&[OLD])) });
        assert_eq!((announcing.lacking(), announcing.now()), (None, detected(&[OLD])));
        assert_eq!(after(&[], &[OLD], true).unwrap(), [OLD.0], "the first address is used even if other sources fail");
    }

    #[test]
    fn the_last_address_is_never_given_up() {
        assert_eq!(after(&[OLD], &[], false), None);
    }
}
