//! The network of docker-compose.yml with other engines, in a Debian 13 with systemd: Podman as root and as a user, and
//! Docker as a user. All run at the same time, with Debian's packages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::docker::nofile;
use crate::engine::{output, said};
use crate::http;
use crate::image;
use crate::machine::Machine;
use crate::netns::NetNs;
use crate::part::{part, root};

/// One node of each layer is enough.
const SERVICES: &str = "registry monitor mix1-1 mix2-1 mix3-1";
/// The user of the machine.
const USER: &str = "runuser -u mix -- env -C /home/mix HOME=/home/mix XDG_RUNTIME_DIR=/run/user/1000 PATH=$PATH";

/// An engine of the machine.
struct Engine {
    /// Who runs it, in front of a command.
    user: &'static str,
    /// Its command line: `docker` or `podman`.
    program: &'static str,
    /// What starts it.
    start: &'static str,
    /// Tells it from the others in ports and addresses.
    number: u16,
}

const ENGINES: [Engine; 3] = [
    Engine { user: "", program: "podman", start: "systemctl start podman.socket", number: 1 },
    Engine { user: USER, program: "podman", start: "systemctl --user start podman.socket", number: 2 },
    Engine {
        user: USER,
        program: "docker --host=unix:///run/user/1000/docker.sock",
        start: "systemd-run --user --quiet --unit=docker --property=Delegate=yes \
            --setenv=PATH=/usr/share/docker.io/contrib:/usr/sbin:/usr/bin:/sbin:/bin \
            /usr/share/docker.io/contrib/dockerd-rootless.sh --data-root=/var/lib/containers/users/1000/docker",
        number: 3,
    },
];

impl Engine {
    fn run(&self, machine: &Machine, command: &str) -> String {
        machine.run(&format!("cd /srv; {} {command}", self.user))
    }

    fn port(&self) -> u16 {
        9000 + self.number
    }

    /// `compose` with these arguments for its own network.
    fn compose(&self, machine: &Machine, arguments: &str) -> String {
        let Self { program, number, .. } = self;
        let settings = format!(
            "NYM_MIXNODE_IMAGE={} NOFILE={} REGISTRY_PORT={} NET_V4=172.30.{number} NET_V6=fd17:{number} HEALTH_INTERVAL=2s",
            image::tag(),
            nofile(),
            self.port()
        );
        let command = format!("env {settings} {program} compose --file /srv/docker-compose.yml {arguments} 2>&1");
        self.run(machine, &command)
    }

    /// Loads the image and starts the network.
    fn up(&self, machine: &Machine) {
        self.run(machine, self.start);
        machine.until("the engine answers", || {
            machine.try_run(&format!("{} {} version", self.user, self.program)).status.success().then_some(())
        });
        self.run(machine, &format!("{} load --input /srv/image.tar", self.program));
        self.compose(machine, &format!("up --no-build --detach {SERVICES}"));
    }

    /// Waits until the monitor has brought all nodes to the active set, which takes packets through them over IPv4 and IPv6.
    fn wait_all_active(&self, machine: &Machine, netns: &NetNs) {
        let get = |path: &str| -> Option<Value> {
            let url = format!("http://127.0.0.1:{}/api/mixmining/{path}", self.port());
            serde_json::from_str(&netns.inside(|| http::get(&url))?).ok()
        };
        let what = format!("all nodes are active: engine {}, {}", self.number, self.program);
        machine.until(&what, || {
            let (report, active) = (get("fullreport")?, get("topology/active")?);
            let up = |node: &Value| node["mostRecentIPV4"] == true && node["mostRecentIPV6"] == true;
            let nodes = report["report"].as_array()?;
            (nodes.len() == 3 && nodes.iter().all(up) && active["mixNodes"].as_array()?.len() == 3).then_some(())
        });
    }

    /// The status of the process of a node: what it may do.
    fn check_privileges(&self, machine: &Machine) {
        let name = "nym-mixnode-mix1-1-1";
        let pid = self.run(machine, &format!("{} inspect --format '{{{{.State.Pid}}}}' {name}", self.program));
        let status = machine.run(&format!("cat /proc/{pid}/status"));
        for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(status.contains(line), "{line} is missing: {status}");
        }
    }
}

/// A machine with the compose file and the image.
fn machine(netns: &NetNs, folder: &Path) -> Machine {
    let srv = folder.join("disk/srv");
    fs::create_dir_all(&srv).unwrap();
    fs::copy(image::archive(), srv.join("image.tar")).unwrap();
    fs::set_permissions(srv.join("image.tar"), fs::Permissions::from_mode(0o644)).unwrap();
    let copied = output(Command::new("cp").args(["-r", "docker-compose.yml", "deploy"]).arg(&srv).current_dir(root()));
    assert!(copied.status.success(), "{}", said(&copied));
    let machine = Machine::start(netns, &part("user-machine"), folder.to_owned());
    machine.until("systemd has started", || {
        machine.try_run("systemctl is-system-running --wait").status.success().then_some(())
    });
    // The layers of images cannot lie on the overlay that is the machine's disk.
    machine.run(
        "install -d -m 711 /var/lib/containers /var/lib/containers/users && install -d -o mix /var/lib/containers/users/1000 && \
         loginctl enable-linger mix",
    );
    machine.until("the services of the user run", || {
        machine.try_run(&format!("{USER} systemctl --user is-system-running --wait")).status.success().then_some(())
    });
    machine
}

#[test]
fn the_network_mixes_with_podman_as_root_and_as_a_user_and_with_docker_as_a_user() {
    let (netns, folder) = (NetNs::new("users"), tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let machine = machine(&netns, folder.path());
    for engine in &ENGINES {
        engine.up(&machine);
    }
    for engine in &ENGINES {
        engine.wait_all_active(&machine, &netns);
        engine.check_privileges(&machine);
    }
    // The nodes unregister, which takes them from the list.
    for engine in &ENGINES {
        engine.compose(&machine, "stop mix1-1");
        let url = format!("http://127.0.0.1:{}/api/mixmining/topology", engine.port());
        let listed: Value = serde_json::from_str(&netns.inside(|| http::get(&url)).unwrap()).unwrap();
        assert_eq!(listed["mixNodes"].as_array().map(Vec::len), Some(2), "{listed:#}");
    }
}
