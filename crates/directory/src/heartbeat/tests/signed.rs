//! Tests of heartbeats that sign their calls.

use super::*;

/// A signing heartbeat and a directory that supports signatures.
fn signing_pair() -> (Scripted, Arc<IdentityKeyPair>, Heartbeat<Scripted>) {
    let directory = Scripted::default();
    directory.with(|script| {
        let registry = IdentityKeyPair::generate().unwrap();
        script.topology.registry_key = Some(registry.public_base58());
        script.registry = Some(Arc::new(registry));
    });
    let keys = Arc::new(IdentityKeyPair::generate().unwrap());
    let heartbeat = start_of(&directory, &keys, HOST, None);
    (directory, keys, heartbeat)
}

/// One start of the node with these keys.
fn start_of(
    directory: &Scripted,
    keys: &Arc<IdentityKeyPair>,
    host: &str,
    expected: Option<[u8; 32]>,
) -> Heartbeat<Scripted> {
    let settings = HeartbeatSettings { topology_refresh: Duration::from_mins(1), ..HeartbeatSettings::default() };
    Heartbeat::new(directory.clone(), mix(keys.public_base58(), host), settings).signed_by(Signer::new(
        Arc::clone(keys),
        expected,
        None,
    ))
}

fn listed_host(directory: &Scripted) -> Option<String> {
    directory.with(|script| script.topology.mix_nodes.first().map(|mix| mix.registration.mix_host.clone()))
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_signs_with_counters_above_the_directorys() {
    let (directory, keys, heartbeat) = signing_pair();
    run_for(&heartbeat, 1000).await;
    assert!(heartbeat.state().registered());
    assert_eq!(directory.with(|script| script.counter), 4, "at 0, 300, 600 and 900 s");
    let restarted = start_of(&directory, &keys, HOST, None);
    run_for(&restarted, 10).await;
    assert!(restarted.state().registered());
    assert_eq!(directory.with(|script| script.counter), 5);
    assert!(restarted.unregister().await);
    assert_eq!((directory.with(|script| script.counter), listed_host(&directory)), (6, None));
}

#[tokio::test(start_paused = true)]
async fn an_older_start_stops_registering_when_a_newer_one_is_listed() {
    let (directory, keys, older) = signing_pair();
    let newer = start_of(&directory, &keys, "192.0.2.9:1789", None);
    let start = async {
        tokio::time::sleep(Duration::from_secs(90)).await;
        run_for(&newer, 3000).await;
    };
    tokio::join!(run_for(&older, 3000), start);
    assert!(newer.state().registered() && !older.state().registered());
    let problem = older.state().last_error().unwrap();
    assert!(problem.contains("192.0.2.9:1789") && problem.contains("newer start"), "{problem}");
    assert_eq!(listed_host(&directory).unwrap(), "192.0.2.9:1789");

    assert!(!older.unregister().await, "the entry belongs to the newer start");
    assert_eq!(listed_host(&directory).unwrap(), "192.0.2.9:1789");
}

#[tokio::test(start_paused = true)]
async fn any_difference_in_the_entry_is_repaired_at_the_next_refresh() {
    type Spoil = fn(&mut MixRegistration);
    let spoilt: [Spoil; 5] = [
        |mix| mix.sphinx_key = "t".into(),
        |mix| mix.mix_hosts = vec![HOST.into(), "192.0.2.66:1".into()],
        |mix| mix.layer = 3,
        |mix| mix.location = "elsewhere".into(),
        |mix| mix.proof = None,
    ];
    for spoil in spoilt {
        let (directory, _, heartbeat) = signing_pair();
        run_for(&heartbeat, 10).await;
        let genuine = heartbeat.registration();
        directory.with(|script| spoil(&mut script.topology.mix_nodes[0].registration));
        let (seen, state) = (Mutex::new(Vec::new()), heartbeat.state());
        let problem = |_: &Topology| seen.lock().unwrap().push((state.registered(), state.last_error()));
        run_counting(&heartbeat, 200, || 0, problem).await;
        assert!(heartbeat.state().registered());
        let entry = directory.with(|script| script.topology.mix_nodes[0].registration.clone());
        assert_eq!(signing::Entry::as_announced(&entry), *genuine);
    }
}

/// What `nym-mixnode unregister` does.
async fn unregister_by_hand(directory: &Scripted, keys: &Arc<IdentityKeyPair>) {
    let signer = Signer::new(Arc::clone(keys), None, None);
    assert!(signer.ask(directory, true).await.unwrap());
    let proof = signer.sign_unregistration().unwrap().unwrap();
    directory.unregister(signer.identity(), Some(&proof)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_before_it_notices_a_manual_unregistration_is_unregistered() {
    let (directory, keys, heartbeat) = signing_pair();
    run_for(&heartbeat, 10).await;
    unregister_by_hand(&directory, &keys).await;
    assert!(heartbeat.state().registered(), "not noticed yet");
    assert!(heartbeat.unregister().await, "there is no entry of this start");
    assert_eq!(listed_host(&directory), None);
}

#[tokio::test(start_paused = true)]
async fn a_manually_unregistered_node_stays_unregistered_until_a_restart() {
    let (directory, keys, heartbeat) = signing_pair();
    let by_hand = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        unregister_by_hand(&directory, &keys).await;
    };
    tokio::join!(run_for(&heartbeat, 2000), by_hand);
    assert!(!heartbeat.state().registered());
    assert_eq!(listed_host(&directory), None);
    let restarted = start_of(&directory, &keys, HOST, None);
    run_for(&restarted, 10).await;
    assert_eq!(listed_host(&directory).unwrap(), HOST);
}

#[tokio::test(start_paused = true)]
async fn a_directory_with_another_key_is_followed_unless_one_is_configured() {
    for is_configured in [false, true] {
        let (directory, keys, _) = signing_pair();
        let expected = directory.with(|script| script.registry_key());
        let heartbeat = start_of(&directory, &keys, HOST, is_configured.then_some(expected));
        let replace = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            directory.with(|script| {
                let registry = IdentityKeyPair::generate().unwrap();
                script.topology = Topology { registry_key: Some(registry.public_base58()), ..Topology::default() };
                script.registry = Some(Arc::new(registry));
                script.counter = 0;
            });
        };
        tokio::join!(run_for(&heartbeat, 300), replace);
        assert_eq!(listed_host(&directory).is_some(), !is_configured);
        if is_configured {
            let problem = heartbeat.state().last_error().unwrap();
            assert!(problem.contains("directory.key"), "{problem}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_proven_address_keeps_trying_and_reports_the_reason() {
    let (directory, _, heartbeat) = signing_pair();
    directory.with(|script| script.proves_nothing = true);
    run_for(&heartbeat, 600).await;
    assert!(!heartbeat.state().registered());
    let problem = heartbeat.state().last_error().unwrap();
    assert!(problem.contains(HOST) && problem.contains("nothing proves it"), "{problem}");
    let attempts = directory.with(|script| script.registrations.len());
    assert!((10..80).contains(&attempts), "{attempts}");

    directory.with(|script| script.proves_nothing = false);
    run_for(&heartbeat, 60).await;
    assert!(heartbeat.state().registered());
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_kept_registered_as_a_mix_is_and_reports_no_packet_counts() {
    let (directory, keys, _) = signing_pair();
    let gateway = testing::gateway(keys.public_base58(), HOST);
    let settings = HeartbeatSettings { topology_refresh: Duration::from_mins(1), ..HeartbeatSettings::default() };
    let signer = Signer::new(Arc::clone(&keys), None, None);
    let heartbeat = Heartbeat::new(directory.clone(), gateway, settings).signed_by(signer);
    let listed = || {
        directory.with(|script| {
            script.topology.gateways.iter().map(|listed| listed.registration.clients_host.clone()).collect::<Vec<_>>()
        })
    };
    let run_for = async |seconds| {
        let run = heartbeat.run(|| 1000, |_| {});
        timeout(Duration::from_secs(seconds), run).await.unwrap_err();
    };
    run_for(1000).await;
    assert!(heartbeat.state().registered());
    assert_eq!(directory.with(|script| script.counter), 4, "at 0, 300, 600 and 900 s");
    heartbeat.change_registration(|gateway| gateway.clients_host = "ws://192.0.2.1:9999".into());
    run_for(10).await;
    assert_eq!(listed(), ["ws://192.0.2.1:9999"]);
    assert_eq!(directory.with(|script| script.metrics.len()), 0);
    assert!(heartbeat.unregister().await);
    assert!(listed().is_empty());
}
