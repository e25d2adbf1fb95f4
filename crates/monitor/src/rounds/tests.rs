mod dead_node;

use nym_mixnode_api::IpVersion;

use super::*;
use crate::check::target_of;
use crate::gateways::TestedGateway;

const EVERY: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(5);
const SETTLE: Duration = Duration::from_secs(35);
const SETTINGS: RoundSettings = RoundSettings { every: EVERY, timeout: TIMEOUT, settle: SETTLE, routes: true };
const BOTH: [&str; 2] = ["192.0.2.1:1", "[2001:db8::1]:1"];

/// Node of this layer. Its identity is its name.
async fn node(name: &str, layer: u64, hosts: &[&str]) -> ListedNode {
    ListedNode { target: target_of(name, layer, hosts).await, reputation: 0, is_active: false }
}

fn listing(nodes: Vec<ListedNode>) -> Listing {
    Listing { nodes, gateways: Vec::new(), layers: 3, active_reputation: 100, has_monitor: true }
}

/// One node in each of three layers, with addresses of both families.
async fn network() -> Listing {
    listing(vec![node("a", 1, &BOTH).await, node("b", 2, &BOTH).await, node("c", 3, &BOTH).await])
}

/// Rounds of a monitor that nodes have known for long, and the start of the first one.
fn known(listing: Listing) -> (Rounds, Instant) {
    let mut rounds = Rounds::new(SETTINGS, IpFamily::ALL.to_vec());
    let start = Instant::now();
    rounds.begin(Some(listing), start);
    let start = start + SETTLE;
    rounds.begin(None, start);
    (rounds, start)
}

fn name_of(label: &Label) -> Option<(String, IpFamily)> {
    match label {
        Label::Node { identity, family, .. } => Some((identity.to_string(), *family)),
        Label::Route { .. } => None,
    }
}

/// Runs a round in which the packets of these lanes are lost. Returns its results, sorted, and the summary.
fn round(rounds: &mut Rounds, start: Instant, lost: &[(&str, IpFamily)]) -> (Vec<(String, IpVersion, bool)>, Summary) {
    for test in rounds.due(start + EVERY) {
        let is_lost = name_of(&test.label).is_some_and(|(name, family)| lost.contains(&(name.as_str(), family)));
        if !is_lost {
            rounds.on_return(test.label, start + TIMEOUT);
        } else if let Some(retry) = rounds.on_loss(test.label, start + TIMEOUT) {
            assert!(matches!(retry.label, Label::Node { is_retry: true, .. }), "{retry:?}");
            assert!(rounds.on_loss(retry.label, start + 2 * TIMEOUT).is_none(), "there is one retry");
        }
    }
    let (batch, summary) = rounds.end(start + EVERY).unwrap();
    let mut results: Vec<_> =
        batch.status.into_iter().map(|status| (status.pub_key, status.ip_version, status.up)).collect();
    results.sort_by_key(|(name, version, _)| (name.clone(), *version == IpVersion::V6));
    (results, summary)
}

#[tokio::test]
async fn each_node_is_tested_alone_once_per_round_over_each_ip_version_that_it_announces() {
    let nodes = vec![node("a", 1, &BOTH).await, node("four", 2, &BOTH[..1]).await, node("six", 3, &BOTH[1..]).await];
    let (mut rounds, start) = known(listing(nodes));
    let tests = rounds.due(start + EVERY);
    let mut lanes: Vec<_> = tests.iter().filter_map(|test| Some((name_of(&test.label)?, test.mixes.len()))).collect();
    lanes.sort_by_key(|((name, family), _)| (name.clone(), *family == IpFamily::V6));
    let expected = [("a", IpFamily::V4), ("a", IpFamily::V6), ("four", IpFamily::V4), ("six", IpFamily::V6)];
    assert_eq!(lanes, expected.map(|(name, family)| ((name.to_owned(), family), 1)));
    assert!(rounds.due(start + EVERY).is_empty());
}

#[tokio::test]
async fn packets_are_spread_over_the_round_and_leave_time_for_a_verdict() {
    let mut nodes = Vec::new();
    for number in 0..100 {
        nodes.push(node(&format!("n{number}"), 1, &BOTH[..1]).await);
    }
    let (mut rounds, start) = known(listing(nodes));
    let window = EVERY - 2 * TIMEOUT;
    let count = |rounds: &mut Rounds, share: u32| rounds.due(start + window * share / 4).len();
    let quarters: Vec<usize> = (1..=4).map(|share| count(&mut rounds, share)).collect();
    assert!(quarters.iter().all(|packets| (24..=26).contains(packets)), "{quarters:?}");
}

#[tokio::test]
async fn a_verdict_needs_two_lost_packets_and_is_about_one_node_and_ip_version() {
    let (mut rounds, start) = known(network().await);
    let (results, summary) = round(&mut rounds, start, &[("b", IpFamily::V6)]);
    assert_eq!(results.len(), 6);
    let down: Vec<_> = results.into_iter().filter(|(_, _, up)| !up).collect();
    assert_eq!(down, [("b".to_owned(), IpVersion::V6, false)]);
    assert_eq!((summary.ipv4.up, summary.ipv4.tested, summary.ipv6.up, summary.ipv6.tested), (3, 3, 2, 3));
    assert_eq!(summary.down, [("b".to_owned(), IpFamily::V6)]);

    rounds.begin(None, start + EVERY);
    let first: Vec<_> =
        rounds.due(start + 2 * EVERY).into_iter().filter(|test| name_of(&test.label).is_some()).collect();
    for test in first {
        let retry = rounds.on_loss(test.label, start + EVERY).unwrap();
        rounds.on_return(retry.label, start + EVERY);
    }
    let (batch, _) = rounds.end(start + 2 * EVERY).unwrap();
    assert!(batch.status.len() == 6 && batch.status.iter().all(|status| status.up), "the second packet returned");
}

#[tokio::test]
async fn a_node_whose_test_lasts_longer_than_a_round_is_shown_as_down_until_it_ends() {
    let (mut rounds, start) = known(network().await);
    let dead = [("b", IpFamily::V4)];
    assert_eq!(round(&mut rounds, start, &dead).1.down, [("b".to_owned(), IpFamily::V4)]);
    let is_of_b = |test: &Test| name_of(&test.label) == Some(("b".to_owned(), IpFamily::V4));
    rounds.begin(None, start + EVERY);
    for test in rounds.due(start + 2 * EVERY).into_iter().filter(|test| !is_of_b(test)) {
        rounds.on_return(test.label, start + EVERY);
    }
    let (batch, summary) = rounds.end(start + 2 * EVERY).unwrap();
    assert!(batch.status.len() == 5 && batch.status.iter().all(|status| status.up), "nothing is reported of it");
    assert_eq!((summary.down, summary.ipv4.up, summary.ipv4.tested), (vec![("b".to_owned(), IpFamily::V4)], 2, 3));
    // It came back meanwhile.
    rounds.begin(None, start + 2 * EVERY);
    let label = Label::Node { identity: "b".into(), family: IpFamily::V4, is_retry: false };
    rounds.on_return(label, start + 2 * EVERY);
    assert!(rounds.end(start + 3 * EVERY).unwrap().1.down.is_empty());
}

#[tokio::test]
async fn losses_do_not_count_before_nodes_can_know_the_monitor() {
    let mut rounds = Rounds::new(SETTINGS, IpFamily::ALL.to_vec());
    let start = Instant::now();
    rounds.begin(Some(network().await), start);
    let (results, summary) = round(&mut rounds, start, &[("a", IpFamily::V4), ("a", IpFamily::V6)]);
    assert!(results.len() == 4 && results.iter().all(|(name, _, up)| *up && name != "a"), "{results:?}");
    assert!(!summary.settling, "the round ended after that time");
    assert_eq!(summary.routes.sent, 0, "routes need nodes that know each other");

    rounds.begin(None, start + EVERY);
    let (results, _) = round(&mut rounds, start + EVERY, &[("a", IpFamily::V4)]);
    assert!(results.contains(&("a".to_owned(), IpVersion::V4, false)), "{results:?}");

    // The registry forgot the monitor: nodes have to learn of it again.
    let forgotten = Listing { has_monitor: false, ..network().await };
    rounds.begin(Some(forgotten), start + 2 * EVERY);
    let (results, summary) = round(&mut rounds, start + 2 * EVERY, &[("a", IpFamily::V4)]);
    assert!(!results.iter().any(|(_, _, up)| !up), "{results:?}");
    assert!(summary.settling);
}

#[tokio::test]
async fn a_node_that_passed_is_down_at_its_next_failure_also_soon_after_the_start() {
    let short = RoundSettings { every: TIMEOUT, ..SETTINGS };
    let mut rounds = Rounds::new(short, IpFamily::ALL.to_vec());
    let start = Instant::now();
    rounds.begin(Some(network().await), start);
    for test in rounds.due(start + TIMEOUT) {
        rounds.on_return(test.label, start);
    }
    assert!(rounds.end(start + TIMEOUT).unwrap().0.status.iter().all(|status| status.up));
    rounds.begin(None, start + TIMEOUT);
    let tests = rounds.due(start + 2 * TIMEOUT);
    let test = tests.into_iter().find(|test| name_of(&test.label).is_some()).unwrap();
    let retry = rounds.on_loss(test.label, start + 2 * TIMEOUT).unwrap();
    rounds.on_loss(retry.label, start + 3 * TIMEOUT);
    assert!(!rounds.end(start + 3 * TIMEOUT).unwrap().0.status[0].up);
}

#[tokio::test]
async fn nobody_is_blamed_when_nothing_returns_from_any_node() {
    let (mut rounds, start) = known(network().await);
    round(&mut rounds, start, &[]);
    let start = start + EVERY;
    rounds.begin(None, start);
    let all_v6 = ["a", "b", "c"].map(|name| (name, IpFamily::V6));
    for test in rounds.due(start + EVERY) {
        match name_of(&test.label) {
            Some((_, IpFamily::V4)) => rounds.on_return(test.label, start + TIMEOUT),
            Some((_, IpFamily::V6)) => {
                let retry = rounds.on_loss(test.label, start + TIMEOUT).unwrap();
                rounds.on_loss(retry.label, start + 2 * TIMEOUT);
            }
            None => drop(rounds.on_loss(test.label, start + TIMEOUT)),
        }
    }
    let (batch, summary) = rounds.end(start + EVERY).unwrap();
    assert_eq!(summary.withheld, [IpFamily::V6]);
    assert!(batch.status.len() == 3 && batch.status.iter().all(|status| status.up), "{:?}", batch.status);
    assert_eq!((summary.ipv6.tested, summary.ipv6.up), (all_v6.len(), 0));
}

/// Identities and IP versions of the results of a round with these results of gateways: identity, IP version of the
/// port for packets, that of the port for clients, and whether the gateway passed.
fn reported(
    summary: &mut Summary,
    silent: &[IpFamily],
    gateways: &[(&str, IpFamily, IpFamily, bool)],
) -> Vec<(String, IpVersion)> {
    let status =
        |name: &str, family: IpFamily, up| MixStatus { pub_key: name.into(), ip_version: family.ip_version(), up };
    let mut batch = BatchMixStatus { status: vec![status("mix", IpFamily::V4, false)] };
    let tested = |&(name, family, clients, up): &(&str, IpFamily, IpFamily, bool)| TestedGateway {
        status: status(name, family, up),
        clients_family: Some(clients),
    };
    summary.add_gateways(gateways.iter().map(tested).collect(), silent, &mut batch);
    batch.status.into_iter().map(|status| (status.pub_key, status.ip_version)).collect()
}

#[test]
fn failures_of_gateways_count_unless_one_of_their_ports_was_dialled_over_a_withheld_ip_version() {
    let (v4, v6) = (IpFamily::V4, IpFamily::V6);
    let gateways = [("a", v4, v4, false), ("b", v6, v4, false), ("c", v6, v6, false), ("d", v4, v4, true)];
    let name = |(name, ip_version): (&str, IpVersion)| (name.to_owned(), ip_version);
    let mut summary = Summary { withheld: vec![v4], ..Summary::default() };
    assert_eq!(reported(&mut summary, &[], &gateways), [("c", IpVersion::V6), ("d", IpVersion::V4)].map(name));
    assert_eq!((summary.gateways.tested, summary.gateways.up), (4, 1));
    assert_eq!(reported(&mut Summary::default(), &[], &gateways).len(), 5);
}

#[test]
fn an_ip_version_over_which_no_gateway_passes_is_withheld_unless_a_mix_passes() {
    let (v4, v6) = (IpFamily::V4, IpFamily::V6);
    let gateways = [("a", v4, v4, false), ("b", v4, v4, false)];
    let down = vec![("mix".to_owned(), v4)];
    let mut summary = Summary { withheld: vec![v6], down: down.clone(), ..Summary::default() };
    assert!(reported(&mut summary, &[v4], &gateways).is_empty());
    assert_eq!((&summary.withheld[..], summary.down.len()), (&IpFamily::ALL[..], 0));
    let ipv4 = FamilySummary { tested: 2, up: 1 };
    let mut summary = Summary { ipv4, down: down.clone(), ..Summary::default() };
    assert_eq!(reported(&mut summary, &[v4], &gateways).len(), 3);
    assert_eq!((summary.withheld.len(), summary.down), (0, down));
}

#[tokio::test]
async fn a_pending_packet_keeps_its_node_out_of_the_next_round() {
    let (mut rounds, start) = known(listing(vec![node("a", 1, &BOTH[..1]).await]));
    let [test] = &rounds.due(start + EVERY)[..] else { unreachable!("one lane, and no route") };
    let label = test.label.clone();
    assert!(rounds.end(start + EVERY).unwrap().0.status.is_empty());
    rounds.begin(None, start + EVERY);
    assert!(rounds.due(start + 2 * EVERY).is_empty());
    rounds.on_return(label, start + EVERY);
    assert_eq!(rounds.end(start + 2 * EVERY).unwrap().0.status.len(), 1);
}

#[tokio::test]
async fn random_routes_take_one_node_of_each_layer_and_active_ones_if_possible() {
    let mut nodes = network().await.nodes;
    nodes.push(node("d", 2, &["192.0.2.9:9"]).await);
    let mut network = listing(nodes);
    let routes = plan::random_routes(&network, IpFamily::V4);
    assert!(routes.len() >= 2 && routes.iter().all(|route| route.mixes.len() == 3), "{routes:?}");
    for node in &mut network.nodes {
        node.is_active = node.target.identity != "b";
    }
    let over_d = |routes: Vec<Test>| routes.iter().all(|route| route.mixes[1].address.port() == 9);
    assert!((0..20).all(|_| over_d(plan::random_routes(&network, IpFamily::V4))));
    assert!(plan::random_routes(&network, IpFamily::V6).iter().all(|route| route.mixes[1].address.port() == 1));
    network.nodes.retain(|node| node.target.layer != 3);
    assert!(plan::random_routes(&network, IpFamily::V4).is_empty(), "a layer is empty");
}

#[tokio::test]
async fn the_summary_names_empty_layers_and_the_last_node_on_its_way() {
    let (mut rounds, start) = known(network().await);
    let mut later = network().await;
    for (node, reputation) in later.nodes.iter_mut().zip([100, 34, 50]) {
        (node.reputation, node.is_active) = (reputation, reputation >= 100);
    }
    rounds.begin(Some(later), start + 4 * EVERY);
    let (_, summary) = round(&mut rounds, start + 4 * EVERY, &[]);
    assert_eq!((summary.active, &summary.empty_layers[..], summary.is_usable()), (1, &[2, 3][..], false));
    let progress = summary.progress.as_ref().unwrap();
    assert_eq!((progress.name.as_str(), progress.reputation, progress.active_reputation), ("b", 34, 100));
    assert!(progress.remaining.is_some());
    let line = summary.to_string();
    for words in ["3 of 3 up over IPv4", "4 of 4 returned", "active: 1", "b: 34 of 100, about", "layers 2 and 3 have"] {
        assert!(line.contains(words), "{words:?} is not in: {line}");
    }
}

/// Whether a layer is overdue in rounds that list the nodes with these reputations. Nodes of 100 and more are active.
async fn overdue(reputations: &[[i64; 3]]) -> Vec<bool> {
    let mut rounds = Rounds::new(RoundSettings { settle: Duration::ZERO, ..SETTINGS }, IpFamily::ALL.to_vec());
    let (mut start, mut overdue) = (Instant::now(), Vec::new());
    for reputations in reputations {
        let mut listing = network().await;
        for (node, reputation) in listing.nodes.iter_mut().zip(*reputations) {
            (node.reputation, node.is_active) = (reputation, reputation >= 100);
        }
        rounds.begin(Some(listing), start);
        overdue.push(round(&mut rounds, start, &[]).1.is_overdue);
        start += EVERY;
    }
    overdue
}

#[tokio::test]
async fn an_empty_layer_is_overdue_once_its_nodes_gain_no_reputation() {
    let joining = [[0; 3], [30; 3], [60; 3], [90; 3], [120; 3], [120; 3], [120; 3], [120; 3]];
    assert_eq!(overdue(&joining).await, [false; 8], "all nodes join in time");
    let stuck = [[0; 3], [30; 3], [60, 60, 30], [90, 90, 30], [120, 120, 30], [120, 120, 60]];
    assert_eq!(overdue(&stuck).await, [false, false, false, true, true, false], "the third layer stops for a while");
}

#[tokio::test]
async fn a_layer_without_nodes_is_overdue_once_the_network_has_had_nodes_for_a_while() {
    let mut rounds = Rounds::new(RoundSettings { settle: Duration::ZERO, ..SETTINGS }, IpFamily::ALL.to_vec());
    let start = Instant::now();
    let mut overdue = |listing: Listing, minute: u32| {
        let start = start + minute * EVERY;
        rounds.begin(Some(listing), start);
        round(&mut rounds, start, &[]).1.is_overdue
    };
    assert!(!overdue(listing(Vec::new()), 0) && !overdue(listing(Vec::new()), 60), "nobody has joined");
    let mut two_layers = network().await;
    two_layers.nodes.truncate(2);
    two_layers.nodes.iter_mut().for_each(|node| node.is_active = true);
    assert!(!overdue(two_layers.clone(), 61));
    assert!(overdue(two_layers, 64));
}

#[test]
fn times_are_given_in_a_unit_that_fits() {
    let progress =
        |remaining| NodeProgress { name: "mix1-2".to_owned(), reputation: 34, active_reputation: 100, remaining };
    for (seconds, expected) in [
        (None, "mix1-2: 34 of 100"),
        (Some(9), "mix1-2: 34 of 100, about 9 seconds"),
        (Some(660), "mix1-2: 34 of 100, about 11 minutes"),
        (Some(100), "mix1-2: 34 of 100, about 2 minutes"),
        (Some(3 * 3600), "mix1-2: 34 of 100, about 3 hours"),
        (Some(1), "mix1-2: 34 of 100, about 1 second"),
    ] {
        assert_eq!(progress(seconds.map(Duration::from_secs)).to_string(), expected);
    }
}

#[test]
fn the_trend_begins_again_after_a_loss_of_reputation() {
    let mut trend = ReputationTrend::default();
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    trend.observe([("a", 0)].into_iter(), at(0));
    assert_eq!(trend.slowest(100, at(0)).unwrap().remaining, None);
    trend.observe([("a", 50)].into_iter(), at(50));
    assert_eq!(trend.slowest(100, at(50)).unwrap().remaining, Some(Duration::from_secs(50)));
    trend.observe([("a", 48)].into_iter(), at(60));
    assert_eq!(trend.slowest(100, at(60)).unwrap().remaining, None);
    trend.observe([("a", 100)].into_iter(), at(70));
    assert_eq!(trend.slowest(100, at(70)), None);
}
