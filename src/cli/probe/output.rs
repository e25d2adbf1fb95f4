//! The result of a probe, and its output as text or JSON.

use std::io::{self, Write};

use console::Term;
use nym_mixnode_monitor::check::{NodeReport, Verdict};
use serde::Serialize;
use url::Url;

use super::super::output::{write_json, write_stdout};
use super::table::{Table, legend};
use super::{NetworkLayers, words};
use crate::text::wrapped;

/// Width of a table written to a file or a pipe: enough for whole keys.
const WIDTH_WITHOUT_TERMINAL: u16 = 160;

/// Result, as printed.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    directory: Url,
    /// Whether all nodes mix, and every layer has an active one.
    pub(super) ok: bool,
    pub(super) mixing: usize,
    pub(super) not_mixing: usize,
    /// Nodes that cannot be judged from here.
    pub(super) undecided: usize,
    pub(super) layers: Vec<Layer>,
    pub(super) nodes: Vec<NodeReport>,
}

/// Layer of the network with its tested nodes.
#[derive(Debug, Serialize)]
pub(super) struct Layer {
    #[serde(rename = "layer")]
    pub(super) number: u64,
    pub(super) nodes: usize,
    pub(super) mixing: usize,
    /// Nodes in the active set.
    pub(super) active: usize,
}

/// Output of `--json` without a result.
#[derive(Serialize)]
struct NoOutcome<'a> {
    directory: &'a Url,
    ok: bool,
    error: String,
}

impl Outcome {
    /// Result for `nodes`: all nodes of a network with these layers, or a selection (`None`).
    pub(super) fn new(directory: &Url, nodes: Vec<NodeReport>, network: Option<NetworkLayers>) -> Self {
        let count = |is: fn(Verdict) -> bool| nodes.iter().filter(|node| is(node.verdict)).count();
        let (mixing, not_mixing) = (count(|verdict| verdict == Verdict::Mixes), count(Verdict::is_fault));
        let of = |network: NetworkLayers| -> Vec<Layer> {
            (1..=network.count).map(|layer| Layer::of(layer, &nodes, &network.active)).collect()
        };
        let layers = network.map(of).unwrap_or_default();
        Self {
            directory: directory.clone(),
            ok: mixing == nodes.len() && layers.iter().all(|layer| layer.nodes > 0 && layer.active > 0),
            mixing,
            not_mixing,
            undecided: nodes.len() - mixing - not_mixing,
            layers,
            nodes,
        }
    }

    /// Layers without any node, through which no packet can pass.
    pub(super) fn empty_layers(&self) -> Vec<u64> {
        self.layers.iter().filter(|layer| layer.nodes == 0).map(|layer| layer.number).collect()
    }

    /// Layers with nodes and without an active one, through which clients send nothing.
    pub(super) fn inactive_layers(&self) -> Vec<u64> {
        let layers = self.layers.iter().filter(|layer| layer.nodes > 0 && layer.active == 0);
        layers.map(|layer| layer.number).collect()
    }

    /// Writes the result to the standard output.
    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        write_stdout(|out| if json { write_json(out, self) } else { self.write_text(out) })
    }

    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let (_, width) = Term::stdout().size_checked().unwrap_or((0, WIDTH_WITHOUT_TERMINAL));
        writeln!(
            out,
            "{}
{}
",
            Table::new(&self.nodes, width),
            wrapped(legend(width), width)
        )?;
        for sentence in words::sentences(self) {
            writeln!(out, "{}", wrapped(&sentence, width))?;
        }
        Ok(())
    }
}

impl Layer {
    fn of(number: u64, nodes: &[NodeReport], active: &[u64]) -> Self {
        let of_layer = || nodes.iter().filter(|node| node.target.layer == number);
        Self {
            number,
            nodes: of_layer().count(),
            mixing: of_layer().filter(|node| node.mixing).count(),
            active: active.iter().filter(|layer| **layer == number).count(),
        }
    }
}

/// Prints an error as JSON.
pub(super) fn print_failure(directory: &Url, error: &dyn std::error::Error) -> io::Result<()> {
    let document = NoOutcome { directory, ok: false, error: error.to_string() };
    write_stdout(|out| write_json(out, &document))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use nym_mixnode_api::{MixRegistration, testing};
    use nym_mixnode_monitor::check::{Doubt, FamilyReport, Target};
    use nym_mixnode_monitor::{Counts, LatencyMs};

    pub(in super::super) fn tested(returned: u64) -> FamilyReport {
        FamilyReport::Tested {
            reached_after_s: 1.0,
            counts: Counts { sent: 20, returned, lost: 20 - returned },
            latency_over_delay_ms: (returned > 0).then_some(LatencyMs { p50: 1.0, p99: 2.0, max: 3.0 }),
        }
    }

    pub(in super::super) fn not_reached(reason: Option<&str>) -> FamilyReport {
        FamilyReport::NotReached { after_s: 40.0, reason: reason.map(str::to_owned) }
    }

    pub(in super::super) fn undecided() -> FamilyReport {
        FamilyReport::Undecided { after_s: 5.0, doubt: Doubt::NotHeardYet }
    }

    pub(in super::super) fn untested() -> FamilyReport {
        FamilyReport::NotTested { reason: "the prober has no IPv6 address".to_owned() }
    }

    /// A node of this layer, whose identity begins with the layer's number.
    pub(in super::super) async fn node(
        layer: u64,
        hosts: &[&str],
        ipv4: FamilyReport,
        ipv6: FamilyReport,
    ) -> NodeReport {
        let listed = MixRegistration {
            mix_hosts: hosts.iter().map(ToString::to_string).collect(),
            sphinx_key: bs58::encode([1; 32]).into_string(),
            layer,
            ..testing::mix(format!("{layer}HWAJ1zwpbb1uPLCvoTCUrtyUEuW9KKbUUnz3EUF1Xd9"), hosts[0])
        };
        NodeReport::new(Target::resolve(&listed).await, ipv4, ipv6)
    }

    pub(in super::super) const BOTH: [&str; 2] = ["192.0.2.1:1789", "[2001:db8::1]:1789"];

    /// Result of a network with this many layers, all of them with an active node.
    pub(in super::super) fn outcome(nodes: Vec<NodeReport>, layers: Option<u64>) -> Outcome {
        with_active(nodes, layers.map(|count| NetworkLayers { count, active: (1..=count).collect() }))
    }

    pub(in super::super) fn with_active(nodes: Vec<NodeReport>, network: Option<NetworkLayers>) -> Outcome {
        Outcome::new(&Url::parse("http://127.0.0.1:1").unwrap(), nodes, network)
    }

    #[tokio::test]
    async fn an_empty_layer_is_not_ok_although_every_node_mixes() {
        let nodes = || async {
            vec![node(1, &BOTH, tested(20), tested(20)).await, node(3, &BOTH, tested(20), tested(20)).await]
        };
        let whole = outcome(nodes().await, Some(3));
        assert_eq!((whole.ok, whole.mixing, whole.empty_layers()), (false, 2, vec![2]));
        let json = serde_json::to_value(&whole).unwrap();
        assert_eq!(json["layers"][1], serde_json::json!({"layer": 2, "nodes": 0, "mixing": 0, "active": 1}));
        // A selection of nodes has no layers.
        assert!(outcome(nodes().await, None).ok);
    }

    #[tokio::test]
    async fn a_layer_without_an_active_node_is_not_ok_although_every_node_mixes() {
        let nodes = || async {
            vec![node(1, &BOTH, tested(20), tested(20)).await, node(2, &BOTH, tested(20), tested(20)).await]
        };
        let active = |layers: &[u64]| Some(NetworkLayers { count: 2, active: layers.to_vec() });
        let whole = with_active(nodes().await, active(&[1]));
        assert_eq!(
            (whole.ok, whole.mixing, whole.empty_layers(), whole.inactive_layers()),
            (false, 2, vec![], vec![2])
        );
        assert!(with_active(nodes().await, active(&[1, 2, 2])).ok);
    }

    #[tokio::test]
    async fn an_undecided_node_is_neither_mixing_nor_at_fault() {
        let nodes = vec![node(1, &BOTH, undecided(), undecided()).await, node(1, &BOTH, tested(20), untested()).await];
        let outcome = outcome(nodes, None);
        assert_eq!((outcome.ok, outcome.mixing, outcome.not_mixing, outcome.undecided), (false, 1, 0, 1));
    }
}
