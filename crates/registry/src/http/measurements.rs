//! Measurements of network monitors, uptime reports, reputation, and the nodes' own packet counts.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use bytes::Bytes;
use nym_mixnode_api::{
    Accepted, BatchMixStatus, BatchMixStatusReport, MixStatus, MixStatusReport, NextReport, PersistedMixMetric,
    PersistedMixStatus, Refusal,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::extract::{Body, Caller, Identity, Monitor, Privileged, check_origin};
use super::report::{self, Report};
use super::{ApiError, CostlyAnswers, OK};
use crate::now_ns;
use crate::service::{Rejection, Service};

type Created = (StatusCode, Json<Accepted>);

/// Query of a request to set the reputation.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct NewReputation {
    #[param(minimum = 0, maximum = 1_000_000_000)]
    reputation: i64,
}

/// Report one measurement.
#[utoipa::path(
    post,
    path = "/api/mixmining",
    operation_id = "addMeasurement",
    tag = "measurements",
    request_body = MixStatus,
    responses(
        (status = 201, description = "Stored", body = Accepted),
        (status = 400, description = "The body is invalid.", body = Refusal),
        (status = 403, description = "The token is missing or wrong.", body = Refusal),
    ),
    security(("monitorToken" = []))
)]
pub(super) async fn add(
    Monitor(reporter): Monitor,
    State(service): State<Service>,
    Body(status): Body<MixStatus>,
) -> Result<Created, ApiError> {
    service.add_statuses(&reporter, &[status], now_ns()).await?;
    Ok((StatusCode::CREATED, OK))
}

/// Report the measurements of a round.
#[utoipa::path(
    post,
    path = "/api/mixmining/batch",
    operation_id = "addMeasurements",
    tag = "measurements",
    request_body = BatchMixStatus,
    responses(
        (status = 201, description = "Stored", body = Accepted),
        (status = 400, description = "The body is invalid.", body = Refusal),
        (status = 403, description = "The token is missing or wrong.", body = Refusal),
    ),
    security(("monitorToken" = []))
)]
pub(super) async fn add_batch(
    Monitor(reporter): Monitor,
    State(service): State<Service>,
    Body(batch): Body<BatchMixStatus>,
) -> Result<Created, ApiError> {
    service.add_statuses(&reporter, &batch.status, now_ns()).await?;
    Ok((StatusCode::CREATED, OK))
}

/// List the newest measurements of a node.
#[utoipa::path(
    get,
    path = "/api/mixmining/node/{identity}/history",
    operation_id = "measurementsOfNode",
    tag = "measurements",
    params(Identity),
    responses(
        (status = 200, description = "At most 1000, newest first; empty for an unknown node", body = Vec<PersistedMixStatus>),
        (status = 400, description = "The identity is invalid.", body = Refusal),
    )
)]
pub(super) async fn history(
    State(service): State<Service>,
    Identity(identity): Identity,
) -> Result<Json<Vec<PersistedMixStatus>>, ApiError> {
    Ok(Json(service.statuses(&identity).await?))
}

/// Return the uptime of a node.
#[utoipa::path(
    get,
    path = "/api/mixmining/node/{identity}/report",
    operation_id = "uptimeOfNode",
    tag = "measurements",
    params(Identity),
    responses(
        (status = 200, description = "The uptime", body = MixStatusReport),
        (status = 400, description = "The identity is invalid.", body = Refusal),
        (status = 404, description = "The node has not been measured yet.", body = Refusal),
    )
)]
pub(super) async fn uptime_report(
    State(service): State<Service>,
    Identity(identity): Identity,
) -> Result<Json<MixStatusReport>, ApiError> {
    Ok(Json(service.report(&identity, now_ns()).await?))
}

/// Return the uptime of every node that was measured in the last day.
#[utoipa::path(
    get,
    path = "/api/mixmining/fullreport",
    operation_id = "uptimes",
    tag = "measurements",
    responses(
        (status = 200, description = "The uptimes", body = BatchMixStatusReport),
    )
)]
pub(super) async fn full_report(
    State(service): State<Service>,
    State(costly): State<Arc<CostlyAnswers>>,
) -> Result<([(HeaderName, &'static str); 1], Bytes), ApiError> {
    let generation = service.generation();
    let make = async move {
        let report = BatchMixStatusReport { report: service.full_report(now_ns()).await? };
        let json = serde_json::to_vec(&report).map_err(|error| Rejection::Store(sqlx::Error::Encode(error.into())))?;
        Ok::<_, Rejection>(Bytes::from(json))
    };
    let json = costly.full_report.get(generation, make).await?;
    Ok(([(CONTENT_TYPE, "application/json")], json))
}

/// Set the reputation of a node that is or was registered.
#[utoipa::path(
    patch,
    path = "/api/mixmining/reputation/{identity}",
    operation_id = "setReputation",
    tag = "measurements",
    params(Identity, NewReputation),
    responses(
        (status = 200, description = "Set", body = Accepted),
        (status = 400, description = "A parameter is invalid.", body = Refusal),
        (status = 403, description = "The token is missing or wrong.", body = Refusal),
        (status = 404, description = "The identity was never registered.", body = Refusal),
    ),
    security(("monitorToken" = []))
)]
pub(super) async fn set_reputation(
    _privileged: Privileged,
    State(service): State<Service>,
    Identity(identity): Identity,
    query: Result<Query<NewReputation>, QueryRejection>,
) -> Result<Json<Accepted>, ApiError> {
    let Query(NewReputation { reputation }) = query?;
    service.set_reputation(&identity, reputation).await?;
    Ok(OK)
}

/// Report the packets of a registered node.
#[utoipa::path(
    post,
    path = "/api/metrics/mixes",
    operation_id = "reportPackets",
    tag = "measurements",
    request_body = Report,
    responses(
        (status = 201, description = "Stored. `nextReportIn` has the seconds until the next report", body = NextReport),
        (status = 400, description = "The body is invalid.", body = Refusal),
        (status = 404, description = "The node is not registered.", body = Refusal),
    )
)]
pub(super) async fn add_metric(
    State(service): State<Service>,
    Caller(from): Caller,
    request: Request,
) -> Result<(StatusCode, Json<NextReport>), ApiError> {
    check_origin(request.headers())?;
    let Report { pub_key, received } = report::read(request.into_body()).await?;
    let next_report_in = service.add_metric(&pub_key, received, from, now_ns()).await?;
    Ok((StatusCode::CREATED, Json(NextReport { next_report_in })))
}

/// List the latest packet counts of the nodes.
///
/// Counts of single nodes are for the operator. Other callers get an empty list, as in a network without reports.
#[utoipa::path(
    get,
    path = "/api/metrics/mixes",
    operation_id = "packets",
    tag = "measurements",
    responses(
        (status = 200, description = "The counts", body = Vec<PersistedMixMetric>),
        (status = 403, description = "The token is wrong.", body = Refusal),
    ),
    security((), ("monitorToken" = []))
)]
pub(super) async fn metrics(
    privileged: Option<Privileged>,
    State(service): State<Service>,
) -> Result<Json<Vec<PersistedMixMetric>>, ApiError> {
    match privileged {
        Some(Privileged) => Ok(Json(service.metrics().await?)),
        None => Ok(Json(Vec::new())),
    }
}
