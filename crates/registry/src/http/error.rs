//! Error responses, all with a JSON body.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use nym_mixnode_api::Refusal as ErrorBody;
use tracing::error;

use crate::proof::Refusal;
use crate::service::Rejection;

/// Error response: status and message.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody { error: self.message })).into_response()
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        let status = match &rejection {
            Rejection::Invalid(_) | Rejection::OutOfRange(_) => StatusCode::BAD_REQUEST,
            Rejection::BadSignature => StatusCode::UNAUTHORIZED,
            Rejection::Refused(Refusal::NewerStart { .. } | Refusal::WasUnregistered { .. }) => StatusCode::CONFLICT,
            Rejection::Refused(_) => StatusCode::FORBIDDEN,
            Rejection::Full(_) => StatusCode::TOO_MANY_REQUESTS,
            Rejection::Unknown(_) => StatusCode::NOT_FOUND,
            // The details may expose stored data: they are for the operator.
            Rejection::Store(_) | Rejection::Key(_) => {
                error!(error = %rejection, "cannot serve a request");
                let message = "internal error; see the registry's log";
                return Self::new(StatusCode::INTERNAL_SERVER_ERROR, message);
            }
        };
        Self::new(status, rejection.to_string())
    }
}

/// Query parameters that cannot be parsed.
impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}
