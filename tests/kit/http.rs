//! Asking servers by HTTP.

use crate::waiting::PATIENCE;

/// The body of a successful answer.
pub(crate) fn get(url: &str) -> Option<String> {
    request(url, None)
}

/// The body of a successful answer to a JSON body.
pub(crate) fn post(url: &str, body: &serde_json::Value) -> Option<String> {
    request(url, Some(body.to_string()))
}

fn request(url: &str, body: Option<String>) -> Option<String> {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let request = match body {
        Some(body) => client.post(url).header("content-type", "application/json").body(body),
        None => client.get(url),
    };
    let answer = async { request.send().await?.error_for_status()?.text().await };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(answer).ok()
}
