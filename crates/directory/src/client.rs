//! HTTP client of the directory.

mod request;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use nym_mixnode_api::{
    BatchMixStatus, CounterReply, GatewayRegistration, IpVersion, LayerTotals, MixMetric, MixRegistration, NextReport,
    Proof, RegistrationReply, Topology,
};
use nym_mixnode_base::cause::innermost;
use nym_mixnode_base::http_client;
use reqwest::header::{DATE, ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Certificate, Method, StatusCode};
use serde::Serialize;
use url::Url;
use zeroize::Zeroizing;

pub(crate) use request::one_line;
pub use request::with_status;

use self::request::Request;
use super::{Directory, DirectoryError};
use crate::trust::read_authorities;
use crate::{DirectoryConfig, MonitorToken, read_join_token};

const RELEASE: &str = "release the identity";

/// Limits of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// Time limit for connecting, including name resolution and TLS.
    pub connect_timeout: Duration,
    /// Time limit until the last byte of the reply.
    pub total_timeout: Duration,
    /// Maximum length of a reply's body in bytes; a longer one is an error.
    pub body_bytes_max: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            total_timeout: Duration::from_secs(10),
            body_bytes_max: 16 << 20,
        }
    }
}

/// Result of an unregistration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unregistered {
    /// The registration was removed.
    Removed,
    /// There was no registration.
    NotListed,
}

/// Client of a directory over HTTP. It follows no redirects and ignores proxy settings of the environment, because a
/// directory identifies a node by its source address.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    directory: Url,
    metrics: Url,
    location: String,
    limits: ClientLimits,
    /// The only trusted authorities; `None` trusts those of the system.
    authorities: Option<Vec<Certificate>>,
    join_token: Option<Zeroizing<Vec<u8>>>,
    /// The last topology, which the directory need not send again while it is current.
    last_topology: Arc<Mutex<Option<Tagged>>>,
}

/// A topology with the tag that the directory gave it.
#[derive(Clone)]
struct Tagged {
    tag: HeaderValue,
    topology: Arc<Topology>,
}

impl Client {
    /// Creates a client of the directory and the metrics server at these base URLs, which may have a path prefix.
    ///
    /// # Errors
    /// When a URL is not `http` or `https`, or TLS cannot be set up.
    pub fn new(directory: &Url, metrics: &Url) -> Result<Self, DirectoryError> {
        Self::with_limits(directory, metrics, ClientLimits::default())
    }

    /// As [`Client::new`], with other limits.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_limits(directory: &Url, metrics: &Url, limits: ClientLimits) -> Result<Self, DirectoryError> {
        Self::trusting(None, directory, metrics, limits)
    }

    /// Creates a client of the configured directory.
    ///
    /// # Errors
    /// As [`Client::trusting`].
    pub fn of(config: &DirectoryConfig, limits: ClientLimits) -> Result<Self, DirectoryError> {
        Self::trusting(config.ca_file.as_deref(), &config.url, &config.metrics_url, limits)
    }

    /// As [`Client::with_limits`], trusting only the authorities whose certificates are in this file; `None` trusts those
    /// of the system.
    ///
    /// # Errors
    /// As [`Client::new`], and when the file has no certificates.
    pub fn trusting(
        ca_file: Option<&Path>,
        directory: &Url,
        metrics: &Url,
        limits: ClientLimits,
    ) -> Result<Self, DirectoryError> {
        for url in [directory, metrics] {
            if !matches!(url.scheme(), "http" | "https") {
                return Err(DirectoryError::BadUrl { url: printable(url), reason: "not an http or https URL" });
            }
        }
        let authorities = ca_file.map(read_authorities).transpose()?;
        let http = build([directory, metrics], authorities.as_deref(), limits, None)?;
        let location = printable(directory);
        let (directory, metrics) = (directory.clone(), metrics.clone());
        let (join_token, last_topology) = (None, Arc::default());
        Ok(Self { http, directory, metrics, location, limits, authorities, join_token, last_topology })
    }

    /// Uses the join token in this file to register with a closed directory; `None` uses no token.
    ///
    /// # Errors
    /// When the token cannot be read.
    pub fn with_join_token(self, file: Option<&Path>) -> Result<Self, DirectoryError> {
        Ok(Self { join_token: file.map(read_join_token).transpose()?, ..self })
    }

    /// Join token of a closed directory.
    pub fn join_token(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.join_token.clone()
    }

    /// The same client, which connects over this IP version only.
    fn over(&self, version: IpVersion) -> Result<Self, DirectoryError> {
        let local = match version {
            IpVersion::V4 => Ipv4Addr::UNSPECIFIED.into(),
            IpVersion::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        let urls = [&self.directory, &self.metrics];
        let http = build(urls, self.authorities.as_deref(), self.limits, Some(local))?;
        Ok(Self { http, ..self.clone() })
    }

    /// Removes the registration of this identity and releases it from signing, with its own signature.
    ///
    /// # Errors
    /// For all failures of a request; a directory without releases refuses the signature.
    pub async fn release_signed(&self, identity: &str, proof: &Proof) -> Result<(), DirectoryError> {
        self.removal(RELEASE, identity, true, Some(proof)).accepted().await
    }

    /// As [`Client::release_signed`], with the directory's token.
    ///
    /// # Errors
    /// For all failures of a request; 404 for an identity that has no entry and never signed.
    pub async fn release(&self, identity: &str, token: &MonitorToken) -> Result<(), DirectoryError> {
        self.removal(RELEASE, identity, true, None).with_token(token.reveal()).accepted().await
    }

    /// Removes the registration of this identity, with the directory's token.
    ///
    /// # Errors
    /// For all failures of a request; 404 for an identity that is not registered.
    pub async fn remove(&self, identity: &str, token: &MonitorToken) -> Result<(), DirectoryError> {
        self.removal("remove the node", identity, false, None).with_token(token.reveal()).accepted().await
    }

    /// Reports which nodes are up, with the registry's token. A 0.9.2 validator has no token, and accepts reports from
    /// its own machine.
    ///
    /// # Errors
    /// For all failures of a request; the directory refuses reports without its token.
    pub async fn report_status(&self, status: &BatchMixStatus, token: Option<&str>) -> Result<(), DirectoryError> {
        let request = self.request("report measurements", Method::POST, self.mixmining(&["batch"])).json(status);
        match token {
            Some(token) => request.with_token(token).accepted().await,
            None => request.accepted().await,
        }
    }

    /// Mixes and gateways of the active set, the only ones that clients use.
    ///
    /// # Errors
    /// For all failures of a request.
    pub async fn active_topology(&self) -> Result<Topology, DirectoryError> {
        self.request("fetch the active set", Method::GET, self.mixmining(&["topology", "active"])).reply().await
    }

    /// Totals of each layer in the last complete hours, oldest first. Directories of 0.9.2 refuse with 404.
    ///
    /// # Errors
    /// For all failures of a request.
    pub async fn layer_totals(&self, hours: u16) -> Result<Vec<LayerTotals>, DirectoryError> {
        let mut url = join(&self.directory, &["api", "history", "network"]);
        url.query_pairs_mut().append_pair("hours", &hours.to_string());
        self.request("fetch the totals of the network", Method::GET, url).reply().await
    }

    /// Checks that the directory lists nodes and, as far as it reports this, can store registrations.
    ///
    /// # Errors
    /// For all failures of a request; a directory that cannot write to its store responds with 503.
    pub async fn check_health(&self) -> Result<(), DirectoryError> {
        self.healthz(None).await
    }

    /// As [`Client::check_health`], and that each layer of its network has an active node.
    ///
    /// # Errors
    /// As [`Client::check_health`]; a directory with an empty layer responds with 503.
    pub async fn check_network(&self) -> Result<(), DirectoryError> {
        self.healthz(Some("deep")).await
    }

    /// The directory's clock, with a precision of a second; `None` if it does not report the time.
    pub async fn date(&self) -> Option<SystemTime> {
        let reply = self.http.head(self.directory.clone()).send().await.ok()?;
        httpdate::parse_http_date(reply.headers().get(DATE)?.to_str().ok()?).ok()
    }

    async fn healthz(&self, query: Option<&str>) -> Result<(), DirectoryError> {
        let mut url = join(&self.directory, &["healthz"]);
        url.set_query(query);
        match self.request("check the health", Method::GET, url).accepted().await {
            // A 0.9.2 validator does not have this path.
            Err(DirectoryError::Refused { status: 404, .. }) => self.topology().await.map(|_| ()),
            result => result,
        }
    }

    fn mixmining(&self, path: &[&str]) -> Url {
        join(&self.directory, &[&["api", "mixmining"], path].concat())
    }

    fn registration(
        &self,
        action: &'static str,
        role: &str,
        entry: &impl Serialize,
        over: Option<IpVersion>,
    ) -> Result<Request, DirectoryError> {
        let over = over.map(|version| self.over(version)).transpose()?;
        let client = over.as_ref().unwrap_or(self);
        Ok(client.request(action, Method::POST, self.mixmining(&["register", role])).json(entry))
    }

    fn removal(&self, action: &'static str, identity: &str, is_release: bool, proof: Option<&Proof>) -> Request {
        let mut url = self.mixmining(&["register", identity]);
        if is_release {
            url.query_pairs_mut().append_pair("release", "true");
        }
        if let Some(Proof { counter, signature, .. }) = proof {
            url.query_pairs_mut().append_pair("counter", &counter.to_string()).append_pair("signature", signature);
        }
        self.request(action, Method::DELETE, url)
    }

    fn request(&self, action: &'static str, method: Method, url: Url) -> Request {
        let mut shown = url.clone();
        shown.set_query(None);
        let builder = self.http.request(method, url);
        Request { action, url: printable(&shown), builder, body_bytes_max: self.limits.body_bytes_max }
    }
}

/// Omits credentials in the URLs.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Directory for Client {
    fn location(&self) -> &str {
        &self.location
    }

    /// A directory without signatures does not have this path.
    async fn counter(&self, identity: &str, nonce: &str) -> Result<Option<CounterReply>, DirectoryError> {
        let mut url = self.mixmining(&["counter", identity]);
        url.query_pairs_mut().append_pair("nonce", nonce);
        match self.request("ask for the last counter", Method::GET, url).reply().await {
            Ok(reply) => Ok(Some(reply)),
            Err(DirectoryError::Refused { status: 404 | 405, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn register_mix(
        &self,
        mix: &MixRegistration,
        over: Option<IpVersion>,
    ) -> Result<RegistrationReply, DirectoryError> {
        self.registration("register the node", "mix", mix, over)?.registered().await
    }

    async fn register_gateway(
        &self,
        gateway: &GatewayRegistration,
        over: Option<IpVersion>,
    ) -> Result<RegistrationReply, DirectoryError> {
        self.registration("register the gateway", "gateway", gateway, over)?.registered().await
    }

    /// Treats 404 as success: the registration is already gone.
    async fn unregister(&self, identity: &str, proof: Option<&Proof>) -> Result<Unregistered, DirectoryError> {
        match self.removal("unregister the node", identity, false, proof).accepted().await {
            Ok(()) => Ok(Unregistered::Removed),
            Err(DirectoryError::Refused { status: 404, .. }) => Ok(Unregistered::NotListed),
            Err(error) => Err(error),
        }
    }

    async fn topology(&self) -> Result<Topology, DirectoryError> {
        let request = self.request("fetch the topology", Method::GET, self.mixmining(&["topology"]));
        let last = self.last_topology.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (asked, answer) = match &last {
            Some(last) => request.with_header(IF_NONE_MATCH, last.tag.clone()).send().await?,
            None => request.send().await?,
        };
        if let (StatusCode::NOT_MODIFIED, Some(last)) = (answer.status, last) {
            return Ok(Topology::clone(&last.topology));
        }
        let topology: Topology = asked.value_of(&answer)?;
        let tagged = answer.headers.get(ETAG).map(|tag| Tagged { tag: tag.clone(), topology: topology.clone().into() });
        *self.last_topology.lock().unwrap_or_else(PoisonError::into_inner) = tagged;
        Ok(topology)
    }

    async fn post_metrics(&self, metric: &MixMetric) -> Result<Duration, DirectoryError> {
        let url = join(&self.metrics, &["api", "metrics", "mixes"]);
        let next: NextReport = self.request("report metrics", Method::POST, url).json(metric).reply().await?;
        Ok(Duration::from_secs(next.next_report_in))
    }
}

/// Builds a client for these URLs; for one IP version only if `local` is an unspecified address of it.
fn build(
    urls: [&Url; 2],
    authorities: Option<&[Certificate]>,
    limits: ClientLimits,
    local: Option<IpAddr>,
) -> Result<reqwest::Client, DirectoryError> {
    let builder = match authorities {
        Some(authorities) => http_client::builder().tls_certs_only(authorities.to_vec()),
        None if urls.iter().all(|url| url.scheme() == "http") => http_client::plain_builder(),
        None => http_client::builder(),
    };
    let builder = builder
        .local_address(local)
        .connect_timeout(limits.connect_timeout)
        .timeout(limits.total_timeout)
        // Calls are far apart: a kept connection would usually be closed by the next call.
        .pool_max_idle_per_host(0);
    builder.build().map_err(|error| DirectoryError::Setup { url: printable(urls[0]), reason: innermost(&error) })
}

/// Appends `path` to the path of `base`, with or without a trailing slash.
fn join(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Never fails: http and https URLs always have a path.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// The URL without user name and password, for messages.
fn printable(url: &Url) -> String {
    let mut url = url.clone();
    if !url.username().is_empty() || url.password().is_some() {
        // Fails only for URLs without a host, which have no user either.
        url.set_username("").ok();
        url.set_password(None).ok();
    }
    url.to_string()
}

#[cfg(test)]
mod tests;
