//! Uptime, reputation, registrations and traffic over time.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use nym_mixnode_api::Refusal;
use serde::Deserialize;
use utoipa::IntoParams;

use super::ApiError;
use super::extract::Identity;
use crate::now_ns;
use crate::service::{LayerPoint, NodePoint, Service};

/// Query of a history: its length.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Period {
    /// Length of the history, until now.
    #[serde(default = "day")]
    #[param(minimum = 1, maximum = 720, default = 24)]
    hours: i64,
}

fn day() -> i64 {
    24
}

/// Return measurements and reputation of one node, per hour, or per day for past weeks.
#[utoipa::path(
    get,
    path = "/api/history/node/{identity}",
    operation_id = "nodeHistory",
    tag = "history",
    params(Identity, Period),
    responses(
        (status = 200, description = "Oldest first; empty for an unknown node", body = Vec<NodePoint>),
        (status = 400, description = "A parameter is invalid.", body = Refusal),
    )
)]
pub(super) async fn node(
    State(service): State<Service>,
    Identity(identity): Identity,
    query: Result<Query<Period>, QueryRejection>,
) -> Result<Json<Vec<NodePoint>>, ApiError> {
    let Query(Period { hours }) = query?;
    Ok(Json(service.node_history(&identity, hours, now_ns()).await?))
}

/// Return totals of each layer, per complete hour.
#[utoipa::path(
    get,
    path = "/api/history/network",
    operation_id = "networkHistory",
    tag = "history",
    params(Period),
    responses(
        (status = 200, description = "Oldest first", body = Vec<LayerPoint>),
        (status = 400, description = "A parameter is invalid.", body = Refusal),
    )
)]
pub(super) async fn network(
    State(service): State<Service>,
    query: Result<Query<Period>, QueryRejection>,
) -> Result<Json<Vec<LayerPoint>>, ApiError> {
    let Query(Period { hours }) = query?;
    Ok(Json(service.network_history(hours, now_ns()).await?))
}
