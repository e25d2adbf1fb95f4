//! URL of the registry as the reader reached it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName};
use nym_mixnode_http::{Peer, Scheme};

use crate::access::Access;

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Maximum length of a host name with a port.
const HOST_BYTES_MAX: usize = 260;

/// URL without a path; `None` without a usable `Host`. Readers copy it into a shell.
#[derive(Debug)]
pub(super) struct Origin(pub(super) Option<String>);

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get().map(|Peer(ip)| ip.to_canonical());
        let access = parts.extensions.get::<Arc<Access>>();
        let is_forwarded = peer.zip(access).is_some_and(|(peer, access)| access.is_trusted_proxy(peer));
        let scheme = parts.extensions.get().copied().unwrap_or(Scheme::Http);
        Ok(Self(url(&parts.headers, scheme, is_forwarded)))
    }
}

/// The headers of a trusted proxy count more than those of the connection.
fn url(headers: &HeaderMap, scheme: Scheme, is_forwarded: bool) -> Option<String> {
    let forwarded = |name: HeaderName| if is_forwarded { single(headers, name) } else { None };
    let host = forwarded(FORWARDED_HOST).or_else(|| single(headers, HOST))?;
    let scheme = match (forwarded(FORWARDED_PROTO), scheme) {
        (Some("https"), _) | (None, Scheme::Https) => "https",
        _ => "http",
    };
    is_plain(host).then(|| format!("{scheme}://{host}"))
}

fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok();
    if values.next().is_none() { value } else { None }
}

/// Whether a host has only characters that mean nothing to a shell.
fn is_plain(host: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    host.len() <= HOST_BYTES_MAX && host.chars().all(is_plain) && host.parse::<Authority>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&'static str, &str)], is_forwarded: bool) -> Option<String> {
        over(Scheme::Http, headers, is_forwarded)
    }

    fn over(scheme: Scheme, headers: &[(&'static str, &str)], is_forwarded: bool) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        url(&map, scheme, is_forwarded)
    }

    #[test]
    fn the_url_is_the_one_that_the_reader_used() {
        let proxied = [("host", "10.0.0.9:8081"), ("x-forwarded-host", "mix.example"), ("x-forwarded-proto", "https")];
        for (headers, is_forwarded, expected) in [
            (&[("host", "203.0.113.5:8081")][..], false, Some("http://203.0.113.5:8081")),
            (&[("host", "[2001:db8::1]:8081")], false, Some("http://[2001:db8::1]:8081")),
            (&[("host", "registry.example")], false, Some("http://registry.example")),
            (&proxied, true, Some("https://mix.example")),
            (&proxied, false, Some("http://10.0.0.9:8081")),
            (&proxied[..1], true, Some("http://10.0.0.9:8081")),
            (&[], false, None),
        ] {
            assert_eq!(of(headers, is_forwarded).as_deref(), expected, "{headers:?}");
        }
        for (headers, is_forwarded, expected) in [
            (&[("host", "registry.example")][..], false, "https://registry.example"),
            (&proxied, false, "https://10.0.0.9:8081"),
            (&[("host", "registry.example"), ("x-forwarded-proto", "http")], true, "http://registry.example"),
        ] {
            assert_eq!(over(Scheme::Https, headers, is_forwarded).as_deref(), Some(expected), "{headers:?}");
        }
    }

    #[test]
    fn hosts_that_a_shell_would_interpret_are_not_shown() {
        let long = "a".repeat(300);
        for host in ["a;id", "a$(id)", "a`id`", "a&b", "user@host", "a b", "a'b", "a\"b", "<script>", "", "a|b", &long]
        {
            assert_eq!(of(&[("host", host)], false), None, "{host}");
            assert_eq!(of(&[("host", "good.example"), ("x-forwarded-host", host)], true), None, "{host}");
        }
        assert_eq!(of(&[("host", "a.example"), ("host", "b.example")], false), None);
    }
}
