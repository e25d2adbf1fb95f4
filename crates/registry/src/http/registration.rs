//! Handlers for registering, unregistering, counters and pending registrations.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use nym_mixnode_api::{
    Accepted, CounterReply, GatewayRegistration, MixRegistration, PendingAddress, PendingList, Refusal,
    RegistrationReply,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::extract::{Body, Caller, Identity, Privileged};
use super::{ApiError, OK};
use crate::now_ns;
use crate::service::{Removal, Service};

/// Register a mix, or renew its entry.
#[utoipa::path(
    post,
    path = "/api/mixmining/register/mix",
    operation_id = "registerMix",
    tag = "registration",
    request_body = MixRegistration,
    responses(
        (status = 200, description = "Registered. `pending` has the addresses that are not listed until they are proven", body = RegistrationReply),
        (status = 400, description = "A field is missing or invalid; the message names it.", body = Refusal),
        (status = 401, description = "The signature is not the identity's.", body = Refusal),
        (status = 403, description = "Unsigned call for an identity that signs, or for an entry of another caller; or the network is closed.", body = Refusal),
        (status = 409, description = "A newer start of this identity is registered, or it was unregistered.", body = Refusal),
        (status = 429, description = "Too many unproven entries of this address or network, or in total.", body = Refusal),
    )
)]
pub(super) async fn register_mix(
    State(service): State<Service>,
    Caller(from): Caller,
    Body(mix): Body<MixRegistration>,
) -> Result<Json<RegistrationReply>, ApiError> {
    Ok(registered(service.register_mix(mix, from, now_ns()).await?))
}

/// Register a gateway, or renew its entry.
#[utoipa::path(
    post,
    path = "/api/mixmining/register/gateway",
    operation_id = "registerGateway",
    tag = "registration",
    request_body = GatewayRegistration,
    responses(
        (status = 200, description = "Registered. `pending` has the addresses that are not listed until they are proven", body = RegistrationReply),
        (status = 400, description = "A field is missing or invalid; the message names it.", body = Refusal),
        (status = 401, description = "The signature is not the identity's.", body = Refusal),
        (status = 403, description = "Unsigned call for an identity that signs, or for an entry of another caller; or the network is closed.", body = Refusal),
        (status = 409, description = "A newer start of this identity is registered, or it was unregistered.", body = Refusal),
        (status = 429, description = "Too many unproven entries of this address or network, or in total.", body = Refusal),
    )
)]
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
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Removing {
    /// Counter of a signed call, with `signature`.
    #[param(minimum = 1)]
    counter: Option<u64>,
    /// Base58 of the identity's signature.
    signature: Option<String>,
    /// Whether the identity may call unsigned from now on.
    #[serde(default)]
    release: bool,
}

/// Remove an entry. Its reputation stays.
///
/// Nodes sign the call, or make it from the address that registered the entry. With the token, any entry can be removed.
#[utoipa::path(
    delete,
    path = "/api/mixmining/register/{identity}",
    operation_id = "unregister",
    tag = "registration",
    params(Identity, Removing),
    responses(
        (status = 200, description = "Removed", body = Accepted),
        (status = 400, description = "A parameter is invalid.", body = Refusal),
        (status = 401, description = "The signature is not the identity's.", body = Refusal),
        (status = 403, description = "The caller may not remove this entry, or the token is wrong.", body = Refusal),
        (status = 404, description = "The identity is not registered.", body = Refusal),
        (status = 409, description = "The counter is not above the last one of this identity.", body = Refusal),
    ),
    security((), ("monitorToken" = []))
)]
pub(super) async fn unregister(
    State(service): State<Service>,
    Caller(from): Caller,
    privileged: Option<Privileged>,
    Identity(identity): Identity,
    query: Result<Query<Removing>, QueryRejection>,
) -> Result<Json<Accepted>, ApiError> {
    let Query(Removing { counter, signature, release }) = query?;
    if counter.is_some() != signature.is_some() {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "counter and signature belong together; send both, or none",
        ));
    }
    let signed = counter.zip(signature.as_deref());
    let removal = Removal { signed, release, from, is_privileged: privileged.is_some() };
    service.unregister(&identity, &removal, now_ns()).await?;
    Ok(OK)
}

/// Nonce for the signed response.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Nonce {
    /// Any text of the caller, which the signature of the answer covers; at most 64 bytes.
    #[param(min_length = 1, max_length = 64)]
    nonce: String,
}

/// Return the last counter of an identity, signed by the registry; the next signed call must exceed it.
#[utoipa::path(
    get,
    path = "/api/mixmining/counter/{identity}",
    operation_id = "counter",
    tag = "registration",
    params(Identity, Nonce),
    responses(
        (status = 200, description = "The counter", body = CounterReply),
        (status = 400, description = "The nonce or the identity is invalid.", body = Refusal),
    )
)]
pub(super) async fn counter(
    State(service): State<Service>,
    Identity(identity): Identity,
    nonce: Result<Query<Nonce>, QueryRejection>,
) -> Result<Json<CounterReply>, ApiError> {
    let Query(Nonce { nonce }) = nonce?;
    Ok(Json(service.counter(identity, nonce, now_ns()).await?))
}

/// List registrations that are pending as a whole or for some of their addresses.
#[utoipa::path(
    get,
    path = "/api/mixmining/pending",
    operation_id = "pending",
    tag = "registration",
    responses(
        (status = 200, description = "Addresses that are not listed, with the reasons", body = PendingList),
    )
)]
pub(super) async fn pending(State(service): State<Service>) -> Result<Json<PendingList>, ApiError> {
    Ok(Json(PendingList { pending: service.pending().await? }))
}
