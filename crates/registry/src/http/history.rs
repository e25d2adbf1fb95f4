//! Uptime, reputation, registrations and traffic over time.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::ApiError;
use super::extract::Identity;
use crate::now_ns;
use crate::service::{LayerPoint, NodePoint, Service};

/// Query of a history: its length.
#[derive(Debug, Deserialize)]
pub(super) struct Period {
    #[serde(default = "day")]
    hours: i64,
}

fn day() -> i64 {
    24
}

/// Measurements and reputation of one node, per hour.
pub(super) async fn node(
    State(service): State<Service>,
    Identity(identity): Identity,
    query: Result<Query<Period>, QueryRejection>,
) -> Result<Json<Vec<NodePoint>>, ApiError> {
    let Query(Period { hours }) = query?;
    Ok(Json(service.node_history(&identity, hours, now_ns()).await?))
}

/// Totals of each layer, per hour.
pub(super) async fn network(
    State(service): State<Service>,
    query: Result<Query<Period>, QueryRejection>,
) -> Result<Json<Vec<LayerPoint>>, ApiError> {
    let Query(Period { hours }) = query?;
    Ok(Json(service.network_history(hours, now_ns()).await?))
}
