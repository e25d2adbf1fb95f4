//! REST API: paths, limits and access rules.

pub(super) mod costly;
mod error;
mod exposition;
mod extract;
mod history;
mod measurements;
mod nodes;
mod registration;
mod report;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRef, Request};
use axum::http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use axum::{Extension, Json, Router};
use nym_mixnode_api::Accepted;
use tokio::time::timeout;

use super::access::Access;
use super::service::Service;
use super::web::{self, Snapshot};
use costly::Costly;
use error::ApiError;

/// A registration has under 2 KiB.
const BODY_BYTES_MAX: usize = 16 << 10;

/// A monitor's batch takes about 100 bytes per measurement. Only monitors may send batches.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// Time limit for reading the body and writing the response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

const OK: Json<Accepted> = Json(Accepted { ok: true });

/// State of the handlers.
#[derive(Debug, Clone)]
pub(super) struct App {
    service: Service,
    costly: Arc<CostlyAnswers>,
    snapshot: Arc<Snapshot>,
}

/// Cached responses for unauthenticated callers.
#[derive(Debug, Default)]
pub(super) struct CostlyAnswers {
    metrics: Costly<Bytes>,
    full_report: Costly<Bytes>,
}

impl App {
    pub(super) fn new(service: Service) -> Self {
        Self { service, costly: Arc::default(), snapshot: Arc::default() }
    }
}

impl FromRef<App> for Service {
    fn from_ref(app: &App) -> Self {
        app.service.clone()
    }
}

impl FromRef<App> for Arc<CostlyAnswers> {
    fn from_ref(app: &App) -> Self {
        Arc::clone(&app.costly)
    }
}

impl FromRef<App> for Arc<Snapshot> {
    fn from_ref(app: &App) -> Self {
        Arc::clone(&app.snapshot)
    }
}

/// Router with all paths. Requests must carry a [`nym_mixnode_http::Peer`].
pub(super) fn router(app: App, access: Access) -> Router {
    Router::new()
        .route("/api/mixmining", post(measurements::add))
        .route("/api/mixmining/batch", post(measurements::add_batch).layer(DefaultBodyLimit::max(BATCH_BYTES_MAX)))
        .route("/api/mixmining/node/{identity}/history", get(measurements::history))
        .route("/api/mixmining/node/{identity}/report", get(measurements::uptime_report))
        .route("/api/mixmining/fullreport", get(measurements::full_report))
        .route("/api/mixmining/reputation/{identity}", patch(measurements::set_reputation))
        .route("/api/mixmining/register/mix", post(registration::register_mix))
        .route("/api/mixmining/register/gateway", post(registration::register_gateway))
        .route("/api/mixmining/register/{identity}", delete(registration::unregister))
        .route("/api/mixmining/counter/{identity}", get(registration::counter))
        .route("/api/mixmining/pending", get(registration::pending))
        .route("/api/mixmining/topology", get(nodes::topology))
        .route("/api/mixmining/topology/active", get(nodes::active_topology))
        .route("/api/mixmining/topology/removed", get(nodes::removed_topology))
        .route("/api/history/node/{identity}", get(history::node))
        .route("/api/history/network", get(history::network))
        .route("/api/metrics/mixes", post(measurements::add_metric).get(measurements::metrics))
        .route("/healthz", get(nodes::healthz))
        .route("/metrics", get(exposition::metrics))
        .merge(web::routes())
        .fallback(no_such_path)
        .method_not_allowed_fallback(async || {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not support this method")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(shared_with_pages))
        .layer(from_fn(in_time))
        .layer(Extension(Arc::new(access)))
        .with_state(app)
}

/// Lets web pages of all sites read the public API. Browsers ask before they send other methods or a token, and get no
/// permission.
async fn shared_with_pages(request: Request, next: Next) -> Response {
    let is_public = request.method() == Method::GET && request.uri().path().starts_with("/api/");
    let mut response = next.run(request).await;
    if is_public {
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response
}

/// A page for browsers, JSON for programs.
async fn no_such_path(request: Request) -> Response {
    if web::is_for_people(&request) {
        return web::not_found();
    }
    ApiError::new(StatusCode::NOT_FOUND, "no such path").into_response()
}

async fn in_time(request: Request, next: Next) -> Response {
    match timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response(),
    }
}

#[cfg(test)]
mod tests;
