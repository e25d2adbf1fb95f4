//! The two things that `init` and `unregister` want of a directory.

use std::error::Error;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use url::Url;

use crate::api::Topology;

use super::{Exit, Failure};

/// How long the directory may take for all of an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The directory's list of nodes.
///
/// # Errors
/// Why there is none, as a clause.
pub(super) async fn topology(directory: &Url) -> Result<Topology, String> {
    let request = async {
        let client = Client::builder().timeout(TIMEOUT).build()?;
        client.get(path(directory, "topology")).send().await?.error_for_status()?.json().await
    };
    request.await.map_err(|error| unreachable(directory, &error))
}

/// Takes the node with this identity out of the directory; says whether it was in it.
pub(super) async fn unregister(directory: &Url, identity: &str) -> Result<bool, Failure> {
    let request = async {
        let client = Client::builder().timeout(TIMEOUT).build()?;
        Ok(client.delete(path(directory, &format!("register/{identity}"))).send().await?.status())
    };
    match request.await.map_err(|error| Failure::new(Exit::Unavailable, unreachable(directory, &error)))? {
        StatusCode::NOT_FOUND => Ok(false),
        StatusCode::FORBIDDEN => Err(Failure::new(
            Exit::Permission,
            format_args!("the directory {directory} lets only the registered host unregister: do it on that machine"),
        )),
        status if status.is_success() => Ok(true),
        status => Err(Failure::new(
            Exit::Unavailable,
            format_args!("the directory {directory} answered {status}: try again later"),
        )),
    }
}

fn path(directory: &Url, path: &str) -> String {
    format!("{}/api/mixmining/{path}", directory.as_str().trim_end_matches('/'))
}

fn unreachable(directory: &Url, error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("the directory {directory} didn't answer within {}", humantime::format_duration(TIMEOUT));
    }
    // The outermost error repeats the URL, the innermost one says what happened.
    let cause = std::iter::successors(error.source(), |error| (*error).source()).last();
    match cause {
        Some(cause) => format!("the directory {directory} doesn't answer: {cause}"),
        None => format!("the directory {directory} doesn't answer: {error}"),
    }
}
