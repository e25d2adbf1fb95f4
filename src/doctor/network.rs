//! Checks of the network: outgoing and incoming connections, the directory and the registration.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use nym_mixnode_api::{GatewayRegistration, MixRegistration, Topology};
use nym_mixnode_config::{Config, Role};
use nym_mixnode_directory::{Announcement, Client};
use nym_mixnode_monitor::IpFamily;
use nym_mixnode_monitor::gateways::addresses_of_clients_host;
use nym_mixnode_net::{NotPublic, Reach, Unreachable};
use nym_mixnode_tls::client as tls;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::{Host, Url};

use super::process::Running;
use super::{CONNECT_TIMEOUT, Finding, Level, Target};

/// Number of addresses tried per family before the family counts as unreachable.
const TRIED_MAX: usize = 4;

/// Tolerated difference: HTTP dates have whole seconds, and the answer takes time.
const CLOCK_OFF_MAX: Duration = Duration::from_secs(30);

/// Addresses that should be reachable from here.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// Addresses of the directory.
    pub(super) directory: Vec<SocketAddr>,
    /// Addresses of the other listed mixnodes that the node may use.
    pub(super) mixes: Vec<SocketAddr>,
    /// Those that it must not use, each with the reason.
    pub(super) refused: Vec<(SocketAddr, Unreachable)>,
}

/// Checks that the announce addresses are reachable.
pub(super) async fn announce(config: &Config, running: Running, lacking: Option<&Finding>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let connecting = announced(config).into_iter().map(|address| (address, running == Running::Yes));
    let connecting = connecting.map(|(address, is_tried)| (address, is_tried.then(|| tokio::spawn(connect(address)))));
    for (address, connected) in connecting.collect::<Vec<_>>() {
        findings.push(match connected {
            Some(connected) => reached(config, address, connected.await.unwrap_or_else(|error| Err(error.to_string()))),
            None => untried(config, address),
        });
    }
    if findings.is_empty() {
        let unknown = || Finding::failed("announce", "no announce address is configured or detected");
        findings.push(lacking.cloned().unwrap_or_else(unknown));
    }
    findings
}

fn untried(config: &Config, address: SocketAddr) -> Finding {
    let message = format!("{}; not tested, because the node does not run", described(address));
    not_listened_on(config, address).unwrap_or_else(|| Finding::ok("announce", message))
}

fn reached(config: &Config, address: SocketAddr, connected: Result<(), String>) -> Finding {
    let Err(reason) = connected else {
        return Finding::ok("announce", format!("{} accepts connections", described(address)));
    };
    not_listened_on(config, address).unwrap_or_else(|| {
        Finding::warning(
            "announce",
            format!("no connection to {} from here: {reason}", described(address)),
            "open the port in firewall and router; some routers refuse only connections from their own network, so \
             test from another network",
        )
    })
}

/// Checks the URLs at which clients reach a gateway, whose entry is `listed`; without an announce address, which is a
/// finding of its own, there are none.
pub(super) async fn clients(config: &Config, running: Running, listed: Option<&GatewayRegistration>) -> Vec<Finding> {
    let Some(announced) = announced(config).first().copied() else { return Vec::new() };
    let url = config.gateway.url(announced);
    let plain = async { clients_at(&url, ("gateway.listen", "gateway.announce_url"), running).await.err() };
    let with_tls = async {
        match &config.gateway.tls {
            Some(tls) => clients_with_tls(&tls.url(announced), running, listed).await,
            None => Finding::ok("clients", "without TLS alone, because gateway.tls_listen is off"),
        }
    };
    let (plain, with_tls) = tokio::join!(plain, with_tls);
    vec![plain.unwrap_or_else(|| Finding::ok("clients", format!("{url} accepts connections"))), with_tls]
}

/// Connects to a URL for clients, which two settings determine.
async fn clients_at(url: &str, (listen, announce): (&str, &str), running: Running) -> Result<TcpStream, Finding> {
    if running != Running::Yes {
        return Err(Finding::ok("clients", format!("{url}; not tested, because the gateway does not run")));
    }
    let Some(address) = addresses_of_clients_host(url).await.first().copied() else {
        let fix = format!("correct {announce}, or the name in DNS");
        return Err(Finding::failed("clients", format!("the name in {url} has no address")).with_fix(fix));
    };
    open(address).await.map_err(|reason| {
        Finding::warning(
            "clients",
            format!("no connection to {url} from here: {reason}"),
            format!(
                "open the port of {listen} in firewall and router, or set {announce}; some routers refuse only connections \
                 from their own network, so test from another network"
            ),
        )
    })
}

/// Connects as a client does: with the listed key.
async fn clients_with_tls(url: &str, running: Running, listed: Option<&GatewayRegistration>) -> Finding {
    let stream = match clients_at(url, ("gateway.tls_listen", "gateway.tls_announce_url"), running).await {
        Ok(stream) => stream,
        Err(finding) => return finding,
    };
    let Some(listed) = listed else {
        return Finding::ok(
            "clients",
            format!("{url} accepts connections; its key is tested once the gateway is listed"),
        );
    };
    let Some(key) = listed.clients_tls.as_ref().and_then(|tls| tls.key_hash.parse().ok()) else {
        return Finding::warning(
            "clients",
            format!("the directory does not list {url}, so clients connect without TLS"),
            "restart the gateway if TLS was configured since it started; a directory of 0.9.2 lists no TLS",
        );
    };
    let host = url.parse::<Url>().ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let shaken = timeout(CONNECT_TIMEOUT, tls::connect(stream, host.trim_matches(['[', ']']), key)).await;
    let reason = match shaken {
        Ok(Ok(_)) => return Finding::ok("clients", format!("{url} has the listed TLS key")),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no TLS handshake within {} s", CONNECT_TIMEOUT.as_secs()),
    };
    Finding::failed("clients", format!("clients refuse {url}: {reason}")).with_fix(
        "what is between clients and gateway must pass TLS on and not end it; after a change of the certificate wait a minute \
         until it is listed",
    )
}

/// The address, and that it is private: `announce.allow_private` has permitted it.
fn described(address: SocketAddr) -> String {
    match NotPublic::of(address.ip()) {
        Some(kind) => format!("{address} ({kind}, for a private network)"),
        None => address.to_string(),
    }
}

/// Finding for an address whose family the node does not listen on: without translation nothing reaches the node.
fn not_listened_on(config: &Config, address: SocketAddr) -> Option<Finding> {
    let listened = config.announce.detection.listened;
    let (family, everywhere) = if address.is_ipv4() { ("IPv4", "0.0.0.0") } else { ("IPv6", "[::]") };
    (!listened.contain(address.ip())).then(|| {
        Finding::warning(
            "announce",
            format!("{address} is announced, but the node listens on {listened}"),
            format!(
                "add {everywhere}:{} to listen.addresses (--host), or remove {address} from announce.addresses \
                 (--announce-host), unless a load balancer translates {family} for the node",
                address.port()
            ),
        )
    })
}

fn announced(config: &Config) -> Vec<SocketAddr> {
    config.announce.addresses.iter().map(|announced| announced.address.get()).collect()
}

/// Collects the addresses of the directory and of the nodes in its topology.
pub(super) async fn targets(config: &Config, topology: Option<&Topology>) -> Targets {
    let mixes = topology.map(Topology::announced_addresses).into_iter().flatten();
    let ours = announced(config);
    let listen = config.listen.bind_addresses().into_iter().map(|address| address.get().ip());
    let reach = Reach::new(config.announce.detection.allow_private, listen);
    // The directory's entries are untrusted: connect only to addresses that a node may use.
    let (mut usable, mut refused) = (Vec::new(), Vec::new());
    for address in mixes.filter(|address| !ours.contains(address)) {
        match reach.check(address) {
            Ok(address) => usable.push(address),
            Err(reason) => refused.push((address, reason)),
        }
    }
    Targets { directory: resolve(&config.directory.url).await, mixes: usable, refused }
}

/// Finding for listed addresses to which the node sends no packets, by the rules of its kind of network.
pub(super) fn next_hops(config: &Config, targets: &Targets) -> Option<Finding> {
    let (first, reason) = targets.refused.first()?;
    let (refused, all) = (targets.refused.len(), targets.refused.len() + targets.mixes.len());
    let message = format!("the node sends to {} of {all} listed addresses of others; {first} {reason}", all - refused);
    let fix = match reason {
        Unreachable::Kind(NotPublic::Loopback) => {
            "in a network on one machine every node must listen on loopback only, as with --host 127.0.0.1, and allow \
             private addresses"
        }
        Unreachable::Kind(_) if !config.announce.detection.allow_private => {
            "set announce.allow_private (--allow-private) if the network is private"
        }
        _ => "that node must announce another address",
    };
    let finding = Finding::warning("next hops", message, fix);
    Some(if targets.mixes.is_empty() { Finding { level: Level::Failed, ..finding } } else { finding })
}

async fn resolve(url: &Url) -> Vec<SocketAddr> {
    let port = url.port_or_known_default().unwrap_or(80);
    match url.host() {
        Some(Host::Ipv4(ip)) => vec![(ip, port).into()],
        Some(Host::Ipv6(ip)) => vec![(ip, port).into()],
        Some(Host::Domain(name)) => {
            tokio::net::lookup_host((name, port)).await.map(Iterator::collect).unwrap_or_default()
        }
        None => Vec::new(),
    }
}

/// Checks outgoing connections over each family.
pub(super) async fn egress(targets: &Targets) -> Vec<Finding> {
    let tried = |family: IpFamily| -> Vec<SocketAddr> {
        let all = targets.directory.iter().chain(&targets.mixes);
        all.copied().filter(|to| IpFamily::of(to.ip()) == family).take(TRIED_MAX).collect()
    };
    let (v4, v6) = (tried(IpFamily::V4), tried(IpFamily::V6));
    let (v4, v6) = tokio::join!(way_out("egress IPv4", &v4), way_out("egress IPv6", &v6));
    vec![v4, v6]
}

async fn way_out(check: &'static str, tried: &[SocketAddr]) -> Finding {
    if tried.is_empty() {
        return Finding::ok(check, "nothing to test: neither the directory nor a node has such an address");
    }
    let mut connecting = JoinSet::new();
    for &address in tried {
        connecting.spawn(async move { (address, connect(address).await) });
    }
    let mut refusals = Vec::new();
    while let Some(Ok((address, connected))) = connecting.join_next().await {
        match connected {
            Ok(()) => return Finding::ok(check, format!("connected to {address}")),
            Err(reason) => refusals.push(format!("{address}: {reason}")),
        }
    }
    let fix = "check routes, firewall and, in a container, whether its network has this family";
    Finding::warning(check, format!("no connection ({})", refusals.join("; ")), fix)
}

async fn connect(address: SocketAddr) -> Result<(), String> {
    open(address).await.map(drop)
}

async fn open(address: SocketAddr) -> Result<TcpStream, String> {
    match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("not within {} s", CONNECT_TIMEOUT.as_secs())),
    }
}

/// Compares this machine's clock with the directory's.
pub(super) async fn clock(directory: &Client) -> Finding {
    match timeout(CONNECT_TIMEOUT, directory.date()).await.ok().flatten() {
        Some(theirs) => compare_clocks(wall_clock(), theirs),
        None => Finding::ok("clock", "cannot be compared: the directory's answer has no date"),
    }
}

fn compare_clocks(ours: SystemTime, theirs: SystemTime) -> Finding {
    let (off, way) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let message = format!("{} s {way} the directory's", off.as_secs());
    if off <= CLOCK_OFF_MAX {
        return Finding::ok("clock", message);
    }
    Finding::warning("clock", message, "synchronise it (systemd-timesyncd or chrony): TLS and dates depend on it")
}

/// Checks the node's entry in the directory.
///
/// `problem` is why a running node is not ready, as it reports itself.
pub(super) fn registration(
    target: &Target<'_>,
    identity: &str,
    topology: &Topology,
    (running, problem): (Running, Option<&str>),
) -> Finding {
    let check = "registration";
    let ours = announced(target.config);
    let (role, naming) = (target.home.role(), &target.naming);
    let start = format!("start it with `{} run {naming}`", role.program());
    let is_at_ours = |addresses: &[SocketAddr]| addresses.iter().any(|address| ours.contains(address));
    if let Some((holder, host)) = others(topology, identity)
        .find_map(|(holder, host, addresses)| is_at_ours(&addresses).then_some((holder, host)))
    {
        return Finding::failed(check, format!("another node, {holder}, is registered at {host}"))
            .with_fix("announce another address, or unregister that node if it is an old one of yours");
    }
    match (entry(topology, role, identity), running) {
        (Some(addresses), running) if is_at_ours(&addresses) => {
            let listed = format!("listed at {}", listed(&addresses));
            match running {
                Running::Yes => Finding::ok(check, listed),
                Running::No => {
                    Finding::failed(check, format!("{listed}, but the node does not run: packets for it are lost"))
                        .with_fix(format!(
                            "{start}, or remove it from the list with `{} unregister {naming}`",
                            role.program()
                        ))
                }
                Running::Unknown => Finding::warning(
                    check,
                    format!("{listed}, but the node may not run"),
                    "run doctor as the node's user, where the node runs",
                ),
            }
        }
        (Some(addresses), _) => {
            let listed = listed(&addresses);
            Finding::failed(check, format!("listed at {listed}, which is not announced"))
                .with_fix("another node runs with this identity: stop one of the two, then restart this one")
        }
        (None, Running::Yes) => match problem {
            Some(problem) => Finding::failed(check, format!("the node runs, but is not listed: {problem}")),
            // It reports the reason once it has read the list again.
            None => Finding::failed(check, "the node runs, but is not listed").with_fix(
                "restart it if it was unregistered; for any other reason read its log, or run doctor again in a minute",
            ),
        },
        (None, _) => Finding::warning(check, "not listed", format!("{start}: it registers by itself")),
    }
}

/// The listed addresses of an identity in this role.
fn entry(topology: &Topology, role: Role, identity: &str) -> Option<Vec<SocketAddr>> {
    match role {
        Role::Mixnode => MixRegistration::listed(topology, identity).map(Announcement::addresses),
        Role::Gateway => GatewayRegistration::listed(topology, identity).map(Announcement::addresses),
    }
}

/// Identity, host and addresses of all other nodes.
fn others<'a>(topology: &'a Topology, identity: &'a str) -> impl Iterator<Item = (&'a str, &'a str, Vec<SocketAddr>)> {
    fn parts<A: Announcement>(entry: &A) -> (&str, &str, Vec<SocketAddr>) {
        (entry.identity(), entry.host(), entry.addresses())
    }
    let mixes = topology.mix_nodes.iter().map(|mix| parts(&mix.registration));
    let gateways = topology.gateways.iter().map(|gateway| parts(&gateway.registration));
    mixes.chain(gateways).filter(move |(holder, ..)| *holder != identity)
}

fn listed(addresses: &[SocketAddr]) -> String {
    let words: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    words.join(" and ")
}

#[expect(clippy::disallowed_methods, reason = "compared with another machine's clock")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests;
