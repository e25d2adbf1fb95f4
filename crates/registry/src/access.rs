//! Identifies callers and checks their rights, by source address, token and requested host name.

use std::net::IpAddr;

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use ipnet::IpNet;
use nym_mixnode_directory::{MonitorToken, NamedTokens};
use nym_mixnode_http::HostNames;

use super::majority::Reporter;

/// Headers that proxies add.
const PROXY_HEADERS: [&str; 4] = ["forwarded", FORWARDED_FOR, "x-real-ip", "via"];
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Access settings of the operator.
#[derive(Debug, Default)]
pub(super) struct Access {
    /// Token for privileged calls; `None` disables them.
    pub(super) token: Option<MonitorToken>,
    /// Tokens of single monitors, which may only report measurements.
    pub(super) named_tokens: NamedTokens,
    /// Host names under which privileged calls are accepted.
    pub(super) names: HostNames,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub(super) trusted_proxies: Vec<IpNet>,
    /// Addresses that may report measurements without the token.
    pub(super) monitors: Vec<IpAddr>,
    /// Whether programs on this machine may also report measurements without the token.
    pub(super) legacy_loopback_monitor: bool,
}

/// Why a privileged call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The call carries no token.
    NoToken,
    /// The token is wrong.
    WrongToken,
    /// The call was meant for a server with another name.
    WrongHost,
}

impl Access {
    /// Address that the request came from. `None` when an untrusted proxy, or one that omits the address, is in
    /// between: the connection then has the proxy's address, and the caller can forge the headers.
    pub(super) fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        if self.is_trusted_proxy(peer) {
            return self.forwarded_for(headers);
        }
        let is_proxied = PROXY_HEADERS.iter().any(|header| headers.contains_key(*header));
        (!is_proxied).then_some(peer)
    }

    /// Checks that the call carries the token.
    pub(super) fn check_token(&self, request: &Parts) -> Result<(), Refused> {
        match self.check_reporter(request)? {
            Reporter::Unnamed => Ok(()),
            _ => Err(Refused::WrongToken),
        }
    }

    /// Checks that the call carries the token, or that of a single monitor; returns whose it is.
    pub(super) fn check_reporter(&self, request: &Parts) -> Result<Reporter, Refused> {
        let header = request.headers.get(AUTHORIZATION).ok_or(Refused::NoToken)?;
        let token = bearer(header).ok_or(Refused::WrongToken)?;
        let reporter = if self.token.as_ref().is_some_and(|expected| expected.is(token)) {
            Reporter::Unnamed
        } else {
            Reporter::Named(self.named_tokens.name_of(token).ok_or(Refused::WrongToken)?.to_owned())
        };
        if self.names.allow(request) { Ok(reporter) } else { Err(Refused::WrongHost) }
    }

    /// Whether this caller may report measurements without the token.
    pub(super) fn is_known_monitor(&self, caller: Option<IpAddr>) -> bool {
        caller.is_some_and(|ip| {
            self.monitors.iter().any(|monitor| monitor.to_canonical() == ip)
                || (self.legacy_loopback_monitor && ip.is_loopback())
        })
    }

    /// Rightmost address that is not a trusted proxy's: the caller can forge everything to the left of it.
    fn forwarded_for(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let mut hops = Vec::new();
        for line in headers.get_all(FORWARDED_FOR) {
            hops.extend(line.to_str().ok()?.split(','));
        }
        for hop in hops.iter().rev() {
            let ip = hop.trim().parse::<IpAddr>().ok()?.to_canonical();
            if !self.is_trusted_proxy(ip) {
                return Some(ip);
            }
        }
        None
    }

    pub(super) fn is_trusted_proxy(&self, ip: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|proxies| proxies.contains(&ip))
    }
}

fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = header.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn access() -> Access {
        Access {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            monitors: vec!["::ffff:192.0.2.9".parse().unwrap()],
            ..Access::default()
        }
    }

    #[test]
    fn the_caller_is_the_last_address_that_is_not_a_trusted_proxy() {
        for (peer, headers, expected) in [
            ("192.0.2.1", vec![], Some("192.0.2.1")),
            ("::ffff:192.0.2.1", vec![], Some("192.0.2.1")),
            ("192.0.2.1", vec![("x-forwarded-for", "203.0.113.1")], None),
            ("192.0.2.1", vec![("forwarded", "for=203.0.113.1")], None),
            ("192.0.2.1", vec![("via", "1.1 proxy")], None),
            ("10.0.0.1", vec![], None),
            ("10.0.0.1", vec![("via", "1.1 proxy")], None),
            ("10.0.0.1", vec![("x-forwarded-for", "203.0.113.1")], Some("203.0.113.1")),
            ("::1", vec![("x-forwarded-for", " 2001:db8::1 ")], Some("2001:db8::1")),
            ("10.0.0.1", vec![("x-forwarded-for", "198.51.100.1, 203.0.113.1, 10.9.9.9")], Some("203.0.113.1")),
            (
                "10.0.0.1",
                vec![("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.1")],
                Some("203.0.113.1"),
            ),
            ("10.0.0.1", vec![("x-forwarded-for", "10.1.1.1")], None),
            ("10.0.0.1", vec![("x-forwarded-for", "203.0.113.1, unknown")], None),
            ("10.0.0.1", vec![("x-forwarded-for", "")], None),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in &headers {
                map.append(*name, value.parse().unwrap());
            }
            let expected = expected.map(|ip| ip.parse().unwrap());
            assert_eq!(access().caller(peer.parse().unwrap(), &map), expected, "{peer} {headers:?}");
        }
    }

    #[test]
    fn only_the_token_with_the_right_host_name_is_privileged() {
        let folder = tempfile::tempdir().unwrap();
        let token = MonitorToken::read_or_create(&folder.path().join("monitor.token")).unwrap();
        let with_token = Access { token: Some(token.clone()), ..access() };
        let good = format!("Bearer {}", token.reveal());
        for (access, header, host, expected) in [
            (&with_token, Some(good.as_str()), "192.0.2.1:8081", Ok(())),
            (&with_token, Some(good.to_lowercase().as_str()), "192.0.2.1:8081", Err(Refused::WrongToken)),
            (&with_token, Some(good.replace("Bearer", "bearer").as_str()), "localhost", Ok(())),
            (&with_token, Some(good.as_str()), "evil.example", Err(Refused::WrongHost)),
            (&with_token, None, "localhost", Err(Refused::NoToken)),
            (&with_token, Some("Bearer "), "localhost", Err(Refused::WrongToken)),
            (&with_token, Some("Bearer"), "localhost", Err(Refused::WrongToken)),
            (&with_token, Some(good.trim_start_matches("Bearer ")), "localhost", Err(Refused::WrongToken)),
            (&access(), Some(good.as_str()), "localhost", Err(Refused::WrongToken)),
            (&access(), Some("Bearer "), "localhost", Err(Refused::WrongToken)),
        ] {
            let mut request = Request::get("/").header("host", host);
            if let Some(header) = header {
                request = request.header("authorization", header);
            }
            let parts = request.body(()).unwrap().into_parts().0;
            assert_eq!(access.check_token(&parts), expected, "{header:?} {host}");
        }
    }

    #[test]
    fn without_the_token_only_named_monitors_and_the_legacy_one_report() {
        let legacy = Access { legacy_loopback_monitor: true, ..access() };
        for (caller, by_address, by_legacy) in [
            (Some("192.0.2.9"), true, true),
            (Some("127.0.0.1"), false, true),
            (Some("::1"), false, true),
            (Some("203.0.113.1"), false, false),
            (None, false, false),
        ] {
            let ip = caller.map(|ip| ip.parse().unwrap());
            assert_eq!(
                (access().is_known_monitor(ip), legacy.is_known_monitor(ip)),
                (by_address, by_legacy),
                "{caller:?}"
            );
        }
    }
}
