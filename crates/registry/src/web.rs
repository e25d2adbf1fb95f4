//! The explorer: pages for people, made from the store by the crate `explorer`.

mod history;
mod origin;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRef, Path, RawQuery, Request, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use nym_mixnode_explorer::{self as explorer, Network, Page};
use tracing::error;

use super::http::App;
use super::http::costly::Costly;
use super::now_ns;
use super::service::{Rejection, Service};
use origin::Origin;

/// The network as of the last request, shared by all pages.
#[derive(Debug, Default)]
pub(super) struct Snapshot(Costly<Arc<Network>>);

/// What the pages are made from.
struct Source {
    service: Service,
    snapshot: Arc<Snapshot>,
}

impl FromRef<App> for Source {
    fn from_ref(app: &App) -> Self {
        Self { service: FromRef::from_ref(app), snapshot: FromRef::from_ref(app) }
    }
}

impl Source {
    async fn network(&self) -> Result<Arc<Network>, Rejection> {
        let service = self.service.clone();
        let make = async move { view::network(&service, now_ns()).await.map(Arc::new) };
        self.snapshot.0.get(self.service.generation(), make).await
    }
}

/// Paths of the pages and of the files that they refer to.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(nodes))
        .route("/nodes/{identity}", get(node))
        .route("/network", get(network))
        .route("/join", get(join))
        .route(explorer::STYLE_PATH, get(async || file("text/css; charset=utf-8", explorer::STYLE)))
        .route(explorer::ICON_PATH, get(async || file("image/svg+xml", explorer::ICON)))
}

async fn nodes(State(source): State<Source>, RawQuery(query): RawQuery) -> Result<Response, Failure> {
    let network = source.network().await?;
    let query = query.unwrap_or_default();
    Ok(respond(explorer::nodes_page(&network, &query, view::seconds(now_ns()))))
}

async fn node(
    State(source): State<Source>,
    identity: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    let Ok(Path(identity)) = identity else { return Ok(not_found()) };
    let (network, now) = (source.network().await?, now_ns());
    let pending = source.service.pending_of(&identity).await?;
    let page = match network.node(&identity) {
        Some(node) => {
            let detail = view::detail(&source.service, &identity, pending, now).await?;
            explorer::node_page(&network, node, &detail, view::seconds(now))
        }
        None if !pending.is_empty() => explorer::pending_page(&identity, &pending),
        None => explorer::unknown_node_page(&identity),
    };
    Ok(respond(page))
}

async fn network(State(source): State<Source>) -> Result<Response, Failure> {
    let now = now_ns();
    let points = source.service.network_history(history::LAYER_HOURS, now).await?;
    let network = source.network().await?;
    let layers = history::layers(&points, network.layers, view::seconds(now));
    Ok(respond(explorer::network_page(&network, &layers, view::seconds(now))))
}

async fn join(State(service): State<Service>, Origin(url): Origin) -> Response {
    respond(explorer::join_page(&view::join(&service, url)))
}

/// Whether a request for an unknown path comes from a browser.
pub(super) fn is_for_people(request: &Request) -> bool {
    let accept = request.headers().get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    !request.uri().path().starts_with("/api/") && accept.into_iter().any(|accept| accept.contains("text/html"))
}

/// The page for an unknown path.
pub(super) fn not_found() -> Response {
    respond(explorer::not_found_page())
}

fn respond(page: Page) -> Response {
    const HEADERS: [(HeaderName, &str); 6] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, explorer::CONTENT_SECURITY_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        // The page about joining depends on the name that the reader used.
        (CACHE_CONTROL, "private, no-cache"),
    ];
    let status = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, HEADERS, page.html).into_response()
}

fn file(content_type: &'static str, content: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (CACHE_CONTROL, "max-age=300"),
    ];
    (headers, content).into_response()
}

/// Failed read of the store.
struct Failure(Rejection);

impl<E: Into<Rejection>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// Logs the error for the operator. The reader gets a general page, because the details may expose stored data.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        error!(error = %self.0, "cannot make a page");
        respond(explorer::failure_page())
    }
}

#[cfg(test)]
mod tests;
