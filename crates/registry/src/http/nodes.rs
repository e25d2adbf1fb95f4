//! The topology, and whether the registry works.

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

/// The list, unless the caller has it already.
fn answer(listed: Listed, headers: &HeaderMap) -> Response {
    let is_known = headers.get_all(IF_NONE_MATCH).iter().any(|known| names(known, &listed.tag));
    // Proxies may keep it, and ask each time whether it is still true.
    let caching = [(ETAG, listed.tag), (CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    if is_known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(CONTENT_TYPE, "application/json")], listed.json).into_response()
}

/// Whether a list of tags has this one. What a proxy has compressed is as good (`W/`).
fn names(tags: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(tags), Ok(tag)) = (tags.to_str(), tag.to_str()) else { return false };
    tags.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// Always without nodes: this registry removes none for its uptime.
pub(super) async fn removed_topology() -> Json<Topology> {
    let validators = serde_json::json!(Validators::default());
    Json(Topology { validators, ..Topology::default() })
}

/// Well only while writes succeed; reads go on without.
pub(super) async fn healthz(State(store): State<Store>) -> Result<Json<Accepted>, ApiError> {
    match store.check_writes(now_ns()).await {
        Ok(()) => Ok(OK),
        Err(error) => {
            error!(error, "cannot write to the store; check the space on its disk");
            let message = "the registry cannot write to its store; its log says why";
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message))
        }
    }
}
