//! Tests of each finding of the network checks.

use nym_mixnode_api::RegisteredGateway;
use nym_mixnode_api::testing::{gateway, listed, mix};
use nym_mixnode_config::{NodeHome, Source, Values, settings as s};

use super::super::Level;
use super::*;

fn config(announce: &str) -> Config {
    listening_and_announcing(announce, announce)
}

fn listening_and_announcing(listen: &str, announce: &str) -> Config {
    let mut values = Values::default();
    values.set(&s::NODE_ID.about, "mix", &Source::Program);
    values.set(&s::NODE_LAYER.about, "1", &Source::Program);
    values.set(&s::LISTEN_ADDRESSES.about, listen, &Source::Program);
    values.set(&s::ANNOUNCE_ADDRESSES.about, announce, &Source::Program);
    values.set(&s::ANNOUNCE_ALLOW_PRIVATE.about, "true", &Source::Program);
    Config::from_values(&values).unwrap()
}

/// A gateway's entry is one of gateways.
#[test]
fn a_gateway_is_listed_among_gateways_and_its_address_may_belong_to_a_mixnode() {
    let config = config("192.0.2.1:1789");
    let root = std::path::Path::new("/nowhere");
    let home = NodeHome::of_role(Role::Gateway, Some(root), &"home".parse().unwrap()).unwrap();
    let target = Target { home: &home, config: &config, naming: "--id home".to_owned(), lacking: None };
    let found = |topology: &Topology, running| registration(&target, "me", topology, (running, None));
    let gateway =
        RegisteredGateway { registration: gateway("me", "192.0.2.1:1789"), registration_time: 0, reputation: 0 };
    let listed = Topology { gateways: vec![gateway], ..Topology::default() };
    assert_eq!(found(&listed, Running::Yes).level, Level::Ok);
    let killed = found(&listed, Running::No);
    let fix = killed.fix.clone().unwrap_or_default();
    assert_eq!(killed.level, Level::Failed);
    assert!(fix.contains("nym-mixnode gateway run --id home"), "{killed:?}");
    assert!(fix.contains("nym-mixnode gateway unregister --id home"), "{killed:?}");
    assert_eq!(found(&listing("me", "192.0.2.1:1789"), Running::No).level, Level::Warning);
    let taken = found(&listing("you", "192.0.2.1:1789"), Running::Yes);
    assert!(taken.level == Level::Failed && taken.message.contains("you"), "{taken:?}");
}

fn listing(identity: &str, host: &str) -> Topology {
    Topology { mix_nodes: vec![listed(mix(identity, host))], ..Topology::default() }
}

#[test]
fn a_registration_is_ours_or_elsewhere_or_missing_or_another_nodes() {
    let config = config("192.0.2.1:1789");
    let home = NodeHome::new(Some(std::path::Path::new("/nowhere")), &"mix".parse().unwrap()).unwrap();
    let target = Target { home: &home, config: &config, naming: "--id mix".to_owned(), lacking: None };
    let registration = |topology: &Topology, running| registration(&target, "me", topology, (running, None));
    let level = |topology: &Topology, running| registration(topology, running).level;
    assert_eq!(level(&listing("me", "192.0.2.1:1789"), Running::Yes), Level::Ok);
    assert_eq!(level(&listing("me", "192.0.2.2:1789"), Running::Yes), Level::Failed);
    assert_eq!(level(&listing("you", "192.0.2.2:1789"), Running::Yes), Level::Failed);
    assert_eq!(level(&listing("you", "192.0.2.2:1789"), Running::No), Level::Warning);
    let killed = registration(&listing("me", "192.0.2.1:1789"), Running::No);
    let fix = killed.fix.clone().unwrap_or_default();
    assert!(killed.level == Level::Failed && killed.message.contains("does not run"), "{killed:?}");
    assert!(fix.contains("nym-mixnode run --id mix") && fix.contains("nym-mixnode unregister --id mix"), "{killed:?}");
    assert_eq!(level(&listing("me", "192.0.2.1:1789"), Running::Unknown), Level::Warning);
    let taken = registration(&listing("you", "192.0.2.1:1789"), Running::No);
    assert!(taken.level == Level::Failed && taken.message.contains("you") && taken.fix.is_some(), "{taken:?}");
}

#[test]
fn a_clock_may_be_off_by_a_little() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    assert_eq!(compare_clocks(now, now + CLOCK_OFF_MAX).level, Level::Ok);
    assert_eq!(compare_clocks(now + CLOCK_OFF_MAX, now).level, Level::Ok);
    let hour = Duration::from_hours(1);
    let behind = compare_clocks(now, now + hour);
    assert!(behind.level == Level::Warning && behind.message.starts_with("3600 s behind"), "{behind:?}");
    assert!(compare_clocks(now + hour, now).message.starts_with("3600 s ahead of"));
}

#[tokio::test]
async fn nothing_to_announce_is_a_failure() {
    let mut config = config("36.68.243.1:1789");
    config.announce.addresses.clear();
    let found = announce(&config, Running::No, None).await;
    assert_eq!((found.len(), found[0].level), (1, Level::Failed), "{found:?}");
    let why = Finding::warning("announce", "no address yet", "wait");
    assert_eq!(announce(&config, Running::No, Some(&why)).await, [why]);
}

#[tokio::test]
async fn a_directory_that_tells_no_time_is_no_clock() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let directory = Client::new(&url, &url).unwrap();
    let reply = async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut connection, _) = listener.accept().await.unwrap();
        let _: usize = connection.read(&mut [0; 1024]).await.unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    };
    let (finding, ()) = tokio::join!(clock(&directory), reply);
    assert!(finding.level == Level::Ok && finding.message.starts_with("cannot be compared"), "{finding:?}");
}

#[tokio::test]
async fn a_way_out_is_found_or_each_refusal_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap();
    // A bound socket that does not listen refuses connections.
    let refusing = tokio::net::TcpSocket::new_v4().unwrap();
    refusing.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let closed = refusing.local_addr().unwrap();
    let findings = egress(&Targets { directory: vec![closed], mixes: vec![open], ..Targets::default() }).await;
    assert_eq!((findings[0].check, findings[0].level), ("egress IPv4", Level::Ok));
    assert!(findings[1].message.starts_with("nothing to test"), "{findings:?}");
    let findings = egress(&Targets { directory: vec![closed], ..Targets::default() }).await;
    assert!(
        findings[0].level == Level::Warning && findings[0].message.contains(&format!("{closed}: ")),
        "{findings:?}"
    );
}

#[tokio::test]
async fn what_is_announced_is_tried_while_the_node_runs() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let private = config(&listener.local_addr().unwrap().to_string());
    let levels = |findings: Vec<Finding>| findings.iter().map(|finding| finding.level).collect::<Vec<_>>();
    assert_eq!(levels(announce(&private, Running::Yes, None).await), [Level::Ok]);
    drop(listener);
    assert_eq!(levels(announce(&private, Running::Yes, None).await), [Level::Warning]);
    // The configuration permits the private address: it is named, without a warning.
    let untried = announce(&private, Running::No, None).await;
    assert!(untried[0].message.contains("(a loopback address"), "{untried:?}");
    assert_eq!(levels(untried), [Level::Ok]);
    assert_eq!(levels(announce(&config("1.1.1.1:1789"), Running::No, None).await), [Level::Ok]);
}

#[test]
fn an_address_of_a_family_without_listener_is_not_blamed_on_the_firewall() {
    for (listen, announced, words) in [
        ("0.0.0.0:1790", "[fd00::2]:1790", ["listens on IPv4 only", "[::]:1790"]),
        ("[fd00::2]:1790", "192.0.2.2:1790", ["listens on IPv6 only", "0.0.0.0:1790"]),
    ] {
        let config = listening_and_announcing(listen, announced);
        let address = config.announce.addresses[0].address.get();
        let refused = reached(&config, address, Err("refused".to_owned()));
        for finding in [&refused, &untried(&config, address)] {
            let said = format!("{}; {}", finding.message, finding.fix.clone().unwrap_or_default());
            assert!(finding.level == Level::Warning && !said.contains("firewall"), "{said}");
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
        }
        // A load balancer may translate.
        assert_eq!(reached(&config, address, Ok(())).level, Level::Ok);
    }
    let both = listening_and_announcing("[::]:1790", "192.0.2.2:1790");
    let refused = reached(&both, "192.0.2.2:1790".parse().unwrap(), Err("refused".to_owned()));
    assert!(refused.fix.unwrap().contains("firewall"));
}

#[test]
fn a_running_node_that_is_not_listed_gives_its_own_reason() {
    let config = config("192.0.2.1:1789");
    let home = NodeHome::new(Some(std::path::Path::new("/nowhere")), &"mix".parse().unwrap()).unwrap();
    let target = Target { home: &home, config: &config, naming: "--id mix".to_owned(), lacking: None };
    let found = |problem| registration(&target, "me", &Topology::default(), (Running::Yes, problem));
    let unregistered = found(Some("the node was unregistered; restart it to register again"));
    assert_eq!((unregistered.level, &unregistered.fix), (Level::Failed, &None), "{unregistered:?}");
    assert!(unregistered.message.ends_with("restart it to register again"), "{unregistered:?}");
    let unknown = found(None);
    assert!(unknown.fix.unwrap().contains("restart it if it was unregistered"));
}

#[tokio::test]
async fn listed_addresses_that_the_node_does_not_use_are_counted_with_the_reason() {
    let mut topology = listing("you", "127.0.0.1:1792");
    topology.mix_nodes.extend(listing("they", "192.0.2.7:1789").mix_nodes);
    let mut config = config("192.0.2.1:1789");
    config.directory.url = "http://192.0.2.9:8081".parse().unwrap();
    let found = next_hops(&config, &targets(&config, Some(&topology)).await).unwrap();
    assert!(found.level == Level::Warning && found.fix.unwrap().contains("--host 127.0.0.1"), "{}", found.message);
    for words in ["1 of 2", "127.0.0.1:1792 is a loopback address"] {
        assert!(found.message.contains(words), "{}", found.message);
    }
    config.announce.detection.allow_private = false;
    let found = next_hops(&config, &targets(&config, Some(&topology)).await).unwrap();
    assert_eq!(found.level, Level::Failed, "no other node is left: {}", found.message);
    config.announce.detection.allow_private = true;
    topology.mix_nodes.remove(0);
    assert_eq!(next_hops(&config, &targets(&config, Some(&topology)).await), None);
}

#[test]
fn every_listed_address_is_printed() {
    let config = config("192.0.2.1:1789");
    let home = NodeHome::new(Some(std::path::Path::new("/nowhere")), &"mix".parse().unwrap()).unwrap();
    let target = Target { home: &home, config: &config, naming: "--id mix".to_owned(), lacking: None };
    let mut topology = listing("me", "192.0.2.1:1789");
    topology.mix_nodes[0].registration.mix_hosts = vec!["192.0.2.1:1789".to_owned(), "[fd00::2]:1789".to_owned()];
    let found = registration(&target, "me", &topology, (Running::Yes, None));
    assert_eq!(found.message, "listed at 192.0.2.1:1789 and [fd00::2]:1789");
}
