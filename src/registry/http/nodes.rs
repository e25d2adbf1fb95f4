//! Registering, unregistering, and the topology.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use tracing::info;

use super::extract::{Body, Caller, Identity};
use super::{ApiError, OK};
use crate::api::{ACTIVE_REPUTATION, Accepted, GatewayRegistration, MixRegistration, Topology, Validators};
use crate::registry::store::{NewNode, Registered, Role, Store, Unregistered};
use crate::registry::{check, now_ns};

pub(super) async fn register_mix(
    State(store): State<Store>,
    Caller(from): Caller,
    Body(mix): Body<MixRegistration>,
) -> Result<Json<Accepted>, ApiError> {
    let hosts = check::mix(&mix)?;
    let identity = &mix.identity_key;
    let node = NewNode { role: Role::Mix, identity, registration: &mix, hosts, from, expires_in: None };
    register(&store, &node).await
}

pub(super) async fn register_gateway(
    State(store): State<Store>,
    Caller(from): Caller,
    Body(gateway): Body<GatewayRegistration>,
) -> Result<Json<Accepted>, ApiError> {
    let hosts = check::gateway(&gateway)?;
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
    Identity(identity): Identity,
) -> Result<Json<Accepted>, ApiError> {
    match store.unregister(&identity, caller, now_ns()).await? {
        Unregistered::Done => {
            info!(identity, "unregistered");
            Ok(OK)
        }
        Unregistered::Unknown => Err(ApiError::new(StatusCode::NOT_FOUND, "no node with this identity is registered")),
        Unregistered::NotAllowed => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "only from an address that the node announced, or the one that registered it",
        )),
    }
}

pub(super) async fn topology(State(store): State<Store>) -> Result<Json<Topology>, ApiError> {
    Ok(Json(store.topology(0, now_ns()).await?))
}

pub(super) async fn active_topology(State(store): State<Store>) -> Result<Json<Topology>, ApiError> {
    Ok(Json(store.topology(ACTIVE_REPUTATION, now_ns()).await?))
}

/// Always without nodes: this registry removes none for its uptime.
pub(super) async fn removed_topology() -> Json<Topology> {
    let validators = serde_json::json!(Validators::default());
    Json(Topology { validators, ..Topology::default() })
}

pub(super) async fn healthz(State(store): State<Store>) -> Result<Json<Accepted>, ApiError> {
    store.ping().await?;
    Ok(OK)
}
