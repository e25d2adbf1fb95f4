//! Requests to a directory and their answers.

use std::cell::Cell;

use nym_mixnode_api::{Accepted, PendingAddress, Refusal, RegistrationReply};
use nym_mixnode_base::cause::innermost;
use nym_mixnode_base::http_client;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::DirectoryError;
use crate::trust::{TlsProblem, tls_problem};

tokio::task_local! {
    /// Status of the last response to a request made within [`with_status`].
    static LAST_STATUS: Cell<Option<u16>>;
}

/// Runs requests of a [`Client`](super::Client); also returns the status of the last response, if there was one.
pub async fn with_status<T>(requests: impl Future<Output = T>) -> (T, Option<u16>) {
    // Boxed because the future is large, and each wrapper would store another copy.
    let requests = Box::pin(requests);
    let requests = async {
        let done = requests.await;
        (done, LAST_STATUS.with(Cell::get))
    };
    LAST_STATUS.scope(Cell::new(None), requests).await
}

/// Maximum number of characters of a directory's message in our errors.
const MESSAGE_CHARS_MAX: usize = 300;

/// Maximum number of pending addresses read from a reply; a node announces one or two.
const PENDING_MAX: usize = 8;

/// A request, with the context for its errors.
pub(super) struct Request {
    pub(super) action: &'static str,
    pub(super) url: String,
    pub(super) builder: reqwest::RequestBuilder,
    pub(super) body_bytes_max: usize,
}

impl Request {
    pub(super) fn json(self, body: &impl Serialize) -> Self {
        Self { builder: self.builder.json(body), ..self }
    }

    pub(super) fn with_token(self, token: &str) -> Self {
        Self { builder: self.builder.bearer_auth(token), ..self }
    }

    pub(super) fn with_header(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { builder: self.builder.header(name, value), ..self }
    }

    /// Reply to a registration, truncated: the directory is untrusted.
    pub(super) async fn registered(self) -> Result<RegistrationReply, DirectoryError> {
        let RegistrationReply { ok, pending } = self.confirmed(|reply: &RegistrationReply| reply.ok).await?;
        let clean = |pending: PendingAddress| PendingAddress {
            address: one_line(&pending.address),
            reason: one_line(&pending.reason),
        };
        Ok(RegistrationReply { ok, pending: pending.into_iter().take(PENDING_MAX).map(clean).collect() })
    }

    pub(super) async fn accepted(self) -> Result<(), DirectoryError> {
        self.confirmed(|reply: &Accepted| reply.ok).await.map(drop)
    }

    /// A reply whose `ok` is true.
    async fn confirmed<T: DeserializeOwned>(self, is_ok: fn(&T) -> bool) -> Result<T, DirectoryError> {
        let (action, url) = (self.action, self.url.clone());
        let reply = self.reply().await?;
        if is_ok(&reply) {
            return Ok(reply);
        }
        Err(DirectoryError::MalformedReply { action, url, reason: "it responded with {\"ok\":false}".into() })
    }

    pub(super) async fn reply<T: DeserializeOwned>(self) -> Result<T, DirectoryError> {
        let (asked, answer) = self.send().await?;
        asked.value_of(&answer)
    }

    /// Returns the whole answer, of any status.
    pub(super) async fn send(self) -> Result<(Asked, Answer), DirectoryError> {
        let Self { action, url, builder, body_bytes_max } = self;
        let unreachable = |error: reqwest::Error| {
            if let Some(TlsProblem { reason, advice }) = tls_problem(&error) {
                return DirectoryError::Tls { action, url: url.clone(), reason, advice };
            }
            let reason = if error.is_timeout() { "no answer in time".into() } else { innermost(&error) };
            DirectoryError::Unreachable { action, url: url.clone(), reason }
        };
        let mut response = builder.send().await.map_err(unreachable)?;
        let status = response.status();
        // Only callers inside [`with_status`] need the status.
        LAST_STATUS.try_with(|last| last.set(Some(status.as_u16()))).ok();
        let Some(body) = http_client::read_body(&mut response, body_bytes_max).await.map_err(unreachable)? else {
            let reason = format!("the response is longer than {body_bytes_max} bytes");
            return Err(DirectoryError::MalformedReply { action, url, reason });
        };
        let headers = std::mem::take(response.headers_mut());
        Ok((Asked { action, url }, Answer { status, headers, body }))
    }
}

/// What was requested, for errors about the answer.
pub(super) struct Asked {
    action: &'static str,
    url: String,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    body: Vec<u8>,
}

impl Asked {
    /// The value in the body of a successful answer.
    pub(super) fn value_of<T: DeserializeOwned>(self, answer: &Answer) -> Result<T, DirectoryError> {
        let Self { action, url } = self;
        if !answer.status.is_success() {
            return Err(failure(action, url, answer.status, &answer.body));
        }
        serde_json::from_slice(&answer.body).map_err(|error| {
            let reason = format!("the response is not the expected JSON: {error}");
            DirectoryError::MalformedReply { action, url, reason }
        })
    }
}

fn failure(action: &'static str, url: String, status: StatusCode, body: &[u8]) -> DirectoryError {
    let code = status.as_u16();
    if status == StatusCode::TOO_MANY_REQUESTS {
        return DirectoryError::TooManyRequests { action, url };
    }
    if status.is_client_error() {
        return DirectoryError::Refused { action, url, status: code, message: message(body) };
    }
    if status.is_server_error() {
        return DirectoryError::ServerFailed { action, url, status: code, message: message(body) };
    }
    DirectoryError::MalformedReply {
        action,
        url,
        reason: format!("it responded with {code}, and redirects are not followed"),
    }
}

/// Message of a directory, reduced to one printable line: the directory is untrusted.
fn message(body: &[u8]) -> String {
    let text = match serde_json::from_slice(body) {
        Ok(Refusal { error }) => error,
        Err(_) if body.trim_ascii_start().starts_with(b"<") => {
            "a web page; the URL may not be a directory's".to_owned()
        }
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    one_line(&text)
}

pub(crate) fn one_line(text: &str) -> String {
    let spaced = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let words = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { "(no message)".into() } else { words.chars().take(MESSAGE_CHARS_MAX).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directorys_message_becomes_one_short_printable_line() {
        for (body, expected) in [
            (r#"{"error":"host taken"}"#.as_bytes().to_vec(), "host taken".to_owned()),
            (b"You have reached maximum request limit.\n".to_vec(), "You have reached maximum request limit.".into()),
            (b"a\x1b[31mred\r\n\r\nb\x00".to_vec(), "a [31mred b".into()),
            (b"".to_vec(), "(no message)".into()),
            (b"\n<!DOCTYPE HTML>\n<html>...</html>".to_vec(), "a web page; the URL may not be a directory's".into()),
            (vec![0xff, 0xfe], "\u{fffd}\u{fffd}".into()),
            ("é".repeat(5000).into_bytes(), "é".repeat(MESSAGE_CHARS_MAX)),
        ] {
            assert_eq!(message(&body), expected);
        }
    }

    #[test]
    fn each_status_has_its_error_kind_and_exit_code() {
        for (status, transient, exit_code) in [
            (301, true, 69),
            (400, false, 65),
            (403, false, 77),
            (404, true, 65),
            (409, false, 65),
            (429, true, 75),
            (500, true, 69),
            (503, true, 69),
        ] {
            let error = failure("test", "http://d/".into(), StatusCode::from_u16(status).unwrap(), b"{}");
            assert_eq!((error.is_transient(), error.exit_code().code()), (transient, exit_code), "{status}: {error}");
            assert_eq!(error.is_conflict(), status == 409);
            assert!(!error.to_string().contains('\n'));
        }
    }
}
