//! Network namespaces that act as separate machines.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::process::Command;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Network of a machine, removed on drop, also after a panic.
pub struct NetNs {
    name: String,
}

impl NetNs {
    /// Creates one with only a loopback interface.
    pub fn new(role: &str) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "this test makes network namespaces: run it as root (make kit), and mark it with #[ignore]"
        );
        let name = format!("nym-{role}-{:08x}", rand::random::<u32>());
        run(Command::new("ip").args(["netns", "add", &name]));
        let netns = Self { name };
        netns.ip("link set lo up");
        netns
    }

    /// Runs `ip` inside.
    pub fn ip(&self, arguments: &str) {
        run(Command::new("ip").args(["-n", &self.name]).args(arguments.split(' ')));
    }

    /// Runs a shell command inside.
    pub fn sh(&self, line: &str) {
        run(self.command("sh").args(["-c", line]));
    }

    /// Runs a program inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Virtual cable to `other`: interface `own` here, `theirs` there.
    pub fn cable(&self, own: &str, other: &Self, theirs: &str) {
        // The addresses are unique, and duplicate address detection would delay IPv6.
        for end in [self, other] {
            end.sh("sysctl -qw net.ipv6.conf.default.accept_dad=0");
        }
        self.ip(&format!("link add {own} type veth peer name {theirs} netns {}", other.name));
        self.ip(&format!("link set {own} up"));
        other.ip(&format!("link set {theirs} up"));
    }

    /// Runs `work` on a thread inside; sockets made there stay there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let on_thread = || {
            let netns = File::open(format!("/run/netns/{}", self.name)).unwrap();
            move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(on_thread).join().unwrap())
    }

    /// Opens a listener inside.
    pub fn listen(&self, address: SocketAddr) -> TcpListener {
        self.inside(|| TcpListener::bind(address).unwrap())
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        // A panic in a drop would hide the first one.
        Command::new("ip").args(["netns", "del", &self.name]).status().ok();
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let needs = "this test needs iproute2 and nftables: make kit-packages";
    let output = command.output().expect(needs);
    assert!(output.status.success(), "{command:?}: {}; {needs}", String::from_utf8_lossy(&output.stderr));
}
