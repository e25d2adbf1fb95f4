//! The locks, one by one.

use super::*;
use crate::api::{MixRegistration, RegisteredMix};
use crate::config::settings::{self as s, About};
use crate::config::{Source, Values};
use crate::telemetry::log::Captured;
use tokio::time::sleep;

fn checked(changes: &[(&'static About, &str)]) -> Result<(), String> {
    let mut values = Values::default();
    let mut set = |about, text: &str| values.set(about, text, &Source::Program);
    set(&s::NODE_ID.about, "under-test");
    set(&s::NODE_LAYER.about, "1");
    set(&s::LISTEN_ADDRESSES.about, "127.0.0.1");
    set(&s::ANNOUNCE_ADDRESSES.about, "127.0.0.1");
    set(&s::ANNOUNCE_ALLOW_PRIVATE.about, "true");
    for (about, text) in changes {
        set(about, text);
    }
    PerPacket::check(&Config::from_values(&values).unwrap()).map_err(|problem| problem.to_string())
}

#[test]
fn bind_announce_and_policy_have_to_stay_on_loopback() {
    assert_eq!(checked(&[]), Ok(()));
    assert_eq!(checked(&[(&s::LISTEN_ADDRESSES.about, "[::1]")]), Ok(()));
    for (about, text, told) in [
        (&s::LISTEN_ADDRESSES.about, "0.0.0.0", "a listening address is 0.0.0.0:1789"),
        (&s::LISTEN_ADDRESSES.about, "10.1.2.3", "a listening address is 10.1.2.3:1789"),
        (&s::ANNOUNCE_ADDRESSES.about, "36.68.243.18", "an announced address is 36.68.243.18:1789"),
        (&s::FORWARD_POLICY.about, "any", "forward.policy is not topology"),
        (&s::FORWARD_POLICY.about, "public", "forward.policy is not topology"),
    ] {
        let problem = checked(&[(about, text)]).unwrap_err();
        assert!(problem.starts_with(FLAG) && problem.contains(told), "{problem}");
    }
}

fn topology(hosts: &[&str]) -> Topology {
    let listed = |host: &&str| {
        let registration = MixRegistration {
            mix_host: (*host).to_owned(),
            mix_hosts: Vec::new(),
            identity_key: (*host).to_owned(),
            sphinx_key: String::new(),
            version: String::new(),
            location: String::new(),
            incentives_address: String::new(),
            layer: 1,
            proof: None,
        };
        RegisteredMix { registration, registration_time: 0, reputation: 0 }
    };
    Topology { mix_nodes: hosts.iter().map(listed).collect(), ..Topology::default() }
}

#[tokio::test(start_paused = true)]
async fn a_topology_that_leaves_loopback_springs_the_lock_at_any_time() {
    for elsewhere in ["192.0.2.1:1789", "[2001:db8::1]:1789", "example.org:1789", "169.254.169.254:80"] {
        let traces = PerPacket::new();
        assert_eq!(traces.check_topology(&topology(&["127.0.0.1:1789", "[::1]:1789", "127.9.9.9:1"])), Ok(()));
        let watching = tokio::spawn({
            let traces = traces.clone();
            async move { traces.watch(log).await }
        });
        sleep(10 * WARN_EVERY).await;
        assert!(!watching.is_finished());
        let problem = traces.check_topology(&topology(&["127.0.0.1:1789", elsewhere])).unwrap_err();
        assert!(problem.to_string().contains(elsewhere), "{problem}");
        assert_eq!(watching.await.unwrap(), problem);
    }
}

#[tokio::test(start_paused = true)]
async fn it_warns_each_minute() {
    let captured = Captured::default();
    let _logging = tracing::subscriber::set_default(captured.subscriber());
    let traces = PerPacket::new();
    tokio::select! {
        problem = traces.watch(log) => panic!("{problem}"),
        () = sleep(3 * WARN_EVERY + Duration::from_secs(1)) => {}
    }
    let warnings = captured.take();
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    assert!(warnings.iter().all(|(_, line)| line.starts_with("WARN") && line.contains(FLAG)), "{warnings:?}");
}

#[test]
fn a_program_without_the_feature_says_how_to_get_it() {
    assert_eq!(PerPacket::by_flag().is_ok(), cfg!(feature = "unsafe-per-packet-traces"));
    assert!(NotBuilt.to_string().contains("cargo build --features unsafe-per-packet-traces"));
}
