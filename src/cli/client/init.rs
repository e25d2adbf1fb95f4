//! `client init`: creates a client's keys and registers it at a gateway.

use std::io;
use std::time::Duration;

use nym_mixnode_client::connection::{ConnectError, register};
use nym_mixnode_client::endpoint::{Endpoint, NoTls};
use nym_mixnode_client::network::{Gateway, Network};
use nym_mixnode_client::profile::{DURATIONS, ProfileConfig, ProfileKeys};
use nym_mixnode_client::topology::TopologySource;
use nym_mixnode_config::http_url;
use nym_mixnode_directory::{Client, ClientLimits};
use nym_mixnode_keys::{IdentityKeyPair, KeyGenerationError, SphinxKeyPair};
use nym_mixnode_message::ack::AckKey;
use url::Url;

use super::super::ca_file::CaFileFlag;
use super::super::output::{print_to, without_last_slash};
use super::super::{Exit, Failure};
use super::ClientFlags;
use super::running::{address, base58_key};
use crate::times;

/// The longest delay that mixes accept, unless their operators change `mix.delay_max`.
const MIX_DELAY_MAX: Duration = Duration::from_secs(10);

/// Create a client: its keys, and an account at a gateway
///
/// Everything is created in ~/.nym/clients/ID/, or nothing at all. The address that it prints is what others send to.
/// Keep a copy of the directory: nobody else can receive what is sent to the address.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    client: ClientFlags,
    /// URL of the registry of the network
    #[arg(long, value_name = "URL", value_parser = http_url)]
    registry: Url,
    #[command(flatten)]
    ca_file: CaFileFlag,
    /// Key of the registry, base58 [default: the key that it presents now]
    #[arg(long, value_name = "KEY", value_parser = key_text)]
    registry_key: Option<String>,
    /// Identity key of the gateway [default: an active one at random]
    #[arg(long, value_name = "KEY")]
    gateway: Option<String>,
    /// Connect without TLS even if the gateway offers it: others on the way can then recognise messages of the client
    #[arg(long)]
    plain: bool,
    /// Mean time between two packets that carry messages, or cover if none waits
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = mean_time)]
    sending_interval: Duration,
    /// Mean time between two packets that are always cover
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = mean_time)]
    cover_interval: Duration,
    /// Mean delay at each mix
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = mean_time)]
    packet_delay: Duration,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let profile = args.client.profile()?;
    profile.refuse_existing()?;
    let client = Client::trusting(args.ca_file.path(), &args.registry, &args.registry, ClientLimits::default())?;
    let mut source = TopologySource::new(client, args.registry_key.clone());
    let network = Network::of(&source.active().await?);
    let (gateway, announced) = choose(&args, &network)?;
    let plain = Endpoint::plain(announced.clients_host.clone());
    let endpoint = announced.tls.as_ref().filter(|_| !args.plain).unwrap_or(&plain);
    network.route(&gateway, &mut rand::rng()).map_err(|error| {
        let advice = "wait until the monitor of the registry has tested its nodes, or add nodes to the network";
        Failure::new(Exit::UNAVAILABLE, format_args!("cannot use the network: {error}: {advice}"))
    })?;
    let identity = IdentityKeyPair::generate().map_err(no_keys)?;
    // The connection ends here: `send` and `receive` make their own.
    let (_, shared) = register(endpoint, &identity, gateway).await?;
    let encryption = SphinxKeyPair::generate().map_err(no_keys)?;
    let keys = ProfileKeys { identity, encryption, ack: AckKey::generate(&mut rand::rng()), shared };
    let config = ProfileConfig {
        id: args.client.id.as_str().to_owned(),
        registry: without_last_slash(&args.registry),
        registry_key: source.key().map(str::to_owned),
        gateway_id: bs58::encode(gateway).into_string(),
        gateway_listener: announced.clients_host.clone(),
        gateway_tls: announced.tls.clone(),
        gateway_plain: args.plain,
        packet_delay: args.packet_delay,
        ack_delay: args.packet_delay,
        cover: args.cover_interval,
        sending: args.sending_interval,
    };
    profile.create(&config, &keys)?;
    print_to(io::stderr(), format_args!("Created the client in {}; its address is:", profile.dir().display()))?;
    if endpoint.key().is_none() && !args.plain {
        let warning =
            "Warning: the gateway offers no TLS: who sees the connection to it can recognise messages of this client.";
        print_to(io::stderr(), warning)?;
    }
    if let Some(warning) = delay_warning(args.packet_delay) {
        print_to(io::stderr(), warning)?;
    }
    print_to(io::stdout(), address(&config, &keys)?)
}

/// A time of the configuration.
fn mean_time(text: &str) -> Result<Duration, String> {
    times::within(text, DURATIONS)
}

fn key_text(text: &str) -> Result<String, &'static str> {
    base58_key(text).map(|_| text.to_owned()).ok_or("not base58 of 32 bytes")
}

/// Delays are random, with this mean: how many are longer than mixes allow.
fn delay_warning(mean: Duration) -> Option<String> {
    let kept_by_one = 1.0 - (-MIX_DELAY_MAX.as_secs_f64() / mean.as_secs_f64()).exp();
    let percent = 100.0 * (1.0 - kept_by_one.powi(3));
    (percent >= 1.0).then(|| {
        format!(
            "Warning: mixes drop packets with delays above {}, unless their operators allow more: of the packets of this \
             client they will drop {percent:.0} %. A shorter --packet-delay avoids that.",
            humantime::format_duration(MIX_DELAY_MAX)
        )
    })
}

fn choose<'a>(args: &Args, network: &'a Network) -> Result<([u8; 32], &'a Gateway), Failure> {
    let Some(text) = &args.gateway else {
        let (identity, gateway) = network.any_gateway(&mut rand::rng()).ok_or_else(|| {
            let problem = "the network has no active gateway: start one with `nym-mixnode gateway`, and wait until the \
                monitor of the registry has tested it";
            Failure::new(Exit::UNAVAILABLE, problem)
        })?;
        return Ok((*identity, gateway));
    };
    let identity = base58_key(text)
        .ok_or_else(|| Failure::new(Exit::USAGE, format_args!("--gateway {text} is not base58 of 32 bytes")))?;
    let gateway = network.gateway(&identity).ok_or_else(|| {
        let problem = format_args!(
            "--gateway {text} is no active gateway of this network: see the explorer at {}",
            without_last_slash(&args.registry)
        );
        Failure::new(Exit::UNAVAILABLE, problem)
    })?;
    Ok((identity, gateway))
}

fn no_keys(error: KeyGenerationError) -> Failure {
    Failure::new(Exit::TRY_AGAIN, format_args!("cannot create keys: {error}"))
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let exit = match &error {
            ConnectError::Socket { .. } | ConnectError::Closed(_) | ConnectError::Silent(_) => Exit::UNAVAILABLE,
            ConnectError::OtherKey(_) | ConnectError::Handshake { .. } | ConnectError::NotAccepted(_) => {
                Exit::PERMISSION
            }
            ConnectError::Refused { .. } => Exit::TRY_AGAIN,
        };
        Self::new(exit, error)
    }
}

impl From<NoTls> for Failure {
    fn from(error: NoTls) -> Self {
        Self::new(Exit::PERMISSION, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_delay_beyond_what_mixes_accept_is_warned_of() {
        for millis in [1, 50, 1500] {
            assert_eq!(delay_warning(Duration::from_millis(millis)), None);
        }
        let warning = delay_warning(Duration::from_secs(10)).unwrap();
        assert!(warning.contains("above 10s") && warning.contains("75 %"), "{warning}");
    }

    #[test]
    fn flags_that_cannot_be_right_are_named_with_their_bounds() {
        assert!(mean_time("0s").unwrap_err().contains("minimum is 1ms"));
        assert!(mean_time("61m").unwrap_err().contains("maximum is 1h"));
        assert_eq!(key_text("abc"), Err("not base58 of 32 bytes"));
    }
}
