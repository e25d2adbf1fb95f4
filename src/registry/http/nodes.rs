//! Registering, unregistering, and the topology.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::{error, info};

use super::extract::{Body, Caller, Identity, Privileged};
use super::{ApiError, OK};
use crate::api::{Accepted, GatewayRegistration, MixRegistration, Topology, Validators};
use crate::registry::check::Rules;
use crate::registry::listing::{Listed, Listings};
use crate::registry::store::{NewNode, Registered, Role, Store, Unregistered};
use crate::registry::{check, now_ns};

pub(super) async fn register_mix(
    State(store): State<Store>,
    State(rules): State<Rules>,
    Caller(from): Caller,
    Body(mix): Body<MixRegistration>,
) -> Result<Json<Accepted>, ApiError> {
    let hosts = check::mix(&mix, &rules)?;
    let identity = &mix.identity_key;
    let node = NewNode { role: Role::Mix, identity, registration: &mix, hosts, from, expires_in: None };
    register(&store, &node).await
}

pub(super) async fn register_gateway(
    State(store): State<Store>,
    State(rules): State<Rules>,
    Caller(from): Caller,
    Body(gateway): Body<GatewayRegistration>,
) -> Result<Json<Accepted>, ApiError> {
    let hosts = check::gateway(&gateway, &rules)?;
    let identity = &gateway.identity_key;
    let expires_in = gateway.expires_in.map(Duration::from_secs);
    let node = NewNode { role: Role::Gateway, identity, registration: &gateway, hosts, from, expires_in };
    register(&store, &node).await
}

async fn register<R: Serialize>(store: &Store, node: &NewNode<'_, R>) -> Result<Json<Accepted>, ApiError> {
    match store.register(node, now_ns()).await? {
        Registered::Done => {
            info!(identity = node.identity, role = ?node.role, "registered");
            Ok(OK)
        }
        Registered::Full(full) => Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, full.to_string())),
        Registered::HostTaken { host, holder } => Err(ApiError::new(
            StatusCode::CONFLICT,
            format!(
                "host {host} is registered by another node, {holder}; announce another address, or unregister that \
                 node first"
            ),
        )),
    }
}

pub(super) async fn unregister(
    State(store): State<Store>,
    Caller(caller): Caller,
    privileged: Option<Privileged>,
    Identity(identity): Identity,
) -> Result<Json<Accepted>, ApiError> {
    match store.unregister(&identity, caller, privileged.is_some(), now_ns()).await? {
        Unregistered::Done => {
            info!(identity, "unregistered");
            Ok(OK)
        }
        Unregistered::Unknown => Err(ApiError::new(StatusCode::NOT_FOUND, "no node with this identity is registered")),
        Unregistered::NotAllowed => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "only from an address that the node announced, or the one that registered it, or with the registry's token",
        )),
    }
}

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
