//! Validates registrations. Each error message names the field.

use std::net::{IpAddr, SocketAddr};

use nym_mixnode_api::{ClientsTls, GatewayRegistration, MixRegistration};
use nym_mixnode_base::text::hidden_in;
use nym_mixnode_net::{NotPublic, Reach, Unreachable};
use nym_mixnode_tls::KeyHash;
use serde::Serialize;
use thiserror::Error;
use url::{Host, Url};

/// Nodes usually announce one or two addresses per IP version.
const HOSTS_MAX: usize = 8;

/// Maximum length of free text, in bytes: nodes take 128 characters from their operators.
const TEXT_BYTES_MAX: usize = 512;

/// Maximum length of an entry in bytes of JSON, so that nodes accept a topology with the maximum number of entries.
pub(super) const ENTRY_BYTES_MAX: usize = 1536;

/// Base58 of 32 bytes has at most 44 digits. Decoding is quadratic, so longer text is rejected first.
const KEY_DIGITS_MAX: usize = 44;

/// Ten years. A larger value is a mistake and could overflow a date.
const EXPIRES_IN_MAX_S: u64 = 10 * 365 * 24 * 3600;

/// Reason for rejecting a registration.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub(super) struct Invalid(String);

/// Properties of this network that registrations must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// Addresses that nodes may announce.
    pub(super) reach: Reach,
    /// Number of layers, counted from 1.
    pub(super) layers: u64,
}

/// Checks a mix; returns its addresses, deduplicated and in canonical form.
pub(super) fn mix(mix: &MixRegistration, rules: &Rules) -> Result<Vec<SocketAddr>, Invalid> {
    key("identityKey", &mix.identity_key)?;
    key("sphinxKey", &mix.sphinx_key)?;
    texts(&mix.version, &mix.location, &mix.incentives_address)?;
    if !(1..=rules.layers).contains(&mix.layer) {
        let message = format!("layer {} does not exist; this network has layers 1 to {}", mix.layer, rules.layers);
        return Err(Invalid(message));
    }
    length(mix)?;
    hosts(&mix.mix_host, &mix.mix_hosts, rules.reach)
}

/// Checks a gateway; returns its addresses, deduplicated and in canonical form.
pub(super) fn gateway(gateway: &GatewayRegistration, rules: &Rules) -> Result<Vec<SocketAddr>, Invalid> {
    key("identityKey", &gateway.identity_key)?;
    key("sphinxKey", &gateway.sphinx_key)?;
    texts(&gateway.version, &gateway.location, &gateway.incentives_address)?;
    text("clientsHost", &gateway.clients_host)?;
    if gateway.clients_host.is_empty() {
        return Err(Invalid("clientsHost is empty; set it to the address for clients".into()));
    }
    clients_host("clientsHost", &gateway.clients_host, rules.reach)?;
    gateway.clients_tls.as_ref().map_or(Ok(()), |tls| clients_tls(tls, rules.reach))?;
    if let Some(seconds) = gateway.expires_in
        && !(1..=EXPIRES_IN_MAX_S).contains(&seconds)
    {
        return Err(Invalid(format!("expiresIn {seconds} is not between 1 and {EXPIRES_IN_MAX_S} seconds")));
    }
    length(gateway)?;
    hosts(&gateway.mix_host, &gateway.mix_hosts, rules.reach)
}

fn hosts(first: &str, all: &[String], reach: Reach) -> Result<Vec<SocketAddr>, Invalid> {
    if all.len() > HOSTS_MAX {
        return Err(Invalid(format!("mixHosts has {} addresses; the maximum is {HOSTS_MAX}", all.len())));
    }
    let mut addresses = vec![host("mixHost", first, reach)?];
    for other in all {
        let address = host("mixHosts", other, reach)?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn host(field: &str, value: &str, reach: Reach) -> Result<SocketAddr, Invalid> {
    let Ok(address) = value.parse::<SocketAddr>() else {
        return Err(Invalid(format!(
            "{field} {} is not ip:port, such as 192.0.2.1:1789 or [2001:db8::1]:1789",
            shown(value)
        )));
    };
    allowed(field, value, address, reach)
}

fn allowed(field: &str, value: &str, address: SocketAddr, reach: Reach) -> Result<SocketAddr, Invalid> {
    reach.check(address).map_err(|reason| {
        let advice = match reach {
            Reach::Internet => {
                "announce a public address, or run the registry of a private network with --allow-private"
            }
            Reach::Private if reason == Unreachable::Kind(NotPublic::Loopback) => {
                "announce an address at which the other nodes reach this one, or, for a network on one machine, let \
                 the registry listen on loopback only, as with --listen 127.0.0.1:8081"
            }
            Reach::Private | Reach::Machine => "announce an address at which the other nodes reach this one",
        };
        Invalid(format!("{field} {} {reason}; {advice}", shown(value)))
    })
}

/// Clients connect to it, so an IP address in it must follow the same rules. Host names are accepted.
fn clients_host(field: &str, value: &str, reach: Reach) -> Result<(), Invalid> {
    let ip = match value.parse::<Url>().ok().as_ref().map(Url::host) {
        Some(Some(Host::Ipv4(ip))) => Some(IpAddr::V4(ip)),
        Some(Some(Host::Ipv6(ip))) => Some(IpAddr::V6(ip)),
        // `Url` keeps the host of unknown schemes as a name, even if it is an IP address.
        Some(Some(Host::Domain(name))) => name.parse().ok(),
        _ => None,
    };
    let without_scheme = value.split_once("://").map_or(value, |(_, rest)| rest);
    let authority = without_scheme.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = authority.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| authority.parse::<IpAddr>());
    match ip.or(plain.ok()) {
        Some(ip) => allowed(field, value, SocketAddr::new(ip, 1), reach).map(|_| ()),
        None => Ok(()),
    }
}

fn clients_tls(tls: &ClientsTls, reach: Reach) -> Result<(), Invalid> {
    text("clientsTls.url", &tls.url)?;
    let is_websocket = tls.url.parse::<Url>().is_ok_and(|url| url.scheme() == "wss" && url.has_host());
    if !is_websocket {
        return Err(Invalid(format!(
            "clientsTls.url {} is not a wss:// URL, such as wss://192.0.2.1:9443",
            shown(&tls.url)
        )));
    }
    if tls.key_hash.parse::<KeyHash>().is_err() {
        return Err(Invalid(format!("clientsTls.keyHash {} is not base64 of 32 bytes", shown(&tls.key_hash))));
    }
    clients_host("clientsTls.url", &tls.url, reach)
}

fn length(registration: &impl Serialize) -> Result<(), Invalid> {
    let bytes = serde_json::to_vec(registration).map_err(|error| Invalid(error.to_string()))?.len();
    if bytes > ENTRY_BYTES_MAX {
        let message =
            format!("mixHost and the other fields have {bytes} bytes in total; the maximum is {ENTRY_BYTES_MAX}");
        return Err(Invalid(message));
    }
    Ok(())
}

fn key(field: &str, value: &str) -> Result<(), Invalid> {
    let mut bytes = [0; 32];
    let is_key = value.len() <= KEY_DIGITS_MAX && bs58::decode(value).onto(&mut bytes[..]) == Ok(bytes.len());
    if is_key { Ok(()) } else { Err(Invalid(format!("{field} {} is not base58 of 32 bytes", shown(value)))) }
}

fn texts(version: &str, location: &str, incentives_address: &str) -> Result<(), Invalid> {
    if version.is_empty() {
        return Err(Invalid("version is empty; nodes of this network register with \"0.9.2\"".into()));
    }
    text("version", version)?;
    text("location", location)?;
    text("incentivesAddress", incentives_address)
}

fn text(field: &str, value: &str) -> Result<(), Invalid> {
    if value.len() > TEXT_BYTES_MAX {
        return Err(Invalid(format!("{field} has {} bytes; the maximum is {TEXT_BYTES_MAX}", value.len())));
    }
    if let Some(hidden) = hidden_in(value) {
        return Err(Invalid(format!(
            "{field} contains the invisible character U+{:04X}; remove it",
            u32::from(hidden)
        )));
    }
    Ok(())
}

/// Shortens a value of the caller and escapes it to one line.
fn shown(value: &str) -> String {
    const CHARS_MAX: usize = 60;
    let short: String = value.chars().take(CHARS_MAX).collect();
    if short.len() < value.len() { format!("{short:?}…") } else { format!("{short:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nym_mixnode_api::testing;

    const KEY_HASH: &str = "qFVIzO06NAv2GHpuJH2qLBc+veS7+qg+I8ab+E5TuwM=";
    const PRIVATE: Rules = Rules { reach: Reach::Private, layers: 3 };

    fn good_mix() -> MixRegistration {
        MixRegistration {
            sphinx_key: bs58::encode([8; 32]).into_string(),
            location: "Zürich".into(),
            ..testing::mix(bs58::encode([7; 32]).into_string(), "192.0.2.1:1789")
        }
    }

    fn good_gateway() -> GatewayRegistration {
        let MixRegistration { identity_key, sphinx_key, mix_host, .. } = good_mix();
        GatewayRegistration { sphinx_key, expires_in: Some(60), ..testing::gateway(identity_key, mix_host) }
    }

    #[test]
    fn good_registrations_return_their_addresses_deduplicated_and_canonical() {
        let mut registration = good_mix();
        registration.layer = 3;
        registration.version = "1.1.0".into();
        registration.mix_hosts =
            ["192.0.2.1:1789", "[::ffff:192.0.2.1]:1789", "[2001:DB8:0::1]:1789"].map(String::from).to_vec();
        let expected: [SocketAddr; 2] = ["192.0.2.1:1789".parse().unwrap(), "[2001:db8::1]:1789".parse().unwrap()];
        assert_eq!(mix(&registration, &PRIVATE).unwrap(), expected);

        assert_eq!(gateway(&good_gateway(), &PRIVATE).unwrap(), expected[..1]);
        assert!(gateway(&GatewayRegistration { expires_in: None, ..good_gateway() }, &PRIVATE).is_ok());
        let tls = Some(ClientsTls { url: "wss://gateway.example:9443/nym".into(), key_hash: KEY_HASH.into() });
        assert!(gateway(&GatewayRegistration { clients_tls: tls, ..good_gateway() }, &PRIVATE).is_ok());
    }

    #[test]
    fn each_bad_field_of_a_mix_is_rejected_by_name() {
        type Spoil = fn(&mut MixRegistration);
        let cases: [(&str, Spoil); 32] = [
            ("layer", |mix| mix.layer = 0),
            ("layer", |mix| mix.layer = 4),
            ("layer", |mix| mix.layer = 256 + 1),
            ("layer", |mix| mix.layer = u64::MAX),
            ("mixHost", |mix| mix.mix_host = "127.0.0.1:1789".into()),
            ("mixHost", |mix| mix.mix_host = "[64:ff9b::7f00:1]:1789".into()),
            ("mixHosts", |mix| mix.mix_hosts = vec!["169.254.169.254:80".into()]),
            ("location", |mix| mix.location = "Zürich\u{202e}hcirüZ".into()),
            ("incentivesAddress", |mix| mix.incentives_address = "a\u{200b}b".into()),
            ("mixHost", |mix| mix.mix_host = String::new()),
            ("mixHost", |mix| mix.mix_host = "192.0.2.1".into()),
            ("mixHost", |mix| mix.mix_host = "mix.example:1789".into()),
            ("mixHost", |mix| mix.mix_host = "2001:db8::1:1789".into()),
            ("mixHost", |mix| mix.mix_host = "192.0.2.1:70000".into()),
            ("mixHost", |mix| mix.mix_host = "192.0.2.1:0".into()),
            ("mixHost", |mix| mix.mix_host = "0.0.0.0:1789".into()),
            ("mixHost", |mix| mix.mix_host = "[::]:1789".into()),
            ("mixHost", |mix| mix.mix_host = "224.0.0.1:1789".into()),
            ("mixHost", |mix| mix.mix_host = "255.255.255.255:1789".into()),
            ("mixHost", |mix| mix.mix_host = "[fe80::1%2]:1789".into()),
            ("mixHost", |mix| mix.mix_host = "9".repeat(60_000)),
            ("mixHosts", |mix| mix.mix_hosts = vec!["nonsense".into()]),
            ("mixHosts", |mix| mix.mix_hosts = vec!["192.0.2.1:1789".into(); 9]),
            ("identityKey", |mix| mix.identity_key = String::new()),
            ("identityKey", |mix| mix.identity_key = bs58::encode([7; 31]).into_string()),
            ("identityKey", |mix| mix.identity_key = "1".repeat(60_000)),
            ("sphinxKey", |mix| mix.sphinx_key = bs58::encode([7; 33]).into_string()),
            ("sphinxKey", |mix| mix.sphinx_key = "0OIl".repeat(11)),
            ("version", |mix| mix.version = String::new()),
            ("version", |mix| mix.version = "0.9.2\n".into()),
            ("location", |mix| mix.location = "x".repeat(513)),
            ("incentivesAddress", |mix| mix.incentives_address = "a\0b".into()),
        ];
        for (field, spoil) in cases {
            let mut registration = good_mix();
            spoil(&mut registration);
            let message = mix(&registration, &PRIVATE).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{field} ")), "{field}: {message}");
            assert!(message.len() < 300 && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn each_bad_field_of_a_gateway_is_rejected_by_name() {
        type Spoil = fn(&mut GatewayRegistration);
        fn tls(url: &str, key_hash: &str) -> ClientsTls {
            ClientsTls { url: url.into(), key_hash: key_hash.into() }
        }
        let cases: [(&str, Spoil); 18] = [
            ("clientsTls.url", |gateway| gateway.clients_tls = Some(tls("", KEY_HASH))),
            ("clientsTls.url", |gateway| gateway.clients_tls = Some(tls("ws://192.0.2.1:9443", KEY_HASH))),
            ("clientsTls.url", |gateway| gateway.clients_tls = Some(tls("wss://", KEY_HASH))),
            ("clientsTls.url", |gateway| gateway.clients_tls = Some(tls("wss://127.0.0.1:9443", KEY_HASH))),
            ("clientsTls.url", |gateway| gateway.clients_tls = Some(tls("wss://2130706433/", KEY_HASH))),
            ("clientsTls.url", |gateway| gateway.clients_tls = Some(tls(&"w".repeat(600), KEY_HASH))),
            ("clientsTls.keyHash", |gateway| gateway.clients_tls = Some(tls("wss://192.0.2.1:9443", "short"))),
            ("clientsTls.keyHash", |gateway| gateway.clients_tls = Some(tls("wss://192.0.2.1", &"A".repeat(60_000)))),
            ("clientsHost", |gateway| gateway.clients_host = String::new()),
            ("clientsHost", |gateway| gateway.clients_host = "w".repeat(600)),
            ("clientsHost", |gateway| gateway.clients_host = "ws://127.0.0.1:9000".into()),
            ("clientsHost", |gateway| gateway.clients_host = "ws://[::ffff:7f00:1]:9000/".into()),
            ("clientsHost", |gateway| gateway.clients_host = "127.0.0.1:9000".into()),
            ("clientsHost", |gateway| gateway.clients_host = "http://2130706433/".into()),
            ("expiresIn", |gateway| gateway.expires_in = Some(0)),
            ("expiresIn", |gateway| gateway.expires_in = Some(u64::MAX)),
            ("mixHost", |gateway| gateway.mix_host = "here".into()),
            ("identityKey", |gateway| gateway.identity_key = "short".into()),
        ];
        for (field, spoil) in cases {
            let mut registration = good_gateway();
            spoil(&mut registration);
            let message = gateway(&registration, &PRIVATE).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{field} ")), "{field}: {message}");
        }
    }

    #[test]
    fn the_length_of_an_entry_is_bounded_including_json_escapes() {
        let mut registration = good_mix();
        registration.location = "\"".repeat(512);
        registration.incentives_address = "x".repeat(200);
        assert!(mix(&registration, &PRIVATE).is_ok());
        registration.incentives_address = "\"".repeat(400);
        assert!(mix(&registration, &PRIVATE).unwrap_err().to_string().contains("1536"));
    }

    #[test]
    fn the_error_for_each_kind_of_network_says_what_to_announce() {
        for (reach, host, expected) in [
            (Reach::Internet, "36.68.243.18:1789", None),
            (Reach::Internet, "10.0.0.1:1789", Some("--allow-private")),
            (Reach::Private, "10.0.0.1:1789", None),
            (Reach::Private, "127.0.0.1:1789", Some("the other nodes")),
            (Reach::Machine, "127.0.0.1:1789", None),
        ] {
            let registration = MixRegistration { mix_host: host.into(), ..good_mix() };
            let error = mix(&registration, &Rules { reach, layers: 3 }).err().map(|error| error.to_string());
            assert_eq!(error.is_some(), expected.is_some(), "{reach} {host}: {error:?}");
            if let (Some(error), Some(expected)) = (error, expected) {
                assert!(error.contains(expected) && error.contains(host), "{error}");
            }
        }
    }
}
