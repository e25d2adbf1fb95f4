//! One node that stands in for all: it listens on every loopback address, with the Sphinx key of all entries.

use std::env;
use std::process::{Child, Command, Stdio};

use nym_mixnode_config::settings;

use crate::network::SimulatedNetwork;
use crate::support::{leave_the_first_core_alone, node};

pub(crate) struct StandIn(Child);

impl StandIn {
    pub(crate) fn start(network: &SimulatedNetwork) -> Self {
        let key = bs58::encode(network.sphinx.private()).into_string();
        let mut command = Command::new(env::current_exe().expect("this program"));
        command.args(["nodes", &key, &network.port.to_string()]).env("RUST_LOG", "warn");
        Self(command.stdin(Stdio::piped()).spawn().expect("a child process"))
    }

    /// The end of standard input stops the node.
    pub(crate) fn stop(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().expect("it ends").success(), "the node failed");
    }
}

pub(crate) fn main(args: &[String]) {
    let [key, port] = args else { panic!("nodes: two arguments") };
    leave_the_first_core_alone();
    let listen = format!("0.0.0.0:{port}").parse().expect("an address");
    let announce = format!("127.0.0.1:{port}");
    let settings = [
        (&settings::ANNOUNCE_ADDRESSES.about, announce.as_str()),
        // All connections come from the monitor.
        (&settings::CONNECTIONS_PER_ADDRESS_MAX.about, "16384"),
    ];
    node::run(node::config(listen, &settings), key);
}
