//! Output of a run: pieces of text with their times.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::{ACCEPT, CONTENT_LENGTH};
use tokio::time::Instant;
use tower::ServiceExt;

use super::exported;

/// Interval of HTTP requests.
pub(super) const ASKED_EVERY_SECONDS: u64 = 7;

/// A piece of output: its time, its channel, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Output {
    pub(super) at_ms: u128,
    pub(super) by: &'static str,
    pub(super) what: String,
}

impl Output {
    /// Text of a channel at a moment of a run that began at `start`.
    pub(super) fn at(at: Instant, start: Instant, by: &'static str, what: String) -> Self {
        Self { at_ms: (at - start).as_millis(), by, what }
    }

    /// Returns a copy with an excerpt of the text, for failure messages.
    pub(super) fn cut(&self, from: usize) -> Self {
        let what = self.what.chars().skip(from).take(300).collect();
        Self { what, ..self.clone() }
    }
}

/// The answers of the HTTP endpoints at a second of a run, as a scraper gets them.
pub(super) async fn ask_all(router: &Router, second: u64) -> Vec<(&'static str, String)> {
    let mut answers = Vec::new();
    for path in ["/status", "/livez", "/readyz"] {
        answers.push((path, get(router, path, "*/*").await));
    }
    // Alternate: both have the same numbers and much text.
    let (by, accept) = match second / ASKED_EVERY_SECONDS % 2 {
        0 => ("/metrics", "text/plain"),
        _ => ("/metrics, OpenMetrics", "application/openmetrics-text"),
    };
    answers.push((by, get(router, "/metrics", accept).await));
    answers
}

async fn get(router: &Router, path: &str, accept: &str) -> String {
    let request = Request::get(path).header(ACCEPT, accept).body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (mut head, body) = response.into_parts();
    let body = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    if path == "/metrics" {
        // The numbers of the machine vary in length.
        head.headers.remove(CONTENT_LENGTH);
        return format!("{head:?}\n{}", exported::without_the_machine(&body));
    }
    format!("{head:?}\n{}", body.replace(&registered_at(&body), ""))
}

/// The time of the registration, which is the only value from the real clock.
fn registered_at(status: &str) -> String {
    let text = status.split_once("\"registered_at\":").map(|(_, rest)| rest);
    text.map_or_else(|| "\0".to_owned(), |rest| rest.chars().take_while(char::is_ascii_digit).collect())
}
