//! Starts a node, a registry, a prober and a whole network on a machine whose kernel has no IPv6.
//!
//! A seccomp filter simulates such a kernel for a thread and its child processes, without privileges.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use nym_mixnode_net::socket::without_ipv6 as kernel;
use rustix::process::Signal;

use super::cli::{Home, Outcome, outcome};
use super::program::{PROGRAM, Process, pause};
use super::support::PATIENCE;

/// Runs `test` on a thread that cannot create IPv6 sockets.
fn without_ipv6(test: impl FnOnce() + Send) {
    kernel::run(kernel::NO_FAMILY, || {
        assert!(TcpListener::bind("[::1]:0").is_err(), "the filter does not work");
        test();
    });
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().local_addr().unwrap().port()
}

fn program(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env("HOME", home).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Repeats the request until it succeeds.
fn healthy(home: &Path, arguments: &[&str]) -> Outcome {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let answer = outcome(&mut program(home, arguments));
        if answer.code == 0 || std::time::Instant::now() > deadline {
            return answer.ok();
        }
        pause(std::time::Duration::from_millis(100));
    }
}

#[test]
fn a_network_on_every_address_starts_and_is_healthy() {
    without_ipv6(|| {
        let home = Home::new();
        let home = home.0.path();
        // As in the chart, compose and the bootstrap.
        let (registry_port, loopback_port, port, http) = (free_port(), free_port(), free_port(), free_port());
        let listen = format!("--listen=[::]:{registry_port}");
        let data = format!("--data={}/registry/", home.display());
        let registry = Process::spawn(&mut program(home, &["registry", &listen, &data]));
        let directory = format!("http://127.0.0.1:{registry_port}");
        healthy(home, &["health", "--directory", &directory]);
        registry.log_with("This machine has no IPv6");
        registry.signal(Signal::TERM);

        // Only a registry on loopback accepts nodes on loopback, and nodes forward to loopback only if configured.
        let listen = format!("--listen=127.0.0.1:{loopback_port}");
        let directory = format!("http://127.0.0.1:{loopback_port}");
        let data = format!("--data={}/loopback/", home.display());
        let registry = Process::spawn(&mut program(home, &["registry", &listen, &data, "--allow-private"]));
        healthy(home, &["health", "--directory", &directory]);
        let mut node = program(home, &["run", "--supervised"]);
        node.envs([
            ("NYM_MIXNODE_INIT_IF_MISSING", "true"),
            ("NYM_MIXNODE_DIRECTORY_URL", directory.as_str()),
            ("NYM_MIXNODE_NODE_LAYER", "1"),
            ("NYM_MIXNODE_LISTEN_ADDRESSES", &format!("[::]:{port}")),
            ("NYM_MIXNODE_HTTP_LISTEN", &format!("[::]:{http}")),
            ("NYM_MIXNODE_ANNOUNCE_ADDRESSES", &format!("127.0.0.1:{port}")),
            ("NYM_MIXNODE_ANNOUNCE_ALLOW_PRIVATE", "true"),
            ("NYM_MIXNODE_FORWARD_POLICY", "any"),
            ("NYM_MIXNODE_SHUTDOWN_LINGER", "0s"),
            ("NYM_MIXNODE_DIRECTORY_TOPOLOGY_REFRESH", "1s"),
        ]);
        let node = Process::spawn(&mut node);
        node.wait_for("the node is listed", |event| event["status"]["registered"] == true);
        // A container's health check.
        let id = ["--id", "mixnode", "--home", home.join(".nym").to_str().unwrap()].map(str::to_owned);
        let id: Vec<&str> = id.iter().map(String::as_str).collect();
        let health = format!("http://127.0.0.1:{http}/");
        healthy(home, &["health", "--url", &health]);
        let mut by_settings = program(home, &[&["health"], &id[..]].concat());
        by_settings.env("NYM_MIXNODE_HTTP_LISTEN", format!("[::]:{http}"));
        outcome(&mut by_settings).ok();

        let probe = ["probe", "--directory", &directory, "--packets", "3"];
        // It also reports that the other layers are empty.
        let probed = outcome(&mut program(home, &probe));
        assert!(probed.stdout.contains("The node mixes over IPv4."), "{}", probed.stdout);
        for host in ["::1", "::"] {
            let refused =
                outcome(&mut program(home, &[&probe[..], &["--host", host, "--announce-host", "::1"]].concat()));
            refused.fails(69, &["this machine has no IPv6", "--host"]);
        }
        node.signal(Signal::TERM);
        registry.signal(Signal::TERM);
    });
}

#[test]
fn every_address_of_both_families_is_that_of_ipv4_and_a_single_one_is_refused() {
    without_ipv6(|| {
        let home = Home::with_node();
        let port = free_port();
        // As the Debian package suggests.
        let both = format!("0.0.0.0:{port},[::]:{port}");
        let mut node = program(home.0.path(), &["run", "--id", "mix", "--supervised", "--host", &both]);
        let ran = outcome(node.args(["--announce-addresses", &format!("127.0.0.1:{port}")])).ok();
        assert!(ran.stderr.contains("This machine has no IPv6") && ran.stdout.contains("\"ready\""), "{}", ran.stderr);
        let single = format!("[::1]:{port}");
        let ran = home.run(&["registry", "--listen", &single]);
        let advice = "this machine has no IPv6; pass an IPv4 address with --listen";
        assert!(ran.code == 69 && ran.stderr.contains(&single) && ran.stderr.contains(advice), "{}", ran.stderr);
        let ran = home.run(&["run", "--id", "mix", "--host", &single]);
        assert!(ran.code == 69 && ran.stderr.contains(&single) && ran.stderr.contains("no IPv6"), "{}", ran.stderr);
        let checked = home.run(&["doctor", "--id", "mix"]);
        assert!(checked.stdout.contains("is free"), "{}", checked.stdout);
    });
}

#[test]
fn a_whole_network_mixes_over_ipv4() {
    without_ipv6(|| {
        let home = Home::new();
        let network = ["localnet", "--layers", "1", "--nodes", "1", "--duration", "2s", "--rate", "10", "--json"];
        let ran = outcome(program(home.0.path(), &network).env("TMPDIR", home.0.path())).ok();
        let summary: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((&summary["ipv6_tested"], &summary["lost"]), (&false.into(), &0.into()), "{summary:#}");
        assert!(summary["ipv4"]["sent"].as_u64().unwrap() > 0, "{summary:#}");
    });
}

#[test]
fn a_registry_starts_where_ipv6_has_no_addresses_or_no_options() {
    for denied in [kernel::NO_ADDRESS, kernel::NO_OPTION] {
        kernel::run(denied, || {
            let home = Home::new();
            let port = free_port();
            let (listen, data) = (format!("--listen=[::]:{port}"), format!("--data={}/", home.0.path().display()));
            let registry = Process::spawn(&mut program(home.0.path(), &["registry", &listen, &data]));
            healthy(home.0.path(), &["health", "--directory", &format!("http://127.0.0.1:{port}")]);
            registry.log_with("This machine has no IPv6");
        });
    }
}
