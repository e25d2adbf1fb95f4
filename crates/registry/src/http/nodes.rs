//! Topology and health of the registry.

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use nym_mixnode_api::{Accepted, Topology};
use tracing::error;

use super::{ApiError, OK};
use crate::now_ns;
use crate::service::{Listed, Service, empty_topology};

pub(super) async fn topology(State(service): State<Service>, headers: HeaderMap) -> Result<Response, ApiError> {
    Ok(answer(service.all(now_ns()).await?, &headers))
}

pub(super) async fn active_topology(State(service): State<Service>, headers: HeaderMap) -> Result<Response, ApiError> {
    Ok(answer(service.active(now_ns()).await?, &headers))
}

/// Responds with the list, or with 304 when the caller already has it.
fn answer(listed: Listed, headers: &HeaderMap) -> Response {
    let is_known = headers.get_all(IF_NONE_MATCH).iter().any(|known| names(known, &listed.tag));
    // Caches may store it, but must revalidate it on each request.
    let caching = [(ETAG, listed.tag), (CACHE_CONTROL, "no-cache".to_owned())];
    if is_known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(CONTENT_TYPE, "application/json")], listed.json).into_response()
}

/// Whether a list of tags contains this one. The tag of a compressed copy (`W/`) also matches.
fn names(tags: &HeaderValue, tag: &str) -> bool {
    let Ok(tags) = tags.to_str() else { return false };
    tags.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// Always empty: this registry removes no nodes for low uptime.
pub(super) async fn removed_topology() -> Json<Topology> {
    Json(empty_topology())
}

/// Healthy only while writes succeed, although reads work without.
pub(super) async fn healthz(State(service): State<Service>) -> Result<Json<Accepted>, ApiError> {
    match service.check_writes(now_ns()).await {
        Ok(()) => Ok(OK),
        Err(error) => {
            error!(error, "cannot write to the store; check the space on its disk");
            let message = "the registry cannot write to its store; see its log";
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message))
        }
    }
}
