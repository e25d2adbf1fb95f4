//! Web pages about a mix network: view data in, HTML out. No I/O and no clock.
//!
//! Most values come from strangers who have registered nodes. The templates escape them; [`text`] removes invisible
//! characters and shortens them; none occurs in a style, a script or a URL other than as a query value. The pages need no
//! script and refer to nothing outside of their server, so that [`CONTENT_SECURITY_POLICY`] can forbid both.

mod chart;
mod join;
mod layout;
mod message;
mod model;
mod network;
mod node;
mod nodes;
mod query;
mod select;
mod state;
mod text;

pub use join::{Admission, Join, Reachable, join_page};
pub use message::{failure_page, not_found_page};
pub use model::{Detail, History, LayerHistory, Network, Node, ReputationPoint, Role, Rules, Share, Tests, Window};
pub use network::network_page;
pub use node::{node_page, pending_page, unknown_node_page};
pub use nodes::nodes_page;

/// Path of [`STYLE`] on the server; the pages refer to it.
pub const STYLE_PATH: &str = "/explorer.css";

/// Style sheet of all pages.
pub const STYLE: &str = include_str!("style.css");

/// Path of [`ICON`] on the server; the pages refer to it.
pub const ICON_PATH: &str = "/explorer.svg";

/// Icon of all pages, an SVG image.
pub const ICON: &str = include_str!("icon.svg");

/// Path of the registry's `OpenAPI` document; the pages refer to it.
const API_PATH: &str = "/api/openapi.json";

/// Policy that every page must be served with.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                                           base-uri 'none'; frame-ancestors 'none'";

/// A page, as status and HTML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// Whole document.
    pub html: String,
}
