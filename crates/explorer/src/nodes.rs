//! Page with all nodes: search, filters, sorting, pages.

use maud::{Markup, html};
use nym_mixnode_api::IpVersion;

use super::Page;
use super::layout::{self, Tab, document, health, node_link, state_mark, way_of_a_packet};
use super::message::bad_value_page;
use super::model::{IP_VERSIONS, Network, Node, ip_name};
use super::query::{self, LayerFilter, NodesQuery, Order, SORT_KEYS, SortKey};
use super::select::{PAGE_NODES, Selection, select};
use super::state::{STATE_FILTERS, State, is_recent, time_to_active};
use super::text::{self, number, plural};

/// Columns of the table, with their sort keys.
const COLUMNS: [(&str, Option<SortKey>); 7] = [
    ("State", Some(SortKey::State)),
    ("Node", Some(SortKey::Location)),
    ("Layer", Some(SortKey::Layer)),
    ("Tests", None),
    ("Reputation", Some(SortKey::Reputation)),
    ("Version", Some(SortKey::Version)),
    ("Registered", Some(SortKey::Since)),
];

/// Page with the nodes that a query selects.
#[must_use]
pub fn nodes_page(network: &Network, query: &str, now: i64) -> Page {
    let query = match NodesQuery::parse(query, network.layers) {
        Ok(query) => query,
        Err(bad) => return bad_value_page(&bad),
    };
    let selection = select(network, &query, now);
    if query.page >= selection.pages {
        let allowed = format!("a number from 1 to {}, the last page", selection.pages);
        return bad_value_page(&query::bad("page", &query.page.saturating_add(1).to_string(), allowed));
    }
    let content = html! {
        h1 { "Nodes" }
        (summary(network))
        (health(network))
        (way_of_a_packet(network))
        @if !network.nodes.is_empty() {
            (form(network, &query))
            (found(network, &query, &selection))
        }
        @if !selection.nodes.is_empty() { (table(network, &query, &selection, now)) }
        (pages(&query, selection.pages))
    };
    Page { status: 200, html: document(Tab::Nodes, "Nodes", &content) }
}

fn summary(network: &Network) -> Markup {
    let active = network.nodes.iter().filter(|node| node.is_active).count();
    let gateways = network.count_gateways().listed;
    let mixes = network.nodes.len() - gateways;
    html! {
        p.lead {
            @if network.nodes.is_empty() {
                "No node is registered yet. " a href="/join" { "How to join" }
            } @else {
                (plural(mixes, "mixnode", "mixnodes")) " and " (plural(gateways, "gateway", "gateways")) ", "
                (number(active)) " of them in the active set. A packet passes one mixnode of each layer."
            }
        }
    }
}

fn form(network: &Network, query: &NodesQuery) -> Markup {
    html! {
        form.filter method="get" action="/" role="search" aria-label="Nodes" {
            div.grow {
                label for="q" { "Search" }
                input id="q" name="q" type="search" value=(query.search) maxlength=(query::SEARCH_CHARS_MAX)
                    placeholder="Key, address or location" autocomplete="off" spellcheck="false";
            }
            div {
                label for="layer" { "Layer" }
                select id="layer" name="layer" {
                    option value="" { "All" }
                    @for layer in (1..=network.layers).map(LayerFilter::Mixes).chain([LayerFilter::Gateways]) {
                        option value=(layer.name()) selected[query.layer == Some(layer)] { (layer_label(layer)) }
                    }
                }
            }
            div {
                label for="state" { "State" }
                select id="state" name="state" {
                    option value="" { "All" }
                    @for filter in STATE_FILTERS {
                        option value=(filter.name) selected[query.state == Some(filter.name)] { (filter.label) }
                    }
                }
            }
            div {
                label for="sort" { "Sort by" }
                select id="sort" name="sort" {
                    @for (order, label) in orders() {
                        option value=(order.name()) selected[query.order == order] { (label) }
                    }
                }
            }
            div.buttons {
                button type="submit" { "Apply" }
                @if query.is_filtered() { a href="/" { "Clear" } }
            }
        }
    }
}

fn layer_label(layer: LayerFilter) -> String {
    match layer {
        LayerFilter::Mixes(layer) => layer.to_string(),
        LayerFilter::Gateways => "Gateways".to_owned(),
    }
}

/// Every order with its label.
fn orders() -> impl Iterator<Item = (Order, String)> {
    SORT_KEYS.into_iter().flat_map(|(by, _, label)| {
        let (up, down) = directions(by);
        [(false, up), (true, down)]
            .map(|(is_descending, direction)| (Order { by, is_descending }, format!("{label}, {direction}")))
    })
}

fn directions(by: SortKey) -> (&'static str, &'static str) {
    match by {
        SortKey::Layer => ("first to last", "last to first"),
        SortKey::State => ("problems first", "problems last"),
        SortKey::Key | SortKey::Location | SortKey::Version => ("A to Z", "Z to A"),
        SortKey::Reputation => ("lowest first", "highest first"),
        SortKey::Since => ("oldest first", "newest first"),
    }
}

fn found(network: &Network, query: &NodesQuery, selection: &Selection<'_>) -> Markup {
    html! {
        p.found role="status" {
            @if selection.total == 0 {
                "No node matches. A node that has registered a moment ago may still have to prove its address; "
                "its page shows what it waits for."
            } @else if query.is_filtered() {
                (number(selection.total)) " of " (plural(network.nodes.len(), "node matches", "nodes match"))
            } @else {
                (plural(selection.total, "node", "nodes"))
            }
        }
    }
}

fn table(network: &Network, query: &NodesQuery, selection: &Selection<'_>, now: i64) -> Markup {
    // The roles keep it a table for screen readers, although narrow screens show it as cards.
    html! {
        table.nodes role="table" {
            caption.hidden { "Nodes, sorted by " (order_label(query.order)) }
            thead role="rowgroup" {
                tr role="row" {
                    @for (label, key) in COLUMNS { (header(query, label, key)) }
                }
            }
            tbody role="rowgroup" {
                @for (node, state) in &selection.nodes { (row(network, node, *state, now)) }
            }
        }
    }
}

fn order_label(order: Order) -> String {
    orders().find(|(known, _)| *known == order).map_or_else(String::new, |(_, label)| label.to_lowercase())
}

/// Header of a column: a link that sorts by it, or turns the direction.
fn header(query: &NodesQuery, label: &str, key: Option<SortKey>) -> Markup {
    let Some(by) = key else { return html! { th role="columnheader" scope="col" { (label) } } };
    let is_current = query.order.by == by;
    let current = match (is_current, query.order.is_descending) {
        (false, _) => None,
        (true, false) => Some("ascending"),
        (true, true) => Some("descending"),
    };
    let order = Order { by, is_descending: is_current && !query.order.is_descending };
    let sorted = NodesQuery { order, page: 0, ..query.clone() };
    html! {
        th role="columnheader" scope="col" aria-sort=[current] {
            a href=(sorted.href()) { (label) }
        }
    }
}

fn row(network: &Network, node: &Node, state: State, now: i64) -> Markup {
    html! {
        tr role="row" {
            td role="cell" data-label="State" { (state_mark(state)) }
            td.node role="cell" data-label="Node" {
                div { (node_link(node)) }
                div.under { (layout::location(node)) }
                div.under.mono { (addresses(node)) }
            }
            td role="cell" data-label="Layer" { (layout::group(node)) }
            td role="cell" data-label="Tests" {
                div.versions { @for version in IP_VERSIONS { (test_mark(node, version, now)) } }
            }
            td role="cell" data-label="Reputation" { (reputation(network, node, now)) }
            td role="cell" data-label="Version" { (layout::foreign(&node.version, 16)) }
            td role="cell" data-label="Registered" { (layout::age(now, node.since)) }
        }
    }
}

/// First address, and the number of the others.
fn addresses(node: &Node) -> Markup {
    html! {
        @if let Some(first) = node.addresses.first() { (text::shown(first, 60)) }
        @if node.addresses.len() > 1 { " +" (node.addresses.len() - 1) }
    }
}

/// Result of the latest test over one IP version.
fn test_mark(node: &Node, version: IpVersion, now: i64) -> Markup {
    let (class, result) = match node.tests(version) {
        Some(tests) if !is_recent(tests, now) => ("none", "not tested lately"),
        Some(tests) if tests.up => ("ok", "passed"),
        Some(_) => ("bad", "failed"),
        None if node.announces(version) => ("none", "not tested"),
        None => ("none", "not announced"),
    };
    html! { span class={ "test " (class) } { (ip_name(version)) " " span { (result) } } }
}

/// Reputation as a number and a bar, and the time to the active set.
pub(crate) fn reputation(network: &Network, node: &Node, now: i64) -> Markup {
    let (at, value) = (network.rules.active_at, node.reputation);
    html! {
        div.reputation {
            span.figure { (text::reputation(value)) }
            @if node.is_active { " " span.quiet { "active set" } }
            @else { " " span.quiet { "of " (at) } }
        }
        (bar(value, at))
        @if let Some(seconds) = time_to_active(node, network.rules, now) {
            div.under { "active in about " (text::duration(seconds)) }
        }
    }
}

/// Part of the way to the active set.
fn bar(value: i64, full: i64) -> Markup {
    let width = value.clamp(0, full.max(1)) * 100 / full.max(1);
    html! {
        svg.bar viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            rect.track width="100" height="4" {}
            rect class=(if width >= 100 { "full" } else { "part" }) width=(width) height="4" {}
        }
    }
}

fn pages(query: &NodesQuery, pages: usize) -> Markup {
    let to = |page| NodesQuery { page, ..query.clone() }.href();
    html! {
        @if pages > 1 {
            nav.pages aria-label="Pages of the list" {
                @if query.page > 0 {
                    a href=(to(0)) { "First" }
                    a rel="prev" href=(to(query.page - 1)) { "Previous" }
                }
                span { "Page " (number(query.page + 1)) " of " (number(pages)) " (" (PAGE_NODES) " nodes each)" }
                @if query.page + 1 < pages {
                    a rel="next" href=(to(query.page + 1)) { "Next" }
                    a href=(to(pages - 1)) { "Last" }
                }
            }
        }
    }
}
