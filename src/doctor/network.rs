//! Checks of the network: outgoing and incoming connections, the directory and the registration.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use nym_mixnode_api::Topology;
use nym_mixnode_config::Config;
use nym_mixnode_monitor::IpFamily;
use nym_mixnode_net::{NotPublic, Reach};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::{Host, Url};

use super::process::Running;
use super::{CONNECT_TIMEOUT, Finding, Target};

/// Number of addresses tried per family before the family counts as unreachable.
const TRIED_MAX: usize = 4;

/// Tolerated difference: HTTP dates have whole seconds, and the answer takes time.
const CLOCK_OFF_MAX: Duration = Duration::from_secs(30);

/// Addresses that should be reachable from here.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// Addresses of the directory.
    pub(super) directory: Vec<SocketAddr>,
    /// Addresses of the other listed mixnodes.
    pub(super) mixes: Vec<SocketAddr>,
}

/// Checks that the announce addresses are reachable.
pub(super) async fn announce(config: &Config, running: Running, lacking: Option<&Finding>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for address in announced(config) {
        findings.push(match running {
            Running::Yes => reached(config, address, connect(address).await),
            Running::No | Running::Unknown => untried(config, address),
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
    let mixes = mixes.filter(|address| !ours.contains(address)).filter_map(|address| reach.check(address).ok());
    let mixes = mixes.collect();
    Targets { directory: resolve(&config.directory.url).await, mixes }
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
    let mut findings = Vec::new();
    for (family, check) in [(IpFamily::V4, "egress IPv4"), (IpFamily::V6, "egress IPv6")] {
        let all = targets.directory.iter().chain(&targets.mixes);
        let tried: Vec<SocketAddr> =
            all.copied().filter(|to| IpFamily::of(to.ip()) == family).take(TRIED_MAX).collect();
        findings.push(way_out(check, &tried).await);
    }
    findings
}

async fn way_out(check: &'static str, tried: &[SocketAddr]) -> Finding {
    if tried.is_empty() {
        return Finding::ok(check, "nothing to test: neither the directory nor a node has such an address");
    }
    let mut refusals = Vec::new();
    for &address in tried {
        match connect(address).await {
            Ok(()) => return Finding::ok(check, format!("connected to {address}")),
            Err(reason) => refusals.push(format!("{address}: {reason}")),
        }
    }
    let fix = "check routes, firewall and, in a container, whether its network has this family";
    Finding::warning(check, format!("no connection ({})", refusals.join("; ")), fix)
}

async fn connect(address: SocketAddr) -> Result<(), String> {
    match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("not within {} s", CONNECT_TIMEOUT.as_secs())),
    }
}

/// Compares this machine's clock with the directory's.
pub(super) async fn clock(directory: &Url) -> Finding {
    let date = async {
        let mut builder = reqwest::Client::builder().no_proxy();
        if directory.scheme() == "http" {
            // Works in an image without root certificates.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().ok()?;
        let reply = client.head(directory.clone()).timeout(CONNECT_TIMEOUT).send().await.ok()?;
        httpdate::parse_http_date(reply.headers().get(reqwest::header::DATE)?.to_str().ok()?).ok()
    };
    match date.await {
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
pub(super) fn registration(target: &Target<'_>, identity: &str, topology: &Topology, running: Running) -> Finding {
    let check = "registration";
    let ours = announced(target.config);
    let start = format!("start it with `nym-mixnode run {}`", target.naming);
    let is_at_ours = |addresses: &[SocketAddr]| addresses.iter().any(|address| ours.contains(address));
    let mut others = topology.mix_nodes.iter().filter(|mix| mix.registration.identity_key != identity);
    if let Some(other) = others.find(|mix| is_at_ours(&mix.announced_addresses())) {
        let (holder, host) = (&other.registration.identity_key, &other.registration.mix_host);
        return Finding::failed(check, format!("another node, {holder}, is registered at {host}"))
            .with_fix("announce another address, or unregister that node if it is an old one of yours");
    }
    match (topology.mix(identity), running) {
        (Some(entry), running) if is_at_ours(&entry.announced_addresses()) => {
            let listed = format!("listed at {}", listed(&entry.announced_addresses()));
            match running {
                Running::Yes => Finding::ok(check, listed),
                Running::No => {
                    Finding::failed(check, format!("{listed}, but the node does not run: packets for it are lost"))
                        .with_fix(format!(
                            "{start}, or remove it from the list with `nym-mixnode unregister {}`",
                            target.naming
                        ))
                }
                Running::Unknown => Finding::warning(
                    check,
                    format!("{listed}, but the node may not run"),
                    "run doctor as the node's user, where the node runs",
                ),
            }
        }
        (Some(entry), _) => {
            let listed = listed(&entry.announced_addresses());
            Finding::failed(check, format!("listed at {listed}, which is not announced"))
                .with_fix("another node runs with this identity: stop one of the two, then restart this one")
        }
        (None, Running::Yes) => Finding::failed(check, "the node runs, but is not listed")
            .with_fix("its log and `nym-mixnode health` show the reason; it registers again at each refresh"),
        (None, _) => Finding::warning(check, "not listed", format!("{start}: it registers by itself")),
    }
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
