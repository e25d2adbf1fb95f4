//! Frame of all pages, and the parts that several pages share.

use maud::{DOCTYPE, Markup, html};

use super::model::{Count, Network, Node};
use super::query::{LayerFilter, NodesQuery};
use super::state::State;
use super::{API_PATH, ICON_PATH, STYLE_PATH, text};

/// Maximum length of a location or version in a list, in characters.
const LISTED_CHARS_MAX: usize = 40;

/// Entry of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    Nodes,
    Network,
    Join,
    /// A page that the navigation does not list.
    Other,
}

const TABS: [(Tab, &str, &str); 3] =
    [(Tab::Nodes, "/", "Nodes"), (Tab::Network, "/network", "Network"), (Tab::Join, "/join", "Join")];

/// A whole document with this content.
pub(crate) fn document(tab: Tab, title: &str, content: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Mix network explorer" }
                link rel="icon" type="image/svg+xml" href=(ICON_PATH);
                link rel="stylesheet" href=(STYLE_PATH);
            }
            body {
                a.skip href="#content" { "Skip to content" }
                header {
                    div.wide {
                        a.brand href="/" { img src=(ICON_PATH) alt="" width="28" height="28"; span { "Mix network explorer" } }
                        nav aria-label="Pages" {
                            @for (of, href, label) in TABS {
                                a href=(href) aria-current=[(of == tab).then_some("page")] { (label) }
                            }
                        }
                    }
                }
                main.wide id="content" tabindex="-1" { (content) }
                footer {
                    div.wide {
                        p {
                            "Nodes register themselves, and their locations are their own claims. There are no figures about the "
                            "traffic of single nodes: they could help to follow a packet."
                        }
                        p {
                            a href="/api/mixmining/topology" { "Topology as JSON" } " · "
                            a href=(API_PATH) { "API (OpenAPI document)" }
                        }
                    }
                }
            }
        }
    }
    .into_string()
}

/// State in one or two words, with a symbol that does not depend on colour.
pub(crate) fn state_mark(state: State) -> Markup {
    html! { span class={ "state " (state.class()) } { (state.label()) } }
}

/// Text of a stranger: shortened, and isolated from the direction of the text around it.
pub(crate) fn foreign(value: &str, chars_max: usize) -> Markup {
    html! { bdi.foreign { (text::shown(value, chars_max)) } }
}

/// Location of a node in a list.
pub(crate) fn location(node: &Node) -> Markup {
    match node.location.trim() {
        "" => html! { span.quiet { "no location" } },
        location => foreign(location, LISTED_CHARS_MAX),
    }
}

/// Link to the page of a node, with the ends of its key.
pub(crate) fn node_link(node: &Node) -> Markup {
    html! { a.key href=(node_href(&node.identity)) { (text::short_key(&node.identity)) } }
}

/// Path of the page of a node.
pub(crate) fn node_href(identity: &str) -> String {
    // Keys are base58; anything else would leave the path.
    let key: String = identity.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("/nodes/{key}")
}

/// Age of a time, which also shows the date.
pub(crate) fn age(now: i64, at: i64) -> Markup {
    html! { time datetime=(text::rfc3339(at)) title=(text::date(at)) { (text::ago(now, at)) } }
}

/// Warning about layers without an active node; empty without such a layer.
pub(crate) fn health(network: &Network) -> Markup {
    let empty = network.empty_layers();
    let names: Vec<String> = empty.iter().map(u64::to_string).collect();
    html! {
        @if let Some((last, others)) = names.split_last() {
            div.notice.bad role="status" {
                p {
                    strong {
                        @if others.is_empty() { "Layer " (last) " has no active node." }
                        @else { "Layers " (others.join(", ")) " and " (last) " have no active node." }
                    }
                    " Packets of clients need one in each layer, so clients cannot use this network yet. A node becomes active "
                    "at a reputation of " (network.rules.active_at) "."
                }
            }
        }
    }
}

/// The way of a packet: the layers in order, then the gateways, with the numbers of their nodes.
pub(crate) fn way_of_a_packet(network: &Network) -> Markup {
    let query = |layer| NodesQuery { layer: Some(layer), ..NodesQuery::default() };
    html! {
        ol.way aria-label="Way of a packet through the network" {
            @for layer in 1..=network.layers {
                (stage(&format!("Layer {layer}"), &query(LayerFilter::Mixes(layer)), network.count(layer), true))
            }
            (stage("Gateways", &query(LayerFilter::Gateways), network.count_gateways(), false))
        }
    }
}

fn stage(name: &str, nodes: &NodesQuery, count: Count, is_needed: bool) -> Markup {
    html! {
        li class=[(is_needed && count.active == 0).then_some("empty")] {
            a href=(nodes.href()) {
                span.name { (name) }
                span.figure { (text::number(count.active)) " in the active set" }
                span.quiet { "of " (text::number(count.listed)) " listed" }
            }
        }
    }
}

/// Name of the group that a node belongs to.
pub(crate) fn group(node: &Node) -> String {
    node.layer().map_or_else(|| "Gateway".to_owned(), |layer| format!("Layer {layer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_node_has_only_letters_and_digits() {
        assert_eq!(node_href("8ZV4kd"), "/nodes/8ZV4kd");
        assert_eq!(node_href("../a?b#c\"><script>é"), "/nodes/abcscript");
    }
}
