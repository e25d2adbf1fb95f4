//! What the registry shows of nodes that die, lose IPv6 or unregister, and their reputation.

use std::time::Instant;

use nym_mixnode_api::IpVersion;

use super::{NODES, Stack};
use crate::docker::Container;
use crate::engine::{docker, engine, output, said};
use crate::http;
use crate::shown::{ROUNDS_UNTIL_DOWN_MAX, Shown};
use crate::waiting::eventually;

/// Kills one node of the first layer, and takes IPv6 away from one of the second. Stops one of the third. All are active
/// before and afterwards.
pub(super) fn nodes_are_shown_as_they_are(stack: &Stack) {
    let read = |path: &str| {
        let url = stack.directory().join(path).expect("a URL");
        engine().on_host(|| http::get(url.as_str()))
    };
    let shown = Shown::new(read);
    let [killed, alive, cut_off, stopped] =
        ["mix1-1", "mix1-2", "mix2-1", "mix3-1"].map(|service| stack.identity(service));
    let standing = |identity: &str| eventually("a standing", || shown.standing(identity));
    let is = |identity: &str, state: &str| eventually(state, || (shown.state(identity)? == state).then_some(()));
    let all: Vec<_> = NODES.iter().map(|service| stack.identity(service)).collect();
    for identity in &all {
        is(identity, "Active");
    }

    let before = standing(&killed);
    let began = Instant::now();
    docker(&["kill", &stack.container("mix1-1").name]);
    let death = standing(&alive);
    is(&killed, "Down");
    eprintln!("compose: a killed node is shown as down after {:.1} s", began.elapsed().as_secs_f64());
    let rounds = standing(&killed).rounds_until_down(&death, &standing(&alive));
    assert!(rounds.is_some_and(|rounds| rounds <= ROUNDS_UNTIL_DOWN_MAX), "{rounds:?} rounds");
    let fallen =
        eventually("it loses reputation", || shown.standing(&killed).filter(|now| now.reputation < before.reputation));
    assert_eq!(fallen.reputation, fallen.by_the_rule(&before), "{before:?} then {fallen:?}");

    let broken = stack.container("mix2-1");
    nft(&broken, &["add", "table", "ip6", "kit"]);
    nft(&broken, &["add chain ip6 kit input { type filter hook input priority 0; }"]);
    nft(&broken, &["add rule ip6 kit input tcp dport 1789 drop"]);
    is(&cut_off, "IPv6 fails");
    let results = standing(&cut_off);
    assert_eq!([IpVersion::V4, IpVersion::V6].map(|version| results.passes(version)), [Some(true), Some(false)]);
    nft(&broken, &["delete", "table", "ip6", "kit"]);

    let container = &stack.container("mix3-1").name;
    let mut last = standing(&stopped);
    docker(&["kill", "--signal", "TERM", container]);
    eventually("the stopped node unregisters", || {
        last = shown.standing(&stopped).unwrap_or_else(|| last.clone());
        shown.listed()?.mix(&stopped).is_none().then_some(())
    });
    let then = standing(&alive);
    eventually("the rounds go on", || (shown.standing(&alive)?.rounds_since(&then) >= 6).then_some(()));
    eventually("it ends", || (stack.container("mix3-1").inspect()["State"]["Running"] == false).then_some(()));
    docker(&["start", &stack.container("mix1-1").name, container]);
    let after = standing(&stopped);
    assert!(after.reputation >= last.reputation, "{last:?} then {after:?}");
    // Its last two results may have come while it unregistered.
    assert!(after.rounds_missed(&last, &then, &standing(&alive)) >= 4, "it was measured while unregistered");
    for identity in &all {
        is(identity, "Active");
    }
}

fn nft(container: &Container, command: &[&str]) {
    let output = output(container.in_network("nft").args(command));
    assert!(output.status.success(), "{}", said(&output));
}
