//! Topologies with unusable nodes.

use nym_mixnode_api::MixRegistration;
use nym_mixnode_api::testing::{self, listed};
use tokio::sync::mpsc;

use super::*;

fn listing(hosts: &[&[&str]]) -> Topology {
    let mix = |(index, hosts): (usize, &&[&str])| {
        let mix_hosts = hosts[1..].iter().map(|host| (*host).to_owned()).collect();
        listed(MixRegistration { mix_hosts, ..testing::mix(format!("mix{index}"), hosts[0]) })
    };
    Topology { mix_nodes: hosts.iter().enumerate().map(mix).collect(), ..Topology::default() }
}

fn sorted(next_hops: &NextHops) -> Vec<String> {
    let mut addresses: Vec<String> = next_hops.addresses().map(|address| address.to_string()).collect();
    addresses.sort();
    addresses
}

#[test]
fn unreachable_addresses_are_skipped() {
    let topology = listing(&[
        &["36.68.243.18:1789", "127.0.0.1:6379"],
        &["127.0.0.1:6379"],
        &["[64:ff9b::a9fe:a9fe]:80"],
        &["10.0.0.1:1789"],
    ]);
    for (reach, expected, skipped) in [
        (Reach::Internet, vec!["36.68.243.18:1789"], 3),
        (Reach::Private, vec!["10.0.0.1:1789", "36.68.243.18:1789"], 2),
        (Reach::Machine, vec!["10.0.0.1:1789", "127.0.0.1:6379", "36.68.243.18:1789"], 1),
    ] {
        let listed = ListedNodes::new(reach);
        assert_eq!(sorted(&listed.take(&topology)), expected, "{reach}");
        let usable = listed.usable();
        assert_eq!(usable.mixes, 4 - skipped, "{reach}");
        assert_eq!(usable.skipped, BTreeMap::from([("address", skipped)]), "{reach}");
        assert_eq!(usable.named.len(), skipped, "{reach}");
    }
}

#[test]
fn skipped_nodes_are_listed_up_to_a_limit_and_counted() {
    let bad: Vec<&[&str]> = vec![&["mix.example"]; 3 * NAMED_MAX];
    let listed = ListedNodes::new(Reach::Internet);
    assert!(listed.take(&listing(&bad)).is_empty());
    let usable = listed.usable();
    assert_eq!((usable.mixes, usable.named.len()), (0, NAMED_MAX));
    assert_eq!(usable.skipped, BTreeMap::from([("unresolved", 3 * NAMED_MAX)]));
    assert!(usable.named[0].reason.contains("mix.example"), "{:?}", usable.named[0]);
}

#[tokio::test]
async fn a_name_counts_as_its_addresses_once_they_are_known() {
    let listed = ListedNodes::new(Reach::Machine);
    let topology = listing(&[&["localhost:1789"], &["36.68.243.18:1789"]]);
    assert_eq!(sorted(&listed.take(&topology)), ["36.68.243.18:1789"]);
    assert_eq!(listed.usable().named[0].identity, "mix0");
    let (sender, mut received) = mpsc::channel(4);
    let resolved = tokio::select! {
        never = listed.follow_names(|next_hops| sender.try_send(next_hops).unwrap()) => match never {},
        next_hops = received.recv() => sorted(&next_hops.unwrap()),
    };
    assert!(
        resolved.contains(&"127.0.0.1:1789".to_owned()) || resolved.contains(&"[::1]:1789".to_owned()),
        "{resolved:?}"
    );
    let usable = listed.usable();
    assert_eq!((usable.mixes, usable.skipped.len()), (2, 0));
}

#[tokio::test]
async fn the_addresses_of_a_name_follow_the_same_rules() {
    let listed = ListedNodes::new(Reach::Internet);
    listed.take(&listing(&[&["localhost:6379"]]));
    let (sender, mut received) = mpsc::channel(4);
    let resolved = tokio::select! {
        never = listed.follow_names(|next_hops| sender.try_send(next_hops).unwrap()) => match never {},
        next_hops = received.recv() => sorted(&next_hops.unwrap()),
    };
    assert!(resolved.is_empty(), "{resolved:?}");
    let usable = listed.usable();
    assert_eq!(usable.skipped, BTreeMap::from([("address", 1)]));
    assert!(usable.named[0].reason.contains("loopback"), "{:?}", usable.named[0]);
}
