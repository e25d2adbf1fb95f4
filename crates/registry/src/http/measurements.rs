//! Measurements of network monitors, uptime reports, reputation, and the nodes' own packet counts.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use nym_mixnode_api::{
    Accepted, BatchMixStatus, BatchMixStatusReport, MixStatus, MixStatusReport, NextReport, PersistedMixMetric,
    PersistedMixStatus,
};
use serde::Deserialize;

use super::extract::{Body, Caller, Identity, Monitor, Privileged};
use super::report::{self, Report};
use super::{ApiError, CostlyAnswers, OK};
use crate::now_ns;
use crate::store::{REPUTATION_MAX, Store};

/// Shortest time between two metrics reports of a node, in seconds.
const REPORT_INTERVAL_MIN_S: u64 = 5;

/// Above 250 nodes, nodes report less often, so that this many reports arrive per second.
const REPORTS_PER_SECOND: u64 = 50;

type Created = (StatusCode, Json<Accepted>);

/// Query of a request to set the reputation.
#[derive(Debug, Deserialize)]
pub(super) struct NewReputation {
    reputation: i64,
}

pub(super) async fn add(
    _monitor: Monitor,
    State(store): State<Store>,
    Body(status): Body<MixStatus>,
) -> Result<Created, ApiError> {
    store.add_statuses(&[status], now_ns()).await?;
    Ok((StatusCode::CREATED, OK))
}

pub(super) async fn add_batch(
    _monitor: Monitor,
    State(store): State<Store>,
    Body(batch): Body<BatchMixStatus>,
) -> Result<Created, ApiError> {
    store.add_statuses(&batch.status, now_ns()).await?;
    Ok((StatusCode::CREATED, OK))
}

pub(super) async fn history(
    State(store): State<Store>,
    Identity(identity): Identity,
) -> Result<Json<Vec<PersistedMixStatus>>, ApiError> {
    Ok(Json(store.history(&identity).await?))
}

pub(super) async fn uptime_report(
    State(store): State<Store>,
    Identity(identity): Identity,
) -> Result<Json<MixStatusReport>, ApiError> {
    let report = store.report(&identity, now_ns()).await?;
    report.map(Json).ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "this node has not been measured yet"))
}

pub(super) async fn full_report(
    State(store): State<Store>,
    State(costly): State<Arc<CostlyAnswers>>,
) -> Result<([(HeaderName, &'static str); 1], Bytes), ApiError> {
    let make = async {
        let report = BatchMixStatusReport { report: store.full_report(now_ns()).await? };
        serde_json::to_vec(&report).map_err(|error| ApiError::from(sqlx::Error::Encode(error.into())))
    };
    let json = costly.full_report.get(store.generation(), make).await?;
    Ok(([(CONTENT_TYPE, "application/json")], json))
}

pub(super) async fn set_reputation(
    _privileged: Privileged,
    State(store): State<Store>,
    Identity(identity): Identity,
    query: Result<Query<NewReputation>, QueryRejection>,
) -> Result<Json<Accepted>, ApiError> {
    let Query(NewReputation { reputation }) =
        query.map_err(|rejection| ApiError::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    if !(0..=REPUTATION_MAX).contains(&reputation) {
        let message = format!("reputation {reputation} is not between 0 and {REPUTATION_MAX}");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, message));
    }
    if store.set_reputation(&identity, reputation).await? {
        return Ok(OK);
    }
    Err(ApiError::new(StatusCode::NOT_FOUND, "no node with this identity is registered or has reputation"))
}

pub(super) async fn add_metric(
    State(store): State<Store>,
    Caller(from): Caller,
    request: Request,
) -> Result<(StatusCode, Json<NextReport>), ApiError> {
    let Report { pub_key, received } = report::read(request.into_body()).await?;
    if !store.put_metric(&pub_key, received, now_ns()).await? {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "pubKey is not registered; register the node first"));
    }
    store.renew(&pub_key, from, now_ns()).await?;
    let next_report_in = REPORT_INTERVAL_MIN_S.max(store.node_count().await? / REPORTS_PER_SECOND);
    Ok((StatusCode::CREATED, Json(NextReport { next_report_in })))
}

/// Counts of single nodes are for the operator. Other callers get an empty list, as in a network without reports.
pub(super) async fn metrics(
    privileged: Option<Privileged>,
    State(store): State<Store>,
) -> Result<Json<Vec<PersistedMixMetric>>, ApiError> {
    match privileged {
        Some(Privileged) => Ok(Json(store.metrics().await?)),
        None => Ok(Json(Vec::new())),
    }
}
