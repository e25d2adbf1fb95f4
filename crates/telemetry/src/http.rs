//! The node's answers by HTTP, for its operator: `/livez`, `/readyz`, `/status` and `/metrics`.
//!
//! Everything is answered from memory, at once. A request has no body that is read, and no effect.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
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

/// An operator, an orchestrator and a collector or two.
const LIMITS: Limits = Limits {
    // More than a browser, a collector and a health check on one machine open together, and few enough that whoever
    // else reaches the port leaves room for the orchestrator's probe, on which the node's life depends.
    places: PlaceLimits { total: 64, per_network: 32, per_subscriber: 16 },
    head_timeout: Duration::from_secs(5),
    write_timeout: Duration::from_secs(5),
    lifetime: Duration::from_secs(60),
    grace: Duration::from_secs(1),
};

/// Whom the answers are about.
pub trait StatusSource: Send + Sync + 'static {
    /// Whether the process does its work; what is wrong if it doesn't, and only a restart helps.
    fn liveness(&self) -> Result<(), Problem>;
    /// Whether packets should be sent here; what is missing if they shouldn't.
    fn readiness(&self) -> Result<(), Problem>;
    /// Everything else.
    fn status(&self) -> Status;
    /// The metrics.
    fn readings(&self) -> Vec<Reading>;
}

/// Why the answer is no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For programs.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

/// Why a node is not alive or not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A worker does not turn any more.
    WorkerStalled,
    /// The node stops.
    Draining,
    /// Nothing is forwarded, for no next hop is known.
    NoTopology,
    /// The directory has not listed the node, and said why, or could not be reached.
    DirectoryError,
    /// The directory has not listed the node yet.
    NotRegistered,
    /// Nothing is known yet under which others could reach the node: a load balancer is being made.
    NoAnnounceAddress,
}

/// The answer to `/livez` and `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether all is well.
    pub ok: bool,
    /// What isn't.
    #[serde(flatten)]
    pub problem: Option<Problem>,
}

/// The answer to `/status`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// This release.
    pub version: &'static str,
    /// The protocol that the node registers with.
    pub protocol_version: &'static str,
    /// The public identity key, base58.
    pub identity_key: String,
    /// The public Sphinx key, base58.
    pub sphinx_key: String,
    /// The layer of the mix network.
    pub layer: u64,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// As `/readyz` says.
    pub ready: Answer,
    /// As `/livez` says.
    pub live: Answer,
    /// Where packets are accepted.
    pub listen: Vec<AddressReport>,
    /// Where the other nodes send them.
    pub announce: Vec<AddressReport>,
    /// Where the directory is, and how it lists the node.
    pub directory: DirectoryStatus,
    /// The topology that the node goes by.
    pub topology: Option<TopologyStatus>,
    /// Threads that mix.
    pub workers: usize,
    /// What the node may take.
    pub limits: LimitsStatus,
    /// Which copies of packets are recognised.
    pub replay: ReplayStatus,
    /// Rounded counts of closed windows.
    pub packets: Packets,
}

/// The directory, as far as the node knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DirectoryStatus {
    /// Where it is.
    pub url: String,
    /// Whether it lists the node.
    pub registered: bool,
    /// When it last took a registration of the node, in seconds since the epoch.
    pub registered_at: Option<u64>,
    /// What is wrong with it, if anything is.
    pub problem: Option<String>,
}

/// The topology, as far as anybody may know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopologyStatus {
    /// Mixnodes in it with an address that packets may be sent to.
    pub mixes: usize,
    /// Gateways in it with such an address.
    pub gateways: usize,
    /// Nodes in it without one.
    pub skipped: usize,
    /// Some of these.
    pub skipped_nodes: Vec<SkippedNode>,
    /// Seconds since it was fetched; none for the one that an earlier run had kept.
    pub age_s: Option<u64>,
}

/// A listed node that packets cannot be sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkippedNode {
    /// As listed.
    pub identity: String,
    /// Why: its host, and what is wrong with it.
    pub reason: String,
}

/// What the node may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitsStatus {
    /// Open files: the limit that counts. None is no limit.
    pub nofile_soft: Option<u64>,
    /// Open files: what the soft limit can be raised to. None is no limit.
    pub nofile_hard: Option<u64>,
    /// How the hard limit is raised where the node runs.
    pub nofile_remedy: String,
    /// Bytes that all packets in the node may take together.
    pub memory_bytes: usize,
    /// Incoming connections in all.
    pub connections_max: usize,
}

/// The replay filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayStatus {
    /// Seconds for which a copy is recognised at least, up to `expected_rate`.
    pub window_s: u64,
    /// Forwarded packets per second that memory is reserved for.
    pub expected_rate: u64,
    /// Bytes reserved.
    pub memory_bytes: usize,
    /// Generations that were full before their time, up to the end of the last window: each shortened the window.
    pub early_ends: u64,
}

/// The address cannot be served on.
#[derive(Debug, Error)]
#[error("cannot serve HTTP on {address}: {source}; set http.listen (--http-listen) to another address, or to off")]
pub struct BindError {
    /// As configured.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// A bound server.
#[derive(Debug)]
pub struct HttpServer(Server);

impl HttpServer {
    /// Binds. Needs a Tokio runtime.
    ///
    /// # Errors
    /// When the address is taken or not this machine's.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        Server::bind(&[address], LIMITS)
            .map(Self)
            .map_err(|ListenError { address, source }| BindError { address, source })
    }

    /// Where it listens, with the port that port 0 became.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.local_addrs().first().copied()
    }

    /// Answers for as long as it is polled.
    pub async fn serve(self, subject: Arc<dyn StatusSource>) {
        self.0.serve(router(subject), std::future::pending()).await;
    }
}

/// What is answered, without a socket.
pub fn router(subject: Arc<dyn StatusSource>) -> Router {
    let refuse = |status: StatusCode, words: &'static str| async move { uncached((status, words)) };
    let method = move || async move {
        let allow = [(ALLOW, HeaderValue::from_static("GET,HEAD"))];
        uncached((StatusCode::METHOD_NOT_ALLOWED, allow, "only GET\n"))
    };
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .fallback(move || refuse(StatusCode::NOT_FOUND, "here are /livez, /readyz, /status and /metrics\n"))
        .method_not_allowed_fallback(method)
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
    let content_type = [(CONTENT_TYPE, HeaderValue::from_static(format.content_type()))];
    uncached((content_type, exposition::text(&subject.readings(), format)))
}

/// One line for people; JSON for who asks for it.
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
    ([(CACHE_CONTROL, HeaderValue::from_static("no-store"))], response).into_response()
}

impl From<Result<(), Problem>> for Answer {
    fn from(verdict: Result<(), Problem>) -> Self {
        Self { ok: verdict.is_ok(), problem: verdict.err() }
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
