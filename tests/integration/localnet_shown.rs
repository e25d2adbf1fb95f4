//! What a localnet's registry shows of nodes that die, unregister or lose IPv6: states in the explorer, and reputation by
//! the rule.

use std::path::{Path, PathBuf};

use nym_mixnode_api::IpVersion;
use nym_mixnode_keys::{KeyFiles, KeysConfig, store};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use super::localnet::Running;
use super::netns::NetNs;
use super::process::{RegistryProcess, eventually, program};
use super::shown::{ROUNDS_UNTIL_DOWN_MAX, Shown, Standing};

/// A directory for the files of a localnet, which stay there.
struct Kept(TempDir);

impl Kept {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("kept")
    }

    /// Flags of a network of one layer with three nodes, `mix1-1` to `mix1-3`.
    fn flags(&self) -> Vec<String> {
        let small = ["--layers", "1", "--nodes", "3", "--rate", "10", "--keep-going", "--json", "--keep"];
        small.map(str::to_owned).into_iter().chain([self.dir().display().to_string()]).collect()
    }

    fn identity(&self, id: &str) -> String {
        let node = self.dir().join(id).join("mixnodes").join(id);
        store::load(&KeyFiles::new(&node, &KeysConfig::default())).unwrap().identity_public
    }
}

/// Body of a successful reply, from a runtime of its own: the caller may be in another one.
fn get(url: &str) -> Option<String> {
    let request = async || {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        client.get(url).send().await?.error_for_status()?.text().await
    };
    let on_thread = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(request()).ok()
    };
    std::thread::scope(|scope| scope.spawn(on_thread).join().unwrap())
}

#[tokio::test]
async fn a_dead_node_turns_from_green_and_loses_reputation_and_one_that_unregisters_keeps_it() {
    let kept = Kept::new();
    let flags = kept.flags();
    let mut network = Running::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let registry = network.registry().await;
    network.note("all 3 nodes are active after").await;
    let shown = Shown::new(|path: &str| get(&format!("{registry}{path}")));
    let [dead, stopped, alive] = ["mix1-1", "mix1-2", "mix1-3"].map(|id| kept.identity(id));
    let standing = async |identity: &str| eventually("a standing", async || shown.standing(identity)).await;

    eventually("it is green", async || (shown.state(&dead)? == "Active").then_some(())).await;
    let before = standing(&dead).await;
    network.kill_node("mix1-1");
    let death = standing(&alive).await;
    eventually("it is red", async || (shown.state(&dead)? == "Down").then_some(())).await;
    let rounds = standing(&dead).await.rounds_until_down(&death, &standing(&alive).await);
    assert!(rounds.is_some_and(|rounds| rounds <= ROUNDS_UNTIL_DOWN_MAX), "{rounds:?} rounds");
    let fallen = async || shown.standing(&dead).filter(|now| now.reputation < before.reputation);
    let fallen = eventually("it loses reputation", fallen).await;
    assert_eq!(fallen.reputation, fallen.by_the_rule(&before), "{before:?} then {fallen:?}");
    eventually("it leaves the active set", async || (!shown.is_active(&dead)?).then_some(())).await;
    assert_eq!((shown.state(&alive).as_deref(), shown.is_active(&alive)), (Some("Active"), Some(true)));

    let mut last = standing(&stopped).await;
    network.signal_node("mix1-2", Signal::TERM);
    let gone = async || {
        last = shown.standing(&stopped).unwrap_or_else(|| last.clone());
        shown.listed()?.mix(&stopped).is_none().then_some(())
    };
    eventually("it unregisters", gone).await;
    assert_eq!(shown.state(&stopped), None, "no page of a listed node");
    let then = standing(&alive).await;
    let later = async || shown.standing(&alive).filter(|now| now.rounds_since(&then) >= 6);
    eventually("the rounds go on", later).await;
    network.stop(Signal::INT).await;
    its_reputation_is_kept(&kept, &registry, "mix1-2", |after| {
        // A round may have ended before it unregistered, and the one in which it did.
        assert!(after.reputation >= last.reputation && after.rounds_since(&last) <= 2, "{last:?} then {after:?}");
    })
    .await;
}

/// Starts the registry with the file that a localnet kept, without a monitor, and one of the nodes again.
async fn its_reputation_is_kept(kept: &Kept, registry: &str, id: &str, check: impl Fn(&Standing)) {
    let address = registry.trim_start_matches("http://").parse().unwrap();
    let store = kept.dir().join("registry/registry.sqlite");
    let registry = RegistryProcess::start_with(address, &store, &["--layers", "1"]).await;
    let home = kept.dir().join(id);
    let node = ["run", "--home", home.to_str().unwrap(), "--id", id, "--http-listen", "off", "--shutdown-linger", "0s"];
    let node = program(&node).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let shown = Shown::new(|path: &str| get(&format!("{}{path}", registry.url().as_str().trim_end_matches('/'))));
    let identity = kept.identity(id);
    check(&eventually("it is listed again", async || shown.standing(&identity)).await);
    drop(node);
}

#[tokio::test]
#[ignore = "needs root and network namespaces: `make kit`"]
async fn a_node_that_ipv6_packets_do_not_reach_is_shown_as_such_and_recovers() {
    let (kept, machine) = (Kept::new(), NetNs::new("localnet"));
    let flags = kept.flags();
    let mut network = start_in(&machine, kept.0.path(), &flags);
    let registry = network.registry().await;
    network.note("all 3 nodes are active after").await;
    let shown = Shown::new(|path: &str| machine.inside(|| get(&format!("{registry}{path}"))));
    let [broken, other] = ["mix1-1", "mix1-2"].map(|id| kept.identity(id));
    eventually("it is green", async || (shown.state(&broken)? == "Active").then_some(())).await;

    let listed = shown.listed().unwrap();
    let addresses = listed.mix(&broken).unwrap().announced_addresses();
    let port = addresses.iter().find(|address| address.is_ipv6()).unwrap().port();
    machine.sh("nft add table ip6 test && nft 'add chain ip6 test input { type filter hook input priority 0; }'");
    machine.sh(&format!("nft add rule ip6 test input tcp dport {port} drop"));
    let fails = async || (shown.state(&broken)? == "IPv6 fails").then_some(());
    eventually("IPv6 fails alone", fails).await;
    let standing = eventually("a standing", async || shown.standing(&broken)).await;
    assert_eq!([IpVersion::V4, IpVersion::V6].map(|version| standing.passes(version)), [Some(true), Some(false)]);
    assert_eq!(shown.state(&other).as_deref(), Some("Active"));
    machine.sh("nft delete table ip6 test");
    eventually("it is green again", async || (shown.state(&broken)? == "Active").then_some(())).await;
    network.stop(Signal::INT).await;
}

/// A localnet on this machine.
fn start_in(machine: &NetNs, temporary: &Path, flags: &[String]) -> Running {
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    Running::start_by(Command::from(machine.command("env")), temporary, &flags)
}
