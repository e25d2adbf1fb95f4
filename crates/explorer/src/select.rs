//! Selects and sorts nodes, and cuts them into pages.

use std::cmp::Ordering;

use super::model::{Network, Node};
use super::query::{LayerFilter, NodesQuery, SortKey};
use super::state::{STATE_FILTERS, State};

/// Nodes on one page.
pub(crate) const PAGE_NODES: usize = 50;

/// One page of the selected nodes.
#[derive(Debug)]
pub(crate) struct Selection<'a> {
    /// Nodes of the page with their states.
    pub(crate) nodes: Vec<(&'a Node, State)>,
    /// Number of selected nodes.
    pub(crate) total: usize,
    /// Number of pages, at least 1.
    pub(crate) pages: usize,
}

/// The nodes of the query's page. A page beyond the last is empty.
pub(crate) fn select<'a>(network: &'a Network, query: &NodesQuery, now: i64) -> Selection<'a> {
    let search = query.search.to_lowercase();
    let state = STATE_FILTERS.iter().find(|filter| Some(filter.name) == query.state);
    let mut nodes: Vec<(&Node, State)> = network
        .nodes
        .iter()
        .filter(|node| is_of_layer(node, query.layer) && matches(node, &search))
        .map(|node| (node, State::of(node, now)))
        .filter(|(_, of)| state.is_none_or(|filter| (filter.has)(*of)))
        .collect();
    let total = nodes.len();
    let order = query.order;
    nodes.sort_by(|a, b| {
        let by_key = compare(order.by, a, b);
        let by_key = if order.is_descending { by_key.reverse() } else { by_key };
        by_key.then_with(|| a.0.identity.cmp(&b.0.identity))
    });
    let nodes = nodes.into_iter().skip(query.page.saturating_mul(PAGE_NODES)).take(PAGE_NODES).collect();
    Selection { nodes, total, pages: total.div_ceil(PAGE_NODES).max(1) }
}

fn is_of_layer(node: &Node, filter: Option<LayerFilter>) -> bool {
    match filter {
        None => true,
        Some(LayerFilter::Gateways) => node.layer().is_none(),
        Some(LayerFilter::Mixes(layer)) => node.layer() == Some(layer),
    }
}

/// Whether the key, an address or the location contains the text, which is in lower case.
fn matches(node: &Node, search: &str) -> bool {
    let has = |text: &String| text.to_lowercase().contains(search);
    search.is_empty() || has(&node.identity) || has(&node.location) || node.addresses.iter().any(has)
}

fn compare(by: SortKey, (a, state_a): &(&Node, State), (b, state_b): &(&Node, State)) -> Ordering {
    match by {
        // Gateways come after the last layer.
        SortKey::Layer => a.layer().unwrap_or(u64::MAX).cmp(&b.layer().unwrap_or(u64::MAX)),
        SortKey::State => state_a.cmp(state_b),
        SortKey::Key => a.identity.cmp(&b.identity),
        SortKey::Location => a.location.to_lowercase().cmp(&b.location.to_lowercase()),
        SortKey::Reputation => a.reputation.cmp(&b.reputation),
        SortKey::Version => a.version.cmp(&b.version),
        SortKey::Since => a.since.cmp(&b.since),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Role, Rules, Tests};

    const NOW: i64 = 1_000_000;

    fn node(key: &str, role: Role, location: &str, reputation: i64, is_up: bool) -> Node {
        Node {
            identity: key.into(),
            sphinx_key: String::new(),
            role,
            version: "0.9.2".into(),
            location: location.into(),
            addresses: vec![format!("192.0.2.{}:1789", reputation % 256)],
            since: -reputation,
            reputation,
            is_active: reputation >= 100,
            v4: Some(Tests { up: is_up, at: NOW, interval: Some(60.0) }),
            v6: None,
        }
    }

    fn network() -> Network {
        let mix = |layer| Role::Mix { layer };
        let gateway = Role::Gateway { clients_host: String::new(), clients_tls: None };
        Network {
            layers: 3,
            rules: Rules { active_at: 100, passed: 3, failed: -2, uptime_min: 50 },
            nodes: vec![
                node("Bxx", gateway, "Basel", 3, true),
                node("Axx", mix(2), "Zürich", 120, true),
                node("Dxx", mix(1), "Bern", 50, true),
                node("Cxx", mix(1), "bern", 7, false),
            ],
            registry_key: String::new(),
        }
    }

    fn keys(query: &str) -> String {
        let (network, query) = (network(), NodesQuery::parse(query, 3).unwrap());
        select(&network, &query, NOW).nodes.iter().map(|(node, _)| &node.identity[..1]).collect()
    }

    #[test]
    fn nodes_are_found_by_key_address_and_location() {
        for (query, expected) in [
            ("q=axx", "A"),
            ("q=BERN", "CD"),
            ("q=z%C3%9Crich", "A"),
            ("q=192.0.2.120", "A"),
            ("q=192.0.2.", "CDAB"),
            ("q=0.9.2", ""),
            ("q=nowhere", ""),
        ] {
            assert_eq!(keys(query), expected, "{query}");
        }
    }

    #[test]
    fn filters_combine() {
        for (query, expected) in [
            ("layer=1", "CD"),
            ("layer=gateways", "B"),
            ("state=down", "C"),
            ("state=active", "A"),
            ("state=joining", "DB"),
            ("layer=1&state=joining", "D"),
            ("layer=1&state=joining&q=zzz", ""),
        ] {
            assert_eq!(keys(query), expected, "{query}");
        }
    }

    #[test]
    fn every_column_sorts_in_both_directions() {
        for (sort, up, down) in [
            ("layer", "CDAB", "BACD"),
            ("state", "CBDA", "ABDC"),
            ("key", "ABCD", "DCBA"),
            ("location", "BCDA", "ACDB"),
            ("reputation", "BCDA", "ADCB"),
            ("version", "ABCD", "ABCD"),
            ("since", "ADCB", "BCDA"),
        ] {
            assert_eq!(keys(&format!("sort={sort}")), up, "{sort}");
            assert_eq!(keys(&format!("sort=-{sort}")), down, "-{sort}");
        }
    }

    #[test]
    fn ten_thousand_nodes_are_cut_into_pages() {
        let nodes = (0..10_000).map(|i| node(&format!("{i:05}"), Role::Mix { layer: 1 }, "here", i, true));
        let network = Network { nodes: nodes.collect(), ..network() };
        let page = |page| NodesQuery { page, ..NodesQuery::parse("q=here&sort=-reputation", 3).unwrap() };
        let last = select(&network, &page(199), NOW);
        assert_eq!((last.total, last.pages, last.nodes.len()), (10_000, 200, PAGE_NODES));
        assert_eq!(last.nodes.last().unwrap().0.identity, "00000");
        assert!(select(&network, &page(200), NOW).nodes.is_empty());
        assert!(select(&network, &page(usize::MAX), NOW).nodes.is_empty());
        let none = Network { nodes: Vec::new(), ..network };
        assert_eq!(select(&none, &page(0), NOW).pages, 1);
    }
}
