//! Topology and health of the registry.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use nym_mixnode_api::{Accepted, Topology, Validators};
use tracing::error;

use super::{ApiError, OK};
use crate::listing::{Listed, Listings};
use crate::now_ns;
use crate::store::Store;

pub(super) async fn topology(State(listings): State<Arc<Listings>>, headers: HeaderMap) -> Result<Response, ApiError> {
    Ok(answer(listings.all().await?, &headers))
}

pub(super) async fn active_topology(
    State(listings): State<Arc<Listings>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    Ok(answer(listings.active().await?, &headers))
}

/// Responds with the list, or with 304 when the caller already has it.
fn answer(listed: Listed, headers: &HeaderMap) -> Response {
    let is_known = headers.get_all(IF_NONE_MATCH).iter().any(|known| names(known, &listed.tag));
    // Caches may store it, but must revalidate it on each request.
    let caching = [(ETAG, listed.tag), (CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    if is_known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(CONTENT_TYPE, "application/json")], listed.json).into_response()
}

/// Whether a list of tags contains this one. The tag of a compressed copy (`W/`) also matches.
fn names(tags: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(tags), Ok(tag)) = (tags.to_str(), tag.to_str()) else { return false };
    tags.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// Always empty: this registry removes no nodes for low uptime.
pub(super) async fn removed_topology() -> Json<Topology> {
    let validators = serde_json::json!(Validators::default());
    Json(Topology { validators, ..Topology::default() })
}

/// Healthy only while writes succeed, although reads work without.
pub(super) async fn healthz(State(store): State<Store>) -> Result<Json<Accepted>, ApiError> {
    match store.check_writes(now_ns()).await {
        Ok(()) => Ok(OK),
        Err(error) => {
            error!(error, "cannot write to the store; check the space on its disk");
            let message = "the registry cannot write to its store; see its log";
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message))
        }
    }
}
