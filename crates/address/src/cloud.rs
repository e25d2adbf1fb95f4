//! Cloud metadata services, which know the public addresses of a machine.

mod aws;
mod azure;
mod digitalocean;
mod gcp;
mod hetzner;
mod openstack;
mod oracle;
#[cfg(test)]
pub(super) mod stand_in;
mod vultr;

use std::fmt;
use std::str::FromStr;

use super::inquiry::{Public, Step};

/// The link-local address of nearly every cloud's metadata service.
const LINK_LOCAL: &str = "http://169.254.169.254";

/// A cloud with a supported metadata service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A cloud's metadata service.
pub(super) trait Provider {
    /// Looks up this machine's public addresses; adds each request and its answer to the steps.
    async fn look_up(&self, allow_private: bool, steps: &mut Vec<Step>) -> Public;
}

impl Cloud {
    /// All supported clouds.
    pub const ALL: [Self; 8] = [
        Self::Aws,
        Self::Gcp,
        Self::Azure,
        Self::DigitalOcean,
        Self::Hetzner,
        Self::Oracle,
        Self::OpenStack,
        Self::Vultr,
    ];

    /// The name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Azure => "azure",
            Self::DigitalOcean => "digitalocean",
            Self::Hetzner => "hetzner",
            Self::Oracle => "oracle",
            Self::OpenStack => "openstack",
            Self::Vultr => "vultr",
        }
    }

    /// Queries the metadata service; `base` replaces its usual URL.
    pub(super) async fn look_up(self, base: Option<&str>, allow_private: bool, steps: &mut Vec<Step>) -> Public {
        let at = |usual: &str| base.unwrap_or(usual).to_owned();
        match self {
            Self::Aws => {
                let bases = base.map_or_else(aws::Aws::usual, |base| vec![base.to_owned()]);
                aws::Aws { bases }.look_up(allow_private, steps).await
            }
            Self::Gcp => gcp::Gcp { base: at(gcp::BASE) }.look_up(allow_private, steps).await,
            Self::Azure => azure::Azure { base: at(LINK_LOCAL) }.look_up(allow_private, steps).await,
            Self::DigitalOcean => {
                digitalocean::DigitalOcean { base: at(LINK_LOCAL) }.look_up(allow_private, steps).await
            }
            Self::Hetzner => hetzner::Hetzner { base: at(LINK_LOCAL) }.look_up(allow_private, steps).await,
            Self::Oracle => oracle::Oracle { base: at(LINK_LOCAL) }.look_up(allow_private, steps).await,
            Self::OpenStack => openstack::OpenStack { base: at(LINK_LOCAL) }.look_up(allow_private, steps).await,
            Self::Vultr => vultr::Vultr { base: at(LINK_LOCAL) }.look_up(allow_private, steps).await,
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Cloud {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|cloud| cloud.name() == text).ok_or(())
    }
}
