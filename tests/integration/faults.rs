//! Files on their way while a part of the network fails: they arrive whole.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::clients::{Messaging, json, received};
use super::localnet::{PATIENCE, nym_mixnode};
use super::lossy_proxy::LossyProxy;
use super::process::own_address;
use super::program::PROGRAM;

/// Between two looks.
const STEP: Duration = Duration::from_millis(20);
/// Interval between packets of a client that is in a hurry.
const FAST: &str = "1ms";

async fn until(is_time: impl Fn() -> bool) {
    let looks = async {
        while !is_time() {
            sleep(STEP).await;
        }
    };
    timeout(PATIENCE, looks).await.unwrap();
}

impl Messaging {
    /// Number of chunks that the recipient has of the file.
    fn chunks_at(&self, id: &str) -> usize {
        let of_transfer = |dir: fs::DirEntry| fs::read_dir(dir.path()).map_or(0, Iterator::count);
        let transfers = fs::read_dir(self.dir(id, "received/incoming"));
        transfers.map_or(0, |transfers| transfers.flatten().map(of_transfer).sum())
    }
}

/// Sends a file between two connected clients, and ends their gateway by this signal on the way.
async fn send_while_the_gateway_ends(signal: Signal) {
    let mut clients = Messaging::start().await;
    let content = clients.random_file(5_000_000);
    clients.create_sending("alice", FAST).await;
    let bob = clients.create("bob").await;
    // Without a receipt, which may be lost while nodes connect to the gateway again, and its sender leaves.
    let sent = clients.sending("alice", &bob, &["--timeout", "10m"]).spawn().unwrap();
    let collected = clients.receiving("bob", &[]).spawn().unwrap();
    until(|| clients.chunks_at("bob") >= 2).await;
    clients.network.note("active after").await;
    clients.network.signal_node("gateway1", signal);
    clients.network.note("gateway1 died").await;
    let (_gateway, _) = clients.gateway_again(&[]);
    let (sent, collected) = tokio::join!(sent.wait_with_output(), collected.wait_with_output());
    json(&sent.unwrap());
    assert!(received(&collected.unwrap()) == content);
}

#[tokio::test]
async fn a_file_arrives_whole_although_its_gateway_restarts_on_the_way() {
    send_while_the_gateway_ends(Signal::TERM).await;
}

#[tokio::test]
async fn a_file_arrives_whole_although_its_gateway_is_killed_on_the_way() {
    send_while_the_gateway_ends(Signal::KILL).await;
}

#[tokio::test]
async fn a_file_arrives_whole_although_a_node_of_its_routes_is_killed() {
    let mut clients = Messaging::with_mixes("2").await;
    let content = clients.random_file(300_000);
    clients.create("alice").await;
    let bob = clients.create("bob").await;
    clients.network.note("nodes are active after").await;
    // Without a receipt: those that went through the dead node would be lost, and nobody is there to send others.
    let sent = clients.sending("alice", &bob, &["--timeout", "10m"]).spawn().unwrap();
    let collected = clients.receiving("bob", &[]).spawn().unwrap();
    until(|| clients.dir("alice", "sending").exists()).await;
    clients.network.kill_node("mix2-1");
    let (sent, collected) = tokio::join!(sent.wait_with_output(), collected.wait_with_output());
    json(&sent.unwrap());
    assert!(received(&collected.unwrap()) == content);
}

/// A mix of this test in the network, behind a proxy.
async fn mix_behind_proxy(clients: &Messaging) -> (LossyProxy, tokio::process::Child) {
    let address = own_address();
    let proxy = LossyProxy::start(address).await;
    let home = clients.home().join("mix");
    let own = ["--home", home.to_str().unwrap(), "--id", "behind"];
    let (host, announced) = (address.to_string(), proxy.address.to_string());
    let addresses = ["--host", &host, "--announce-host", &announced, "--allow-private"];
    let init = [&["init", "--layer", "2", "--validator", &clients.registry][..], &own, &addresses].concat();
    let output = nym_mixnode(&init).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let run = ["run", "--http-listen", "off", "--topology-refresh", "1s"];
    let mut mix = nym_mixnode(&[&run[..], &own].concat());
    let mix = mix.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    (proxy, mix)
}

#[tokio::test]
async fn a_file_arrives_whole_although_a_fifth_of_the_bytes_to_a_mix_is_lost() {
    let clients = Messaging::start().await;
    let content = clients.random_file(300_000);
    let (proxy, _mix) = mix_behind_proxy(&clients).await;
    clients.create("alice").await;
    let bob = clients.create("bob").await;
    let is_active = async || json(&clients.run("alice", &["status", "--json"]).await)["layers"][1]["mixes"] == 2;
    let active = async {
        while !is_active().await {
            sleep(10 * STEP).await;
        }
    };
    timeout(PATIENCE, active).await.expect("the mix behind the proxy is active");
    proxy.lose(20);
    // Without a receipt, which may be lost, too, and its sender leaves.
    let sent = clients.sending("alice", &bob, &["--timeout", "10m"]).spawn().unwrap();
    let collected = clients.receiving("bob", &[]).spawn().unwrap();
    let (sent, collected) = tokio::join!(sent.wait_with_output(), collected.wait_with_output());
    json(&sent.unwrap());
    assert!(received(&collected.unwrap()) == content);
    let (lost, passed) = proxy.parts();
    assert!(lost > 5 && passed > lost, "the mix was on the way: {lost} parts lost, {passed} passed");
}

/// The program with a small file system in place of the directory of the gateway's store, which others do not see.
fn on_small_disk(data: &str, size: &str) -> Command {
    let script = "set -e; data=$1 size=$2; shift 2; cp -a $data $data.copy; mount -t tmpfs -o size=$size none $data; \
                  cp -a $data.copy/. $data; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", data, size, PROGRAM]).kill_on_drop(true);
    command.stdin(std::process::Stdio::null());
    command
}

#[tokio::test]
#[ignore = "needs root: make kit"]
async fn a_gateway_with_a_full_disk_loses_nothing_that_it_has_acknowledged_and_goes_on_when_there_is_space() {
    const FILE_LEN: usize = 1_500_000;
    let mut clients = Messaging::start().await;
    let content = clients.random_file(FILE_LEN);
    clients.create("alice").await;
    let bob = clients.create("bob").await;
    clients.kill_gateway().await;
    let data = clients.kept("gateway1").join("gateways/gateway1/data");
    let (mut gateway, log) = clients.gateway_by(on_small_disk(data.to_str().unwrap(), "16m"), &[]);
    let log = || fs::read_to_string(&log).unwrap();
    until(|| log().contains("Listening for packets and clients")).await;
    // The disk as the gateway sees it. Less than the file remains.
    let disk = |name: &str| format!("/proc/{}/root{}/{name}", gateway.id().unwrap(), data.display());
    let filler = disk("filler");
    fs::write(&filler, vec![1; (16 << 20) - FILE_LEN]).ok();

    // `bob` is away.
    let sent = clients.send("alice", &bob, &["--timeout", "10s"]).await;
    assert!(!sent.status.success(), "a gateway without space acknowledges nothing");
    assert!(log().contains("Cannot write inboxes"), "{}", log());
    assert!(gateway.try_wait().unwrap().is_none(), "{}", log());
    fs::remove_file(&filler).unwrap();
    // The same command sends only what was not acknowledged.
    json(&clients.send("alice", &bob, &["--timeout", "2m"]).await);
    assert!(received(&clients.receive("bob", &["--no-receipts"]).await) == content);
}
