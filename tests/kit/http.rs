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

/// The body of a successful response to GET with the token of a registry.
pub(crate) fn get_with(url: &str, token: &str) -> Option<String> {
    request(url, None, Some(token))
}

/// Status and body of the response to a request with these headers: POST with a JSON body, or GET without one.
pub(crate) fn exchange(url: &str, headers: &[(&str, &str)], body: Option<&serde_json::Value>) -> Option<(u16, String)> {
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
    let mut request = match body {
        Some(body) => client.post(url).header("content-type", "application/json").body(body.to_string()),
        None => client.get(url),
    };
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = async {
        let answer = request.send().await?;
        Ok::<_, reqwest::Error>((answer.status().as_u16(), answer.text().await?))
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(answer).ok()
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
