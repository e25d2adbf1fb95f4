//! Page of one node: its state in words, what to do, facts, test results over time.

use maud::{Markup, html};
use nym_mixnode_api::{IpVersion, PendingAddress};
use nym_mixnode_base::count::noun;

use super::Page;
use super::chart;
use super::layout::{Tab, age, document, foreign, group, state_mark};
use super::model::{Detail, History, IP_VERSIONS, Network, Node, ReputationPoint, Role, Share, ip_name};
use super::nodes::reputation;
use super::state::State;
use super::text;

/// Maximum length of free text on this page, in characters.
const CHARS_MAX: usize = 128;

/// Page of a listed node.
#[must_use]
pub fn node_page(network: &Network, node: &Node, detail: &Detail, now: i64) -> Page {
    let state = State::of(node, now);
    let content = html! {
        (heading(&node.identity, &html! { (state_mark(state)) }))
        p.lead { (state.sentence(node, network.rules, now)) }
        (advice(state, node))
        (pending(&detail.pending))
        (facts(network, node, now))
        (tests(node, detail, now))
        (reputation_over_time(&detail.reputation, node.reputation, network.rules.active_at, now))
        (history(&detail.day))
        (history(&detail.month))
    };
    Page { status: 200, html: document(Tab::Nodes, &title(&node.identity), &content) }
}

/// Page of a node that has registered, but of which no address is proven.
#[must_use]
pub fn pending_page(identity: &str, pending_addresses: &[PendingAddress]) -> Page {
    let content = html! {
        (heading(identity, &html! { span.state.info { "Pending" } }))
        p.lead {
            "This node has registered, but is not listed: none of its addresses is proven yet. If it is yours, let it run; "
            "the reasons below say what proves an address."
        }
        (pending(pending_addresses))
    };
    Page { status: 200, html: document(Tab::Nodes, &title(identity), &content) }
}

/// Page for a key that the registry does not know.
#[must_use]
pub fn unknown_node_page(identity: &str) -> Page {
    let content = html! {
        (heading(identity, &html! { span.state.none { "Not registered" } }))
        p.lead { "No node with this key is registered at the moment." }
        section.advice {
            h2 { "If it is your node" }
            ul {
                li { "A node registers when it starts, and unregisters when it stops. " code { "nym-mixnode health --id ID" }
                    " on its machine says whether it runs, and what keeps it from the list." }
                li { "It must register here: " code { "directory.url" } " in its " code { "config.yaml" }
                    " is the address of this registry. " a href="/join" { "How to join" } }
                li { "The registry forgets nodes that have not renewed their entry for a day. Their reputation stays." }
            }
        }
    };
    Page { status: 404, html: document(Tab::Nodes, &title(identity), &content) }
}

fn title(identity: &str) -> String {
    format!("Node {}", text::short_key(identity))
}

fn heading(identity: &str, mark: &Markup) -> Markup {
    html! {
        p.back { a href="/" { "All nodes" } }
        div.title { h1 { "Node " span.mono { (text::short_key(identity)) } } (mark) }
    }
}

/// What the operator can do about a state that is not green.
fn advice(state: State, node: &Node) -> Markup {
    let list = match (state, &node.role) {
        (State::Active, _) => return html! {},
        (State::Joining, _) => html! { li { "Nothing is wrong. Let it run: each passed test raises its reputation." } },
        (State::Untested, _) => html! {
            li { "The registry knows of no fault of the node. Nodes are tested while a network monitor runs, which the operator "
                "of the registry starts." }
        },
        (State::Down, Role::Mix { .. }) => advice_when_down(),
        (State::Partly(version), Role::Mix { .. }) => advice_for_one_version(version),
        (State::Down | State::Partly(_), Role::Gateway { .. }) => html! {
            li { "Check that the gateway runs, and that a firewall lets others reach its ports: the one for packets, and the one "
                "for clients or those with and without TLS." }
        },
    };
    html! { section.advice { h2 { "What to do" } ul { (list) } } }
}

fn advice_when_down() -> Markup {
    html! {
        li { "On the machine of the node run " code { "nym-mixnode doctor --id ID" } ". It finds most causes of this list, and "
            "says how to mend them." }
        li { strong { "Host. " } "The node must listen on an address of its own machine. Behind a router, or in a cloud, that is "
            "the private one: " code { "--host 10.126.5.7" } "." }
        li { strong { "Announce host. " } "Others must reach the addresses below. If they are wrong, set the public ones with "
            code { "--announce-host" } ". The port must be open in every firewall, and forwarded by the router." }
        li { strong { "IPv6. " } "If only one of its addresses is wrong, the node fails over that IP version alone." }
        li { strong { "Open files. " } "A busy node needs many connections at a time: " code { "ulimit -n 65535" }
            " before it starts, or " code { "LimitNOFILE=65535" } " in its systemd unit." }
    }
}

fn advice_for_one_version(version: IpVersion) -> Markup {
    let name = ip_name(version);
    let both = "--host 10.126.5.7,[2001:db8::7]";
    html! {
        li { "The node must listen on " (name) " too: " code { "--host" } " takes several addresses, as in " code { (both) } "." }
        li { "Others must reach its " (name) " address, given with " code { "--announce-host" } " if it is not found by itself. "
            "Firewalls have separate rules for " (name) "." }
        li { "The node must reach others over " (name) ": the machine needs a route, and outgoing connections must be allowed. "
            code { "nym-mixnode doctor --id ID" } " tests both directions." }
        li { "A machine without " (name) " is no fault: announce the other address alone, and the network tests only that one." }
    }
}

fn pending(pending: &[PendingAddress]) -> Markup {
    html! {
        @if !pending.is_empty() {
            section {
                h2 { "Addresses that are not listed yet" }
                dl.facts {
                    @for of in pending {
                        dt.mono { (text::shown(&of.address, 60)) }
                        dd { (foreign(&of.reason, 400)) }
                    }
                }
            }
        }
    }
}

fn facts(network: &Network, node: &Node, now: i64) -> Markup {
    let fact = |name: &str, value: &Markup| html! { dt { (name) } dd { (value) } };
    html! {
        section {
            h2 { "Node" }
            dl.facts {
                (fact("Reputation", &reputation(network, node, now)))
                (fact("Layer", &html! { (group(node)) }))
                (fact("Location", &html! {
                    @if node.location.trim().is_empty() { span.quiet { "not given" } }
                    @else { (foreign(&node.location, CHARS_MAX)) }
                }))
                (fact("Addresses", &html! { @for address in &node.addresses { div.mono { (text::shown(address, 60)) } } }))
                @if let Role::Gateway { clients_host, clients_tls } = &node.role {
                    (fact("For clients", &html! { span.mono { (foreign(clients_host, CHARS_MAX)) } }))
                    (fact("With TLS", &html! {
                        @match clients_tls {
                            Some((url, key_hash)) => {
                                div.mono { (foreign(url, CHARS_MAX)) }
                                "SHA-256 of its key: " code.whole { (text::shown(key_hash, 64)) }
                            }
                            None => span.quiet { "not offered" },
                        }
                    }))
                }
                (fact("Registered", &html! { (text::date(node.since)) ", " (age(now, node.since)) }))
                (fact("Version", &foreign(&node.version, CHARS_MAX)))
                (fact("Identity key", &html! { code.whole { (text::shown(&node.identity, 64)) } }))
                (fact("Sphinx key", &html! { code.whole { (text::shown(&node.sphinx_key, 64)) } }))
            }
        }
    }
}

fn tests(node: &Node, detail: &Detail, now: i64) -> Markup {
    html! {
        section {
            h2 { "Tests" }
            div.scroll tabindex="0" role="region" aria-label="Tests" {
                table {
                    thead {
                        tr {
                            td {}
                            @for version in IP_VERSIONS {
                                th scope="col" { (ip_name(version)) @if !node.announces(version) { " " span.quiet { "not announced" } } }
                            }
                        }
                    }
                    tbody {
                        tr {
                            th scope="row" { "Latest test" }
                            @for version in IP_VERSIONS { td { (latest(node, version, now)) } }
                        }
                        @for window in &detail.windows {
                            tr {
                                th scope="row" { "Passed in " (period(window.hours)) }
                                @for version in IP_VERSIONS { td { (chart::share(window.share(version))) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn latest(node: &Node, version: IpVersion, now: i64) -> Markup {
    html! {
        @match node.tests(version) {
            Some(tests) => {
                span class={ "test " (if tests.up { "ok" } else { "bad" }) } { (if tests.up { "passed" } else { "failed" }) }
                " " (age(now, tests.at))
            }
            None => span.quiet { "none in the last hour" },
        }
    }
}

/// A number of hours in words.
fn period(hours: i64) -> String {
    match hours {
        ..=24 => format!("{hours}\u{a0}h"),
        _ => format!("{}\u{a0}days", hours / 24),
    }
}

fn history(history: &History) -> Markup {
    let versions =
        || IP_VERSIONS.into_iter().filter(|version| history.shares(*version).iter().any(|share| share.total > 0));
    html! {
        @if versions().next().is_some() {
            section {
                h2 { "Tests in the last " (period(history.hours())) }
                @for version in versions() {
                    figure {
                        figcaption { (ip_name(version)) }
                        (chart::test_bars(history.shares(version), &in_words(history.shares(version), version)))
                        div.axis aria-hidden="true" { span { (period(history.hours())) " ago" } span { "now" } }
                    }
                }
                p.legend aria-hidden="true" {
                    span.passed { "passed" } span.failed { "failed" } span.missing { "no test" }
                }
                (figures(history))
            }
        }
    }
}

fn reputation_over_time(points: &[ReputationPoint], present: i64, active_at: i64, now: i64) -> Markup {
    let Some(first) = points.first() else { return html! {} };
    let (from, to) = (text::reputation(first.reputation), text::reputation(present));
    let label = format!("Reputation, from {from} to {to}; the active set begins at {active_at}");
    let now_too = [points, &[ReputationPoint { at: now, reputation: present }]].concat();
    html! {
        @if points.len() > 1 {
            section {
                h2 { "Reputation" }
                figure {
                    (chart::reputation_line(&now_too, active_at, now, &label))
                    div.axis aria-hidden="true" { span { (text::ago(now, first.at)) } span { "now: " (to) } }
                }
                p.legend aria-hidden="true" { span.value { "reputation" } span.limit { "active set, from " (active_at) " on" } }
            }
        }
    }
}

fn in_words(shares: &[Share], version: IpVersion) -> String {
    let passed = shares.iter().map(|share| share.passed).sum();
    let total = shares.iter().map(|share| share.total).sum();
    let tests = noun(total, "test", "tests");
    format!("{}: {} of {total} {tests} passed", ip_name(version), text::percent(passed, total))
}

/// The charts as a table.
fn figures(history: &History) -> Markup {
    let start =
        |at: usize| history.from.saturating_add(history.interval.saturating_mul(i64::try_from(at).unwrap_or(0)));
    let times = history.v4.iter().zip(&history.v6).enumerate().rev();
    html! {
        details {
            summary { "As a table" }
            table.figures {
                thead { tr { th scope="col" { "From (UTC)" } th scope="col" { "IPv4" } th scope="col" { "IPv6" } } }
                tbody {
                    @for (at, (v4, v6)) in times.filter(|(_, (v4, v6))| v4.total + v6.total > 0) {
                        tr {
                            th scope="row" { (text::date(start(at)).trim_end_matches(" UTC")) }
                            td { (chart::share(*v4)) }
                            td { (chart::share(*v6)) }
                        }
                    }
                }
            }
        }
    }
}
