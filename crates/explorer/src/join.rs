//! Page about how to join, with commands for this registry.

use maud::{Markup, html};

use super::layout::{Tab, document};
use super::model::Rules;
use super::text;
use super::{API_PATH, Page};

/// What the commands depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// URL of the registry as the reader reached it; `None` if unknown.
    pub url: Option<String>,
    /// Addresses that nodes may announce.
    pub reachable: Reachable,
    pub admission: Admission,
    pub layers: u64,
    pub rules: Rules,
    /// The registry's public key.
    pub registry_key: String,
}

/// Addresses that the registry accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reachable {
    /// Those that the internet reaches.
    Internet,
    /// Private ones, too.
    Private,
    /// Loopback addresses, too.
    Machine,
}

/// Which nodes may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Open,
    /// Those that know the join token.
    Token,
    /// Those on a list of identities.
    List,
    /// Either of both.
    TokenOrList,
}

/// Page about how to join.
#[must_use]
pub fn join_page(join: &Join) -> Page {
    let content = html! {
        h1 { "Join this network" }
        p.lead {
            @match join.admission {
                Admission::Open => "Everybody can add a node. You need a machine whose port 1789 the other nodes can reach.",
                _ => "This network is closed: its operator has to admit your node. You need a machine whose port 1789 the other \
                      nodes can reach.",
            }
        }
        @if join.url.is_none() {
            div.notice.warn { p { "The address of this registry is not known here: replace "
                code { (UNKNOWN_URL) } " by the one that your browser shows." } }
        }
        ol.steps {
            (program())
            (admission(join.admission))
            (addresses(join.reachable))
            (start(join))
            (check())
            (wait(join))
        }
    };
    Page { status: 200, html: document(Tab::Join, "Join", &content) }
}

const UNKNOWN_URL: &str = "http://REGISTRY:8081";

fn step(title: &str, content: &Markup) -> Markup {
    html! { li { h2 { (title) } (content) } }
}

/// Commands to copy. Long lines scroll, also by keyboard.
fn commands(lines: &[String]) -> Markup {
    html! { pre tabindex="0" { code { (lines.join("\n")) } } }
}

fn program() -> Markup {
    let build = "cargo build --release && cp target/release/nym-mixnode .".to_owned();
    step(
        "Get the program",
        &html! {
            p { "In a checkout of nym-mixnode, with Rust and a C compiler:" }
            (commands(&[build]))
        },
    )
}

fn admission(admission: Admission) -> Markup {
    let token = html! { p { "Ask the operator for the join token, and save it as " code { "join-token" } ", readable only by you." } };
    let list = html! {
        p { "Send the operator the identity key that the command " code { "init" } " of the next step prints. "
            "The node registers once the key is on the list." }
    };
    match admission {
        Admission::Open => html! {},
        Admission::Token => step("Get the join token", &token),
        Admission::List => step("Be admitted", &list),
        Admission::TokenOrList => step("Be admitted", &html! { (token) p { "Or:" } (list) }),
    }
}

fn start(join: &Join) -> Markup {
    let url = join.url.as_deref().unwrap_or(UNKNOWN_URL);
    let private = match join.reachable {
        Reachable::Internet => "",
        Reachable::Private => " --allow-private",
        Reachable::Machine => " --allow-private --host 127.0.0.1:1794 --http-listen 127.0.0.1:8004",
    };
    let token = match join.admission {
        Admission::Open | Admission::List => "",
        Admission::Token | Admission::TokenOrList => " --directory-join-token-file join-token",
    };
    let init = format!("./nym-mixnode init --id mynode --location YourCity --validator {url}{private}{token}");
    let run = "./nym-mixnode run --id mynode".to_owned();
    step(
        "Create and start the node",
        &html! {
            (commands(&[init, run]))
            p { code { "init" } " writes keys and a configuration to " code { "~/.nym/mixnodes/mynode/" } ", and chooses the layer "
                "with the fewest nodes, unless " code { "--layer" } " gives one from 1 to " (join.layers) ". " code { "--location" }
                " is shown to everybody. " code { "run" } " runs until Ctrl-C: use another terminal for the next step." }
            @if url.starts_with("https:") {
                p { "If the certificate of this registry is from a private authority, also give " code { "init" } " the file of "
                    "that authority: " code { "--directory-ca-file ca.crt" } "." }
            }
            @if join.reachable == Reachable::Machine {
                p { "This registry listens on its own machine only, so the node must run there, with ports of its own." }
            }
        },
    )
}

fn addresses(reachable: Reachable) -> Markup {
    let row = |machine: &str, flags: &Markup| html! { tr { th scope="row" { (machine) } td { (flags) } } };
    html! {
        @if reachable != Reachable::Machine {
            (step("Choose its addresses", &html! {
                p { "The node listens on all addresses of its machine and announces those that others can reach. Most machines need "
                    "no flags. Otherwise add flags to " code { "init" } " in the next step:" }
                table {
                    thead { tr { th scope="col" { "The machine" } th scope="col" { "Flags" } } }
                    tbody {
                        (row("has the address that others reach on an interface, or in the metadata of its cloud", &html! { "none" }))
                        (row("is behind a router", &html! {
                            code { "--host 10.126.5.7" } " (local) " code { "--announce-host 36.68.243.18" } " (public)"
                        }))
                        (row("has several addresses of which others can reach only one", &html! { code { "--host 10.126.5.7" } }))
                        (row("has IPv4 and IPv6, and needs flags", &html! { "each flag twice, once for each IP version" }))
                    }
                }
                p { "Open TCP port 1789 in every firewall, for both IP versions. A busy node needs many open files: "
                    code { "ulimit -n 65535" } "." }
            }))
        }
    }
}

fn check() -> Markup {
    step(
        "Check it",
        &html! {
            (commands(&["./nym-mixnode health --id mynode".to_owned(), "./nym-mixnode doctor --id mynode".to_owned()]))
            p { code { "health" } " reports whether it is ready, " code { "doctor" } " what keeps it from mixing; " code { "doctor" }
                " takes up to 40\u{a0}s. Then look up the identity key that " code { "init" } " has printed:" }
            form.filter method="get" action="/" role="search" aria-label="Your node" {
                div.grow { label for="q" { "Identity key" } input id="q" name="q" type="search" autocomplete="off" spellcheck="false"; }
                div.buttons { button type="submit" { "Look up" } }
            }
        },
    )
}

fn wait(join: &Join) -> Markup {
    let Rules { active_at, passed, .. } = join.rules;
    let rounds = |versions: i64| {
        let rounds = active_at.saturating_add(passed * versions - 1) / (passed * versions).max(1);
        text::plural(usize::try_from(rounds).unwrap_or_default(), "round", "rounds")
    };
    step(
        "Let it run",
        &html! {
            p { "The network sends two test packets at a time through each node, one over IPv4 and one over IPv6. Each that comes back "
                "raises its reputation by " (passed) ". At " (active_at) ", after " (rounds(2)) " with both IP versions or "
                (rounds(1)) " with one, it is in the active set and clients use it. Its page shows how far it is." }
            p { "To make the node refuse every other registry at this address, restart it with the key of this one, or set "
                code { "directory.key" } " in its " code { "config.yaml" } ":" }
            (commands(&[format!("./nym-mixnode run --id mynode --directory-key {}", join.registry_key)]))
            p { "For programs of your own, the " a href=(API_PATH) { "OpenAPI document" } " describes all calls of this registry." }
        },
    )
}
