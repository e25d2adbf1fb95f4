//! Handlers for registering, unregistering, counters and pending registrations.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use nym_mixnode_api::{
    Accepted, CounterReply, GatewayRegistration, MixRegistration, PendingAddress, PendingList, RegistrationReply,
};
use serde::Deserialize;

use super::extract::{Body, Caller, Identity, Privileged};
use super::{ApiError, OK};
use crate::now_ns;
use crate::service::{Removal, Service};

pub(super) async fn register_mix(
    State(service): State<Service>,
    Caller(from): Caller,
    Body(mix): Body<MixRegistration>,
) -> Result<Json<RegistrationReply>, ApiError> {
    Ok(registered(service.register_mix(mix, from, now_ns()).await?))
}

pub(super) async fn register_gateway(
    State(service): State<Service>,
    Caller(from): Caller,
    Body(gateway): Body<GatewayRegistration>,
) -> Result<Json<RegistrationReply>, ApiError> {
    Ok(registered(service.register_gateway(gateway, from, now_ns()).await?))
}

fn registered(pending: Vec<PendingAddress>) -> Json<RegistrationReply> {
    Json(RegistrationReply { ok: true, pending })
}

/// Query of a signed unregistration, and whether to release the identity.
#[derive(Debug, Deserialize)]
pub(super) struct Removing {
    counter: Option<u64>,
    signature: Option<String>,
    #[serde(default)]
    release: bool,
}

pub(super) async fn unregister(
    State(service): State<Service>,
    Caller(from): Caller,
    privileged: Option<Privileged>,
    Identity(identity): Identity,
    query: Result<Query<Removing>, QueryRejection>,
) -> Result<Json<Accepted>, ApiError> {
    let Query(Removing { counter, signature, release }) = query?;
    let signed = counter.zip(signature.as_deref());
    let removal = Removal { signed, release, from, is_privileged: privileged.is_some() };
    service.unregister(&identity, &removal, now_ns()).await?;
    Ok(OK)
}

/// Nonce for the signed response.
#[derive(Debug, Deserialize)]
pub(super) struct Nonce {
    nonce: String,
}

/// Returns the last counter of an identity, signed; its next call must exceed it.
pub(super) async fn counter(
    State(service): State<Service>,
    Identity(identity): Identity,
    nonce: Result<Query<Nonce>, QueryRejection>,
) -> Result<Json<CounterReply>, ApiError> {
    let Query(Nonce { nonce }) = nonce?;
    Ok(Json(service.counter(identity, nonce, now_ns()).await?))
}

/// Lists registrations that are pending as a whole or for some of their addresses.
pub(super) async fn pending(State(service): State<Service>) -> Result<Json<PendingList>, ApiError> {
    Ok(Json(PendingList { pending: service.pending().await? }))
}
