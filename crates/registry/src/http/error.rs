//! Refusals: every one has a JSON body.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use nym_mixnode_api::Refusal;
use tracing::error;

use crate::check::Invalid;

/// A reply that is not the one that was asked for.
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
        (self.status, Json(Refusal { error: self.message })).into_response()
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        Self::new(StatusCode::BAD_REQUEST, invalid.to_string())
    }
}

/// The operator reads what went wrong, the caller does not: it may show parts of the store.
impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        error!(%error, "the store failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error; the registry's log says which")
    }
}
