//! Pages with a single message.

use maud::{Markup, html};

use super::Page;
use super::layout::{Tab, document};
use super::query::BadValue;

/// Page for a path that does not exist.
#[must_use]
pub fn not_found_page() -> Page {
    message(
        404,
        "This page does not exist",
        &html! { p { "The explorer has pages about the nodes, the network, and how to join it." } },
    )
}

/// Page for a failure of the server.
#[must_use]
pub fn failure_page() -> Page {
    let advice = html! {
        p { "The registry cannot read its store at the moment. Try again in a minute. If you operate this registry, look at its log." }
    };
    message(500, "The registry has a problem", &advice)
}

/// Page for a query with a wrong value.
pub(crate) fn bad_value_page(bad: &BadValue) -> Page {
    let advice = html! {
        p { "The address of this page has " code { (bad.parameter) "=" bdi { (bad.value) } } ". Allowed: " (bad.allowed) "." }
    };
    message(400, "This address has a wrong value", &advice)
}

fn message(status: u16, title: &str, advice: &Markup) -> Page {
    let content = html! {
        div.message {
            h1 { (title) }
            (advice)
            p { a.button href="/" { "All nodes" } }
        }
    };
    Page { status, html: document(Tab::Other, title, &content) }
}
