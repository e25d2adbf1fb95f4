//! A gateway: the crate `gateway` with registration, topology and the interfaces of its operator, as a mix has them.

pub(super) mod view;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nym_mixnode_address::{AnnounceAddr, Announcing, Detector, watch};
use nym_mixnode_api::{GatewayRegistration, PROTOCOL_VERSION, Topology};
use nym_mixnode_config::{Config, GatewayConfig};
use nym_mixnode_directory::{Client, ClientLimits, Heartbeat, Signer};
use nym_mixnode_gateway::mixing::OutboundSettings;
use nym_mixnode_gateway::run::{Gateway, Settings};
use nym_mixnode_gateway::server::ServerTimes;
use nym_mixnode_gateway::store::StoreBounds;
use nym_mixnode_keys::NodeKeys;
use nym_mixnode_mix::Policy;
use nym_mixnode_net::{Reach, interface_addresses};
use nym_mixnode_telemetry::window::wall_clock;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::info;

use self::view::View;
use super::listed::ListedNodes;
use super::operator::{Operator, bind as bind_http};
use super::traced_directory::TracedDirectory;
use super::{
    NodeError, NodeStatus, RunOptions, STATUS_EVERY, SupervisorEvent, bind_all, checked_engine, heartbeat_settings,
    listen_ips, warn_of_retired_network,
};

/// Runs a gateway until `stop` completes, then stops it in order: unregister, linger, drain.
///
/// Calls `report` as [`super::run`] does. Of the counters a gateway reports only whether it is listed, and the number of
/// addresses to which it sends packets.
///
/// # Errors
/// When an address cannot be bound, the store cannot be opened, or the directory rejects the gateway.
pub async fn run(
    config: Config,
    store: PathBuf,
    keys: NodeKeys,
    options: RunOptions,
    stop: impl Future<Output = ()>,
    mut report: impl FnMut(SupervisorEvent),
) -> Result<(), NodeError> {
    info!("Starting nym gateway");
    let engine = checked_engine(config.unwrap.engine)?;
    let mixes = bind_all(&config.listen.bind_addresses())?;
    let clients = bind_all(&[config.gateway.listen])?;
    let http = bind_http(&config.http)?;
    let client = Client::of(&config.directory, ClientLimits::default())?;
    let (announce, manager) = (options.announce.clone(), options.service_manager.clone());
    let announcing = Arc::new(Announcing::new(config.announce.addresses.clone(), announce.as_ref()));
    let telemetry = options.telemetry.clone();
    let client = TracedDirectory::new(client, telemetry.clone());
    let signer = Signer::of_config(&keys, &config.directory)?;
    let registration = registration(&config, &keys);
    let heartbeat = Heartbeat::new(client, registration, heartbeat_settings(&config, options)).signed_by(signer);
    let mut gateway = Gateway::start(settings(&config, store, &keys, engine), mixes, clients).await?;
    let policy = gateway.policy();
    let listed = Arc::new(ListedNodes::new(Reach::new(config.announce.detection.allow_private, listen_ips(&config))));
    refuse_own(&config, &policy, &announced(&announcing));
    let allow = |topology: &Topology| policy.set_topology(listed.take(topology));
    if let Some(topology) = heartbeat.load_last_good() {
        allow(&topology);
    }
    info!("Listening for packets and clients, not registered yet");
    warn_of_retired_network(&config.directory.url);
    let state = heartbeat.state();
    let view = View::new(&config, &keys, &state, &announcing, &policy, &listed, engine);
    let operator = Operator::start(view, http, manager);
    let status = || NodeStatus {
        registered: state.registered(),
        next_hops_allowed: policy.listed() as u64,
        ..NodeStatus::default()
    };
    report(SupervisorEvent::Ready { status: status(), http: operator.address() });

    let changes = AtomicU64::new(0);
    let life = async {
        let beat = async {
            // Register only with an address that mixes can reach.
            announcing.begun().await;
            heartbeat.run(|| 0, allow).await
        };
        let detect = async |detector: &Detector| telemetry.detect(detector.detect()).await;
        let ended = tokio::select! {
            biased;
            () = stop => Ok(()),
            () = gateway.next_end() => Err(NodeError::WorkerFailed),
            fatal = beat => fatal.map(|never: Infallible| match never {}).map_err(NodeError::from),
            never = listed.follow_names(|next_hops| policy.set_topology(next_hops)) => match never {},
            never = watch(announce, &announcing, &changes, detect, |addresses| {
                refuse_own(&config, &policy, addresses);
                heartbeat.change_registration(|registration| announce_at(registration, &config.gateway, addresses));
            }) => match never {},
        };
        operator.stopping();
        let unregistered = heartbeat.unregister().await;
        if unregistered && ended.is_ok() {
            info!(seconds = config.shutdown.linger.as_secs_f64(), "serving on while clients use the old topology");
            sleep(config.shutdown.linger).await;
        }
        info!("draining: undelivered messages go to inboxes");
        gateway.stop(config.shutdown.drain_deadline).await;
        telemetry.stop(operator.readings()).await;
        info!("stopped");
        ended
    };
    let report_status = async {
        let mut second = interval(STATUS_EVERY);
        second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            second.tick().await;
            report(SupervisorEvent::Status { status: status() });
        }
    };
    let ended = tokio::select! {
        biased;
        ended = Box::pin(life) => ended,
        never = report_status => never,
    };
    report(SupervisorEvent::Stopped { status: NodeStatus::default() });
    ended
}

pub(super) fn settings(
    config: &Config,
    store: PathBuf,
    keys: &NodeKeys,
    engine: nym_mixnode_sphinx::EngineKind,
) -> Settings {
    let own = &config.gateway;
    Settings {
        identity: Arc::clone(&keys.identity),
        sphinx: keys.sphinx.secret().clone(),
        engine,
        store,
        bounds: StoreBounds {
            clients: own.clients_max,
            messages_per_client: own.inbox_messages_max,
            messages: own.messages_max,
            age: own.message_age_max,
        },
        replay: config.replay.window,
        deadlines: config.connections.deadlines,
        mix_connections: (config.connections.total_max, config.connections.per_address_max),
        client_connections: (own.connections_max, own.connections_per_address_max),
        times: ServerTimes::default(),
        outbound: OutboundSettings { forwarder: config.forward.limits.clone() },
        rule: config.forward.policy,
        now: unix_seconds,
    }
}

fn unix_seconds() -> u64 {
    wall_clock().as_secs()
}

fn announced(announcing: &Announcing) -> Vec<AnnounceAddr> {
    announcing.now().iter().map(|announced| announced.address).collect()
}

/// Rejects this gateway's own addresses as next hops under the policy `public`.
fn refuse_own(config: &Config, policy: &Policy, announced: &[AnnounceAddr]) {
    let announced = announced.iter().map(|address| address.get().ip());
    policy.set_own(listen_ips(config).chain(announced).chain(interface_addresses()));
}

pub(super) fn registration(config: &Config, keys: &NodeKeys) -> GatewayRegistration {
    let mut registration = GatewayRegistration {
        mix_host: String::new(),
        mix_hosts: Vec::new(),
        clients_host: String::new(),
        identity_key: keys.identity_public.clone(),
        sphinx_key: keys.sphinx.public_base58(),
        version: PROTOCOL_VERSION.to_owned(),
        location: config.node.location.clone(),
        incentives_address: config.node.incentives_address.clone(),
        expires_in: None,
        proof: None,
    };
    let announced: Vec<_> = config.announce.addresses.iter().map(|announced| announced.address).collect();
    announce_at(&mut registration, &config.gateway, &announced);
    registration
}

/// Sets the announced addresses and the URL for clients, which follows the first of them.
fn announce_at(registration: &mut GatewayRegistration, own: &GatewayConfig, addresses: &[AnnounceAddr]) {
    let hosts: Vec<String> = addresses.iter().map(AnnounceAddr::to_string).collect();
    registration.mix_host = hosts.first().cloned().unwrap_or_default();
    registration.mix_hosts = if hosts.len() > 1 { hosts } else { Vec::new() };
    if let Some(first) = addresses.first() {
        registration.clients_host = own.url(first.get());
    }
}
