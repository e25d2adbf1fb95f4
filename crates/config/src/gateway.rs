//! The section of a gateway, which mixes do not read.

use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode_net::BindAddr;
use nym_mixnode_tls::TlsFiles;

use super::located;
use super::reader::Reader;
use super::settings as s;

/// What a gateway has beside what every node has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Where clients connect.
    pub listen: BindAddr,
    /// URL that clients use; `None` follows the announce address.
    pub announce_url: Option<String>,
    /// Connections with TLS; `None` if there are none.
    pub tls: Option<GatewayTlsConfig>,
    /// Limit of registered clients.
    pub clients_max: u64,
    /// Limit of messages for one client.
    pub inbox_messages_max: u64,
    /// Limit of messages for all clients.
    pub messages_max: u64,
    /// Age at which messages are removed.
    pub message_age_max: Duration,
    /// Limit of connections of clients in total.
    pub connections_max: usize,
    /// Limit of connections of clients from one IPv4 address or IPv6 /64.
    pub connections_per_address_max: usize,
}

/// How a gateway serves clients with TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayTlsConfig {
    /// Where clients connect.
    pub listen: BindAddr,
    /// URL that clients use; `None` follows the announce address.
    pub announce_url: Option<String>,
    /// Certificate of the operator; `None` derives one from the identity key.
    pub files: Option<TlsFiles>,
}

impl GatewayTlsConfig {
    /// The URL for clients of a gateway whose first announce address is `address`.
    #[must_use]
    pub fn url(&self, address: SocketAddr) -> String {
        let port = self.listen.get().port();
        let followed = || format!("wss://{}", SocketAddr::new(address.ip(), port));
        self.announce_url.clone().unwrap_or_else(followed)
    }
}

impl GatewayConfig {
    /// The URL for clients of a gateway whose first announce address is `address`.
    #[must_use]
    pub fn url(&self, address: SocketAddr) -> String {
        let port = self.listen.get().port();
        let followed = || format!("ws://{}", SocketAddr::new(address.ip(), port));
        self.announce_url.clone().unwrap_or_else(followed)
    }
}

pub(super) fn section(reader: &mut Reader) -> GatewayConfig {
    let listen = reader.if_set(&s::GATEWAY_LISTEN);
    let listen = listen.map(|host| BindAddr::new(host.with_default_port(s::DEFAULT_CLIENTS_PORT)));
    GatewayConfig {
        listen: listen.unwrap_or_else(|| BindAddr::everywhere(s::DEFAULT_CLIENTS_PORT)),
        announce_url: reader.if_set(&s::GATEWAY_ANNOUNCE_URL),
        tls: tls(reader),
        clients_max: reader.get(&s::GATEWAY_CLIENTS_MAX),
        inbox_messages_max: reader.get(&s::GATEWAY_INBOX_MESSAGES_MAX),
        messages_max: reader.get(&s::GATEWAY_MESSAGES_MAX),
        message_age_max: reader.get(&s::GATEWAY_MESSAGE_AGE_MAX),
        connections_max: reader.get(&s::GATEWAY_CONNECTIONS_MAX),
        connections_per_address_max: reader.get(&s::GATEWAY_CONNECTIONS_PER_ADDRESS_MAX),
    }
}

fn tls(reader: &mut Reader) -> Option<GatewayTlsConfig> {
    let listen = match reader.if_set(&s::GATEWAY_TLS_LISTEN) {
        None => Some(BindAddr::everywhere(s::DEFAULT_CLIENTS_TLS_PORT)),
        Some(host) => host.map(|host| BindAddr::new(host.with_default_port(s::DEFAULT_CLIENTS_TLS_PORT))),
    };
    let announce_url = reader.if_set(&s::GATEWAY_TLS_ANNOUNCE_URL);
    let files = tls_files(reader);
    Some(GatewayTlsConfig { listen: listen?, announce_url, files })
}

/// Both files, or none.
fn tls_files(reader: &mut Reader) -> Option<TlsFiles> {
    let certificate = reader.list(&s::GATEWAY_TLS_CERTIFICATE_FILE).pop();
    let key = reader.list(&s::GATEWAY_TLS_KEY_FILE).pop();
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate: located(certificate), key: located(key) }),
        (Some((path, place)), None) => {
            let problem = "is the certificate of a key that is not set: set gateway.tls_key_file, too";
            reader.reject(place, s::GATEWAY_TLS_CERTIFICATE_FILE.about.key, path.display(), problem);
            None
        }
        (None, Some((path, place))) => {
            let problem = "is the key of a certificate that is not set: set gateway.tls_certificate_file, too";
            reader.reject(place, s::GATEWAY_TLS_KEY_FILE.about.key, path.display(), problem);
            None
        }
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConfigErrors, Source, Values};

    fn parsed(settings: &[(&'static s::About, &str)]) -> Result<GatewayConfig, ConfigErrors> {
        let mut values = Values::default();
        for (about, text) in settings {
            values.set(about, *text, &Source::Program);
        }
        Reader::read(&values, section)
    }

    #[test]
    fn clients_connect_to_the_announce_address_unless_a_url_is_set() {
        let address = "192.0.2.1:1789".parse().unwrap();
        assert_eq!(parsed(&[]).unwrap().url(address), "ws://192.0.2.1:9000");
        let listening = parsed(&[(&s::GATEWAY_LISTEN.about, "127.0.0.1:9999")]).unwrap();
        assert_eq!(listening.listen.get(), "127.0.0.1:9999".parse().unwrap());
        assert_eq!(listening.url("[2001:db8::1]:1".parse().unwrap()), "ws://[2001:db8::1]:9999");
        let set = parsed(&[(&s::GATEWAY_ANNOUNCE_URL.about, "ws://gateway.example/nym")]).unwrap();
        assert_eq!(set.url(address), "ws://gateway.example/nym");
    }

    #[test]
    fn clients_connect_with_tls_unless_it_is_off() {
        let address = "192.0.2.1:1789".parse().unwrap();
        let usual = parsed(&[]).unwrap().tls.unwrap();
        assert_eq!((usual.url(address).as_str(), &usual.files), ("wss://192.0.2.1:9443", &None));
        let listening = parsed(&[(&s::GATEWAY_TLS_LISTEN.about, "[2001:db8::1]:7")]).unwrap().tls.unwrap();
        assert_eq!(listening.listen.get(), "[2001:db8::1]:7".parse().unwrap());
        assert_eq!(listening.url("[2001:db8::1]:1".parse().unwrap()), "wss://[2001:db8::1]:7");
        let url = parsed(&[(&s::GATEWAY_TLS_ANNOUNCE_URL.about, "wss://gateway.example")]).unwrap().tls.unwrap();
        assert_eq!(url.url(address), "wss://gateway.example");
        assert_eq!(parsed(&[(&s::GATEWAY_TLS_LISTEN.about, "off")]).unwrap().tls, None);
        assert!(parsed(&[(&s::GATEWAY_TLS_ANNOUNCE_URL.about, "ws://gateway.example")]).is_err());
    }

    #[test]
    fn a_certificate_needs_its_key_and_a_key_its_certificate() {
        let (certificate, key) = (&s::GATEWAY_TLS_CERTIFICATE_FILE.about, &s::GATEWAY_TLS_KEY_FILE.about);
        let both = parsed(&[(certificate, "/c.pem"), (key, "/k.pem")]).unwrap().tls.unwrap().files.unwrap();
        assert_eq!(both, TlsFiles { certificate: "/c.pem".into(), key: "/k.pem".into() });
        for (alone, other) in [(certificate, key), (key, certificate)] {
            let errors = parsed(&[(alone, "/x.pem")]).unwrap_err().to_string();
            assert!(errors.contains(alone.key) && errors.contains(other.key) && errors.contains("/x.pem"), "{errors}");
        }
    }

    #[test]
    fn urls_for_clients_are_of_websockets() {
        for bad in
            ["http://gateway.example", "wss://gateway.example", "gateway.example", "ws://", "ws://a/?q", "ws://a/#f"]
        {
            assert!(parsed(&[(&s::GATEWAY_ANNOUNCE_URL.about, bad)]).is_err(), "{bad}");
        }
    }
}
