//! An operator-configured service that returns the caller's address. It sees the address of outgoing connections, and
//! learns that the node exists.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use nym_mixnode_base::redact::redacted;
use nym_mixnode_net::Families;
use url::Url;

use super::inquiry::{self, Inquiry, Public, RequestRules, Step};

const TIMEOUT: Duration = Duration::from_secs(3);
const RETRY_ON: &[u16] = &[429, 500, 502, 503];

/// Sends one request over each of these address families.
pub(super) async fn look_up(url: &Url, allow_private: bool, over: Families, steps: &mut Vec<Step>) -> Public {
    let mut public = Public::default();
    let shown = redacted(url);
    let families: [(bool, &'static str, IpAddr); 2] = [
        (over.v4, "echo service over IPv4", Ipv4Addr::UNSPECIFIED.into()),
        (over.v6, "echo service over IPv6", Ipv6Addr::UNSPECIFIED.into()),
    ];
    for (is_wanted, name, from) in families {
        if !is_wanted {
            continue;
        }
        let rules = RequestRules { name, timeout: TIMEOUT, retry_on: RETRY_ON };
        let mut http = inquiry::http(TIMEOUT).local_address(from);
        if url.scheme() == "http" {
            // Avoids loading the system's root certificates, which a minimal image may lack.
            http = http.tls_certs_only([]);
        }
        let Some(mut inquiry) = Inquiry::over(http, rules, allow_private, steps) else { continue };
        public.add(inquiry.get_address(&shown, url.as_str()).await);
    }
    public
}
