//! Requests to the registry, and their latencies.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_api::Topology;
use nym_mixnode_api::signing::{self, RegistryKey};
use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use url::Url;

use crate::network::SimulatedNetwork;
use crate::support::PATIENCE;

/// Concurrent registrations while the store fills.
const AT_ONCE: usize = 8;

pub(crate) struct Api {
    client: Client,
    url: Url,
    registry: RegistryKey,
    token: String,
}

/// Connections at a time, fewer than the registry takes from one address. Requests that are due wait.
const CONNECTIONS: usize = 200;

/// Starts `count` requests at a rate; returns the milliseconds from when each was due until it was answered.
pub(crate) async fn at_rate<F>(rate: f64, count: usize, request: impl Fn(usize) -> F) -> Vec<f64>
where
    F: Future<Output = ()> + Send + 'static,
{
    let start = Instant::now();
    let mut running = JoinSet::new();
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    for at in 0..count {
        let due = start + Duration::from_secs_f64(at as f64 / rate);
        sleep_until(due).await;
        let (request, connections) = (request(at), Arc::clone(&connections));
        running.spawn(async move {
            let _permit = connections.acquire().await.expect("an open semaphore");
            request.await;
            due.elapsed().as_secs_f64() * 1e3
        });
    }
    running.join_all().await
}

async fn send(request: RequestBuilder, expected: StatusCode) -> Response {
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), expected, "{}", response.url());
    response
}

/// Sends a request and reads its answer.
async fn complete(request: RequestBuilder, expected: StatusCode) {
    send(request, expected).await.bytes().await.expect("a body");
}

impl Api {
    /// Requests to the registry whose store is in `home`.
    pub(crate) async fn new(url: &Url, home: &Path) -> Self {
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        let token = fs::read_to_string(home.join("monitor.token")).expect("the token").trim().to_owned();
        let mut api = Self { client, url: url.clone(), registry: [0; 32], token };
        let key = api.listed().await.registry_key.expect("a registry that signs");
        api.registry = signing::decode(&key).expect("a key");
        api
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url.join(path).expect("a path"))
    }

    fn post(&self, path: &str, body: &impl serde::Serialize) -> RequestBuilder {
        self.client.post(self.url.join(path).expect("a path")).json(body)
    }

    pub(crate) async fn listed(&self) -> Topology {
        send(self.get("api/mixmining/topology"), StatusCode::OK).await.json().await.expect("a topology")
    }

    /// Registers nodes as fast as the registry allows.
    pub(crate) async fn register_all(&self, network: &SimulatedNetwork, nodes: Range<usize>) {
        let mut running = JoinSet::new();
        for node in nodes {
            if running.len() == AT_ONCE {
                running.join_next().await.expect("a request").expect("an answer");
            }
            running.spawn(self.register(network, node, 1));
        }
        running.join_all().await;
    }

    pub(crate) fn register(
        &self,
        network: &SimulatedNetwork,
        node: usize,
        number: u64,
    ) -> impl Future<Output = ()> + Send + 'static {
        let entry = network.registration(node, &self.registry, number);
        complete(self.post("api/mixmining/register/mix", &entry), StatusCode::OK)
    }

    /// Reports a passed measurement of each node over each IP version.
    pub(crate) async fn measurements(&self, network: &SimulatedNetwork) {
        let batch = self.post("api/mixmining/batch", &network.measurements());
        complete(batch.bearer_auth(&self.token), StatusCode::CREATED).await;
    }

    /// Tag and length of the topology.
    pub(crate) async fn topology(&self) -> (String, usize) {
        let response = send(self.get("api/mixmining/topology"), StatusCode::OK).await;
        let tag = response.headers()[ETAG].to_str().expect("a tag").to_owned();
        (tag, response.bytes().await.expect("a body").len())
    }

    pub(crate) fn unchanged(&self, tag: &str) -> impl Future<Output = ()> + Send + 'static {
        complete(self.get("api/mixmining/topology").header(IF_NONE_MATCH, tag), StatusCode::NOT_MODIFIED)
    }

    /// Whether the topology still has this tag.
    pub(crate) async fn is_unchanged(&self, tag: &str) -> bool {
        let request = self.get("api/mixmining/topology").header(IF_NONE_MATCH, tag);
        request.send().await.expect("an answer").status() == StatusCode::NOT_MODIFIED
    }

    pub(crate) fn whole_topology(&self) -> impl Future<Output = ()> + Send + 'static {
        complete(self.get("api/mixmining/topology"), StatusCode::OK)
    }

    /// As a node that has an earlier topology: the response is only begun, because its length is measured elsewhere.
    pub(crate) fn latest_topology(&self, tag: &str) -> impl Future<Output = ()> + Send + 'static {
        let request = self.get("api/mixmining/topology").header(IF_NONE_MATCH, tag);
        async move {
            request.send().await.expect("an answer");
        }
    }

    /// A page of the explorer.
    pub(crate) fn page(&self, path: &str) -> impl Future<Output = ()> + Send + 'static + use<> {
        complete(self.get(path), StatusCode::OK)
    }
}
