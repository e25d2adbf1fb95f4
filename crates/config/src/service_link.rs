//! The variables that Kubernetes sets in every pod for each Service.
//!
//! For a Service named `nym-mixnode` or `nym-mixnode-…` they have the prefix of this program's variables, and one of
//! them can even equal the variable of a setting. They are recognised by name and value together. See
//! <https://kubernetes.io/docs/tutorials/services/connect-applications-service/#environment-variables>.

use std::net::{IpAddr, SocketAddr};

/// The protocols of Services.
const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// Whether Kubernetes sets a variable with this name to such a value.
pub(super) fn is(name: &str, value: &str) -> bool {
    name.ends_with("_SERVICE_HOST") && is_ip(value)
        || (name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_")) && is_port(value)
        || name.ends_with("_PORT") && is_link(value)
        // `NAME_PORT_1789_TCP`, and the same with `_PROTO`, `_PORT` or `_ADDR`.
        || name.rsplit_once("_PORT_").is_some_and(|(_, rest)| is_of_port(rest, value))
}

/// Checks the part of a name after `_PORT_`.
fn is_of_port(rest: &str, value: &str) -> bool {
    let mut parts = rest.split('_');
    let (Some(port), Some(protocol), detail, None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    if !is_port(port) || !is_protocol(protocol) {
        return false;
    }
    match detail {
        None => is_link(value),
        Some("PROTO") => is_protocol(value),
        Some("PORT") => value == port,
        Some("ADDR") => is_ip(value),
        Some(_) => false,
    }
}

/// Such as `tcp://10.0.0.7:1789`.
fn is_link(value: &str) -> bool {
    let parts = value.split_once("://");
    parts.is_some_and(|(protocol, address)| is_protocol(protocol) && address.parse::<SocketAddr>().is_ok())
}

fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

fn is_protocol(text: &str) -> bool {
    PROTOCOLS.iter().any(|protocol| protocol.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All variables that Kubernetes sets for one Service, for IPv4 and IPv6.
    fn links(service: &str) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for (host, address) in [("10.0.0.7", "10.0.0.7:1789"), ("fd00::7", "[fd00::7]:1789")] {
            for (rest, value) in [
                ("SERVICE_HOST", host.to_owned()),
                ("SERVICE_PORT", "1789".to_owned()),
                ("SERVICE_PORT_MIX", "1789".to_owned()),
                ("SERVICE_PORT_HTTP_METRICS", "8000".to_owned()),
                ("PORT", format!("tcp://{address}")),
                ("PORT_1789_TCP", format!("tcp://{address}")),
                ("PORT_1789_TCP_PROTO", "tcp".to_owned()),
                ("PORT_1789_TCP_PORT", "1789".to_owned()),
                ("PORT_1789_TCP_ADDR", host.to_owned()),
                ("PORT_53_UDP", format!("udp://{address}")),
                ("PORT_9_SCTP_PROTO", "sctp".to_owned()),
            ] {
                all.push((format!("{service}_{rest}"), value));
            }
        }
        all
    }

    #[test]
    fn what_kubernetes_sets_for_any_service_is_known() {
        for service in ["", "_ANNOUNCE", "_METRICS", "_ANNOUNCE_PORT", "_SERVICE", "_HTTP_LISTEN", "_ID", "_KEYS_DIR"] {
            for (name, value) in links(&format!("NYM_MIXNODE{service}")) {
                assert!(is(&name, &value), "{name}={value}");
            }
        }
    }

    #[test]
    fn a_mistake_in_a_setting_is_none_of_them() {
        for (name, value) in [
            ("NYM_MIXNODE_ANNOUNCE_PORT", "1789"),
            ("NYM_MIXNODE_ANNOUNCE_PORT", "http://10.0.0.7:1789"),
            ("NYM_MIXNODE_ANNOUNCE_PORT", "tcp://example.org:1789"),
            ("NYM_MIXNODE_ANNOUNCE_PORT", "tcp://10.0.0.7"),
            ("NYM_MIXNODE_ANNOUNCE_SERVICE", "tcp://10.0.0.7:1789"),
            ("NYM_MIXNODE_ANNOUNCE_SERVICE_HOST", "mix.example.org"),
            ("NYM_MIXNODE_ANNOUNCE_SERVICE_PORT", "mix"),
            ("NYM_MIXNODE_LISTEN_ADDRESSES", "tcp://10.0.0.7:1789"),
            ("NYM_MIXNODE_PORT_1789", "tcp://10.0.0.7:1789"),
            ("NYM_MIXNODE_PORT_1789_TCP_PORT", "1790"),
            ("NYM_MIXNODE_PORT_1789_TCP_ADDRESS", "10.0.0.7"),
            ("NYM_MIXNODE_PORT_OF_TCP", "tcp://10.0.0.7:1789"),
        ] {
            assert!(!is(name, value), "{name}={value}");
        }
    }
}
