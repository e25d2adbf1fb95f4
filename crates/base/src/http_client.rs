//! HTTP clients for services that identify a node by its address or belong to its own machine.

use reqwest::{ClientBuilder, Response, redirect};

/// A client that follows no redirects and ignores proxy settings of the environment.
pub fn builder() -> ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("nym-mixnode/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .no_proxy()
}

/// As [`builder`], for plain HTTP: loads no root certificates, so that an image without them works.
pub fn plain_builder() -> ClientBuilder {
    builder().tls_certs_only([])
}

/// Reads the body of a response; `None` if it is longer than `bytes_max`.
///
/// # Errors
/// When the connection breaks, or the client's time limit is over.
pub async fn read_body(response: &mut Response, bytes_max: usize) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > bytes_max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}
