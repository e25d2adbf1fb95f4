//! Requests to a metadata service: strictly limited, and recorded with their answers.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use nym_mixnode_base::backoff::Backoff;
use nym_mixnode_base::cause::innermost;
use nym_mixnode_base::http_client;
use nym_mixnode_net::NotPublic;
use reqwest::header::HeaderMap;
use reqwest::{ClientBuilder, Method};
use serde::Serialize;
use tokio::time::sleep;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Size limit of an answer in bytes: an address or a small document.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Number of attempts, including the first.
const ATTEMPTS_MAX: u32 = 4;
const RETRY_INITIAL: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// Longest part of an unexpected answer that is repeated in a message.
const SHOWN_CHARS_MAX: usize = 60;

/// A request and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The service and the item that was requested.
    pub asked: String,
    /// A description of the answer.
    pub answer: String,
    /// Whether there was no answer or an invalid one; "not found" is a valid answer.
    pub failed: bool,
}

/// An address and its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) ip: IpAddr,
    pub(super) source: String,
}

/// Public addresses from one source, at most one of each family.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Public {
    pub(super) v4: Option<Found>,
    pub(super) v6: Option<Found>,
}

impl Public {
    /// Adds `found` unless its family already has an address.
    pub(super) fn add(&mut self, found: Option<Found>) {
        if let Some(found) = found {
            let place = if found.ip.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
            place.get_or_insert(found);
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.v4.is_some() && self.v6.is_some()
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// No answer within the time limit.
    TimedOut,
    /// A status that means neither success nor "not found".
    Status(u16),
    /// No connection, or an invalid reply.
    Failed,
}

/// A successful reply.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// How to query a service.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestRules {
    /// Name of the service in messages.
    pub(super) name: &'static str,
    /// Timeout for the whole reply.
    pub(super) timeout: Duration,
    /// Status codes after which the request is retried.
    pub(super) retry_on: &'static [u16],
}

/// A series of requests to one service.
#[derive(Debug)]
pub(super) struct Inquiry<'a> {
    http: reqwest::Client,
    rules: RequestRules,
    /// Whether addresses of a closed network are accepted.
    allow_private: bool,
    steps: &'a mut Vec<Step>,
}

/// Builds an HTTP client without proxy and redirects, regardless of the environment.
pub(super) fn http(timeout: Duration) -> ClientBuilder {
    http_client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(timeout)
}

impl<'a> Inquiry<'a> {
    /// Creates an inquiry with this client; `None`, and a step, if the client cannot be built.
    pub(super) fn over(
        http: ClientBuilder,
        rules: RequestRules,
        allow_private: bool,
        steps: &'a mut Vec<Step>,
    ) -> Option<Self> {
        match http.build() {
            Ok(http) => Some(Self { http, rules, allow_private, steps }),
            Err(error) => {
                let answer = format!("cannot be asked: {}", innermost(&error));
                steps.push(Step { asked: rules.name.to_owned(), answer, failed: true });
                None
            }
        }
    }

    /// Sends a request with retries. `None` means that the item does not exist (404, or an empty reply).
    pub(super) async fn ask(
        &mut self,
        what: &str,
        method: Method,
        url: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Option<Reply>, Unanswered> {
        let mut backoff = Backoff::new(RETRY_INITIAL, RETRY_MAX);
        let mut attempt = 1;
        loop {
            let outcome = self.attempt(method.clone(), url, headers).await;
            let Err(failure) = outcome else {
                let reply = outcome.ok().filter(|reply| !reply.body.trim().is_empty());
                if reply.is_none() {
                    self.note(what, "nothing");
                }
                return Ok(reply);
            };
            let retry = match failure.kind {
                Unanswered::Status(status) => self.rules.retry_on.contains(&status),
                Unanswered::Failed => failure.is_refused,
                Unanswered::TimedOut => false,
            };
            if !retry || attempt == ATTEMPTS_MAX {
                if failure.kind == Unanswered::Status(404) {
                    self.note(what, "not found (404)");
                    return Ok(None);
                }
                let times = if attempt > 1 { format!(", {attempt} times") } else { String::new() };
                self.fail(what, &format!("{}{times}", failure.words));
                return Err(failure.kind);
            }
            attempt += 1;
            sleep(backoff.wait()).await;
        }
    }

    /// A `GET` request for a text.
    pub(super) async fn get(
        &mut self,
        what: &str,
        url: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Option<String>, Unanswered> {
        Ok(self.ask(what, Method::GET, url, headers).await?.map(|reply| reply.body))
    }

    /// A `GET` request for a JSON document.
    pub(super) async fn json(
        &mut self,
        what: &str,
        url: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Option<serde_json::Value>, Unanswered> {
        let Some(text) = self.get(what, url, headers).await? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|_| {
            self.fail(what, &format!("not JSON: {}", shown(&text)));
            Unanswered::Failed
        })
    }

    /// Gets an address as a text.
    pub(super) async fn get_address(&mut self, what: &str, url: &str) -> Option<Found> {
        let text = self.get(what, url, &[]).await.ok()??;
        self.address(what, &text)
    }

    async fn attempt(&self, method: Method, url: &str, headers: &[(&'static str, &str)]) -> Result<Reply, Failure> {
        let mut request = self.http.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send().await.map_err(|error| self.failure(&error))?;
        let status = response.status();
        if !status.is_success() {
            let words = format!("HTTP {status}");
            return Err(Failure { kind: Unanswered::Status(status.as_u16()), is_refused: false, words });
        }
        let headers = response.headers().clone();
        let body = http_client::read_body(&mut response, BODY_BYTES_MAX).await.map_err(|error| self.failure(&error))?;
        let too_long = || Failure::senseless(format!("more than {} KiB, which is too long", BODY_BYTES_MAX >> 10));
        let body = body.ok_or_else(too_long)?;
        let body = String::from_utf8(body).map_err(|_| Failure::senseless("not a text".to_owned()))?;
        Ok(Reply { headers, body })
    }

    fn failure(&self, error: &reqwest::Error) -> Failure {
        if error.is_timeout() {
            let words = format!("no answer within {}", humantime::format_duration(self.waited(error)));
            return Failure { kind: Unanswered::TimedOut, is_refused: false, words };
        }
        let io = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>());
        let is_refused =
            io.is_some_and(|io| matches!(io.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset));
        Failure { kind: Unanswered::Failed, is_refused, words: innermost(error) }
    }

    fn waited(&self, error: &reqwest::Error) -> Duration {
        if error.is_connect() { CONNECT_TIMEOUT } else { self.rules.timeout }
    }

    /// Parses the address in `text`, without a prefix length, and checks that others can reach it.
    pub(super) fn address(&mut self, what: &str, text: &str) -> Option<Found> {
        let line = text.lines().next().unwrap_or_default().trim();
        let bare = line.split('/').next().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let Ok(ip) = bare.parse::<IpAddr>() else {
            self.fail(what, &format!("not an IP address: {}", shown(line)));
            return None;
        };
        let ip = ip.to_canonical();
        match NotPublic::of(ip) {
            Some(kind) if !self.allow_private || kind.is_nowhere() => {
                self.note(what, &format!("{ip}, {kind}: not announced"));
                None
            }
            _ => {
                self.note(what, &ip.to_string());
                Some(Found { ip, source: self.named(what) })
            }
        }
    }

    /// The first address that others can reach, from a list with one per line or in JSON.
    pub(super) fn first_address<'t>(&mut self, what: &str, texts: impl IntoIterator<Item = &'t str>) -> Option<Found> {
        let mut any = false;
        for text in texts.into_iter().filter(|text| !text.trim().is_empty()) {
            any = true;
            if let Some(found) = self.address(what, text) {
                return Some(found);
            }
        }
        if !any {
            self.note(what, "nothing");
        }
        None
    }

    pub(super) fn note(&mut self, what: &str, answer: &str) {
        self.steps.push(Step { asked: self.named(what), answer: answer.to_owned(), failed: false });
    }

    pub(super) fn fail(&mut self, what: &str, answer: &str) {
        self.steps.push(Step { asked: self.named(what), answer: answer.to_owned(), failed: true });
    }

    fn named(&self, what: &str) -> String {
        format!("{}: {what}", self.rules.name)
    }
}

struct Failure {
    kind: Unanswered,
    /// Whether no server listens there, or not yet.
    is_refused: bool,
    words: String,
}

impl Failure {
    fn senseless(words: String) -> Self {
        Self { kind: Unanswered::Failed, is_refused: false, words }
    }
}

/// A text from outside, shortened and on one line.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if short.len() < text.len() { format!("{short:?}…") } else { format!("{short:?}") }
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
