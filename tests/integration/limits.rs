//! A node without free file descriptors, and a node with very many connections.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nym_mixnode_sphinx::PacketSize;
use nym_mixnode_wire::{FrameHeader, PacketMode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::program::{PROGRAM, Process, pause, sphinx_key};
use super::support::{ACK, NOWHERE, Sink, hop, own_address, packet_via};

const DESCRIPTORS: u32 = 64;
const CLIENTS: usize = 500;
const FLOWS: usize = 4;
const PACKETS_PER_FLOW: usize = 40;

/// Node `mix` on loopback that forwards to any address, with few descriptors.
fn node(home: &std::path::Path, limit: u32, settings: &[&str]) -> (Process, SocketAddr) {
    let address = own_address();
    let home = home.to_str().unwrap();
    let host = address.to_string();
    let init = ["init", "--home", home, "--id", "mix", "--host", &host, "--layer", "1", "--allow-private"];
    let closed = ["--validator", NOWHERE.as_str(), "--forward-policy", "any"];
    let made = Command::new(PROGRAM).args(init).args(closed).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let line = format!("ulimit -n {limit}; exec \"$@\"");
    let run = [PROGRAM, "run", "--home", home, "--id", "mix", "--workers", "1", "--supervised"];
    let node = Process::spawn(Command::new("sh").args(["-c", &line, "sh"]).args(run).args(settings));
    node.wait_for("the node starts", |event| event["event"] == "status");
    (node, address)
}

/// CPU time of a process so far.
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // Linux reports it in hundredths of a second on every machine.
    Duration::from_millis(ticks * 10)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shortage_of_descriptors_disturbs_no_flow_and_ends_by_itself() {
    take_all_descriptors();
    let home = tempfile::tempdir().unwrap();
    let (node, address) = node(home.path(), DESCRIPTORS, &["--telemetry-window", "10s"]);
    let mut sink = Sink::start().await;
    let first = hop(address, sphinx_key(home.path()));
    let header: FrameHeader = ACK;
    let mut packets = Vec::new();
    for _ in 0..=FLOWS * PACKETS_PER_FLOW {
        packets.push(packet_via(&first, sink.address, Duration::from_millis(1), header));
    }
    let last = packets.pop().unwrap();

    // Establish the flows, each with its connection, before the other connections.
    let mut flows: Vec<_> = (0..FLOWS).map(|_| TcpStream::connect(address).unwrap()).collect();
    for (flow, packet) in flows.iter_mut().zip(packets.drain(..FLOWS)) {
        flow.write_all(&packet).unwrap();
    }
    sink.take(FLOWS).await;
    let clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;

    let (began, cpu) = (Instant::now(), cpu_time(node.id()));
    let sent = packets.len();
    let sender = thread::spawn(move || {
        for round in packets.chunks(FLOWS) {
            for (flow, packet) in flows.iter_mut().zip(round) {
                flow.write_all(packet).unwrap();
            }
            pause(Duration::from_millis(75));
        }
        flows
    });
    sink.take(sent).await;
    let share = (cpu_time(node.id()) - cpu).as_secs_f64() / began.elapsed().as_secs_f64();
    assert!(share < 0.05, "{:.1} % of a processor while 500 clients wait", share * 100.0);
    let flows = sender.join().unwrap();

    // Connections beyond the limit are refused, so that the node keeps descriptors for other things.
    let log = node.log_with("fewer incoming connections than connections.total_max");
    assert!(!log.iter().any(|line| line.contains("Failed to accept incoming")), "{log:#?}");
    let refused = node.log_with("limit=\"connections_per_address\" times=");
    let warnings = refused.iter().filter(|line| line.contains("limit=\"connections_per_address\" times=")).count();
    assert!(warnings <= 1 + usize::try_from(began.elapsed().as_secs()).unwrap() / 10, "{refused:#?}");

    drop(clients);
    let mut newcomer = TcpStream::connect(address).unwrap();
    newcomer.write_all(&last).unwrap();
    sink.next().await;
    drop(flows);
}

fn take_all_descriptors() {
    let own = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: own.maximum, maximum: own.maximum }).unwrap();
}

/// Resident memory of a process.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_packets_that_never_become_whole_cost_little_memory() {
    const HALF_OPEN: usize = 10_000;
    const MORE_KIB_MAX: u64 = 100_000;
    let regular = FrameHeader::v0_9(PacketSize::Regular, PacketMode::Mix);
    take_all_descriptors();
    let home = tempfile::tempdir().unwrap();
    // Next hops take few of the descriptors.
    let limits = ["--connections-total-max", "11000", "--connections-per-address-max", "11000"];
    let settings = [&limits[..], &["--forward-next-hops-max", "64", "--connections-frame-deadline", "10m"]].concat();
    let (node, address) = node(home.path(), 12_000, &settings);
    let mut sink = Sink::start().await;
    let whole = packet_via(&hop(address, sphinx_key(home.path())), sink.address, Duration::ZERO, regular);
    let before = resident_kib(node.id());

    let mut half_open = Vec::new();
    for _ in 0..HALF_OPEN {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&whole[..whole.len() / 2]).unwrap();
        half_open.push(stream);
    }
    node.wait_for("all are connected", |event| event["status"]["connections_in"].as_u64() >= Some(HALF_OPEN as u64));
    // What came before on the only worker was read before this.
    let mut honest = TcpStream::connect(address).unwrap();
    honest.write_all(&whole).unwrap();
    sink.next().await;
    let more = resident_kib(node.id()).saturating_sub(before);
    assert!(more < MORE_KIB_MAX, "{more} KiB more for {HALF_OPEN} half packets");

    // None was given up meanwhile: the other half of one is still a packet (a replay, which goes no further).
    let mut last = half_open.pop().unwrap();
    last.write_all(&whole[whole.len() / 2..]).unwrap();
    node.wait_for("the half packet became whole", |event| event["status"]["received"] == 2);
    // It closes first, and so it is not the ports of this side that stay taken for a minute.
    drop(node);
}

#[test]
fn the_limit_is_raised_at_the_start_and_strictness_refuses_a_low_one() {
    let home = tempfile::tempdir().unwrap();
    let (node, _) = node(home.path(), 128, &[]);
    let warning = "the hard limit on open files is 128, less than limits.nofile (65535): ";
    let log = node.log_with(warning);
    assert!(log.iter().any(|line| line.contains("limit=128 hard_limit=128")), "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("raised the limit")), "{log:#?}");
    let warnings: Vec<_> = log.iter().filter(|line| line.contains(warning)).collect();
    assert!(
        warnings.len() == 1
            && warnings[0].contains("WARN")
            && ["ulimit", "LimitNOFILE"].iter().any(|remedy| warnings[0].contains(remedy)),
        "{log:#?}"
    );
    drop(node);

    let config = home.path().join("mixnodes/mix/config/config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("#nofile_strict: false", "nofile_strict: true")).unwrap();
    let run = [PROGRAM, "run", "--home", home.path().to_str().unwrap(), "--id", "mix"];
    let refused = Command::new("sh").args(["-c", "ulimit -n 128; exec \"$@\"", "sh"]).args(run).output().unwrap();
    let error = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(71), "{error}");
    assert!(error.contains("65535") && error.contains("128"), "{error}");

    std::fs::write(&config, text).unwrap();
    // As containerd gives it: a low soft limit under a hard one that is high enough for the target.
    let line = "ulimit -Sn 1024; exec \"$@\"";
    let target = ["--limits-nofile", "8192", "--supervised"];
    let raised = Process::spawn(Command::new("sh").args(["-c", line, "sh"]).args(run).args(target));
    raised.wait_for("the node starts", |event| event["event"] == "ready");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", raised.id())).unwrap();
    let nofile = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(nofile.split_whitespace().nth(3), Some("8192"), "{nofile}");
    // The last line of a start: a warning would precede it.
    let log = raised.log_with("Listening for packets");
    let is_raised = |line: &String| line.contains("raised the limit") && line.contains("limit=8192 before=1024");
    assert!(log.iter().any(is_raised), "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("less than limits.nofile")), "{log:#?}");
}
