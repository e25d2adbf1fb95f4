//! What handlers take from a request, refused in JSON when it is not there.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::ApiError;
use crate::http::Peer;

/// Headers that proxies add.
const PROXY_HEADERS: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// The address that the request came from; `None` when a proxy stands between: then the connection's says nothing, and
/// the headers are whatever the caller wrote.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller(pub(super) Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let proxied = PROXY_HEADERS.iter().any(|header| parts.headers.contains_key(*header));
        let peer = parts.extensions.get().map(|Peer(ip)| *ip);
        Ok(Self(peer.filter(|_| !proxied)))
    }
}

/// Proof that the request came from this machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local;

impl<S: Sync> FromRequestParts<S> for Local {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Caller::from_request_parts(parts, state).await? {
            Caller(Some(ip)) if ip.is_loopback() => Ok(Self),
            Caller(_) => Err(ApiError::new(StatusCode::FORBIDDEN, "only from the machine that the registry runs on")),
        }
    }
}

/// Addresses whose measurements are believed.
#[derive(Debug, Clone)]
pub(super) struct Monitors(Arc<[IpAddr]>);

impl Monitors {
    pub(super) fn new(addresses: &[IpAddr]) -> Self {
        Self(addresses.iter().map(IpAddr::to_canonical).collect())
    }
}

/// Proof that the request came from a monitor: this machine, or an address that the operator named.
#[derive(Debug, Clone, Copy)]
pub(super) struct Monitor;

impl<S: Sync> FromRequestParts<S> for Monitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Caller(caller) = Caller::from_request_parts(parts, state).await?;
        let monitors = parts.extensions.get::<Monitors>();
        let is_monitor = |ip: IpAddr| ip.is_loopback() || monitors.is_some_and(|monitors| monitors.0.contains(&ip));
        match caller {
            Some(ip) if is_monitor(ip) => Ok(Self),
            _ => Err(ApiError::new(StatusCode::FORBIDDEN, "only from the registry's machine or one of its monitors")),
        }
    }
}

/// A JSON body.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match Json::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => {
                let status = match rejection {
                    // As the 0.9.2 validator, which knows no 422.
                    JsonRejection::JsonDataError(_) => StatusCode::BAD_REQUEST,
                    _ => rejection.status(),
                };
                Err(ApiError::new(status, rejection.body_text()))
            }
        }
    }
}

/// The identity key in the path.
#[derive(Debug)]
pub(super) struct Identity(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Identity {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(identity) = Path::from_request_parts(parts, state)
            .await
            .map_err(|rejection: PathRejection| ApiError::new(rejection.status(), rejection.body_text()))?;
        Ok(Self(identity))
    }
}
