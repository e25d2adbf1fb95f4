//! A gateway: the crate `gateway` with registration, topology and the interfaces of its operator, as a mix has them.

pub(super) mod view;

use std::convert::Infallible;
use std::future::pending;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nym_mixnode_address::{AnnounceAddr, Announcing, Detector, watch};
use nym_mixnode_api::{ClientsTls, GatewayRegistration, PROTOCOL_VERSION, Topology};
use nym_mixnode_base::open_files::{Remedy, Shares};
use nym_mixnode_config::{Config, GatewayConfig};
use nym_mixnode_gateway::mixing::OutboundSettings;
use nym_mixnode_gateway::run::{Gateway, Settings};
use nym_mixnode_gateway::server::ServerTimes;
use nym_mixnode_gateway::store::StoreBounds;
use nym_mixnode_keys::NodeKeys;
use nym_mixnode_mix::{Policy, outgoing};
use nym_mixnode_net::{Reach, interface_addresses};
use nym_mixnode_sphinx::EngineKind;
use nym_mixnode_telemetry::http::HttpServer;
use nym_mixnode_telemetry::window::wall_clock;
use nym_mixnode_tls::{Acceptor, Tls, TlsError};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use self::view::View;
use super::listed::ListedNodes;
use super::operator::{Operator, bind as bind_http};
use super::{
    NodeError, NodeStatus, RunOptions, STATUS_EVERY, SupervisorEvent, bind_all, checked_engine, heartbeat_of,
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
    let tls = tls_of(&config.gateway, &keys)?;
    let acceptor = tls.as_ref().map(Tls::acceptor);
    let sockets = Sockets::bind(&config)?;
    let (announce, manager) = (options.announce.clone(), options.service_manager.clone());
    let announcing = Arc::new(Announcing::new(config.announce.addresses.clone(), announce.as_ref()));
    let telemetry = options.telemetry.clone();
    let heartbeat = heartbeat_of(&config, &keys, registration(&config, &keys, acceptor.as_ref())?, options)?;
    let mut gateway = Gateway::start(settings(&config, store, &keys, engine), sockets.mixes, sockets.clients).await?;
    if let Some(acceptor) = &acceptor {
        gateway.serve_tls(sockets.clients_with_tls, acceptor)?;
    }
    let policy = gateway.policy();
    let listed = Arc::new(ListedNodes::new(Reach::new(config.announce.detection.allow_private, listen_ips(&config))));
    refuse_own(&config, &policy, &announced(&announcing));
    let nodes = gateway.nodes();
    let allow = |topology: &Topology| nodes.set(listed.take(topology));
    if let Some(topology) = heartbeat.load_last_good() {
        allow(&topology);
    }
    info!("Listening for packets and clients, not registered yet");
    warn_of_retired_network(&config.directory.url);
    let state = heartbeat.state();
    let view = View::new(&config, &keys, &state, &announcing, (&gateway, engine), &listed, telemetry.clone());
    let operator = Operator::start(view, sockets.http, manager);
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
            never = follow_certificate(tls, |key_hash| {
                heartbeat.change_registration(|registration| renew_key(registration, key_hash));
            }) => match never {},
            never = listed.follow_names(|next_hops| nodes.set(next_hops)) => match never {},
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
        operator.draining();
        gateway.stop(config.shutdown.drain_deadline).await;
        telemetry.stop(operator.drained()).await;
        info!("stopped");
        ended
    };
    let ended = tokio::select! {
        biased;
        ended = Box::pin(life) => ended,
        never = every_second(|| report(SupervisorEvent::Status { status: status() })) => match never {},
    };
    report(SupervisorEvent::Stopped { status: NodeStatus::default() });
    ended
}

/// What a gateway listens on.
struct Sockets {
    mixes: Vec<TcpListener>,
    clients: Vec<TcpListener>,
    /// None without TLS.
    clients_with_tls: Vec<TcpListener>,
    http: Option<HttpServer>,
}

impl Sockets {
    fn bind(config: &Config) -> Result<Self, NodeError> {
        let with_tls: Vec<_> = config.gateway.tls.iter().map(|tls| tls.listen).collect();
        Ok(Self {
            mixes: bind_all(&config.listen.bind_addresses())?,
            clients: bind_all(&[config.gateway.listen])?,
            clients_with_tls: bind_all(&with_tls)?,
            http: bind_http(&config.http)?,
        })
    }
}

async fn every_second(mut report: impl FnMut()) -> Infallible {
    let mut seconds = interval(STATUS_EVERY);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        seconds.tick().await;
        report();
    }
}

/// Connections in total and per address, of mixes and of clients: those of the configuration, or fewer where the limit on open
/// files requires it. Clients get what mixes leave, at least half.
fn connection_limits(config: &Config, descriptors: Shares) -> [(usize, usize); 2] {
    let (mixes, clients) = (&config.connections, &config.gateway);
    let of_clients = clients.connections_max.min(descriptors.incoming - mixes.total_max.min(descriptors.incoming / 2));
    let of_mixes = mixes.total_max.min(descriptors.incoming - of_clients);
    if of_mixes < mixes.total_max || of_clients < clients.connections_max {
        warn!(
            mixes = of_mixes,
            clients = of_clients,
            "fewer connections than connections.total_max and gateway.connections_max, because of the limit on open files: {}",
            Remedy::here()
        );
    }
    let limits = |total: usize, total_max: usize, per_address: usize| {
        let half = if total < total_max { (total / 2).max(1) } else { per_address };
        (total, per_address.min(half))
    };
    [
        limits(of_mixes, mixes.total_max, mixes.per_address_max),
        limits(of_clients, clients.connections_max, clients.connections_per_address_max),
    ]
}

pub(super) fn settings(config: &Config, store: PathBuf, keys: &NodeKeys, engine: EngineKind) -> Settings {
    let own = &config.gateway;
    let descriptors = Shares::here(1, config.forward.limits.next_hops_max);
    let [mix_connections, client_connections] = connection_limits(config, descriptors);
    let next_hops_max = config.forward.limits.next_hops_max.min(descriptors.next_hops);
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
        mix_connections,
        client_connections,
        times: ServerTimes::default(),
        outbound: OutboundSettings { forwarder: outgoing::Settings { next_hops_max, ..config.forward.limits.clone() } },
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

/// TLS for clients with the operator's certificate, or with one for the identity.
fn tls_of(config: &GatewayConfig, keys: &NodeKeys) -> Result<Option<Tls>, TlsError> {
    let Some(tls) = &config.tls else { return Ok(None) };
    match &tls.files {
        Some(files) => Tls::load(files.clone()).map(Some),
        None => Tls::derived(&keys.identity).map(Some),
    }
}

/// Calls `renewed` with the hash of the key after each change of the certificate.
async fn follow_certificate(tls: Option<Tls>, renewed: impl Fn(String)) -> Infallible {
    let Some(tls) = tls else { return pending().await };
    let acceptor = tls.acceptor();
    tls.follow(|| match acceptor.key_hash() {
        Ok(hash) => renewed(hash.to_string()),
        Err(error) => warn!(%error, "cannot announce the renewed TLS certificate"),
    })
    .await
}

/// Announces another TLS key.
fn renew_key(registration: &mut GatewayRegistration, key_hash: String) {
    if let Some(tls) = &mut registration.clients_tls {
        tls.key_hash = key_hash;
    }
}

pub(super) fn registration(
    config: &Config,
    keys: &NodeKeys,
    tls: Option<&Acceptor>,
) -> Result<GatewayRegistration, TlsError> {
    let key_hash = tls.map(Acceptor::key_hash).transpose()?;
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
        clients_tls: key_hash.map(|hash| ClientsTls { url: String::new(), key_hash: hash.to_string() }),
        proof: None,
    };
    let announced: Vec<_> = config.announce.addresses.iter().map(|announced| announced.address).collect();
    announce_at(&mut registration, &config.gateway, &announced);
    Ok(registration)
}

/// Sets the announced addresses and the URLs for clients, which follow the first of them.
fn announce_at(registration: &mut GatewayRegistration, own: &GatewayConfig, addresses: &[AnnounceAddr]) {
    let hosts: Vec<String> = addresses.iter().map(AnnounceAddr::to_string).collect();
    registration.mix_host = hosts.first().cloned().unwrap_or_default();
    registration.mix_hosts = if hosts.len() > 1 { hosts } else { Vec::new() };
    if let Some(first) = addresses.first() {
        registration.clients_host = own.url(first.get());
        if let (Some(announced), Some(tls)) = (&mut registration.clients_tls, &own.tls) {
            announced.url = tls.url(first.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use nym_mixnode_config::{Source, Values, settings as s};

    use super::*;

    #[test]
    fn few_open_files_are_shared_between_mixes_and_clients() {
        let mut values = Values::default();
        for (about, text) in [
            (&s::NODE_ID.about, "home"),
            (&s::NODE_LAYER.about, "1"),
            (&s::CONNECTIONS_TOTAL_MAX.about, "1000"),
            (&s::CONNECTIONS_PER_ADDRESS_MAX.about, "100"),
            (&s::GATEWAY_CONNECTIONS_MAX.about, "4000"),
            (&s::GATEWAY_CONNECTIONS_PER_ADDRESS_MAX.about, "10"),
            (&s::DIRECTORY_URL.about, "http://127.0.0.1:8081"),
        ] {
            values.set(about, text, &Source::Program);
        }
        let config = Config::from_values(&values).unwrap();
        for (incoming, expected) in [
            (5000, [(1000, 100), (4000, 10)]),
            (60_000, [(1000, 100), (4000, 10)]),
            (3000, [(1000, 100), (2000, 10)]),
            (1000, [(500, 100), (500, 10)]),
            (100, [(50, 25), (50, 10)]),
            (2, [(1, 1), (1, 1)]),
            (1, [(0, 1), (1, 1)]),
        ] {
            assert_eq!(connection_limits(&config, Shares { incoming, next_hops: 1 }), expected, "{incoming}");
        }
    }
}
