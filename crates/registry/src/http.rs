//! REST API: paths, limits and access rules.

pub(super) mod costly;
mod document;
mod error;
mod exposition;
mod extract;
#[expect(unused_qualifications, reason = "utoipa's attribute qualifies the types of parameters")]
mod history;
#[expect(unused_qualifications, reason = "utoipa's attribute qualifies the types of parameters")]
mod measurements;
mod nodes;
#[expect(unused_qualifications, reason = "utoipa's attribute qualifies the types of parameters")]
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
use axum::{Extension, Json, Router};
use nym_mixnode_api::Accepted;
use tokio::time::timeout;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

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
    let (api, document) = api();
    api.merge(web::routes())
        .fallback(no_such_path)
        .method_not_allowed_fallback(async || {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not support this method")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(shared_with_pages))
        .layer(from_fn(in_time))
        .layer(Extension(Arc::new(access)))
        .layer(Extension(Arc::new(document)))
        .with_state(app)
}

/// The API and its document. The attributes of the handlers have methods and paths, so that both agree.
fn api() -> (Router<App>, OpenApi) {
    let batch = routes!(measurements::add_batch).layer(DefaultBodyLimit::max(BATCH_BYTES_MAX));
    let (router, document) = OpenApiRouter::with_openapi(document::head())
        .routes(routes!(registration::register_mix))
        .routes(routes!(registration::register_gateway))
        .routes(routes!(registration::unregister))
        .routes(routes!(registration::counter))
        .routes(routes!(registration::pending))
        .routes(routes!(nodes::topology))
        .routes(routes!(nodes::active_topology))
        .routes(routes!(nodes::removed_topology))
        .routes(routes!(measurements::add))
        .routes(batch)
        .routes(routes!(measurements::history))
        .routes(routes!(measurements::uptime_report))
        .routes(routes!(measurements::full_report))
        .routes(routes!(measurements::set_reputation))
        .routes(routes!(measurements::add_metric, measurements::metrics))
        .routes(routes!(history::node))
        .routes(routes!(history::network))
        .routes(routes!(nodes::healthz))
        .routes(routes!(exposition::metrics))
        .routes(routes!(document::openapi))
        .split_for_parts();
    (router, document::with_common_errors(document))
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
