//! Topology and health of the registry.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use nym_mixnode_api::{Accepted, Refusal, Topology, layers_without_active};
use tracing::error;

use super::{ApiError, OK};
use crate::now_ns;
use crate::service::{Listed, Service};

/// List all nodes.
#[utoipa::path(
    get,
    path = "/api/mixmining/topology",
    operation_id = "topology",
    tag = "topology",
    params(("If-None-Match" = Option<String>, Header, description = "`ETag` of the list that the caller has")),
    responses(
        (status = 200, description = "The list", body = Topology, headers(("ETag" = String, description = "Changes with the list"))),
        (status = 304, description = "The list has not changed", headers(("ETag" = String, description = "Changes with the list"))),
    )
)]
pub(super) async fn topology(State(service): State<Service>, headers: HeaderMap) -> Result<Response, ApiError> {
    Ok(answer(service.all(now_ns()).await?, &headers))
}

/// List the active set, which clients use.
#[utoipa::path(
    get,
    path = "/api/mixmining/topology/active",
    operation_id = "activeTopology",
    tag = "topology",
    params(("If-None-Match" = Option<String>, Header, description = "`ETag` of the list that the caller has")),
    responses(
        (status = 200, description = "The list", body = Topology, headers(("ETag" = String, description = "Changes with the list"))),
        (status = 304, description = "The list has not changed", headers(("ETag" = String, description = "Changes with the list"))),
    )
)]
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

/// List the nodes that the active set lacks because of their uptime.
#[utoipa::path(
    get,
    path = "/api/mixmining/topology/removed",
    operation_id = "removedTopology",
    tag = "topology",
    params(("If-None-Match" = Option<String>, Header, description = "`ETag` of the list that the caller has")),
    responses(
        (status = 200, description = "The list", body = Topology, headers(("ETag" = String, description = "Changes with the list"))),
        (status = 304, description = "The list has not changed", headers(("ETag" = String, description = "Changes with the list"))),
    )
)]
pub(super) async fn removed_topology(State(service): State<Service>, headers: HeaderMap) -> Result<Response, ApiError> {
    Ok(answer(service.removed(now_ns()).await?, &headers))
}

/// Check the registry, and with `deep` the network.
///
/// The registry is healthy only while writes succeed, although reads work without. With `deep`, the network must be
/// usable, too: each layer has an active node.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "health",
    tag = "operation",
    params(("deep" = Option<String>, Query, description = "Empty, `1` or `true`: check the network, too", example = "true")),
    responses(
        (status = 200, description = "Healthy", body = Accepted),
        (status = 503, description = "The registry cannot write to its store, or a layer has no active node.", body = Refusal),
    )
)]
pub(super) async fn healthz(
    State(service): State<Service>,
    RawQuery(query): RawQuery,
) -> Result<Json<Accepted>, ApiError> {
    if let Err(error) = service.check_writes(now_ns()).await {
        error!(error, "cannot write to the store; check the space on its disk");
        let message = "the registry cannot write to its store; see its log";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message));
    }
    let is_deep = query.as_deref().is_some_and(|query| query.split('&').any(is_deep));
    let without = if is_deep { layers_without_active(&service.active(now_ns()).await?.empty_layers) } else { None };
    without.map_or(Ok(OK), |message| Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message)))
}

fn is_deep(parameter: &str) -> bool {
    matches!(parameter, "deep" | "deep=" | "deep=1" | "deep=true")
}
