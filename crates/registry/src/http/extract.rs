//! Extractors for requests. Their errors have JSON bodies.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequestParts, Path, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use nym_mixnode_http::{Peer, misdirected};
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::ApiError;
use crate::access::{Access, Refused};
use crate::majority::Reporter;
use crate::service::is_storable;

/// Address that the request came from; `None` when a proxy hides it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller(pub(super) Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let peer = parts.extensions.get().map(|Peer(ip)| *ip);
        let access = parts.extensions.get::<Arc<Access>>();
        Ok(Self(peer.zip(access).and_then(|(peer, access)| access.caller(peer, &parts.headers))))
    }
}

/// Proof that the request carries the monitor token and was meant for this server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Privileged;

impl<S: Sync> FromRequestParts<S> for Privileged {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        let access = parts.extensions.get::<Arc<Access>>();
        match access.map_or(Err(Refused::NoToken), |access| access.check_token(parts)) {
            Ok(()) => Ok(Self),
            Err(refused) => Err(refused.into_response()),
        }
    }
}

/// A call without a token is unprivileged; one with a wrong token is refused.
impl<S: Sync> OptionalFromRequestParts<S> for Privileged {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Response> {
        if parts.headers.contains_key(AUTHORIZATION) {
            return <Self as FromRequestParts<S>>::from_request_parts(parts, state).await.map(Some);
        }
        Ok(None)
    }
}

/// Proof that the request came from a monitor: one with a token, or one that the operator has listed.
#[derive(Debug, Clone)]
pub(super) struct Monitor(pub(super) Reporter);

impl<S: Sync> FromRequestParts<S> for Monitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        let access = parts.extensions.get::<Arc<Access>>();
        if let (Some(access), false) = (access, parts.headers.contains_key(AUTHORIZATION)) {
            let caller = parts.extensions.get().and_then(|Peer(ip)| access.caller(*ip, &parts.headers));
            if access.is_known_monitor(caller) {
                return if access.names.allow(parts) { Ok(Self(Reporter::Unnamed)) } else { Err(misdirected()) };
            }
            return Err(Refused::NoToken.into_response());
        }
        let reporter = access.map_or(Err(Refused::NoToken), |access| access.check_reporter(parts));
        reporter.map(Self).map_err(IntoResponse::into_response)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let message = match self {
            Self::NoToken => {
                "this call requires the monitor token: send the registry's monitor.token as Authorization: Bearer"
            }
            Self::WrongToken => "this is not the registry's token; use the one in its file monitor.token",
            Self::WrongHost => return misdirected(),
        };
        ApiError::new(StatusCode::FORBIDDEN, message).into_response()
    }
}

/// JSON body.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        check_origin(request.headers())?;
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection: BytesRejection| ApiError::new(rejection.status(), rejection.body_text()))?;
        // As the 0.9.2 validator: whatever the content type is, and with 400 for everything that does not fit.
        match Json::from_bytes(&bytes) {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(ApiError::new(StatusCode::BAD_REQUEST, rejection.body_text())),
        }
    }
}

/// Refuses what a web page of another site may send without asking: a body of another type than JSON. Browsers name
/// the page in `Origin`, other programs send none.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if headers.contains_key(ORIGIN) && !media_type.eq_ignore_ascii_case("application/json") {
        let message = "a web page must send Content-Type: application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    Ok(())
}

/// Identity key in the path.
#[derive(Debug, IntoParams)]
#[into_params(names("identity"), parameter_in = Path)]
pub(super) struct Identity(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Identity {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(identity) = <Path<String> as FromRequestParts<S>>::from_request_parts(parts, state)
            .await
            .map_err(|rejection: PathRejection| ApiError::new(rejection.status(), rejection.body_text()))?;
        if !is_storable(&identity) {
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "the identity contains a NUL character"));
        }
        Ok(Self(identity))
    }
}
