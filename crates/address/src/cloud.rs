//! Cloud metadata services, which know the public addresses of a machine.

mod aws;
mod azure;
mod gcp;
mod hetzner;
mod openstack;
mod oracle;
mod plain_text;
#[cfg(test)]
pub(super) mod stand_in;

use std::time::Duration;

use strum::{Display, EnumString, IntoStaticStr, VariantNames};

use super::inquiry::{self, Inquiry, Public, RequestRules, Step};

/// The link-local address of nearly every cloud's metadata service.
const LINK_LOCAL: &str = "http://169.254.169.254";

/// Status codes of a service that may answer later.
const BUSY: &[u16] = &[429, 500, 503];

/// A cloud with a supported metadata service; its text is the name in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Cloud {
    /// Amazon EC2.
    Aws,
    /// Google Compute Engine.
    Gcp,
    /// Microsoft Azure.
    Azure,
    /// `DigitalOcean`.
    DigitalOcean,
    /// Hetzner Cloud.
    Hetzner,
    /// Oracle Cloud.
    Oracle,
    /// Any `OpenStack` installation.
    OpenStack,
    /// Vultr.
    Vultr,
}

impl Cloud {
    /// Name of the service in messages, time limit of a request in seconds, and status codes to retry after.
    const fn rules(self) -> RequestRules {
        let (name, seconds, retry_on): (_, _, &[u16]) = match self {
            Self::Aws => ("aws metadata", 2, BUSY),
            Self::Gcp => ("gcp metadata", 2, &[429, 503]),
            Self::Azure => ("azure metadata", 2, &[404, 410, 429, 500]),
            Self::DigitalOcean => ("digitalocean metadata", 2, BUSY),
            Self::Hetzner => ("hetzner metadata", 2, BUSY),
            Self::Oracle => ("oracle metadata", 2, BUSY),
            Self::OpenStack => ("openstack metadata", 10, BUSY),
            Self::Vultr => ("vultr metadata", 10, BUSY),
        };
        RequestRules { name, timeout: Duration::from_secs(seconds), retry_on }
    }

    /// Queries the metadata service; `base` replaces its usual URL.
    pub(super) async fn look_up(self, base: Option<&str>, allow_private: bool, steps: &mut Vec<Step>) -> Public {
        let mut public = Public::default();
        let rules = self.rules();
        // Plain HTTP needs no certificates.
        let http = gcp::with_address(inquiry::http(rules.timeout).tls_certs_only([]));
        let Some(mut inquiry) = Inquiry::over(http, rules, allow_private, steps) else { return public };
        let (inquiry, found) = (&mut inquiry, &mut public);
        let at = base.unwrap_or(LINK_LOCAL);
        match self {
            Self::Aws => aws::look_up(&base.map_or(aws::BASES.to_vec(), |base| vec![base]), inquiry, found).await,
            Self::Gcp => gcp::look_up(base.unwrap_or(gcp::BASE), inquiry, found).await.unwrap_or_default(),
            Self::Azure => azure::look_up(at, inquiry, found).await,
            Self::DigitalOcean => {
                plain_text::look_up(&format!("{at}/metadata/v1/interfaces/public/0"), inquiry, found).await;
            }
            Self::Hetzner => hetzner::look_up(at, inquiry, found).await,
            Self::Oracle => oracle::look_up(at, inquiry, found).await,
            Self::OpenStack => openstack::look_up(at, inquiry, found).await,
            Self::Vultr => plain_text::look_up(&format!("{at}/v1/interfaces/0"), inquiry, found).await,
        }
        public
    }
}
