//! Tests with a clock that is set forward and back by an hour.

use std::collections::HashSet;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;

const HOST: &str = "192.0.2.1:1789";
const DAY: i64 = 24 * HOUR;

/// A registry whose clock differs from the real time.
struct Clock {
    home: Home,
    real: i64,
    ahead: i64,
}

impl Clock {
    async fn new() -> Self {
        Self { home: Home::new().await, real: NOW, ahead: 0 }
    }

    fn now(&self) -> i64 {
        self.real + self.ahead
    }

    /// Lets real time pass, and the registry purge.
    async fn pass(&mut self, time: i64) {
        self.real += time;
        self.home.service.purge(self.now()).await.unwrap();
    }

    async fn is_listed(&self, identity: &str) -> bool {
        self.home.identities(self.now()).await.iter().any(|listed| listed == identity)
    }

    /// Checks the uptime and the history of `a`.
    async fn check(&self) {
        let (service, now) = (&self.home.service, self.now());
        if let Ok(report) = service.report("a", now).await {
            let windows = [report.last_5_minutes_ipv4, report.last_hour_ipv4, report.last_day_ipv4];
            assert!(windows.iter().all(|per_cent| *per_cent <= 100), "{report:?}");
        }
        let points = service.node_history("a", 24, now).await.unwrap();
        let times: HashSet<_> = points.iter().map(|point| (point.at, point.ip_version)).collect();
        assert_eq!(times.len(), points.len(), "each hour once: {points:?}");
        for point in &points {
            assert!(point.at <= now / SECOND && (0..=point.total).contains(&point.passed), "{point:?} at {now}");
        }
        let layers = service.network_history(24, now).await.unwrap();
        let times: HashSet<_> = layers.iter().map(|point| (point.at, point.layer)).collect();
        assert_eq!(times.len(), layers.len(), "each hour once: {layers:?}");
        assert!(layers.iter().all(|point| (0..=point.total).contains(&point.passed)), "{layers:?}");
    }
}

/// Runs a node that reports for a while, is then silent for a day, and whose registry's clock jumps all the time.
async fn live_and_die(steps: Vec<(i64, bool, bool)>) {
    let mut clock = Clock::new().await;
    clock.home.register("a", &[HOST], clock.now()).await;
    for (minutes, is_ahead, up) in &steps {
        clock.ahead = if *is_ahead { HOUR } else { 0 };
        clock.home.measure("a", IpVersion::V4, *up, clock.now()).await;
        clock.home.measure("a", IpVersion::V4, true, clock.now()).await;
        clock.home.service.add_metric("a", 1, Some(ip("192.0.2.1")), clock.now()).await.unwrap();
        clock.pass(minutes * MINUTE).await;
        assert!(clock.is_listed("a").await, "an entry that is renewed does not expire");
        clock.check().await;
    }
    for (_, is_ahead, _) in steps.iter().cycle().take(23) {
        clock.ahead = if *is_ahead { HOUR } else { 0 };
        clock.pass(HOUR).await;
    }
    clock.ahead = 0;
    clock.pass(3 * HOUR).await;
    assert!(!clock.is_listed("a").await, "no entry lives for ever");
    clock.check().await;
}

#[test]
fn uptime_expiry_and_history_stay_sane_while_the_clock_jumps() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let steps = prop::collection::vec((0_i64..90, any::<bool>(), any::<bool>()), 1..12);
    let config = proptest::test_runner::Config { failure_persistence: None, ..ProptestConfig::with_cases(12) };
    let live = |steps| {
        runtime.block_on(live_and_die(steps));
        Ok(())
    };
    TestRunner::new(config).run(&steps, live).unwrap();
}

#[tokio::test]
async fn entries_do_not_expire_when_the_clock_is_set_forward() {
    let mut clock = Clock::new().await;
    clock.home.register("a", &[HOST], clock.now()).await;
    clock.ahead = HOUR;
    clock.pass(MINUTE).await;
    assert!(clock.is_listed("a").await);
}

#[tokio::test]
async fn entries_of_the_future_live_no_longer_than_others() {
    let mut clock = Clock::new().await;
    clock.ahead = 365 * DAY;
    clock.home.register("a", &[HOST], clock.now()).await;
    clock.home.register_gateway("prober", "192.0.2.2:1789", 90, clock.now()).await;
    clock.home.call("pending", &["192.0.2.3:1789"], "203.0.113.9", clock.now()).await;
    clock.ahead = 0;
    clock.pass(SECOND).await;
    assert!(clock.is_listed("a").await && clock.is_listed("prober").await);
    clock.pass(90 * SECOND).await;
    assert!(!clock.is_listed("prober").await);
    clock.pass(HOUR).await;
    assert!(clock.home.service.pending().await.unwrap().is_empty());
    clock.pass(DAY).await;
    assert!(!clock.is_listed("a").await);
}

#[tokio::test]
async fn a_pending_address_is_tested_soon_after_the_clock_was_set_back() {
    let mut clock = Clock::new().await;
    clock.ahead = HOUR;
    clock.home.call("a", &[HOST], "203.0.113.9", clock.now()).await;
    clock.ahead = 0;
    clock.pass(MINUTE).await;
    assert_eq!(clock.home.service.due_claims(9, clock.now()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_silent_holder_loses_its_address_although_the_clock_was_set_back() {
    let mut clock = Clock::new().await;
    clock.ahead = HOUR;
    clock.home.call("a", &[HOST], "192.0.2.1", clock.now()).await;
    clock.ahead = 0;
    clock.pass(0).await;
    clock.pass(3 * MINUTE).await;
    assert_eq!(clock.home.call("b", &[HOST], "192.0.2.1", clock.now()).await, Outcome::Done);
}

#[tokio::test]
async fn counters_grow_although_the_clock_was_set_back() {
    let mut clock = Clock::new().await;
    let keys = IdentityKeyPair::generate().unwrap();
    let mut last = 0;
    for ahead in [0, HOUR, 0, -HOUR, HOUR, 0] {
        clock.ahead = ahead;
        let reply = clock.home.service.counter(keys.public_base58(), "nonce".into(), clock.now()).await.unwrap();
        assert!(reply.counter >= last, "{ahead}: {} {last}", reply.counter);
        last = reply.counter + 1;
        let registered = clock.home.sign(&keys, &[HOST], "192.0.2.1", last, clock.now()).await;
        assert_eq!(registered, Outcome::Done, "{ahead}");
        clock.pass(SECOND).await;
    }
}

#[tokio::test]
async fn a_node_enters_the_active_set_by_its_recent_tests_although_others_are_of_the_future() {
    let mut clock = Clock::new().await;
    clock.home.register("a", &[HOST], clock.now()).await;
    clock.home.service.set_reputation("a", 1000).await.unwrap();
    clock.ahead = DAY;
    for _ in 0..3 {
        clock.home.measure("a", IpVersion::V4, false, clock.now()).await;
    }
    clock.ahead = 0;
    clock.home.measure("a", IpVersion::V4, true, clock.now()).await;
    let active = clock.home.service.topology(Selection::Active, clock.now()).await.unwrap();
    assert_eq!(identities(&active), ["a"]);
}
