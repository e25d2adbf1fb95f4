//! The section of a gateway, which mixes do not read.

use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode_net::BindAddr;

use super::reader::Reader;
use super::settings as s;

/// What a gateway has beside what every node has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Where clients connect.
    pub listen: BindAddr,
    /// URL that clients use; `None` follows the announce address.
    pub announce_url: Option<String>,
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
        clients_max: reader.get(&s::GATEWAY_CLIENTS_MAX),
        inbox_messages_max: reader.get(&s::GATEWAY_INBOX_MESSAGES_MAX),
        messages_max: reader.get(&s::GATEWAY_MESSAGES_MAX),
        message_age_max: reader.get(&s::GATEWAY_MESSAGE_AGE_MAX),
        connections_max: reader.get(&s::GATEWAY_CONNECTIONS_MAX),
        connections_per_address_max: reader.get(&s::GATEWAY_CONNECTIONS_PER_ADDRESS_MAX),
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
    fn urls_for_clients_are_of_websockets() {
        for bad in
            ["http://gateway.example", "wss://gateway.example", "gateway.example", "ws://", "ws://a/?q", "ws://a/#f"]
        {
            assert!(parsed(&[(&s::GATEWAY_ANNOUNCE_URL.about, bad)]).is_err(), "{bad}");
        }
    }
}
