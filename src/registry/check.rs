//! What the registry accepts. The message of every refusal names the field.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::api::{GatewayRegistration, MixRegistration};

/// A node has one address of each IP version, perhaps two.
const HOSTS_MAX: usize = 8;

/// Longest free text, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Base58 of 32 bytes has at most 44 digits; decoding is quadratic, so nothing longer is tried.
const KEY_DIGITS_MAX: usize = 44;

/// Ten years: more is a mistake, and must not overflow a date.
const EXPIRES_IN_MAX_S: u64 = 10 * 365 * 24 * 3600;

/// Why a registration is refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub(super) struct Invalid(String);

/// Checks a mix; gives its addresses, each once and in one spelling.
pub(super) fn mix(mix: &MixRegistration) -> Result<Vec<SocketAddr>, Invalid> {
    key("identityKey", &mix.identity_key)?;
    key("sphinxKey", &mix.sphinx_key)?;
    texts(&mix.version, &mix.location, &mix.incentives_address)?;
    if mix.layer == 0 {
        return Err(Invalid("layer 0 is not a layer; they count from 1".into()));
    }
    hosts(&mix.mix_host, &mix.mix_hosts)
}

/// Checks a gateway; gives its addresses, each once and in one spelling.
pub(super) fn gateway(gateway: &GatewayRegistration) -> Result<Vec<SocketAddr>, Invalid> {
    key("identityKey", &gateway.identity_key)?;
    key("sphinxKey", &gateway.sphinx_key)?;
    texts(&gateway.version, &gateway.location, &gateway.incentives_address)?;
    text("clientsHost", &gateway.clients_host)?;
    if gateway.clients_host.is_empty() {
        return Err(Invalid("clientsHost is empty; it is where clients connect".into()));
    }
    if let Some(seconds) = gateway.expires_in
        && !(1..=EXPIRES_IN_MAX_S).contains(&seconds)
    {
        return Err(Invalid(format!("expiresIn {seconds} is not between 1 and {EXPIRES_IN_MAX_S} seconds")));
    }
    hosts(&gateway.mix_host, &gateway.mix_hosts)
}

/// One spelling for each address: an IPv4 address mapped into IPv6 is the IPv4 address.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn hosts(first: &str, all: &[String]) -> Result<Vec<SocketAddr>, Invalid> {
    if all.len() > HOSTS_MAX {
        return Err(Invalid(format!("mixHosts has {} addresses; {HOSTS_MAX} is the most", all.len())));
    }
    let mut addresses = vec![host("mixHost", first)?];
    for other in all {
        let address = host("mixHosts", other)?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn host(field: &str, value: &str) -> Result<SocketAddr, Invalid> {
    let Ok(address) = value.parse::<SocketAddr>() else {
        return Err(Invalid(format!(
            "{field} {} is not ip:port, such as 192.0.2.1:1789 or [2001:db8::1]:1789",
            shown(value)
        )));
    };
    let ip = address.ip().to_canonical();
    let scoped = matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0);
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    if address.port() == 0 || ip.is_unspecified() || ip.is_multicast() || broadcast || scoped {
        return Err(Invalid(format!("{field} {} is no address that others can send to", shown(value))));
    }
    Ok(canonical(address))
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
        return Err(Invalid(format!("{field} has {} bytes; {TEXT_BYTES_MAX} is the most", value.len())));
    }
    if value.chars().any(char::is_control) {
        return Err(Invalid(format!("{field} has control characters")));
    }
    Ok(())
}

/// A stranger's value, short and on one line.
fn shown(value: &str) -> String {
    const CHARS_MAX: usize = 60;
    let short: String = value.chars().take(CHARS_MAX).collect();
    if short.len() < value.len() { format!("{short:?}…") } else { format!("{short:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good_mix() -> MixRegistration {
        MixRegistration {
            mix_host: "192.0.2.1:1789".into(),
            mix_hosts: Vec::new(),
            identity_key: bs58::encode([7; 32]).into_string(),
            sphinx_key: bs58::encode([8; 32]).into_string(),
            version: "0.9.2".into(),
            location: "Zürich".into(),
            incentives_address: String::new(),
            layer: 1,
            proof: None,
        }
    }

    fn good_gateway() -> GatewayRegistration {
        let mix = good_mix();
        GatewayRegistration {
            mix_host: mix.mix_host,
            mix_hosts: Vec::new(),
            clients_host: "ws://192.0.2.1:9000".into(),
            identity_key: mix.identity_key,
            sphinx_key: mix.sphinx_key,
            version: mix.version,
            location: String::new(),
            incentives_address: String::new(),
            expires_in: Some(60),
            proof: None,
        }
    }

    #[test]
    fn good_registrations_give_their_addresses_once_and_in_one_spelling() {
        let mut registration = good_mix();
        registration.layer = 17;
        registration.version = "1.1.0".into();
        registration.mix_hosts =
            ["192.0.2.1:1789", "[::ffff:192.0.2.1]:1789", "[2001:DB8:0::1]:1789"].map(String::from).to_vec();
        let expected: [SocketAddr; 2] = ["192.0.2.1:1789".parse().unwrap(), "[2001:db8::1]:1789".parse().unwrap()];
        assert_eq!(mix(&registration).unwrap(), expected);

        assert_eq!(gateway(&good_gateway()).unwrap(), expected[..1]);
        assert!(gateway(&GatewayRegistration { expires_in: None, ..good_gateway() }).is_ok());
    }

    #[test]
    fn each_bad_field_of_a_mix_is_refused_and_named() {
        type Spoil = fn(&mut MixRegistration);
        let cases: [(&str, Spoil); 24] = [
            ("layer", |mix| mix.layer = 0),
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
            ("location", |mix| mix.location = "x".repeat(257)),
            ("incentivesAddress", |mix| mix.incentives_address = "a\0b".into()),
        ];
        for (field, spoil) in cases {
            let mut registration = good_mix();
            spoil(&mut registration);
            let message = mix(&registration).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{field} ")), "{field}: {message}");
            assert!(message.len() < 300 && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn each_bad_field_of_a_gateway_is_refused_and_named() {
        type Spoil = fn(&mut GatewayRegistration);
        let cases: [(&str, Spoil); 6] = [
            ("clientsHost", |gateway| gateway.clients_host = String::new()),
            ("clientsHost", |gateway| gateway.clients_host = "w".repeat(300)),
            ("expiresIn", |gateway| gateway.expires_in = Some(0)),
            ("expiresIn", |gateway| gateway.expires_in = Some(u64::MAX)),
            ("mixHost", |gateway| gateway.mix_host = "here".into()),
            ("identityKey", |gateway| gateway.identity_key = "short".into()),
        ];
        for (field, spoil) in cases {
            let mut registration = good_gateway();
            spoil(&mut registration);
            let message = gateway(&registration).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{field} ")), "{field}: {message}");
        }
    }
}
