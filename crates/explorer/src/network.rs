//! Page about the network as a whole: layers, gateways, rules.

use maud::{Markup, html};
use nym_mixnode_base::count::counted;

use super::Page;
use super::chart;
use super::layout::{Tab, document, foreign, health, location, node_link, state_mark, way_of_a_packet};
use super::model::{LayerHistory, Network, Node, Role};
use super::query::{LayerFilter, NodesQuery};
use super::state::{STATE_FILTERS, State};
use super::text::{number, percent};

/// Maximum number of gateways on this page; the list of nodes has all of them.
const GATEWAYS_MAX: usize = 20;

/// Page about the network as a whole.
#[must_use]
pub fn network_page(network: &Network, history: &[LayerHistory], now: i64) -> Page {
    let content = html! {
        h1 { "Network" }
        p.lead { "A packet enters through a gateway, passes one mixnode of each layer, and leaves through a gateway." }
        (health(network))
        (way_of_a_packet(network))
        (layers(network, now))
        (traffic(history))
        (tests(history))
        (gateways(network, now))
        (rules(network))
    };
    Page { status: 200, html: document(Tab::Network, "Network", &content) }
}

fn layers(network: &Network, now: i64) -> Markup {
    html! {
        section {
            h2 { "Layers" }
            p.found {
                "Nodes by their latest tests. A node whose tests fail stays in the active set while its reputation and its "
                "uptime suffice."
            }
            div.scroll tabindex="0" role="region" aria-label="Layers" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Layer" }
                            @for filter in STATE_FILTERS { th.number scope="col" { (filter.label) } }
                            th.number scope="col" { "All" }
                        }
                    }
                    tbody { @for layer in 1..=network.layers { (layer_row(network, layer, now)) } }
                }
            }
        }
    }
}

fn layer_row(network: &Network, layer: u64, now: i64) -> Markup {
    let of_layer = network.nodes.iter().filter(|node| node.layer() == Some(layer));
    let states: Vec<State> = of_layer.map(|node| State::of(node, now)).collect();
    let query = |state| NodesQuery { layer: Some(LayerFilter::Mixes(layer)), state, ..NodesQuery::default() };
    html! {
        tr {
            th scope="row" { "Layer " (layer) }
            @for filter in STATE_FILTERS {
                @let count = states.iter().filter(|state| (filter.has)(**state)).count();
                td.number {
                    @if count > 0 { a href=(query(Some(filter.name)).href()) { (number(count)) } }
                    @else { span.quiet { "0" } }
                }
            }
            td.number { a href=(query(None).href()) { (number(states.len())) } }
        }
    }
}

/// Rounded totals of each layer. Figures of single nodes, or of less than an hour, could help to follow a packet.
fn traffic(history: &[LayerHistory]) -> Markup {
    let hours = history.iter().map(|layer| layer.packets.len()).max().unwrap_or_default();
    let most = history.iter().flat_map(|layer| &layer.packets).copied().max().unwrap_or_default();
    html! {
        @if history.iter().any(|layer| layer.packets.iter().any(|packets| *packets > 0)) {
            section {
                h2 { "Traffic of the last " (hours) " complete hours" }
                div.scroll tabindex="0" role="region" aria-label="Traffic" {
                    table.traffic {
                        thead {
                            tr {
                                th scope="col" { "Layer" }
                                th.number scope="col" { "Packets" }
                                th scope="col" { "Packets per hour" }
                            }
                        }
                        tbody { @for layer in history { (traffic_row(layer, most)) } }
                    }
                }
                p.found { "Packets are those that the nodes report, rounded to two digits for each hour. The oldest hour is on the left." }
            }
        }
    }
}

fn traffic_row(history: &LayerHistory, most: u64) -> Markup {
    let name = name(history);
    let packets: u64 = history.packets.iter().fold(0, |sum, packets| sum.saturating_add(*packets));
    let highest = history.packets.iter().max().copied().unwrap_or_default();
    let label = format!("{name}: at most {} per hour", counted(highest, "packet", "packets"));
    html! {
        tr {
            th scope="row" { (name) }
            td.number {
                // Gateways of 0.9.2 report none.
                @if history.layer.is_none() && packets == 0 { span.quiet { "not reported" } }
                @else { (number(usize::try_from(packets).unwrap_or(usize::MAX))) }
            }
            td { (chart::amount_bars(&history.packets, most, &label)) }
        }
    }
}

fn name(history: &LayerHistory) -> String {
    history.layer.map_or_else(|| "Gateways".to_owned(), |layer| format!("Layer {layer}"))
}

/// Lost test packets of each layer. A monitor sends them at a constant rate, so they show nothing about the traffic.
fn tests(history: &[LayerHistory]) -> Markup {
    let tested = || history.iter().filter(|layer| layer.all_tests().total > 0);
    let hours = history.iter().map(|layer| layer.tests.len()).max().unwrap_or_default();
    html! {
        @if tested().next().is_some() {
            section {
                h2 { "Tests of the last " (hours) " complete hours" }
                div.scroll tabindex="0" role="region" aria-label="Tests" {
                    table.traffic {
                        thead {
                            tr {
                                th scope="col" { "Layer" }
                                th.number scope="col" { "Passed" }
                                th.number scope="col" { "In the worst hour" }
                                th scope="col" { "Per hour" }
                            }
                        }
                        tbody { @for layer in tested() { (tests_row(layer)) } }
                    }
                }
                p.found { "Failed tests are the upper part of a bar. The oldest hour is on the left." }
            }
        }
    }
}

fn tests_row(history: &LayerHistory) -> Markup {
    let (all, worst) = (history.all_tests(), history.worst_hour());
    let shares = [all, worst].map(|share| percent(share.passed, share.total));
    let label = format!("{}: {} of all tests passed, {} in the worst hour", name(history), shares[0], shares[1]);
    html! {
        tr {
            th scope="row" { (name(history)) }
            td.number { (shares[0]) }
            td.number { (shares[1]) }
            td { (chart::test_bars(&history.tests, &label)) }
        }
    }
}

fn gateways(network: &Network, now: i64) -> Markup {
    let all = || network.nodes.iter().filter(|node| node.layer().is_none());
    let count = all().count();
    let query = NodesQuery { layer: Some(LayerFilter::Gateways), ..NodesQuery::default() };
    html! {
        section {
            h2 { "Gateways" }
            @if count == 0 {
                p { "No gateway is registered. Clients connect to the network through one." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Gateways" {
                    table {
                        thead {
                            tr { @for label in ["State", "Gateway", "Location", "For clients"] { th scope="col" { (label) } } }
                        }
                        tbody { @for node in all().take(GATEWAYS_MAX) { (gateway_row(node, now)) } }
                    }
                }
                @if count > GATEWAYS_MAX { p { a href=(query.href()) { "All " (number(count)) " gateways" } } }
            }
        }
    }
}

fn gateway_row(node: &Node, now: i64) -> Markup {
    html! {
        tr {
            td { (state_mark(State::of(node, now))) }
            td { (node_link(node)) }
            td { (location(node)) }
            td.mono { @if let Role::Gateway { clients_host, .. } = &node.role { (foreign(clients_host, 60)) } }
        }
    }
}

fn rules(network: &Network) -> Markup {
    let rules = network.rules;
    html! {
        section {
            h2 { "How a node becomes active" }
            p {
                "A monitor sends test packets through each node, over IPv4 and over IPv6. Each packet that comes back adds "
                (rules.passed) " to the reputation of the node, each lost packet takes " (rules.failed.unsigned_abs())
                " away. The reputation never falls below 0. Nodes with a reputation of " (rules.active_at)
                " or more are in the active set, from which clients choose their routes"
                @if rules.uptime_min > 0 { ", if at least " (rules.uptime_min) "\u{202f}% of their test packets of the last day came back" }
                ". A node that unregisters keeps its reputation. For gateways, the test is a connection to each of their two ports."
            }
            dl.facts {
                dt { "Layers" } dd { (network.layers) }
                dt { "Key of the registry" } dd { code.whole { (network.registry_key) } }
            }
        }
    }
}
