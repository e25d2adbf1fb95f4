//! Tests of the heartbeat with a scripted directory, in virtual time.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use nym_mixnode_api::testing::mix;
use nym_mixnode_api::{
    CounterReply, GatewayRegistration, IpVersion, MixMetric, PendingAddress, Proof, RegisteredGateway, RegisteredMix,
    RegistrationReply, signing, testing,
};
use nym_mixnode_keys::IdentityKeyPair;
use tokio::time::Instant;

use super::*;
use crate::FailureCounts;

mod signed;

const IDENTITY: &str = "me";
const HOST: &str = "192.0.2.1:1789";

/// In-memory directory that can be down, lose its entries, or behave like a 0.9.2 validator.
#[derive(Debug, Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
struct Script {
    down_until: Option<Instant>,
    /// Refuses every registration of a listed host, as the 0.9.2 validator does.
    old: bool,
    hangs: bool,
    topology: Topology,
    registrations: Vec<Instant>,
    unregistrations: usize,
    fetches: Vec<Instant>,
    metrics: Vec<(Instant, MixMetric)>,
    metrics_replies: VecDeque<Result<u64, DirectoryError>>,
    refusals: VecDeque<DirectoryError>,
    /// Key of a registry; `None` does not support signatures.
    registry: Option<Arc<IdentityKeyPair>>,
    /// Counter of the last signed call.
    counter: u64,
    /// Accepts registrations but lists none of their addresses.
    proves_nothing: bool,
}

impl Scripted {
    fn with<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }
}

impl Script {
    fn answer(&self) -> Result<(), DirectoryError> {
        if self.down_until.is_some_and(|until| Instant::now() < until) {
            return Err(DirectoryError::Unreachable {
                action: "ask",
                url: "http://d/".into(),
                reason: "connection refused".into(),
            });
        }
        Ok(())
    }
}

impl Script {
    /// Checks a call as a registry does; `counter` is `None` for an unsigned call.
    fn check_signed(&mut self, counter: Option<u64>, is_valid: bool) -> Result<(), DirectoryError> {
        if self.registry.is_none() {
            return Ok(());
        }
        match counter {
            Some(_) if !is_valid => Err(refused(401)),
            Some(counter) if counter <= self.counter => Err(refused(409)),
            Some(counter) => {
                self.counter = counter;
                Ok(())
            }
            None if self.counter > 0 => Err(refused(403)),
            None => Ok(()),
        }
    }

    fn registry_key(&self) -> [u8; 32] {
        self.registry.as_ref().map_or([0; 32], |registry| *registry.public())
    }
}

fn refused(status: u16) -> DirectoryError {
    DirectoryError::Refused { action: "register", url: "http://d/".into(), status, message: "no".into() }
}

impl Directory for Scripted {
    fn location(&self) -> &'static str {
        "http://d/"
    }

    async fn counter(&self, identity: &str, nonce: &str) -> Result<Option<CounterReply>, DirectoryError> {
        self.with(|script| {
            script.answer()?;
            let Some(registry) = &script.registry else { return Ok(None) };
            let message = signing::counter_answer(registry.public(), nonce, identity, script.counter);
            Ok(Some(CounterReply {
                identity_key: identity.into(),
                counter: script.counter,
                registry_key: registry.public_base58(),
                nonce: nonce.into(),
                signature: bs58::encode(registry.sign(&message).unwrap()).into_string(),
            }))
        })
    }

    async fn register_mix(
        &self,
        mix: &MixRegistration,
        _: Option<IpVersion>,
    ) -> Result<RegistrationReply, DirectoryError> {
        self.with(|script| {
            script.answer()?;
            script.registrations.push(Instant::now());
            if let Some(refusal) = script.refusals.pop_front() {
                return Err(refusal);
            }
            let key = script.registry_key();
            let is_valid = signing::signed_counter(mix, &key).is_some();
            script.check_signed(mix.proof.as_ref().map(|proof| proof.counter), is_valid)?;
            if script.proves_nothing {
                let address = mix.mix_host.clone();
                let pending = vec![PendingAddress { address, reason: "nothing proves it".into() }];
                return Ok(RegistrationReply { ok: true, pending });
            }
            let nodes = &mut script.topology.mix_nodes;
            if script.old && nodes.iter().any(|node| node.registration.mix_host == mix.mix_host) {
                return Err(refused(409));
            }
            nodes.retain(|node| node.registration.identity_key != mix.identity_key);
            nodes.push(testing::listed(mix.clone()));
            Ok(RegistrationReply { ok: true, pending: Vec::new() })
        })
    }

    async fn register_gateway(
        &self,
        gateway: &GatewayRegistration,
        _: Option<IpVersion>,
    ) -> Result<RegistrationReply, DirectoryError> {
        self.with(|script| {
            script.answer()?;
            script.registrations.push(Instant::now());
            let key = script.registry_key();
            let is_valid = signing::signed_counter(gateway, &key).is_some();
            script.check_signed(gateway.proof.as_ref().map(|proof| proof.counter), is_valid)?;
            let gateways = &mut script.topology.gateways;
            gateways.retain(|listed| listed.registration.identity_key != gateway.identity_key);
            gateways.push(RegisteredGateway { registration: gateway.clone(), registration_time: 0, reputation: 0 });
            Ok(RegistrationReply { ok: true, pending: Vec::new() })
        })
    }

    async fn unregister(&self, identity: &str, proof: Option<&Proof>) -> Result<Unregistered, DirectoryError> {
        if let Some(proof) = proof {
            self.with(|script| {
                let message = signing::unregistration(&script.registry_key(), identity, proof.counter);
                let is_valid = signing::is_signed_by(identity, &message, &proof.signature);
                script.check_signed(Some(proof.counter), is_valid)
            })?;
        }
        if self.with(|script| script.hangs) {
            std::future::pending::<()>().await;
        }
        self.with(|script| {
            script.answer()?;
            script.unregistrations += 1;
            let count = |topology: &Topology| topology.mix_nodes.len() + topology.gateways.len();
            let before = count(&script.topology);
            script.topology.mix_nodes.retain(|node| node.registration.identity_key != identity);
            script.topology.gateways.retain(|node| node.registration.identity_key != identity);
            let removed = count(&script.topology) < before;
            Ok(if removed { Unregistered::Removed } else { Unregistered::NotListed })
        })
    }

    async fn topology(&self) -> Result<Topology, DirectoryError> {
        self.with(|script| {
            script.answer()?;
            script.fetches.push(Instant::now());
            Ok(script.topology.clone())
        })
    }

    async fn post_metrics(&self, metric: &MixMetric) -> Result<Duration, DirectoryError> {
        self.with(|script| {
            script.metrics.push((Instant::now(), metric.clone()));
            script.metrics_replies.pop_front().unwrap_or(Ok(60)).map(Duration::from_secs)
        })
    }
}

fn listed(identity: &str, host: &str) -> RegisteredMix {
    testing::listed(mix(identity, host))
}

fn heartbeat(directory: &Scripted) -> Heartbeat<Scripted> {
    let settings = HeartbeatSettings { topology_refresh: Duration::from_mins(1), ..HeartbeatSettings::default() };
    Heartbeat::new(directory.clone(), mix(IDENTITY, HOST), settings)
}

/// Runs the heartbeat for this virtual time; panics on a fatal error.
async fn run_for(heartbeat: &Heartbeat<Scripted>, duration_s: u64) {
    run_counting(heartbeat, duration_s, || 0, |_| {}).await;
}

async fn run_counting(
    heartbeat: &Heartbeat<Scripted>,
    duration_s: u64,
    received: impl Fn() -> u64,
    on_topology: impl Fn(&Topology),
) {
    let ended = timeout(Duration::from_secs(duration_s), heartbeat.run(received, on_topology)).await;
    assert!(ended.is_err(), "ended early: {ended:?}");
}

async fn fatal(heartbeat: &Heartbeat<Scripted>) -> DirectoryError {
    let ended = timeout(Duration::from_hours(1), heartbeat.run(|| 0, |_| {})).await;
    ended.expect("a fatal error ends the run").unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn registers_at_once_and_refreshes_on_schedule() {
    let directory = Scripted::default();
    directory.with(|script| script.topology.mix_nodes.push(listed("other", "192.0.2.2:1789")));
    let heartbeat = heartbeat(&directory);
    let state = heartbeat.state();
    assert!(!state.registered());
    let sizes = Mutex::new(Vec::new());
    run_counting(&heartbeat, 130, || 0, |topology| sizes.lock().unwrap().push(topology.mix_nodes.len())).await;
    assert!(state.registered());
    assert_eq!(state.last_error(), None);
    assert_eq!(*sizes.lock().unwrap(), [1, 2, 2], "first without us, then with us");
    directory.with(|script| {
        assert_eq!(script.registrations.len(), 1);
        let gaps: Vec<_> = script.fetches.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert_eq!(gaps, [60, 60]);
    });
}

#[tokio::test(start_paused = true)]
async fn a_changed_registration_is_sent_at_once_even_to_an_old_validator() {
    for old in [false, true] {
        let directory = Scripted::default();
        directory.with(|script| script.old = old);
        let heartbeat = heartbeat(&directory);
        let change = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            heartbeat.change_registration(|mix| mix.mix_hosts = vec![HOST.to_owned(), "[2600::1]:1789".to_owned()]);
        };
        tokio::join!(run_for(&heartbeat, 30), change);
        directory.with(|script| {
            let [node] = &script.topology.mix_nodes[..] else { panic!("{:?}", script.topology.mix_nodes) };
            assert_eq!(node.registration, *heartbeat.registration());
            assert_eq!(node.registration.mix_hosts.len(), 2);
            assert_eq!(script.unregistrations, usize::from(old), "an old one requires an unregistration first");
            assert_eq!(script.fetches.len(), 3, "the second one to find ourselves, the third one for the change");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_node_of_a_network_soon_finds_itself_in_it() {
    let directory = Scripted::default();
    let heartbeat = heartbeat(&directory);
    run_for(&heartbeat, 59).await;
    assert!(heartbeat.state().topology().is_some());
    let fetches = directory.with(|script| script.fetches.clone());
    assert_eq!((fetches.len(), (fetches[1] - fetches[0]).as_secs()), (2, 1), "then at the normal interval");
}

#[tokio::test(start_paused = true)]
async fn a_directory_down_for_ten_minutes_registers_us_within_a_minute_of_its_return() {
    let directory = Scripted::default();
    let returns = Instant::now() + Duration::from_mins(10);
    directory.with(|script| script.down_until = Some(returns));
    let heartbeat = heartbeat(&directory);
    let state = heartbeat.state();

    run_for(&heartbeat, 590).await;
    assert!(!state.registered());
    assert!(state.last_error().unwrap().contains("connection refused"));
    assert!((10..60).contains(&state.failures().topology), "{:?}", state.failures());

    run_for(&heartbeat, 70).await;
    assert!(state.registered());
    assert_eq!(state.last_error(), None);
    assert!(directory.with(|script| script.registrations[0]) < returns + Duration::from_mins(1));
}

#[tokio::test(start_paused = true)]
async fn registers_again_when_the_directory_forgets_us() {
    let directory = Scripted::default();
    let heartbeat = heartbeat(&directory);
    let seen = Cell::new(usize::MAX);
    let run = run_counting(&heartbeat, 200, || 0, |topology| seen.set(topology.mix_nodes.len()));
    let forget = async {
        tokio::time::sleep(Duration::from_secs(90)).await;
        directory.with(|script| script.topology = Topology::default());
    };
    tokio::join!(run, forget);
    assert_eq!(directory.with(|script| script.registrations.len()), 2);
    assert!(heartbeat.state().registered());
    assert_eq!(seen.get(), 1, "the empty topology was ignored");
}

#[tokio::test(start_paused = true)]
async fn keep_alives_are_sent_every_five_minutes() {
    let directory = Scripted::default();
    run_for(&heartbeat(&directory), 1000).await;
    assert_eq!(directory.with(|script| script.registrations.len()), 4, "at 0, 300, 600 and 900 s");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_at_an_old_validator_only_stops_the_keep_alives() {
    let directory = Scripted::default();
    directory.with(|script| script.old = true);
    let heartbeat = heartbeat(&directory);
    run_for(&heartbeat, 2000).await;
    assert_eq!(directory.with(|script| script.registrations.len()), 2, "the first, and one keep-alive");
    assert!(heartbeat.state().registered());
    assert_eq!(heartbeat.state().last_error(), None);
    assert_eq!(heartbeat.state().failures(), FailureCounts::default());
}

#[tokio::test(start_paused = true)]
async fn our_stale_entry_at_an_old_validator_is_replaced() {
    let directory = Scripted::default();
    directory.with(|script| {
        script.old = true;
        script.topology.mix_nodes.push(listed(IDENTITY, HOST));
    });
    let heartbeat = heartbeat(&directory);
    run_for(&heartbeat, 30).await;
    assert!(heartbeat.state().registered());
    assert_eq!(directory.with(|script| (script.registrations.len(), script.unregistrations)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_another_identity_is_retried() {
    let directory = Scripted::default();
    directory.with(|script| script.topology.mix_nodes.push(listed("other", HOST)));
    let heartbeat = heartbeat(&directory);
    run_for(&heartbeat, 600).await;
    assert!(!heartbeat.state().registered());
    let problem = heartbeat.state().last_error().unwrap();
    assert!(problem.contains("registered by another node, other"), "{problem}");
    heartbeat.unregister().await;
    assert_eq!(directory.with(|script| script.unregistrations), 0, "nothing of ours was there to remove");

    directory.with(|script| script.topology.mix_nodes.clear());
    run_for(&heartbeat, 60).await;
    assert!(heartbeat.state().registered());
}

#[tokio::test(start_paused = true)]
async fn with_force_the_entry_of_another_identity_is_removed() {
    let directory = Scripted::default();
    directory.with(|script| script.topology.mix_nodes.push(listed("other", HOST)));
    let mut heartbeat = heartbeat(&directory);
    heartbeat.settings.force = true;
    run_for(&heartbeat, 30).await;
    assert!(heartbeat.state().registered());
    let identities = |script: &mut Script| -> Vec<String> {
        script.topology.mix_nodes.iter().map(|mix| mix.registration.identity_key.clone()).collect()
    };
    assert_eq!(directory.with(identities), [IDENTITY]);
}

#[tokio::test(start_paused = true)]
async fn only_a_malformed_first_registration_is_fatal() {
    let directory = Scripted::default();
    directory.with(|script| script.refusals.push_back(refused(400)));
    let error = fatal(&heartbeat(&directory)).await;
    assert!(matches!(error, DirectoryError::Refused { status: 400, .. }), "{error}");
    for status in [401, 403, 409] {
        let directory = Scripted::default();
        directory.with(|script| script.refusals.extend((0..5).map(|_| refused(status))));
        let heartbeat = heartbeat(&directory);
        run_for(&heartbeat, 5).await;
        assert!(!heartbeat.state().registered(), "{status}");
        run_for(&heartbeat, 600).await;
        assert!(heartbeat.state().registered(), "{status}");
    }
    for status in [400, 409] {
        let directory = Scripted::default();
        let heartbeat = heartbeat(&directory);
        let usurp = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            directory.with(|script| {
                script.topology.mix_nodes = vec![listed("other", HOST)];
                script.refusals.extend((0..10_000).map(|_| refused(status)));
            });
        };
        tokio::join!(run_for(&heartbeat, 600), usurp);
        assert!(!heartbeat.state().registered());
        assert!(heartbeat.state().last_error().unwrap().contains("refused"));
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_waits_at_least_half_a_minute() {
    let directory = Scripted::default();
    directory.with(|script| {
        let limited = || DirectoryError::TooManyRequests { action: "register", url: "http://d/".into() };
        script.refusals.extend([limited(), limited()]);
    });
    let heartbeat = heartbeat(&directory);
    run_for(&heartbeat, 180).await;
    directory.with(|script| {
        assert_eq!(script.registrations.len(), 3);
        assert!(script.registrations.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_secs(30)));
    });
    assert!(heartbeat.state().registered());
}

#[tokio::test(start_paused = true)]
async fn an_identity_listed_elsewhere_later_is_reported_and_contested_at_the_keep_alive() {
    let directory = Scripted::default();
    let heartbeat = heartbeat(&directory);
    let move_us = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        directory.with(|script| script.topology.mix_nodes = vec![listed(IDENTITY, "192.0.2.99:1789")]);
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(!heartbeat.state().registered());
        assert!(heartbeat.state().last_error().unwrap().contains("192.0.2.99:1789"));
    };
    tokio::join!(run_for(&heartbeat, 310), move_us);
    assert_eq!(directory.with(|script| script.topology.mix_nodes[0].registration.mix_host.clone()), HOST);
    assert!(heartbeat.state().registered());
}

#[tokio::test(start_paused = true)]
async fn metrics_are_rounded_deltas_without_next_hops_at_the_times_asked_for() {
    let directory = Scripted::default();
    directory.with(|script| {
        let failure = DirectoryError::TooManyRequests { action: "report", url: "http://d/".into() };
        script.metrics_replies.extend([Ok(20), Err(failure), Ok(0), Ok(u64::MAX)]);
    });
    let heartbeat = heartbeat(&directory);
    let started = Instant::now();
    let ten_a_second = || started.elapsed().as_secs() * 10;
    run_counting(&heartbeat, 3700, ten_a_second, |_| {}).await;
    let reports = directory.with(|script| {
        assert!(script.metrics.iter().all(|(_, metric)| metric.sent.is_empty() && metric.pub_key == IDENTITY));
        script.metrics.iter().map(|(at, metric)| ((*at - started).as_secs(), metric.received)).collect::<Vec<_>>()
    });
    assert_eq!(
        reports,
        [(5, 64), (25, 256), (55, 512), (60, 64), (3660, 36_032)],
        "20 s as asked; 30 s after a failure, whose packets are added; no sooner than 5 s; no later than an hour"
    );
    assert_eq!(heartbeat.state().failures().metrics, 1);
    assert_eq!(heartbeat.state().last_error(), None, "a node without metrics is ready all the same");
}

#[tokio::test(start_paused = true)]
async fn unregister_is_bounded_when_the_directory_hangs() {
    let directory = Scripted::default();
    let heartbeat = heartbeat(&directory);
    run_for(&heartbeat, 1).await;
    directory.with(|script| script.hangs = true);
    let started = Instant::now();
    assert!(heartbeat.unregister().await, "the directory may have removed the entry");
    assert_eq!(started.elapsed(), Duration::from_secs(5));
    assert!(!heartbeat.state().registered());
}

#[tokio::test(start_paused = true)]
async fn the_topology_is_saved_to_disk_and_a_missing_folder_is_not_fatal() {
    let home = tempfile::tempdir().unwrap();
    let directory = Scripted::default();
    directory.with(|script| script.topology.mix_nodes.push(listed("other", "192.0.2.2:1789")));
    let with_file =
        |path: &str| HeartbeatSettings { last_good: Some(home.path().join(path)), ..HeartbeatSettings::default() };

    let kept = Heartbeat::new(directory.clone(), mix(IDENTITY, HOST), with_file("topology.json"));
    assert_eq!(kept.load_last_good(), None);
    run_for(&kept, 100).await;
    assert_eq!(kept.load_last_good(), Some(directory.with(|script| script.topology.clone())));

    let lost = Heartbeat::new(directory.clone(), mix(IDENTITY, HOST), with_file("missing/topology.json"));
    run_for(&lost, 100).await;
    assert!(lost.state().registered());
    assert_eq!(lost.load_last_good(), None);
}

#[test]
fn a_run_may_move_between_threads() {
    fn assert_send(_: &impl Send) {}
    let directory = Scripted::default();
    assert_send(&heartbeat(&directory).run(|| 0, |_| {}));
}
