//! The gateways of the network, and a file that crosses it from one client to another.

use std::ffi::OsString;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use nym_mixnode_monitor::IpFamily;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

use super::child::{Child, output_of, run_to_end};
use super::error::LocalnetError;
use super::network::{NodeState, TOPOLOGY_REFRESH, follow_node};
use super::ports::ReservedPort;

/// Mean times of the clients: short, so that the result does not take minutes.
const SENDING_INTERVAL: &str = "5ms";
const COVER_INTERVAL: &str = "100ms";
/// The clients' deadline for the file.
const FILE_LIMIT: Duration = Duration::from_mins(10);

/// A gateway of the network.
#[derive(Debug)]
pub(super) struct LocalGateway {
    pub(super) id: String,
    pub(super) child: Child,
    state: watch::Receiver<NodeState>,
}

impl LocalGateway {
    /// Initialises and starts a gateway.
    pub(super) async fn start(
        id: String,
        [port, clients, clients_with_tls]: [ReservedPort; 3],
        directory: &Url,
        home: &Path,
        readers: &mut JoinSet<()>,
    ) -> Result<Self, LocalnetError> {
        let home = home.join(&id);
        // IPv4 alone: clients of 0.9.2 put the first address into their packets.
        let host = IpFamily::V4.loopback();
        let own = ["--home".into(), OsString::from(&home), "--id".into(), OsString::from(&id)];
        let init = arguments(
            &["gateway", "init"],
            &own,
            &[
                "--host",
                &host.to_string(),
                "--port",
                &port.number().to_string(),
                "--gateway-listen",
                &format!("{host}:{}", clients.number()),
                "--gateway-tls-listen",
                &format!("{host}:{}", clients_with_tls.number()),
                "--validator",
                directory.as_str(),
                "--allow-private",
            ],
        );
        run_to_end(&format!("init of {id}"), &init, &home).await?;
        let settings = ["--supervised", "--http-listen", "off", "--shutdown-linger", "0s"];
        let run =
            arguments(&["gateway", "run"], &own, &[&settings[..], &["--topology-refresh", TOPOLOGY_REFRESH]].concat());
        port.release();
        clients.release();
        clients_with_tls.release();
        let (child, events) = Child::spawn(&id, &run, &home)?;
        let (sender, state) = watch::channel(NodeState::default());
        readers.spawn(follow_node(events, sender));
        Ok(Self { id, child, state })
    }

    /// Whether it is listed and sends to this number of addresses.
    pub(super) fn is_ready(&self, next_hops: usize) -> bool {
        self.state.borrow().is_ready(next_hops)
    }
}

/// A file that has crossed the network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileSummary {
    pub bytes: usize,
    /// From the start of the sender until the recipient has the whole file.
    pub seconds: f64,
    /// Whether the recipient has what was sent.
    pub intact: bool,
}

impl FileSummary {
    pub(super) fn words(&self) -> String {
        let Self { bytes, seconds, .. } = self;
        format!("A file of {bytes} bytes crossed the network in {seconds:.1} s, from client to client, intact.")
    }
}

/// Creates two clients and sends a file of `bytes` random bytes from one to the other.
pub(super) async fn send_file(
    bytes: usize,
    mean_delay: Duration,
    directory: Url,
    home: &Path,
) -> Result<FileSummary, LocalnetError> {
    let home = home.join("clients");
    let client = |id: &str| ["--home".into(), OsString::from(&home), "--id".into(), OsString::from(id)];
    let delay = format!("{}ms", mean_delay.as_millis().max(1));
    let mut addresses = Vec::new();
    for id in ["alice", "bob"] {
        let flags = ["--registry", directory.as_str(), "--packet-delay", &delay];
        let rates = ["--sending-interval", SENDING_INTERVAL, "--cover-interval", COVER_INTERVAL];
        let init = arguments(&["client", "init"], &client(id), &[&flags[..], &rates].concat());
        addresses.push(text_of(&format!("client init of {id}"), &output_of(&init, &home).await?)?);
    }
    let (file, received) = (home.join("file"), home.join("received"));
    let content = random(bytes);
    std::fs::write(&file, &content).map_err(LocalnetError::Io)?;
    let limit = format!("{}s", FILE_LIMIT.as_secs());
    let mut receiving =
        arguments(&["client", "receive"], &client("bob"), &["--count", "1", "--supervised", "--timeout", &limit]);
    receiving.extend(["--out".into(), received.clone().into()]);
    let mut sending =
        arguments(&["client", "send"], &client("alice"), &["--supervised", "--timeout", &limit, "--to", &addresses[1]]);
    sending.push(file.into());
    let start = Instant::now();
    let (sent, collected) = tokio::join!(output_of(&sending, &home), output_of(&receiving, &home));
    let seconds = start.elapsed().as_secs_f64();
    text_of("client send", &sent?)?;
    let path = text_of("client receive", &collected?)?;
    let intact = std::fs::read(path).map_err(LocalnetError::Io)? == content;
    Ok(FileSummary { bytes, seconds, intact })
}

fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rand::fill(&mut bytes[..]);
    bytes
}

fn arguments(command: &[&str], own: &[OsString], flags: &[&str]) -> Vec<OsString> {
    let command = command.iter().map(OsString::from);
    command.chain(own.iter().cloned()).chain(flags.iter().map(OsString::from)).collect()
}

/// The line that a command has printed.
fn text_of(name: &str, output: &Output) -> Result<String, LocalnetError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last: Vec<_> = errors.lines().rev().take(5).collect();
    let last: Vec<_> = last.into_iter().rev().collect();
    Err(LocalnetError::NotReady(format!("{name} failed ({}): {}", output.status, last.join(" | "))))
}

/// Parses a number of bytes such as `1MB`, `300kB` or `2MiB`.
pub(super) fn size(text: &str) -> Result<usize, String> {
    const UNITS: [(&str, usize); 6] =
        [("KiB", 1 << 10), ("MiB", 1 << 20), ("kB", 1000), ("KB", 1000), ("MB", 1_000_000), ("B", 1)];
    const LONGEST: usize = 1 << 30;
    let (digits, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1));
    let number = digits.trim_end().parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    number
        .filter(|bytes| *bytes <= LONGEST)
        .ok_or_else(|| "a size is a number with B, kB, MB, KiB or MiB, up to 1024MiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        for (text, bytes) in [("0", 0), ("17", 17), ("17B", 17), ("1MB", 1_000_000), ("2 MiB", 2 << 20), ("3kB", 3000)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MB", "1GB", "-1MB", "1.5MB", "1025MiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
