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
    PersistedMixStatus,
};
use serde::Deserialize;

use super::extract::{Body, Caller, Identity, Monitor, Privileged, check_origin};
use super::report::{self, Report};
use super::{ApiError, CostlyAnswers, OK};
use crate::now_ns;
use crate::service::{Rejection, Service};

type Created = (StatusCode, Json<Accepted>);

/// Query of a request to set the reputation.
#[derive(Debug, Deserialize)]
pub(super) struct NewReputation {
    reputation: i64,
}

pub(super) async fn add(
    _monitor: Monitor,
    State(service): State<Service>,
    Body(status): Body<MixStatus>,
) -> Result<Created, ApiError> {
    service.add_statuses(&[status], now_ns()).await?;
    Ok((StatusCode::CREATED, OK))
}

pub(super) async fn add_batch(
    _monitor: Monitor,
    State(service): State<Service>,
    Body(batch): Body<BatchMixStatus>,
) -> Result<Created, ApiError> {
    service.add_statuses(&batch.status, now_ns()).await?;
    Ok((StatusCode::CREATED, OK))
}

pub(super) async fn history(
    State(service): State<Service>,
    Identity(identity): Identity,
) -> Result<Json<Vec<PersistedMixStatus>>, ApiError> {
    Ok(Json(service.statuses(&identity).await?))
}

pub(super) async fn uptime_report(
    State(service): State<Service>,
    Identity(identity): Identity,
) -> Result<Json<MixStatusReport>, ApiError> {
    Ok(Json(service.report(&identity, now_ns()).await?))
}

pub(super) async fn full_report(
    State(service): State<Service>,
    State(costly): State<Arc<CostlyAnswers>>,
) -> Result<([(HeaderName, &'static str); 1], Bytes), ApiError> {
    let make = async {
        let report = BatchMixStatusReport { report: service.full_report(now_ns()).await? };
        let json = serde_json::to_vec(&report).map_err(|error| Rejection::Store(sqlx::Error::Encode(error.into())))?;
        Ok::<_, Rejection>(Bytes::from(json))
    };
    let json = costly.full_report.get(service.generation(), make).await?;
    Ok(([(CONTENT_TYPE, "application/json")], json))
}

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

/// Counts of single nodes are for the operator. Other callers get an empty list, as in a network without reports.
pub(super) async fn metrics(
    privileged: Option<Privileged>,
    State(service): State<Service>,
) -> Result<Json<Vec<PersistedMixMetric>>, ApiError> {
    match privileged {
        Some(Privileged) => Ok(Json(service.metrics().await?)),
        None => Ok(Json(Vec::new())),
    }
}
