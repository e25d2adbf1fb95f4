//! The node's HTTP endpoints for its operator: `/livez`, `/readyz`, `/status` and `/metrics`.
//!
//! All answers come from memory, without waiting. Request bodies are not read, and no request changes anything.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use nym_mixnode_address::AddressReport;
use nym_mixnode_http::{Limits, ListenError, PlaceLimits, Server};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::exposition::{self, Format};
use super::readings::Reading;
use super::window::Packets;

/// Connection limits: enough for an operator, an orchestrator and a collector or two.
const LIMITS: Limits = Limits {
    // One address may open more connections than a browser, a collector and a health check on one machine need, but few
    // enough that other clients cannot block the orchestrator's liveness probe.
    places: PlaceLimits { total: 64, per_network: 32, per_subscriber: 16 },
    head_timeout: Duration::from_secs(5),
    write_timeout: Duration::from_secs(5),
    lifetime: Duration::from_secs(60),
    grace: Duration::from_secs(1),
};

/// Source of the data that is served.
pub trait StatusSource: Send + Sync + 'static {
    /// Whether the process works. The error is a problem that only a restart solves.
    fn liveness(&self) -> Result<(), Problem>;
    /// Whether packets should be sent to this node. The error describes what is missing.
    fn readiness(&self) -> Result<(), Problem>;
    /// The answer to `/status`.
    fn status(&self) -> Status;
    /// The values for `/metrics`.
    fn readings(&self) -> Vec<Reading>;
}

/// A reason why the node is not alive or not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The reason for programs.
    pub reason: Reason,
    /// The reason for people.
    pub message: String,
}

/// Reasons why a node is not alive or not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A worker thread is stuck.
    WorkerStalled,
    /// The node is shutting down.
    Draining,
    /// Nothing is forwarded because no next hop is known.
    NoTopology,
    /// The directory rejected the registration, or is unreachable.
    DirectoryError,
    /// The directory has not listed the node yet.
    NotRegistered,
    /// No announce address is known yet, for example while a load balancer is being created.
    NoAnnounceAddress,
}

/// The answer to `/livez` and `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether the check passed.
    pub ok: bool,
    /// The problem, if it did not pass.
    #[serde(flatten)]
    pub problem: Option<Problem>,
}

/// The answer to `/status`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Version of this release.
    pub version: &'static str,
    /// Protocol version of the registration.
    pub protocol_version: &'static str,
    /// Public identity key, base58.
    pub identity_key: String,
    /// Public Sphinx key, base58.
    pub sphinx_key: String,
    /// Layer of the mix network; gateways have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<u64>,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// The result of `/readyz`.
    pub ready: Answer,
    /// The result of `/livez`.
    pub live: Answer,
    /// The bind addresses.
    pub listen: Vec<AddressReport>,
    /// The announce addresses.
    pub announce: Vec<AddressReport>,
    /// The directory's address and state.
    pub directory: DirectoryStatus,
    /// The topology in use.
    pub topology: Option<TopologyStatus>,
    /// Number of worker threads.
    pub workers: usize,
    /// The implementation that unwraps packets.
    pub engine: &'static str,
    /// Resource limits of the node.
    pub limits: LimitsStatus,
    /// State of the replay filter.
    pub replay: ReplayStatus,
    /// Rounded packet counts of closed windows; gateways export none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets: Option<Packets>,
}

/// What the node knows about the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DirectoryStatus {
    /// Its URL.
    pub url: String,
    /// Whether it lists the node.
    pub registered: bool,
    /// Time of the last accepted registration, in seconds since the epoch.
    pub registered_at: Option<u64>,
    /// The current problem with the directory, if any.
    pub problem: Option<String>,
}

/// The topology, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopologyStatus {
    /// Mixnodes in it with a usable address.
    pub mixes: usize,
    /// Gateways in it with a usable address.
    pub gateways: usize,
    /// Nodes in it without a usable address.
    pub skipped: usize,
    /// Examples of these.
    pub skipped_nodes: Vec<SkippedNode>,
    /// Seconds since it was fetched; `None` for a topology kept by an earlier run.
    pub age_s: Option<u64>,
}

/// A listed node to which packets cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkippedNode {
    /// The node as listed.
    pub identity: String,
    /// The reason: its host, and what is wrong with it.
    pub reason: String,
}

/// Resource limits of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitsStatus {
    /// Soft limit on open files, which applies. `None` is unlimited.
    pub nofile_soft: Option<u64>,
    /// Hard limit on open files. `None` is unlimited.
    pub nofile_hard: Option<u64>,
    /// How to raise the hard limit in this environment.
    pub nofile_remedy: String,
    /// Byte budget for all packets in the node together.
    pub memory_bytes: usize,
    /// Limit of incoming connections in total.
    pub connections_max: usize,
    /// How often each limit was reached, up to the end of the last window, rounded up; only those that were.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reached: BTreeMap<String, u64>,
}

/// The replay filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayStatus {
    /// Seconds for which a copy is recognised at least, at rates up to `expected_rate`.
    pub window_s: u64,
    /// Forwarded packets per second for which memory is reserved.
    pub expected_rate: u64,
    /// Reserved memory in bytes.
    pub memory_bytes: usize,
    /// Generations that filled up early, up to the end of the last window. Each of them shortened the window.
    pub early_ends: u64,
}

/// The HTTP address cannot be bound.
#[derive(Debug, Error)]
#[error("cannot serve HTTP on {address}: {source}; set http.listen (--http-listen) to another address, or to off")]
pub struct BindError {
    /// The configured address.
    pub address: SocketAddr,
    /// The cause.
    #[source]
    pub source: io::Error,
}

/// A bound HTTP server.
#[derive(Debug)]
pub struct HttpServer(Server);

impl HttpServer {
    /// Binds the address. Needs a Tokio runtime.
    ///
    /// # Errors
    /// If the address is in use or not local.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        Server::bind(&[address], LIMITS)
            .map(Self)
            .map_err(|ListenError { address, source }| BindError { address, source })
    }

    /// The bound address; port 0 is replaced by the actual port.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.local_addrs().first().copied()
    }

    /// Serves requests for as long as it is polled.
    pub async fn serve(self, subject: Arc<dyn StatusSource>) {
        self.0.serve(router(subject), std::future::pending()).await;
    }
}

/// The routes, independent of a socket.
pub fn router(subject: Arc<dyn StatusSource>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .fallback(|| async {
            uncached((StatusCode::NOT_FOUND, "not found; available: /livez, /readyz, /status and /metrics\n"))
        })
        .method_not_allowed_fallback(|| async {
            uncached((StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET,HEAD")], "only GET\n"))
        })
        .with_state(subject)
}

async fn livez(State(subject): State<Arc<dyn StatusSource>>, headers: HeaderMap) -> Response {
    answer(subject.liveness(), "alive", &headers)
}

async fn readyz(State(subject): State<Arc<dyn StatusSource>>, headers: HeaderMap) -> Response {
    answer(subject.readiness(), "ready", &headers)
}

async fn status(State(subject): State<Arc<dyn StatusSource>>) -> Response {
    uncached(Json(subject.status()))
}

async fn metrics(State(subject): State<Arc<dyn StatusSource>>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::of_accept(accept);
    let content_type = [(CONTENT_TYPE, format.content_type())];
    uncached((content_type, exposition::text(&subject.readings(), format)))
}

/// Answers with one line of text, or with JSON if the request accepts it.
fn answer(verdict: Result<(), Problem>, word: &str, headers: &HeaderMap) -> Response {
    let code = if verdict.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let wants_json = headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"application/json"));
    if wants_json {
        return uncached((code, Json(Answer::from(verdict))));
    }
    match verdict {
        Ok(()) => uncached((code, format!("{word}\n"))),
        Err(problem) => uncached((code, format!("not {word}: {}\n", problem.message))),
    }
}

fn uncached(response: impl IntoResponse) -> Response {
    ([(CACHE_CONTROL, "no-store")], response).into_response()
}

impl From<Result<(), Problem>> for Answer {
    fn from(verdict: Result<(), Problem>) -> Self {
        Self { ok: verdict.is_ok(), problem: verdict.err() }
    }
}

#[cfg(test)]
mod tests;
