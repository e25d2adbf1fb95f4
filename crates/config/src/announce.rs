//! The addresses of the configuration: bind addresses, announce addresses, and their detection.

use std::net::SocketAddr;

use nym_mixnode_address::{AnnounceAddr, AnnounceSource, Announced, DetectionConfig};
use nym_mixnode_net::{BindAddr, Families, Listening};

use super::{AnnounceConfig, ConfigError, ListenConfig, Source, Values, invalid, settings as s};

pub(super) fn listen_addresses(values: &Values) -> Result<Vec<(SocketAddr, Source)>, ConfigError> {
    let key = s::LISTEN_ADDRESSES.about.key;
    let mut addresses: Vec<(SocketAddr, Source)> = Vec::new();
    for (host, place) in values.parse_list(&s::LISTEN_ADDRESSES)? {
        let address = host.with_default_port(s::DEFAULT_PORT);
        if addresses.iter().any(|(other, _)| *other == address) {
            return Err(invalid(place, key, address, "is listed twice"));
        }
        addresses.push((address, place));
    }
    if addresses.is_empty() {
        addresses.push((BindAddr::everywhere(s::DEFAULT_PORT).get(), Source::Program));
    }
    Ok(addresses)
}

/// The bind addresses, each with a description of its source.
pub(super) fn listen(addresses: Vec<(SocketAddr, Source)>) -> ListenConfig {
    let listening = |(address, source): (SocketAddr, Source)| Listening {
        address: BindAddr::new(address),
        source: match source {
            Source::Program => "default: every address of this machine".to_owned(),
            source => source.to_string(),
        },
    };
    ListenConfig { addresses: addresses.into_iter().map(listening).collect() }
}

/// Like [`listen`], for settings that may be incomplete.
///
/// # Errors
/// If one of them is not allowed.
pub fn listening(values: &Values) -> Result<ListenConfig, ConfigError> {
    Ok(listen(listen_addresses(values)?))
}

/// The announce section, of settings that may be incomplete.
///
/// # Errors
/// If one of them is not allowed.
pub fn announced(values: &Values) -> Result<AnnounceConfig, ConfigError> {
    announce(values, &listen_addresses(values)?)
}

/// The announce addresses: the configured ones, else the reachable bind addresses; empty means detection.
pub(super) fn announce(values: &Values, listen: &[(SocketAddr, Source)]) -> Result<AnnounceConfig, ConfigError> {
    let detection = detection(values, Families::listened_on(listen.iter().map(|(address, _)| address.ip())))?;
    let key = s::ANNOUNCE_ADDRESSES.about.key;
    let own_port = values.parse_if_set(&s::ANNOUNCE_PORT)?;
    let port = own_port.or_else(|| listen.first().map(|(address, _)| address.port())).unwrap_or(s::DEFAULT_PORT);
    let mut addresses: Vec<Announced> = Vec::new();
    for (host, place) in values.parse_list(&s::ANNOUNCE_ADDRESSES)? {
        let address = host.with_default_port(port);
        let announced = AnnounceAddr::new(address, detection.allow_private);
        let announced = announced.map_err(|problem| invalid(place.clone(), key, address, &problem.to_string()))?;
        if has_family(&addresses, address) {
            return Err(invalid(place, key, address, ONE_TOO_MANY));
        }
        addresses.push(Announced { address: announced, source: place.to_string() });
    }
    if addresses.is_empty() {
        for (address, place) in listen {
            let address = SocketAddr::new(address.ip(), own_port.unwrap_or(address.port()));
            let Ok(announced) = AnnounceAddr::new(address, detection.allow_private) else { continue };
            if has_family(&addresses, address) {
                return Err(invalid(place.clone(), key, address, ONE_TOO_MANY));
            }
            addresses.push(Announced { address: announced, source: format!("listened on ({place})") });
        }
    }
    Ok(AnnounceConfig { addresses, port, detection })
}

const ONE_TOO_MANY: &str =
    "is one too many: a node announces at most one IPv4 and one IPv6 address; choose them with --announce-host";

fn has_family(addresses: &[Announced], address: SocketAddr) -> bool {
    addresses.iter().any(|other| other.address.get().is_ipv4() == address.is_ipv4())
}

/// How addresses are detected.
fn detection(values: &Values, listened: Families) -> Result<DetectionConfig, ConfigError> {
    let (source, place) = values.parse_with_source(&s::ANNOUNCE_SOURCE)?;
    let service = values.parse(&s::ANNOUNCE_SERVICE)?;
    if source == AnnounceSource::KubernetesService && service.is_empty() {
        let problem = "needs the Service's name in announce.service";
        return Err(invalid(place, s::ANNOUNCE_SOURCE.about.key, "kubernetes-service", problem));
    }
    Ok(DetectionConfig {
        cloud: values.parse(&s::ADDRESS_CLOUD)?,
        source,
        service,
        echo_url: values.parse_if_set(&s::ANNOUNCE_ECHO_URL)?,
        allow_private: values.parse(&s::ANNOUNCE_ALLOW_PRIVATE)?,
        listened,
        recheck: values.parse(&s::ANNOUNCE_RECHECK)?,
    })
}
