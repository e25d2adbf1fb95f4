//! The addresses of the configuration: bind addresses, announce addresses, and their detection.

use std::net::SocketAddr;

use nym_mixnode_address::{AnnounceAddr, AnnounceSource, Announced, DetectionConfig};
use nym_mixnode_net::{BindAddr, Families, Listening};

use super::reader::Reader;
use super::{AnnounceConfig, ConfigErrors, ListenConfig, Source, Values, settings as s};

pub(super) fn listen_addresses(reader: &mut Reader) -> Vec<(SocketAddr, Source)> {
    let mut addresses: Vec<(SocketAddr, Source)> = Vec::new();
    for (host, place) in reader.list(&s::LISTEN_ADDRESSES) {
        let address = host.with_default_port(s::DEFAULT_PORT);
        if addresses.iter().any(|(other, _)| *other == address) {
            reader.reject(place, s::LISTEN_ADDRESSES.about.key, address, "is listed twice");
        } else {
            addresses.push((address, place));
        }
    }
    if addresses.is_empty() {
        addresses.push((BindAddr::everywhere(s::DEFAULT_PORT).get(), Source::Program));
    }
    addresses
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
pub fn listening(values: &Values) -> Result<ListenConfig, ConfigErrors> {
    Reader::read(values, listen_addresses).map(listen)
}

/// The announce section, of settings that may be incomplete.
///
/// # Errors
/// If one of them is not allowed.
pub fn announced(values: &Values) -> Result<AnnounceConfig, ConfigErrors> {
    Reader::read(values, |reader| {
        let listen = listen_addresses(reader);
        announce(reader, &listen)
    })
}

/// The announce addresses: the configured ones, else the reachable bind addresses; empty means detection.
pub(super) fn announce(reader: &mut Reader, listen: &[(SocketAddr, Source)]) -> AnnounceConfig {
    let detection = detection(reader, Families::listened_on(listen.iter().map(|(address, _)| address.ip())));
    let key = s::ANNOUNCE_ADDRESSES.about.key;
    let own_port = reader.if_set(&s::ANNOUNCE_PORT);
    let port = own_port.or_else(|| listen.first().map(|(address, _)| address.port())).unwrap_or(s::DEFAULT_PORT);
    let mut addresses: Vec<Announced> = Vec::new();
    for (host, place) in reader.list(&s::ANNOUNCE_ADDRESSES) {
        let address = host.with_default_port(port);
        match AnnounceAddr::new(address, detection.allow_private) {
            Err(problem) => reader.reject(place, key, address, &problem.to_string()),
            Ok(_) if has_family(&addresses, address) => reader.reject(place, key, address, ONE_TOO_MANY),
            Ok(announced) => addresses.push(Announced { address: announced, source: place.to_string() }),
        }
    }
    if reader.values.of(&s::ANNOUNCE_ADDRESSES.about).is_empty() {
        for (address, place) in listen {
            let address = SocketAddr::new(address.ip(), own_port.unwrap_or(address.port()));
            let Ok(announced) = AnnounceAddr::new(address, detection.allow_private) else { continue };
            if has_family(&addresses, address) {
                reader.reject(place.clone(), key, address, ONE_TOO_MANY);
            } else {
                addresses.push(Announced { address: announced, source: format!("listened on ({place})") });
            }
        }
    }
    AnnounceConfig { addresses, port, detection }
}

const ONE_TOO_MANY: &str =
    "is one too many: a node announces at most one IPv4 and one IPv6 address; choose them with --announce-host";

fn has_family(addresses: &[Announced], address: SocketAddr) -> bool {
    addresses.iter().any(|other| other.address.get().is_ipv4() == address.is_ipv4())
}

/// How addresses are detected.
fn detection(reader: &mut Reader, listened: Families) -> DetectionConfig {
    let (source, service) = (reader.with_source(&s::ANNOUNCE_SOURCE), reader.with_source(&s::ANNOUNCE_SERVICE));
    if let (Some((AnnounceSource::KubernetesService, place)), Some(("", _))) =
        (&source, service.as_ref().map(|(service, place)| (service.as_str(), place)))
    {
        let problem = "needs the Service's name in announce.service";
        reader.reject(place.clone(), s::ANNOUNCE_SOURCE.about.key, "kubernetes-service", problem);
    }
    DetectionConfig {
        cloud: reader.get(&s::ADDRESS_CLOUD),
        source: source.unzip().0.unwrap_or_default(),
        service: service.unzip().0.unwrap_or_default(),
        echo_url: reader.if_set(&s::ANNOUNCE_ECHO_URL),
        allow_private: reader.get(&s::ANNOUNCE_ALLOW_PRIVATE),
        listened,
        recheck: reader.get(&s::ANNOUNCE_RECHECK),
    }
}
