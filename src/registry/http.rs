//! The REST API: paths, limits, and who may ask what.

mod error;
mod exposition;
mod extract;
mod measurements;
mod nodes;

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use axum::{Extension, Json, Router};
use tokio::time::timeout;

use super::store::Store;
use crate::api::Accepted;
use error::ApiError;
use extract::Monitors;

/// A registration has under 1 KiB.
const BODY_BYTES_MAX: usize = 64 << 10;

/// A monitor's batch has about 100 bytes for each measurement.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Body and answer together.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

const OK: Json<Accepted> = Json(Accepted { ok: true });

/// All paths of the registry, which believes measurements of these monitors. Requests must carry a
/// [`crate::http::Peer`].
pub(super) fn router(store: Store, monitors: &[IpAddr]) -> Router {
    Router::new()
        .route("/api/mixmining", post(measurements::add))
        .route("/api/mixmining/batch", post(measurements::add_batch).layer(DefaultBodyLimit::max(BATCH_BYTES_MAX)))
        .route("/api/mixmining/node/{identity}/history", get(measurements::history))
        .route("/api/mixmining/node/{identity}/report", get(measurements::report))
        .route("/api/mixmining/fullreport", get(measurements::full_report))
        .route("/api/mixmining/reputation/{identity}", patch(measurements::set_reputation))
        .route("/api/mixmining/register/mix", post(nodes::register_mix))
        .route("/api/mixmining/register/gateway", post(nodes::register_gateway))
        .route("/api/mixmining/register/{identity}", delete(nodes::unregister))
        .route("/api/mixmining/topology", get(nodes::topology))
        .route("/api/mixmining/topology/active", get(nodes::active_topology))
        .route("/api/mixmining/topology/removed", get(nodes::removed_topology))
        .route("/api/metrics/mixes", post(measurements::add_metric).get(measurements::metrics))
        .route("/healthz", get(nodes::healthz))
        .route("/metrics", get(exposition::metrics))
        .fallback(async || ApiError::new(StatusCode::NOT_FOUND, "no such path"))
        .method_not_allowed_fallback(async || ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method"))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(in_time))
        .layer(Extension(Monitors::new(monitors)))
        .with_state(store)
}

async fn in_time(request: Request, next: Next) -> Response {
    match timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response(),
    }
}

#[cfg(test)]
#[path = "http/tests.rs"]
mod tests;
