//! The result of a probe in sentences: first the network, then each faulty node with the reason.

use nym_mixnode_base::count::{counted, noun};
use nym_mixnode_monitor::IpFamily;
use nym_mixnode_monitor::check::{Doubt, FamilyReport, NodeReport, Verdict};

use super::output::Outcome;
use super::table::name;

/// Number of faulty nodes that get a sentence each; the others are only counted.
const FAULTS_MAX: usize = 20;

/// All sentences, the summary first.
pub(super) fn sentences(outcome: &Outcome) -> Vec<String> {
    let nodes = &outcome.nodes;
    let mut all = vec![summary(outcome)];
    all.extend(layers(outcome));
    all.extend(inactive(outcome));
    let faults: Vec<_> = nodes.iter().filter(|node| node.verdict.is_fault()).collect();
    all.extend(faults.iter().take(FAULTS_MAX).map(|node| fault(node)));
    if faults.len() > FAULTS_MAX {
        all.push(format!(
            "{} more do not mix as they should; --json lists them all.",
            count(faults.len() - FAULTS_MAX)
        ));
    }
    all.extend(not_heard_yet(nodes));
    all.extend(IpFamily::ALL.into_iter().filter_map(|family| prober_not_reached(nodes, family)));
    all.extend(IpFamily::ALL.into_iter().flat_map(|family| not_tested(nodes, family)));
    all.extend(IpFamily::ALL.into_iter().filter_map(|family| not_announced(nodes, family)));
    all
}

/// Summary of all nodes. It names a family only if packets entered the nodes over it.
pub(super) fn summary(outcome: &Outcome) -> String {
    let Outcome { nodes, mixing, not_mixing, undecided, .. } = outcome;
    if *mixing < nodes.len() && nodes.len() == 1 {
        return format!("The node {}.", if *not_mixing > 0 { "fails" } else { "is undecided" });
    }
    if *mixing < nodes.len() {
        let mut parts = vec![format!("{mixing} of {} {}", count(nodes.len()), noun(*mixing, "mixes", "mix"))];
        if *not_mixing > 0 {
            parts.push(format!("{not_mixing} {}", noun(*not_mixing, "fails", "fail")));
        }
        if *undecided > 0 {
            parts.push(format!("{undecided} {} undecided", noun(*undecided, "is", "are")));
        }
        return format!("{}.", parts.join(", "));
    }
    let over = |family: IpFamily| (family, nodes.iter().filter(|node| mixes_over(node, family)).count());
    let families: Vec<_> = IpFamily::ALL.map(over).into_iter().filter(|(_, mixing)| *mixing > 0).collect();
    if families.iter().any(|(_, mixing)| *mixing < nodes.len()) {
        let families: Vec<_> = families.iter().map(|(family, mixing)| format!("{mixing} over {family}")).collect();
        return format!("All {} mix, {}.", count(nodes.len()), families.join(" and "));
    }
    let families: Vec<_> = families.iter().map(|(family, _)| family.to_string()).collect();
    let subject =
        if nodes.len() == 1 { "The node mixes".to_owned() } else { format!("All {} mix", count(nodes.len())) };
    format!("{subject} over {}.", families.join(" and "))
}

/// Sentence about layers without nodes, with advice.
fn layers(outcome: &Outcome) -> Option<String> {
    let hint = "start a node there (`init --layer`), or set node.layer of one of your nodes";
    empty_layers(outcome).map(|empty| {
        let layers = outcome.layers.len();
        let layers = counted(layers, "layer", "layers");
        format!("{empty}, so no packet can pass the {layers} of this network: {hint}.")
    })
}

/// Sentence about layers without active nodes, with advice.
fn inactive(outcome: &Outcome) -> Option<String> {
    let hint = "nodes join the active set by passing the tests of a monitor: run the registry with --with-monitor, or \
                `nym-mixnode monitor`";
    inactive_layers(outcome).map(|layers| format!("{layers}, so clients cannot use this network: {hint}."))
}

/// Such as `Layers 1 and 2 have no node`; `None` when all have.
pub(super) fn empty_layers(outcome: &Outcome) -> Option<String> {
    without(&outcome.empty_layers(), "no node")
}

/// Such as `Layers 1 and 2 have no active node`; `None` when all have, or have no node.
pub(super) fn inactive_layers(outcome: &Outcome) -> Option<String> {
    without(&outcome.inactive_layers(), "no active node")
}

fn without(layers: &[u64], missing: &str) -> Option<String> {
    let (last, others) = layers.split_last()?;
    let others: Vec<_> = others.iter().map(ToString::to_string).collect();
    Some(if others.is_empty() {
        format!("Layer {last} has {missing}")
    } else {
        format!("Layers {} and {last} have {missing}", others.join(", "))
    })
}

/// Sentence about the faults of a node over its announced families.
fn fault(node: &NodeReport) -> String {
    let addresses: Vec<_> = node.target.addresses.iter().map(ToString::to_string).collect();
    let addresses = if addresses.is_empty() { String::new() } else { format!(", {}", addresses.join(" and ")) };
    let place = format!("{} (layer {}{addresses})", node.target.identity, node.target.layer);
    if let Some(defect) = &node.target.defect {
        return format!("{place}: {}: {defect}.", name(Verdict::BadListing));
    }
    let over = node.announces.iter().filter_map(|family| {
        let report = node.over(*family);
        let verdict = Verdict::over_one(report);
        Some(format!("{} over {family}: {}", name(verdict), why(report)?)).filter(|_| verdict.is_fault())
    });
    format!("{place}: {}.", over.collect::<Vec<_>>().join("; "))
}

fn why(report: &FamilyReport) -> Option<String> {
    match report {
        FamilyReport::NotReached { reason: Some(reason), .. } => Some(reason.clone()),
        FamilyReport::NotReached { reason: None, after_s } => Some(format!(
            "it accepts packets, but none came back in {after_s} s; run `nym-mixnode doctor` on its machine"
        )),
        FamilyReport::Tested { counts, .. } => {
            Some(format!("{} of {} lost", counts.lost, counted(counts.sent, "packet", "packets")))
        }
        FamilyReport::NotTested { .. } | FamilyReport::Undecided { .. } => None,
    }
}

fn not_heard_yet(nodes: &[NodeReport]) -> Option<String> {
    let waited = |node: &NodeReport, family: IpFamily| match node.over(family) {
        FamilyReport::Undecided { after_s, doubt: Doubt::NotHeardYet } => Some(*after_s),
        _ => None,
    };
    let waited = |node| IpFamily::ALL.into_iter().filter_map(|family| waited(node, family)).reduce(f64::max);
    let waited: Vec<f64> = nodes.iter().filter(|node| node.verdict == Verdict::Undecided).filter_map(waited).collect();
    let longest = waited.iter().copied().reduce(f64::max)?;
    Some(format!(
        "Nothing came back from {} within {longest} s, which need not be a fault: a node forwards to this prober \
         once it has read the list of the directory again, which it does every 30 s unless set otherwise. Wait for \
         it with --settle 40s.",
        count(waited.len())
    ))
}

fn prober_not_reached(nodes: &[NodeReport], family: IpFamily) -> Option<String> {
    let address = |node: &NodeReport| match node.over(family) {
        FamilyReport::Undecided { doubt: Doubt::ProberNotReached { prober }, .. } => Some(*prober),
        _ => None,
    };
    let addresses: Vec<_> = nodes.iter().filter(|node| node.announces.contains(&family)).filter_map(address).collect();
    let address = addresses.first()?;
    Some(format!(
        "Nothing came back from {} over {family}, and no node has connected to this prober at {address}. If the nodes \
         cannot reach that address, give one that they reach with --announce-host, or listen elsewhere with --host.",
        count(addresses.len())
    ))
}

/// One sentence for each reason.
fn not_tested(nodes: &[NodeReport], family: IpFamily) -> Vec<String> {
    let mut reasons: Vec<(&str, usize)> = Vec::new();
    for node in nodes.iter().filter(|node| node.announces.contains(&family) && node.target.defect.is_none()) {
        let FamilyReport::NotTested { reason } = node.over(family) else { continue };
        match reasons.iter_mut().find(|(other, _)| other == reason) {
            Some((_, nodes)) => *nodes += 1,
            None => reasons.push((reason, 1)),
        }
    }
    let sentence =
        |(reason, untested)| format!("{family} was NOT TESTED for {untested} of {}: {reason}.", count(nodes.len()));
    reasons.into_iter().map(sentence).collect()
}

/// Sentence about nodes that announce no address of this family, and whether they still send over it.
fn not_announced(nodes: &[NodeReport], family: IpFamily) -> Option<String> {
    let without: Vec<_> =
        nodes.iter().filter(|node| !node.announces.contains(&family) && node.target.defect.is_none()).collect();
    if without.is_empty() {
        return None;
    }
    // Exclude nodes that fail over the other family: they tell nothing about this one.
    let tried: Vec<_> =
        without.iter().filter(|node| node.mixing).filter_map(|node| node.over(family).is_mixing()).collect();
    let sending = tried.iter().filter(|sends| **sends).count();
    let sending = match tried.len() {
        0 => String::new(),
        tried if tried == sending && tried == without.len() => {
            format!(", but {} over it", noun(sending, "sends", "send"))
        }
        tried => format!(", and {sending} of {tried} {} over it", noun(sending, "sends", "send")),
    };
    let subject = count(without.len());
    Some(format!("{subject} {} no {family} address{sending}.", noun(without.len(), "announces", "announce")))
}

fn mixes_over(node: &NodeReport, family: IpFamily) -> bool {
    node.announces.contains(&family) && node.over(family).is_mixing() == Some(true)
}

pub(super) fn count(nodes: usize) -> String {
    counted(nodes, "node", "nodes")
}

#[cfg(test)]
mod tests {
    use super::super::NetworkLayers;
    use super::super::output::tests::{BOTH, node, not_reached, outcome, tested, undecided, untested, with_active};
    use super::*;

    const ONLY_V4: &[&str] = &["192.0.2.1:1789"];

    #[tokio::test]
    async fn an_untested_family_is_never_passed_over_in_silence() {
        let outcome = outcome(vec![node(1, &BOTH, tested(20), untested()).await], None);
        let expected =
            ["The node mixes over IPv4.", "IPv6 was NOT TESTED for 1 of 1 node: the prober has no IPv6 address."];
        assert_eq!(sentences(&outcome), expected);
    }

    #[tokio::test]
    async fn a_family_is_named_only_for_the_nodes_that_listen_on_it() {
        let both = node(1, &BOTH, tested(20), tested(20)).await;
        assert_eq!(summary(&outcome(vec![both.clone()], None)), "The node mixes over IPv4 and IPv6.");
        let v4 = node(2, ONLY_V4, tested(20), tested(20)).await;
        let mixed = sentences(&outcome(vec![both.clone(), v4.clone()], None));
        assert_eq!(
            mixed,
            ["All 2 nodes mix, 2 over IPv4 and 1 over IPv6.", "1 node announces no IPv6 address, but sends over it."]
        );
        let only = sentences(&outcome(vec![v4.clone(), v4], None));
        assert_eq!(only, ["All 2 nodes mix over IPv4.", "2 nodes announce no IPv6 address, but send over it."]);
        let mute = node(2, ONLY_V4, tested(20), not_reached(None)).await;
        assert_eq!(
            sentences(&outcome(vec![mute], None)),
            ["The node mixes over IPv4.", "1 node announces no IPv6 address, and 0 of 1 send over it."]
        );
    }

    #[tokio::test]
    async fn a_fault_names_the_node_the_family_and_the_reason() {
        let nodes = vec![
            node(1, &BOTH, tested(20), tested(20)).await,
            node(2, &BOTH, tested(20), tested(19)).await,
            node(3, ONLY_V4, not_reached(Some("cannot connect to 192.0.2.1:1789: refused")), untested()).await,
        ];
        let key = nodes[1].target.identity.clone();
        let message = sentences(&outcome(nodes, None));
        assert_eq!(message[0], "1 of 3 nodes mixes, 2 fail.");
        assert_eq!(
            message[1],
            format!(
                "{key} (layer 2, 192.0.2.1:1789 and [2001:db8::1]:1789): LOSES PACKETS over IPv6: 1 of 20 packets lost."
            )
        );
        assert!(
            message[2].contains("NOT REACHABLE over IPv4: cannot connect to 192.0.2.1:1789: refused."),
            "{message:#?}"
        );
    }

    #[tokio::test]
    async fn a_node_that_does_not_know_the_prober_yet_is_undecided() {
        let nodes = vec![node(1, &BOTH, undecided(), undecided()).await];
        let message = sentences(&outcome(nodes, None));
        assert_eq!(message[0], "The node is undecided.");
        assert!(
            message[1].starts_with("Nothing came back from 1 node within 5 s, which need not be a fault"),
            "{message:?}"
        );
        assert!(message[1].contains("--settle 40s") && message.len() == 2, "{message:?}");
    }

    #[tokio::test]
    async fn an_address_of_the_prober_that_no_node_reaches_is_named() {
        let prober = "192.0.2.9:4711".parse().unwrap();
        let unreached = || FamilyReport::Undecided { after_s: 40.0, doubt: Doubt::ProberNotReached { prober } };
        let nodes = vec![node(1, &BOTH, unreached(), tested(20)).await, node(2, &BOTH, unreached(), tested(20)).await];
        let message = sentences(&outcome(nodes, None));
        assert!(
            message[1].starts_with("Nothing came back from 2 nodes over IPv4, and no node has connected"),
            "{message:?}"
        );
        assert!(message[1].contains("192.0.2.9:4711") && message[1].contains("--announce-host"), "{message:?}");
    }

    #[tokio::test]
    async fn empty_layers_are_named() {
        let nodes = || async { vec![node(1, &BOTH, tested(20), tested(20)).await] };
        let two = layers(&outcome(nodes().await, Some(3))).unwrap();
        assert!(two.starts_with("Layers 2 and 3 have no node, so no packet can pass the 3 layers"), "{two}");
        let one = layers(&outcome(nodes().await, Some(2))).unwrap();
        assert!(one.starts_with("Layer 2 has no node"), "{one}");
        assert_eq!(layers(&outcome(nodes().await, Some(1))), None);
        assert_eq!(layers(&outcome(nodes().await, None)), None);
    }

    #[tokio::test]
    async fn layers_without_active_nodes_are_named_with_what_to_do() {
        let nodes = vec![node(1, &BOTH, tested(20), tested(20)).await];
        let outcome = with_active(nodes, Some(NetworkLayers { count: 2, active: Vec::new() }));
        let said = sentences(&outcome);
        assert!(said[1].starts_with("Layer 2 has no node"), "{said:?}");
        assert!(said[2].starts_with("Layer 1 has no active node") && said[2].contains("--with-monitor"), "{said:?}");
    }
}
