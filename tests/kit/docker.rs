//! Networks, volumes and containers of a test, removed at its end, even if it fails.

use std::net::IpAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Resource, getrlimit};
use serde_json::Value;

use crate::engine::{docker, engine, output, said};
use crate::image;
use crate::waiting::eventually;

/// The documented options for running a node.
const HARDENED: [&str; 5] = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];

/// A limit of 65535 open files, or the limit of this machine.
pub(crate) fn nofile() -> u64 {
    getrlimit(Resource::Nofile).maximum.map_or(65535, |hard| hard.min(65535))
}

/// A name that is unique on this engine.
fn unique(role: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("kit-{}-{}-{role}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// An internal network. Its gateway is the engine's host, where tests listen.
pub(crate) struct Network {
    name: String,
    pub(crate) subnet: Subnet,
}

/// The addresses of a network: `10.x.y.0/24`, and `fd00:a:x:y::/64` if it has IPv6.
#[derive(Clone, Copy)]
pub(crate) struct Subnet(u8, u8);

impl Subnet {
    pub(crate) fn random() -> Self {
        Self(rand::random_range(64..=255), rand::random())
    }

    pub(crate) fn v4(self, host: u8) -> IpAddr {
        IpAddr::from([10, self.0, self.1, host])
    }

    pub(crate) fn v6(self, host: u16) -> IpAddr {
        IpAddr::from([0xfd00, 0xa, self.0.into(), self.1.into(), 0, 0, 0, host])
    }
}

impl Network {
    pub(crate) fn v4() -> Self {
        Self::with(Subnet::random(), &[])
    }

    pub(crate) fn dual() -> Self {
        let subnet = Subnet::random();
        let (v6, gateway) = (format!("{}/64", subnet.v6(0)), subnet.v6(1).to_string());
        Self::with(subnet, &["--ipv6", "--subnet", &v6, "--gateway", &gateway])
    }

    fn with(subnet: Subnet, more: &[&str]) -> Self {
        let (v4, gateway) = (format!("{}/24", subnet.v4(0)), subnet.v4(1).to_string());
        Self::create(subnet, &[&["--subnet", &v4, "--gateway", &gateway], more].concat())
    }

    /// A network whose gateway has the address of the clouds' metadata service.
    pub(crate) fn of_metadata() -> Self {
        let addresses = ["--subnet", "169.254.169.0/24", "--gateway", "169.254.169.254"];
        Self::create(Subnet(0, 0), &addresses)
    }

    fn create(subnet: Subnet, addresses: &[&str]) -> Self {
        let name = unique("network");
        // Another test on this engine may use these addresses.
        eventually("there is a network of one's own", || {
            let mut create = engine().docker();
            let output = output(create.args(["network", "create", "--internal"]).args(addresses).arg(&name));
            let overlaps = said(&output).contains("overlaps");
            assert!(output.status.success() || overlaps, "{}", said(&output));
            (!overlaps).then_some(())
        });
        Self { name, subnet }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        output(engine().docker().args(["network", "rm", &self.name]));
    }
}

/// A volume with a name.
pub(crate) struct Volume(String);

impl Volume {
    pub(crate) fn new() -> Self {
        let name = unique("volume");
        docker(&["volume", "create", &name]);
        Self(name)
    }

    /// The argument of `--volume`.
    pub(crate) fn at_home(&self) -> String {
        format!("{}:/var/lib/nym-mixnode", self.0)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        output(engine().docker().args(["volume", "rm", "--force", &self.0]));
    }
}

/// A container with the documented hardening.
pub(crate) struct Container {
    pub(crate) name: String,
}

impl Container {
    /// `docker run` with these options, the image of this work tree, and these arguments of the program.
    pub(crate) fn run(role: &str, options: &[&str], arguments: &[&str]) -> Self {
        Self::run_image(image::built(), role, options, arguments)
    }

    pub(crate) fn run_image(image: &str, role: &str, options: &[&str], arguments: &[&str]) -> Self {
        let container = Self { name: unique(role) };
        let nofile = format!("nofile={0}:{0}", nofile());
        let fixed = ["run", "--detach", "--name", &container.name, "--ulimit", &nofile];
        let mut run = engine().docker();
        let output = output(run.args(fixed).args(HARDENED).args(options).arg(image).args(arguments));
        // A container that fails to start exists too, and reports the reason.
        assert!(container.exists(), "{}", said(&output));
        container
    }

    fn exists(&self) -> bool {
        output(engine().docker().args(["container", "inspect", &self.name])).status.success()
    }

    /// The result of `docker inspect`.
    pub(crate) fn inspect(&self) -> Value {
        let inspected = docker(&["container", "inspect", &self.name]);
        serde_json::from_str::<Vec<Value>>(&inspected).expect("JSON").remove(0)
    }

    /// The whole output of the container.
    pub(crate) fn log(&self) -> String {
        said(&output(engine().docker().args(["logs", &self.name])))
    }

    pub(crate) fn docker(&self, command: &[&str]) -> String {
        docker(&[command, &[&self.name]].concat())
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.inspect()["State"]["Health"]["Status"] == "healthy"
    }

    pub(crate) fn wait_healthy(&self) {
        eventually(&format!("{} is healthy", self.name), || {
            let state = self.inspect()["State"].clone();
            assert_ne!(state["Status"], "exited", "{state}\n{}", self.log());
            (state["Health"]["Status"] == "healthy").then_some(())
        });
    }

    /// Waits until the container has exited and is not restarted, and returns its exit code.
    pub(crate) fn wait_exit(&self) -> i64 {
        eventually(&format!("{} has ended", self.name), || {
            let state = self.inspect()["State"].clone();
            let is_over = state["Status"] == "exited" || state["Status"] == "created" && state["ExitCode"] != 0;
            is_over.then(|| state["ExitCode"].as_i64().expect("an exit code"))
        })
    }

    /// The PID of its main process in the engine's namespace.
    pub(crate) fn pid(&self) -> String {
        self.inspect()["State"]["Pid"].to_string()
    }

    /// A file in `/proc` of its main process.
    pub(crate) fn process_status(&self) -> String {
        said(&output(engine().among_processes("cat").arg(format!("/proc/{}/status", self.pid()))))
    }

    /// A command that runs a program of the host in the network of the container.
    pub(crate) fn in_network(&self, program: &str) -> Command {
        let mut command = engine().among_processes("nsenter");
        command.args(["--target", &self.pid(), "--net", "--", program]);
        command
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}:\n{}", self.name, self.log());
        }
        output(engine().docker().args(["rm", "--force", "--volumes", &self.name]));
    }
}
