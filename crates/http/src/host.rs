//! Check of the `Host` header, which protects a server on loopback from DNS rebinding.
//!
//! A web page whose name resolves to 127.0.0.1 can send requests there and read the responses. Its browser sends the
//! page's name as `Host`. IP addresses cannot be rebound, and `localhost` cannot be the name of a foreign page.

use std::net::IpAddr;

use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;

/// Names accepted in `Host`, besides IP addresses and `localhost`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostNames(Vec<String>);

impl HostNames {
    pub fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect())
    }

    /// Whether the request is for this server. A request without `Host` does not come from a browser.
    pub fn allow(&self, request: &Parts) -> bool {
        let header = request.headers.get_all(HOST).iter().map(|host| host.to_str().ok());
        let target = request.uri.authority().map(|authority| Some(authority.as_str()));
        header.chain(target).all(|host| host.is_some_and(|host| self.allows(host)))
    }

    fn allows(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let host = authority.host();
        let is_ip = |text: &str| text.parse::<IpAddr>().is_ok();
        if is_ip(host) || host.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).is_some_and(is_ip) {
            return true;
        }
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        name == "localhost" || self.0.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    #[test]
    fn addresses_localhost_and_configured_names_pass() {
        let names = HostNames::new(&["Registry.example.".to_owned()]);
        for (host, expected) in [
            ("127.0.0.1", true),
            ("127.0.0.1:8081", true),
            ("192.0.2.1:8081", true),
            ("[::1]", true),
            ("[::1]:8081", true),
            ("localhost", true),
            ("LOCALHOST:8081", true),
            ("localhost.:8081", true),
            ("registry.example", true),
            ("Registry.Example:443", true),
            ("", false),
            ("evil.example", false),
            ("evil.example:8081", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("other.registry.example", false),
            ("2130706433", false),
            ("[::1", false),
            ("a b", false),
        ] {
            assert_eq!(names.allows(host), expected, "{host:?}");
        }
    }

    #[test]
    fn every_host_of_a_request_must_pass() {
        let parts = |request: axum::http::request::Builder| request.body(()).unwrap().into_parts().0;
        let names = HostNames::default();
        assert!(names.allow(&parts(Request::get("/"))), "HTTP/1.0 has none");
        assert!(names.allow(&parts(Request::get("/").header("host", "127.0.0.1:1"))));
        assert!(!names.allow(&parts(Request::get("/").header("host", "127.0.0.1").header("host", "evil.example"))));
        assert!(!names.allow(&parts(Request::get("http://evil.example/").header("host", "127.0.0.1"))));
        assert!(!names.allow(&parts(Request::get("/").header("host", b"\xff".as_slice()))));
    }
}
