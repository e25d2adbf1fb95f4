//! The Debian package and its units on a real systemd: install, run, stop, hang, fail, upgrade, remove, purge.

mod machine;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use crate::waiting::pause;
use machine::{ADDRESS, Machine, package};

/// `LimitNOFILE` of the units.
const NOFILE: u64 = 65_535;

/// The packages of this version and of a later one.
fn packages() -> &'static [PathBuf; 2] {
    static PACKAGES: OnceLock<[PathBuf; 2]> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
        std::fs::create_dir_all(&out).unwrap();
        [env!("CARGO_PKG_VERSION").to_owned(), format!("{}+1", env!("CARGO_PKG_VERSION"))].map(|v| package(&out, &v))
    })
}

/// A machine with the package, a registry, and short intervals for nodes.
fn machine() -> Machine {
    let machine = Machine::boot();
    machine.install(&packages()[0]);
    let flags =
        format!("REGISTRY_FLAGS=\"--listen {ADDRESS}:8081 --allow-private --with-monitor --monitor-every 1s\"\n");
    machine.write("/etc/default/nym-mixnode-registry", flags);
    machine.run("systemctl start nym-mixnode-registry");
    let settings = format!(
        "NYM_MIXNODE_DIRECTORY_URL=http://{ADDRESS}:8081\n\
         NYM_MIXNODE_DIRECTORY_TOPOLOGY_REFRESH=1s\n\
         NYM_MIXNODE_ANNOUNCE_ALLOW_PRIVATE=true\n\
         NYM_MIXNODE_SHUTDOWN_LINGER=500ms\n\
         NYM_MIXNODE_NODE_LAYER=1\n\
         NYM_MIXNODE_NODE_LOCATION=New York & Berlin\n\
         NYM_MIXNODE_LISTEN_ADDRESSES={ADDRESS}:1789\n"
    );
    // Do not change the file of the package, because the upgrade tests compare it.
    let packaged = machine.run("cat /etc/default/nym-mixnode");
    machine.write("/etc/default/nym-mixnode", format!("{packaged}\n{settings}"));
    machine.write("/etc/default/nym-mixnode-two", settings_of(2));
    machine.write("/etc/default/nym-mixnode-three", settings_of(3));
    // The tests cannot raise the hard limit of their machine.
    drop_in(&machine, "limit", &format!("LimitNOFILE={}", nofile()));
    machine
}

fn settings_of(layer: u16) -> String {
    let (port, http) = (1788 + layer, 8000 + layer);
    format!(
        "NYM_MIXNODE_LISTEN_ADDRESSES={ADDRESS}:{port}\nNYM_MIXNODE_HTTP_LISTEN=127.0.0.1:{http}\n\
         NYM_MIXNODE_NODE_LAYER={layer}\n"
    )
}

/// Changes the units of nodes and of the gateway, as an operator would.
fn drop_in(machine: &Machine, name: &str, service: &str) {
    for unit in ["nym-mixnode.service", "nym-mixnode@.service", "nym-mixnode-gateway.service"] {
        machine.write(&format!("/etc/systemd/system/{unit}.d/{name}.conf"), format!("[Service]\n{service}\n"));
    }
    machine.run("systemctl daemon-reload");
}

fn nofile() -> u64 {
    getrlimit(Resource::Nofile).maximum.map_or(NOFILE, |hard| hard.min(NOFILE))
}

/// The identity key of a node.
fn identity(machine: &Machine, id: &str) -> String {
    machine.run(&format!("cat /var/lib/nym-mixnode/mixnodes/{id}/data/public_identity.pem"))
}

/// Asserts that the log contains these texts in this order.
fn in_order(log: &[String], expected: &[&str]) {
    let mut lines = log.iter();
    for text in expected {
        assert!(lines.any(|line| line.contains(text)), "{text:?} is missing, or not in its place: {log:#?}");
    }
}

#[test]
fn the_package_and_its_units_are_without_fault() {
    let machine = Machine::boot();
    machine.install(&packages()[0]);
    machine.run("lintian --allow-root --fail-on error,warning /root/package.deb");
    for (unit, files) in [
        ("nym-mixnode.service", NOFILE),
        ("nym-mixnode@berlin.service", NOFILE),
        ("nym-mixnode-gateway.service", NOFILE),
        ("nym-mixnode-registry.service", 4096),
    ] {
        // It always exits with 0.
        assert_eq!(machine.run(&format!("systemd-analyze verify {unit} 2>&1")), "", "{unit}");
        let security = format!("systemd-analyze security --offline=true --threshold=20 {unit}");
        assert!(machine.run(&security).contains("exposure level"), "{unit}");
        assert_eq!(machine.show(unit, "LimitNOFILE"), files.to_string());
        assert_eq!(machine.show(unit, "UnitFileState"), "disabled", "it waits for its operator");
    }
    let unit = machine.run("cat /lib/systemd/system/nym-mixnode*.service");
    for line in unit.lines().filter(|line| line.contains('#')) {
        assert!(line.starts_with('#'), "a comment behind a value becomes part of it: {line}");
    }
    // Manual pages and completions are installed in the standard places.
    machine.run("man nym-mixnode-run | grep -q drain-deadline");
    machine.run("bash -c '. /usr/share/bash-completion/completions/nym-mixnode && complete -p nym-mixnode'");
    assert_eq!(machine.run("dpkg --verify nym-mixnode"), "");
}

#[test]
fn nodes_mix_in_their_sandbox_and_stop_in_order() {
    let machine = machine();
    machine.run("systemctl start nym-mixnode nym-mixnode@two nym-mixnode@three");
    let units = [("nym-mixnode", "mixnode"), ("nym-mixnode@two", "two"), ("nym-mixnode@three", "three")];
    for (unit, id) in units {
        in_order(&machine.log(unit), &["Saved mixnet identity", "Finished nym mixnode startup"]);
        machine.until("it is listed", || machine.show(unit, "StatusText") == "mixing, and listed by the directory");
        let pid = machine.show(unit, "MainPID");
        let limits = machine.run(&format!("grep 'open files' /proc/{pid}/limits"));
        assert_eq!(limits.split_whitespace().nth(3), Some(nofile().to_string().as_str()), "{limits}");
        let status = machine.run(&format!("cat /proc/{pid}/status"));
        for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(status.contains(line), "{unit} without {line:?}: {status}");
        }
        let files = machine
            .run(&format!("stat -c '%U %a %n' /var/lib/nym-mixnode /var/lib/nym-mixnode/mixnodes/{id}/data/private_*"));
        assert!(files.lines().all(|line| line.starts_with("nym-mixnode 700 ") || line.starts_with("nym-mixnode 600 ")));
        assert_eq!(machine.show(unit, "NRestarts"), "0");
    }
    let identities: BTreeSet<_> = units.iter().map(|(_, id)| identity(&machine, id)).collect();
    assert_eq!(identities.len(), units.len(), "each has its own");
    // With the settings of the unit, including values that a shell would split.
    let of_user = "systemd-run --quiet --pipe --wait --collect --uid=nym-mixnode \
        -p EnvironmentFile=/etc/default/nym-mixnode";
    let of_two = format!("{of_user} -p EnvironmentFile=/etc/default/nym-mixnode-two");
    for (run, id) in [(of_user, "mixnode"), (of_two.as_str(), "two")] {
        assert_eq!(machine.run(&format!("{run} nym-mixnode health --id {id}")), "ready");
        let shown = machine.run(&format!("{run} nym-mixnode config show --id {id}"));
        assert!(shown.contains("New York & Berlin"), "{shown}");
    }
    let backup = "keys backup /root/mixnode.age --id mixnode --home /var/lib/nym-mixnode --passphrase-file /root/words";
    machine.run(&format!("echo a passphrase of six plain words >/root/words && nym-mixnode {backup}"));
    machine.run("test -s /root/mixnode.age");
    machine.run(&format!(
        "nym-mixnode probe --directory http://{ADDRESS}:8081 --host {ADDRESS} --packets 10 \
        --wait-active 2m"
    ));

    machine.run("systemctl reload nym-mixnode");
    machine.until("it looks again", || machine.log("nym-mixnode").iter().any(|line| line.contains("SIGHUP")));
    // SIGINT as in the manual of 0.9.2, and SIGTERM.
    machine.run("systemctl stop nym-mixnode");
    machine.run("systemctl kill --signal=TERM nym-mixnode@two");
    machine.until("it has stopped", || machine.show("nym-mixnode@two", "ActiveState") == "inactive");
    for (unit, signal) in [("nym-mixnode", "SIGINT"), ("nym-mixnode@two", "SIGTERM")] {
        let stopping = format!("Stopping on {signal}");
        let order = [stopping.as_str(), "unregistered", "mixing on while", "draining", "> stopped"];
        in_order(&machine.log(unit), &order);
        assert_eq!(machine.show(unit, "Result"), "success");
        assert_eq!(machine.show(unit, "ExecMainStatus"), "0");
    }
    assert_eq!(machine.show("nym-mixnode@three", "ActiveState"), "active", "the others are not its business");
}

#[test]
fn a_registry_serves_in_its_sandbox_and_keeps_its_key_until_its_operator_deletes_it() {
    let machine = machine();
    let unit = "nym-mixnode-registry";
    assert_eq!(machine.show(unit, "StatusText"), format!("Registry serving at http://{ADDRESS}:8081"));
    let status = machine.run(&format!("cat /proc/{}/status", machine.show(unit, "MainPID")));
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "without {line:?}: {status}");
    }
    let state = "/var/lib/nym-mixnode-registry";
    let files = machine.run(&format!("stat -c '%U %a' {state} {state}/registry.sqlite {state}/monitor.token"));
    assert_eq!(files, "nym-mixnode-registry 700\nnym-mixnode-registry 600\nnym-mixnode-registry 600");
    machine.run("systemctl start nym-mixnode");
    let health = format!("nym-mixnode health --directory http://{ADDRESS}:8081");
    machine.until("it lists the node", || machine.try_run(&health).status.success());

    let key = format!("nym-mixnode health --directory http://{ADDRESS}:8081 && sha256sum {state}/monitor.token");
    let before = machine.run(&key);
    machine.install(&packages()[1]);
    machine.until("it serves again", || machine.try_run(&key).status.success());
    assert_eq!(machine.run(&key), before, "an upgrade keeps the store");
    // The node unregisters at the registry, which stops after it.
    machine.run("dpkg --remove nym-mixnode");
    in_order(&machine.log("nym-mixnode"), &["Stopping on SIGINT", "unregistered", "> stopped"]);
    assert_eq!(
        (machine.show(unit, "ActiveState"), machine.show(unit, "Result")),
        ("inactive".into(), "success".into())
    );
    let said = machine.run("dpkg --purge nym-mixnode 2>&1");
    assert!(said.contains(&format!("  {state}/registry.sqlite\n")), "{said}");
    machine.run(&format!("test -s {state}/registry.sqlite && ! test -e /etc/default/nym-mixnode-registry"));
}

/// Settings of the gateway.
fn gateway_settings(machine: &Machine) -> String {
    let packaged = machine.run("cat /etc/default/nym-mixnode-gateway");
    format!(
        "{packaged}\nNYM_MIXNODE_DIRECTORY_URL=http://{ADDRESS}:8081\nNYM_MIXNODE_DIRECTORY_TOPOLOGY_REFRESH=1s\n\
         NYM_MIXNODE_ANNOUNCE_ALLOW_PRIVATE=true\nNYM_MIXNODE_SHUTDOWN_LINGER=500ms\n\
         NYM_MIXNODE_LISTEN_ADDRESSES={ADDRESS}:1799\nNYM_MIXNODE_GATEWAY_LISTEN={ADDRESS}:9000\n"
    )
}

#[test]
fn a_gateway_serves_clients_in_its_sandbox_and_keeps_their_messages_over_an_upgrade() {
    let machine = machine();
    let (unit, state) = ("nym-mixnode-gateway", "/var/lib/nym-mixnode-gateway");
    machine.write("/etc/default/nym-mixnode-gateway", gateway_settings(&machine));
    machine.run("systemctl start nym-mixnode nym-mixnode@two nym-mixnode@three nym-mixnode-gateway");
    let serving = "serving clients, and listed by the directory";
    machine.until("it is listed", || machine.show(unit, "StatusText") == serving);
    let status = machine.run(&format!("cat /proc/{}/status", machine.show(unit, "MainPID")));
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "without {line:?}: {status}");
    }
    let files = machine.run(&format!("stat -c '%U %a' {state} {state}/gateways/gateway/data/private_sphinx.pem"));
    assert_eq!(files, "nym-mixnode-gateway 700\nnym-mixnode-gateway 600");
    let of_user = "systemd-run --quiet --pipe --wait --collect --uid=nym-mixnode-gateway \
        -p EnvironmentFile=/etc/default/nym-mixnode-gateway nym-mixnode";
    for command in ["health", "gateway health"] {
        assert_eq!(machine.run(&format!("{of_user} {command}")), "ready", "{command}");
    }

    let client = |arguments: &str| format!("HOME=/root nym-mixnode client {arguments}");
    let init = |id: &str| client(&format!("init --id {id} --registry http://{ADDRESS}:8081"));
    machine.until("the network is active", || machine.try_run(&init("alice")).status.success());
    let bob = machine.run(&init("bob"));
    machine.run("head --bytes=100000 /dev/urandom >/root/picture");
    machine.run(&client(&format!("send --id alice --to {bob} --timeout 5m /root/picture")));
    machine.install(&packages()[1]);
    machine.until("it is listed again", || machine.show(unit, "StatusText") == serving);
    machine.run(&client("receive --id bob --out /root/received --count 1"));
    machine.run("cmp /root/picture /root/received/picture");

    machine.run("dpkg --remove nym-mixnode");
    in_order(&machine.log(unit), &["Stopping on SIGINT", "unregistered", "draining", "> stopped"]);
    let said = machine.run("dpkg --purge nym-mixnode 2>&1");
    assert!(said.contains(&format!("  {state}/gateways/gateway/data/gateway.sqlite\n")), "{said}");
    machine.run(&format!("test -s {state}/gateways/gateway/data/private_sphinx.pem && ! test -e /etc/default/{unit}"));
}

#[test]
fn a_node_that_hangs_is_restarted_and_one_that_lives_is_not() {
    let machine = machine();
    drop_in(&machine, "watchdog", "WatchdogSec=2\nRestartSec=100ms");
    machine.run("systemctl start nym-mixnode");
    let (pid, key) = (machine.show("nym-mixnode", "MainPID"), identity(&machine, "mixnode"));
    pause(Duration::from_secs(5));
    assert_eq!(machine.show("nym-mixnode", "MainPID"), pid, "more than two times the watchdog, and it was fed");
    machine.run("systemctl kill --signal=STOP nym-mixnode");
    let is_back =
        || machine.show("nym-mixnode", "NRestarts") == "1" && machine.show("nym-mixnode", "ActiveState") == "active";
    machine.until("it is restarted", is_back);
    assert_ne!(machine.show("nym-mixnode", "MainPID"), pid);
    assert_eq!(identity(&machine, "mixnode"), key);
    let listed = "registered with the directory";
    machine.until("it is listed again", || {
        machine.log("nym-mixnode").iter().filter(|line| line.contains(listed)).count() == 2
    });
    let killed = "Failed with result 'watchdog'";
    in_order(&machine.log("nym-mixnode"), &[listed, "Watchdog timeout", killed, listed]);
}

#[test]
fn a_start_takes_until_the_node_mixes_and_is_tried_again_when_that_may_help() {
    let machine = machine();
    let occupy = |unit: &str, port: u16| {
        let socket = format!("--socket-property=ListenStream={ADDRESS}:{port}");
        machine.run(&format!("systemd-run --quiet --unit={unit} {socket} sleep infinity"));
    };
    // A registry that accepts connections and never answers; the node asks it for the layers.
    occupy("deaf", 8099);
    let deaf = format!("NYM_MIXNODE_DIRECTORY_URL=http://{ADDRESS}:8099\nNYM_MIXNODE_NODE_LAYER=\n");
    machine.write("/etc/default/nym-mixnode-two", settings_of(2) + &deaf);
    machine.run("systemctl start --no-block nym-mixnode@two");
    machine.until("it asks the directory", || machine.show("deaf", "ActiveState") == "active");
    assert_eq!(machine.show("nym-mixnode@two", "ActiveState"), "activating");
    machine.run("systemctl stop deaf.socket deaf");
    machine.until("it goes on", || machine.show("nym-mixnode@two", "ActiveState") == "active");

    assert_eq!(machine.show("nym-mixnode@three", "RestartUSec"), "10s", "no storm");
    drop_in(&machine, "restart", "RestartSec=1");
    occupy("taken", 1791);
    assert!(!machine.try_run("systemctl start nym-mixnode@three").status.success());
    machine.until("it is tried again", || machine.show("nym-mixnode@three", "NRestarts") != "0");
    in_order(&machine.log("nym-mixnode@three"), &["10.9.0.1:1791", "status=69", "Scheduled restart job"]);
    machine.run("systemctl stop taken.socket");
    machine.until("it comes up by itself", || machine.show("nym-mixnode@three", "ActiveState") == "active");
}

#[test]
fn what_waits_for_a_hand_is_said_once_and_not_tried_again() {
    let machine = machine();
    drop_in(&machine, "restart", "RestartSec=100ms");
    let key = "/var/lib/nym-mixnode/mixnodes/three/data/private_identity.pem";
    machine.run("systemctl start nym-mixnode@three && systemctl stop nym-mixnode@three");
    for (unit, code, prepare, says) in [
        ("nym-mixnode@-x", "64", "true", "an id names a directory"),
        ("nym-mixnode@two", "78", "echo NYM_MIXNODE_MIX_WORKER=4 >>/etc/default/nym-mixnode-two", "did you mean"),
        ("nym-mixnode@three", "77", &format!("chmod a+r {key}"), "chmod"),
        ("nym-mixnode@three", "65", &format!("chmod 600 {key} && echo no key >{key}"), "is not a PEM file"),
    ] {
        machine.run(prepare);
        let seen = machine.said_by(unit).len();
        assert!(!machine.try_run(&format!("systemctl start {unit}")).status.success());
        pause(Duration::from_secs(1));
        assert_eq!(machine.show(unit, "ActiveState"), "failed");
        assert_eq!(machine.show(unit, "ExecMainStatus"), code);
        assert_eq!(machine.show(unit, "NRestarts"), "0");
        let said = machine.said_by(unit).split_off(seen);
        assert!(said.len() == 1 && said[0].contains(says), "one line that says {says:?}: {said:#?}");
    }
}

#[test]
fn an_upgrade_restarts_what_runs_and_keeps_all_keys() {
    let machine = machine();
    machine.run("systemctl start nym-mixnode nym-mixnode@two");
    machine.run("systemctl start nym-mixnode@three && systemctl stop nym-mixnode@three");
    let running = ["nym-mixnode", "nym-mixnode@two"];
    let state = "cd /var/lib/nym-mixnode && find . -name '*.pem' -o -name config.yaml | sort | xargs sha256sum";
    let before = (running.map(|unit| machine.show(unit, "MainPID")), machine.run(state));
    let settings = machine.run("cat /etc/default/nym-mixnode");

    let said = machine.install(&packages()[1]);
    assert!(!said.contains("did not restart"), "{said}");
    assert!(machine.run("dpkg-query --show nym-mixnode").ends_with("+1-1"));
    for (unit, pid) in running.iter().zip(&before.0) {
        assert_eq!(machine.show(unit, "ActiveState"), "active");
        assert_ne!(&machine.show(unit, "MainPID"), pid, "{unit} still runs the old program");
        let order = ["Stopping on SIGINT", "unregistered", "> stopped", "Finished nym mixnode startup"];
        in_order(&machine.log(unit), &order);
    }
    assert_eq!(machine.show("nym-mixnode@three", "ActiveState"), "inactive", "what did not run stays so");
    assert_eq!(machine.run(state), before.1);
    assert_eq!(machine.run("cat /etc/default/nym-mixnode"), settings);
    // Running it twice has the same effect.
    machine.run("dpkg-reconfigure nym-mixnode");
    assert_eq!(machine.run("systemctl is-active nym-mixnode nym-mixnode@two"), "active\nactive");
}

#[test]
fn removal_stops_the_nodes_and_not_even_purge_destroys_an_identity() {
    let machine = machine();
    machine.run("systemctl enable --now --quiet nym-mixnode nym-mixnode@two");
    let key = identity(&machine, "two");
    machine.run("dpkg --remove nym-mixnode");
    for unit in ["nym-mixnode", "nym-mixnode@two"] {
        in_order(&machine.log(unit), &["Stopping on SIGINT", "unregistered", "> stopped"]);
        assert_eq!(machine.show(unit, "ActiveState"), "inactive");
    }
    machine.run("test -e /etc/default/nym-mixnode && ! test -e /usr/bin/nym-mixnode");

    let said = machine.run("dpkg --purge nym-mixnode 2>&1");
    for words in ["/var/lib/nym-mixnode/mixnodes/two", "/var/lib/nym-mixnode/mixnodes/mixnode", "rm -r"] {
        assert!(said.contains(words), "{said}");
    }
    machine.run("! test -e /etc/default/nym-mixnode && ! find /etc/systemd -name 'nym-mixnode*.service' | grep .");
    machine.run("! test -e /var/lib/nym-mixnode/mixnodes/two/data/topology.json");
    assert_eq!(identity(&machine, "two"), key);

    machine.install(&packages()[0]);
    machine.run("systemctl start nym-mixnode@two");
    assert_eq!(identity(&machine, "two"), key, "it finds its keys again");
    // A backup may be the only copy of an identity.
    machine.run("dpkg --remove nym-mixnode && rm -r /var/lib/nym-mixnode/mixnodes/*");
    machine.write("/var/lib/nym-mixnode/two.age", "keys");
    let said = machine.run("dpkg --purge nym-mixnode 2>&1");
    assert!(said.contains("  /var/lib/nym-mixnode/two.age\n") && said.contains("rm -r"), "{said}");
    assert_eq!(machine.run("cat /var/lib/nym-mixnode/two.age"), "keys");
    machine.install(&packages()[0]);
    machine.run("rm /var/lib/nym-mixnode/two.age && dpkg --purge nym-mixnode");
    machine.run("! test -e /var/lib/nym-mixnode");
}

#[test]
fn the_sandbox_hides_nothing_that_detection_looks_at() {
    let machine = Machine::boot();
    machine.install(&packages()[0]);
    let detect = "Type=oneshot\nExecStart=\nExecStart=/usr/bin/nym-mixnode detect --explain --allow-private";
    drop_in(&machine, "detect", &format!("LimitNOFILE={}\n{detect}", nofile()));
    machine.run("systemctl start nym-mixnode");
    let said = machine.log("nym-mixnode").join("\n");
    assert!(said.contains("Amazon EC2"), "the firmware: {said}");
    assert!(said.contains(&format!("announce  {ADDRESS}:1789")), "the interfaces: {said}");
    assert!(said.contains("no IPv6 address found"), "the one that there is will not last: {said}");
}
