//! `client init`: creates a client's keys and registers it at a gateway.

use std::io;
use std::time::Duration;

use nym_mixnode_client::connection::{ConnectError, register};
use nym_mixnode_client::endpoint::{Endpoint, NoTls};
use nym_mixnode_client::network::{Gateway, Network};
use nym_mixnode_client::profile::{ProfileConfig, ProfileKeys};
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
    #[arg(long, value_name = "KEY")]
    registry_key: Option<String>,
    /// Identity key of the gateway [default: an active one at random]
    #[arg(long, value_name = "KEY")]
    gateway: Option<String>,
    /// Connect without TLS even if the gateway offers it: others on the way can then recognise messages of the client
    #[arg(long)]
    plain: bool,
    /// Mean time between two packets that carry messages, or cover if none waits
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = humantime::parse_duration)]
    sending_interval: Duration,
    /// Mean time between two packets that are always cover
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = humantime::parse_duration)]
    cover_interval: Duration,
    /// Mean delay at each mix
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = humantime::parse_duration)]
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
    // The text is parsed again, so that what is out of range is found now.
    ProfileConfig::from_toml(&config.to_toml()).map_err(|error| Failure::new(Exit::USAGE, error))?;
    profile.create(&config, &keys)?;
    print_to(io::stderr(), format_args!("Created the client in {}; its address is:", profile.dir().display()))?;
    if endpoint.key().is_none() && !args.plain {
        let warning =
            "Warning: the gateway offers no TLS: who sees the connection to it can recognise messages of this client.";
        print_to(io::stderr(), warning)?;
    }
    print_to(io::stdout(), address(&config, &keys)?)
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
