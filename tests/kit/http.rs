//! HTTP requests.

use crate::waiting::PATIENCE;

/// The body of a successful response to GET.
pub(crate) fn get(url: &str) -> Option<String> {
    request(url, None, None)
}

/// The body of a successful response to POST with a JSON body and the token of a registry.
pub(crate) fn post(url: &str, body: &serde_json::Value, token: &str) -> Option<String> {
    request(url, Some(body.to_string()), Some(token))
}

fn request(url: &str, body: Option<String>, token: Option<&str>) -> Option<String> {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let request = match body {
        Some(body) => client.post(url).header("content-type", "application/json").body(body),
        None => client.get(url),
    };
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let answer = async { request.send().await?.error_for_status()?.text().await };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(answer).ok()
}
