//! Handlers for registering, unregistering, counters and pending registrations.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use nym_mixnode_api::signing::{self, Entry, RegistryKey};
use nym_mixnode_api::{Accepted, CounterReply, GatewayRegistration, MixRegistration, PendingList, RegistrationReply};
use nym_mixnode_keys::KeyGenerationError;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::extract::{Body, Caller, Identity, Privileged};
use super::{ApiError, OK};
use crate::admission::Gate;
use crate::check::{self, Rules};
use crate::now_ns;
use crate::proof::{self, Admission, Call, Refusal};
use crate::store::{NewNode, Registered, Removal, Role, Store, Unregistered};

/// The nonces of our programs have 22 digits.
const NONCE_BYTES_MAX: usize = 64;

const BAD_SIGNATURE: &str = "the signature is not the identity's over this call and this registry's key; ask for the \
                             counter again, and sign for the key that comes with it";

pub(super) async fn register_mix(
    State(store): State<Store>,
    State(gate): State<Arc<Gate>>,
    State(rules): State<Rules>,
    Caller(from): Caller,
    Body(mut mix): Body<MixRegistration>,
) -> Result<Json<RegistrationReply>, ApiError> {
    let hosts = check::mix(&mix, &rules)?;
    let call = take_proof(&store, &gate, &mut mix, from)?;
    let node = NewNode {
        role: Role::Mix,
        identity: &mix.identity_key,
        sphinx_key: &mix.sphinx_key,
        registration: &mix,
        hosts,
        call,
        expires_in: None,
    };
    register(&store, &node).await
}

pub(super) async fn register_gateway(
    State(store): State<Store>,
    State(gate): State<Arc<Gate>>,
    State(rules): State<Rules>,
    Caller(from): Caller,
    Body(mut gateway): Body<GatewayRegistration>,
) -> Result<Json<RegistrationReply>, ApiError> {
    let hosts = check::gateway(&gateway, &rules)?;
    let call = take_proof(&store, &gate, &mut gateway, from)?;
    let node = NewNode {
        role: Role::Gateway,
        identity: &gateway.identity_key,
        sphinx_key: &gateway.sphinx_key,
        registration: &gateway,
        hosts,
        call,
        expires_in: gateway.expires_in.map(Duration::from_secs),
    };
    register(&store, &node).await
}

/// Checks the signature and the admission of an entry, and removes from it what is not listed.
fn take_proof<E: Entry>(store: &Store, gate: &Gate, entry: &mut E, from: Option<IpAddr>) -> Result<Call, ApiError> {
    let registry = store.key().public();
    let mut call = Call { signed: None, admission: gate.by_identity(entry.identity()), from, now: now_ns() };
    let Some(mut proof) = entry.proof().cloned() else { return Ok(call) };
    // Only registries set this field: the entry is listed with fewer addresses than were signed.
    proof.announced = None;
    entry.set_proof(Some(proof.clone()));
    let counter = signing::signed_counter(entry, registry).filter(|counter| is_counter(*counter));
    call.signed = Some(counter.ok_or_else(|| ApiError::new(StatusCode::UNAUTHORIZED, BAD_SIGNATURE))?);
    if gate.is_token(|token| signing::is_admitted(entry, registry, token)) {
        call.admission = Admission::Admitted;
    }
    proof.admission = None;
    entry.set_proof(Some(proof));
    Ok(call)
}

fn is_counter(counter: u64) -> bool {
    counter > 0 && i64::try_from(counter).is_ok()
}

async fn register<R: Serialize>(store: &Store, node: &NewNode<'_, R>) -> Result<Json<RegistrationReply>, ApiError> {
    match store.register(node).await? {
        Registered::Done { pending } => {
            let (identity, role) = (node.identity, node.role);
            info!(identity, role = ?role, signed = node.call.signed.is_some(), pending = pending.len(), "registered");
            Ok(Json(RegistrationReply { ok: true, pending }))
        }
        Registered::Refused(refusal) => Err(refusal.into()),
        Registered::Full(full) => Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, full.to_string())),
    }
}

/// Query of a signed unregistration, and whether to release the identity.
#[derive(Debug, Deserialize)]
pub(super) struct Removing {
    counter: Option<u64>,
    signature: Option<String>,
    #[serde(default)]
    release: bool,
}

impl Removing {
    /// Counter of the identity's signature over this call; `None` for an unsigned call.
    fn signed_counter(&self, registry: &RegistryKey, identity: &str) -> Result<Option<u64>, ApiError> {
        let (Some(counter), Some(signature)) = (self.counter, &self.signature) else { return Ok(None) };
        let message = if self.release {
            signing::release_request(registry, identity, counter)
        } else {
            signing::unregistration(registry, identity, counter)
        };
        if !is_counter(counter) || !signing::is_signed_by(identity, &message, signature) {
            return Err(ApiError::new(StatusCode::UNAUTHORIZED, BAD_SIGNATURE));
        }
        Ok(Some(counter))
    }
}

pub(super) async fn unregister(
    State(store): State<Store>,
    Caller(from): Caller,
    privileged: Option<Privileged>,
    Identity(identity): Identity,
    query: Result<Query<Removing>, QueryRejection>,
) -> Result<Json<Accepted>, ApiError> {
    let Query(removing) = query.map_err(|rejection| ApiError::new(rejection.status(), rejection.body_text()))?;
    let signed = removing.signed_counter(store.key().public(), &identity)?;
    let call = Call { signed, admission: Admission::Open, from, now: now_ns() };
    let removal = if removing.release { Removal::Release } else { Removal::Unregister };
    match store.unregister(&identity, &call, privileged.is_some(), removal).await? {
        Unregistered::Done => {
            info!(identity, released = removing.release, "unregistered");
            Ok(OK)
        }
        Unregistered::Unknown => Err(ApiError::new(StatusCode::NOT_FOUND, "no node with this identity is registered")),
        Unregistered::Refused(refusal) => Err(refusal.into()),
    }
}

/// Nonce for the signed response.
#[derive(Debug, Deserialize)]
pub(super) struct Nonce {
    nonce: String,
}

/// Returns the last counter of an identity, signed; its next call must exceed it.
pub(super) async fn counter(
    State(store): State<Store>,
    Identity(identity): Identity,
    nonce: Result<Query<Nonce>, QueryRejection>,
) -> Result<Json<CounterReply>, ApiError> {
    let Query(Nonce { nonce }) = nonce.map_err(|rejection| ApiError::new(rejection.status(), rejection.body_text()))?;
    if nonce.is_empty() || nonce.len() > NONCE_BYTES_MAX {
        let message = format!("nonce has {} bytes; the allowed length is 1 to {NONCE_BYTES_MAX}", nonce.len());
        return Err(ApiError::new(StatusCode::BAD_REQUEST, message));
    }
    if signing::decode::<32>(&identity).is_none() {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "the identity is not base58 of 32 bytes"));
    }
    let counter = proof::counter_of_start(store.counter(&identity).await?, now_ns());
    let message = signing::counter_answer(store.key().public(), &nonce, &identity, counter);
    let signature = bs58::encode(store.key().sign(&message)?).into_string();
    let registry_key = store.key().public_base58();
    Ok(Json(CounterReply { identity_key: identity, counter, registry_key, nonce, signature }))
}

/// Lists registrations that are pending as a whole or for some of their addresses.
pub(super) async fn pending(State(store): State<Store>) -> Result<Json<PendingList>, ApiError> {
    Ok(Json(PendingList { pending: store.pending().await? }))
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::NewerStart { .. } | Refusal::WasUnregistered { .. } => StatusCode::CONFLICT,
            Refusal::NotAdmitted | Refusal::NotSigned | Refusal::RegisteredElsewhere | Refusal::NotTheNode => {
                StatusCode::FORBIDDEN
            }
        };
        Self::new(status, refusal.to_string())
    }
}

impl From<KeyGenerationError> for ApiError {
    fn from(error: KeyGenerationError) -> Self {
        tracing::error!(%error, "cannot sign a response");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error; see the registry's log")
    }
}
