//! Address for clients in the entry of a gateway.

use std::net::SocketAddr;

use tokio::net::lookup_host;
use url::{Host, Url};

/// Addresses of a URL such as `ws://192.0.2.1:9000`, or of `host:port`; none if it is neither or the look-up fails.
pub async fn addresses_of(clients_host: &str) -> Vec<SocketAddr> {
    look_up(clients_host).await.unwrap_or_default()
}

/// Like [`addresses_of`], but `None` if the look-up fails.
pub(super) async fn look_up(clients_host: &str) -> Option<Vec<SocketAddr>> {
    let Some((host, port)) = host_and_port(clients_host) else { return Some(Vec::new()) };
    match host {
        Host::Ipv4(ip) => Some(vec![(ip, port).into()]),
        Host::Ipv6(ip) => Some(vec![(ip, port).into()]),
        Host::Domain(name) => Some(lookup_host((name, port)).await.ok()?.collect()),
    }
}

/// Host and port of a URL such as `ws://192.0.2.1:9000`, or of `host:port`.
fn host_and_port(clients_host: &str) -> Option<(Host, u16)> {
    let has_scheme = clients_host.contains("://");
    let with_scheme = if has_scheme { clients_host.to_owned() } else { format!("ws://{clients_host}") };
    let url: Url = with_scheme.parse().ok()?;
    let host = url.host()?.to_owned();
    // `Url` keeps the host of unknown schemes as a name, even if it is an IP address.
    let host = match host {
        Host::Domain(name) => Host::parse(&name).ok()?,
        ip => ip,
    };
    Some((host, url.port_or_known_default()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_hosts_are_urls_or_addresses() {
        let ip = |text: &str| match text.parse().unwrap() {
            std::net::IpAddr::V4(ip) => Host::Ipv4(ip),
            std::net::IpAddr::V6(ip) => Host::Ipv6(ip),
        };
        for (text, expected) in [
            ("ws://192.0.2.1:9000", Some((ip("192.0.2.1"), 9000))),
            ("ws://192.0.2.1", Some((ip("192.0.2.1"), 80))),
            ("wss://[2001:db8::1]/path", Some((ip("2001:db8::1"), 443))),
            ("wss://gateway.example:1/", Some((Host::Domain("gateway.example".into()), 1))),
            ("192.0.2.1:9000", Some((ip("192.0.2.1"), 9000))),
            ("[2001:db8::1]:9000", Some((ip("2001:db8::1"), 9000))),
            ("gateway.example:9000", Some((Host::Domain("gateway.example".into()), 9000))),
            ("nym://2130706433:9000", Some((ip("127.0.0.1"), 9000))),
            ("nym://192.0.2.1", None),
            ("", None),
            ("ws://", None),
        ] {
            assert_eq!(host_and_port(text), expected, "{text}");
        }
    }
}
