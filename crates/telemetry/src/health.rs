//! Client for the health endpoints of a running node, which [`super::http`] serves.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use nym_mixnode_base::cause::innermost;
use nym_mixnode_base::http_client;
use nym_mixnode_base::open_files::Remedy;
use nym_mixnode_base::redact::redacted;
use reqwest::header::ACCEPT;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::timeout;
use url::Url;

use super::http::Answer;

/// Time limit for all requests together.
const TIME_LIMIT: Duration = Duration::from_secs(3);

/// Limit of an answer in bytes; a status takes a few kilobytes.
const BODY_BYTES_MAX: usize = 256 << 10;

/// Health of a running node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The result of `/livez`.
    pub live: Answer,
    /// The result of `/readyz`.
    pub ready: Answer,
    /// The node's public identity key.
    pub identity_key: String,
    /// The node's limits on open files.
    pub limits: FileLimits,
}

/// Limits on open files of a process.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FileLimits {
    /// The soft limit, which applies; `None` is unlimited.
    #[serde(rename = "nofile_soft")]
    pub soft: Option<u64>,
    /// The hard limit, up to which the soft one can be raised; `None` is unlimited.
    #[serde(rename = "nofile_hard")]
    pub hard: Option<u64>,
    /// How to raise the hard limit in the node's environment.
    #[serde(rename = "nofile_remedy", default = "remedy_here")]
    pub remedy: String,
}

/// Default for nodes of earlier releases, which do not report this.
fn remedy_here() -> String {
    Remedy::here().to_string()
}

/// The health of the node could not be determined.
#[derive(Debug, Error)]
pub enum AskError {
    /// No answer was received.
    #[error("no answer at {}: {reason}", redacted(url))]
    NoAnswer {
        /// The requested URL.
        url: Url,
        /// The reason.
        reason: String,
    },
    /// The answer is not that of a mixnode.
    #[error("the server at {} is not a mixnode: {reason}", redacted(url))]
    NoNode {
        /// The requested URL.
        url: Url,
        /// What is wrong with the answer.
        reason: String,
    },
}

/// The part of a status that is used here.
#[derive(Deserialize)]
struct UsedStatus {
    identity_key: String,
    limits: FileLimits,
}

/// Queries the node that serves HTTP at `base`, within 3 s.
///
/// # Errors
/// If there is no answer in time, or the answer is not that of a mixnode.
pub async fn ask(base: &Url) -> Result<Health, AskError> {
    let answers = async {
        let client = http_client::plain_builder().build().map_err(|error| no_answer(base, &error))?;
        let live = get(&client, base, "livez").await?;
        let ready = get(&client, base, "readyz").await?;
        let UsedStatus { identity_key, limits } = get(&client, base, "status").await?;
        Ok(Health { live, ready, identity_key, limits })
    };
    let too_late =
        || AskError::NoAnswer { url: base.clone(), reason: format!("not within {} s", TIME_LIMIT.as_secs()) };
    timeout(TIME_LIMIT, answers).await.unwrap_or_else(|_| Err(too_late()))
}

/// The URL of a local node with this `http.listen`; `None` for port 0, which may become any port.
///
/// `[::]` is reached over IPv4: it accepts both families, and becomes `0.0.0.0` on a machine without IPv6.
#[must_use]
pub fn url_of(listen: SocketAddr) -> Option<Url> {
    let ip = if listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
    let address = SocketAddr::new(ip, listen.port());
    if address.port() == 0 { None } else { format!("http://{address}/").parse().ok() }
}

/// Accepts both 200 and 503: the body of a 503 gives the reason.
async fn get<T: DeserializeOwned>(client: &reqwest::Client, base: &Url, path: &str) -> Result<T, AskError> {
    let url = base.join(path).map_err(|error| no_answer(base, &error))?;
    let request = client.get(url.clone()).header(ACCEPT, "application/json");
    let mut response = request.send().await.map_err(|error| no_answer(&url, &error))?;
    let body = http_client::read_body(&mut response, BODY_BYTES_MAX).await.map_err(|error| no_answer(&url, &error))?;
    let Some(body) = body else {
        return Err(AskError::NoNode { url, reason: "its answer is too long".to_owned() });
    };
    let status = response.status().as_u16();
    match serde_json::from_slice(&body) {
        Ok(answer) if matches!(status, 200 | 503) => Ok(answer),
        _ => Err(AskError::NoNode { url, reason: format!("it answers {status} without the JSON of a mixnode") }),
    }
}

fn no_answer(url: &Url, error: &(dyn std::error::Error + 'static)) -> AskError {
    AskError::NoAnswer { url: url.clone(), reason: innermost(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A server with a single answer, sent after the request.
    async fn answering(reply: &'static str) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url_of(listener.local_addr().unwrap()).unwrap();
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let _: usize = connection.read(&mut [0; 1024]).await.unwrap();
                connection.write_all(reply.as_bytes()).await.unwrap();
            }
        });
        url
    }

    #[tokio::test]
    async fn another_server_is_not_a_mixnode() {
        for reply in [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{\"ok\":true}",
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        ] {
            let url = answering(reply).await;
            let error = ask(&url).await.unwrap_err();
            assert!(matches!(&error, AskError::NoNode { .. }), "{error}");
            assert!(error.to_string().contains(url.as_str()), "{error}");
        }
    }

    #[test]
    fn a_status_without_the_remedy_is_a_nodes_too() {
        let facts: UsedStatus =
            serde_json::from_str(r#"{"identity_key":"a","limits":{"nofile_soft":1,"nofile_hard":null}}"#).unwrap();
        assert_eq!((facts.limits.soft, facts.limits.hard, facts.limits.remedy), (Some(1), None, remedy_here()));
    }

    #[tokio::test]
    async fn a_refused_connection_is_no_answer() {
        // A bound socket that does not listen refuses connections.
        let refusing = tokio::net::TcpSocket::new_v4().unwrap();
        refusing.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let url = url_of(refusing.local_addr().unwrap()).unwrap();
        let error = ask(&url).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("no answer at {url}livez: ")), "{error}");
    }

    #[tokio::test]
    async fn a_silent_server_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url_of(listener.local_addr().unwrap()).unwrap();
        let error = ask(&url).await.unwrap_err();
        assert!(error.to_string().ends_with("not within 3 s"), "{error}");
    }

    #[test]
    fn a_node_on_every_address_is_asked_on_loopback() {
        let url = |listen: &str| url_of(listen.parse().unwrap()).map(|url| url.to_string());
        assert_eq!(url("0.0.0.0:8000").as_deref(), Some("http://127.0.0.1:8000/"));
        assert_eq!(url("[::]:8000").as_deref(), Some("http://127.0.0.1:8000/"));
        assert_eq!(url("192.0.2.1:80").as_deref(), Some("http://192.0.2.1/"));
        assert_eq!(url("127.0.0.1:0"), None);
    }
}
