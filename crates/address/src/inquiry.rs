//! Questions to a metadata service: strictly bounded, and each kept with its answer.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use nym_mixnode_base::backoff::Backoff;
use nym_mixnode_net::NotPublic;
use reqwest::header::HeaderMap;
use reqwest::{Certificate, ClientBuilder, Method, redirect};
use serde::Serialize;
use tokio::time::sleep;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// An answer is an address or a small document.
const BODY_BYTES_MAX: usize = 64 << 10;
/// The first attempt and its repetitions.
const ATTEMPTS_MAX: u32 = 4;
const RETRY_INITIAL: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// Longest part of a strange answer that is repeated to people.
const SHOWN_CHARS_MAX: usize = 60;

/// A question and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Who was asked, and for what.
    pub asked: String,
    /// The answer in words.
    pub answer: String,
    /// Whether there was no answer, or one that makes no sense; "there is none" is an answer.
    pub failed: bool,
}

/// An address and who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) ip: IpAddr,
    pub(super) source: String,
}

/// What one place knows of this machine's public addresses, at most one of each family.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Public {
    pub(super) v4: Option<Found>,
    pub(super) v6: Option<Found>,
}

impl Public {
    /// Keeps `found` unless its family has an address already.
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

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// Neither yes nor no within the time.
    TimedOut,
    /// A status that means neither an answer nor that there is none.
    Status(u16),
    /// No connection, or no sense in the reply.
    Failed,
}

/// A reply with success.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// How a service wants to be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestRules {
    /// Who is asked, for people.
    pub(super) name: &'static str,
    /// Until the last byte of a reply.
    pub(super) timeout: Duration,
    /// Statuses after which the same question may be answered.
    pub(super) retry_on: &'static [u16],
}

/// A series of questions to one service.
#[derive(Debug)]
pub(super) struct Inquiry<'a> {
    http: reqwest::Client,
    rules: RequestRules,
    /// Also addresses of a closed network will do.
    allow_private: bool,
    steps: &'a mut Vec<Step>,
}

/// How questions travel: no proxy and no redirect, whatever the environment says.
pub(super) fn http(timeout: Duration) -> ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("nym-mixnode/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
}

impl<'a> Inquiry<'a> {
    /// Over plain HTTP, which needs no certificates.
    pub(super) fn plain(rules: RequestRules, allow_private: bool, steps: &'a mut Vec<Step>) -> Option<Self> {
        let none: [Certificate; 0] = [];
        Self::over(http(rules.timeout).tls_certs_only(none), rules, allow_private, steps)
    }

    /// With a client of one's own; `None` when it cannot be built, which is then a step.
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

    /// Asks, and asks again where that helps. `None` is the answer that there is none (404, or nothing in the reply).
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
                    self.note(what, "there is none (404)");
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

    /// A `GET` whose reply is a text.
    pub(super) async fn get(
        &mut self,
        what: &str,
        url: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Option<String>, Unanswered> {
        Ok(self.ask(what, Method::GET, url, headers).await?.map(|reply| reply.body))
    }

    /// A `GET` whose reply is a JSON document.
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
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failure(&error))? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(Failure::senseless(format!("more than {} KiB, which is no answer", BODY_BYTES_MAX >> 10)));
            }
            body.extend_from_slice(&chunk);
        }
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

    /// The address in `text`, if others can reach it; a prefix length behind it is no part of it.
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

    /// The first address of a list, one a line or in JSON, that others can reach.
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
    /// Nobody listens there, or not yet.
    is_refused: bool,
    words: String,
}

impl Failure {
    fn senseless(words: String) -> Self {
        Self { kind: Unanswered::Failed, is_refused: false, words }
    }
}

/// A stranger's text, short and on one line.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if short.len() < text.len() { format!("{short:?}…") } else { format!("{short:?}") }
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}
