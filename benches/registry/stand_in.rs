//! One node that stands in for all: it listens on every loopback address, with the Sphinx key of all entries.

use std::env;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nym_mixnode::node::{self, RunOptions};
use nym_mixnode_config::{Config, Source, Values, settings};
use nym_mixnode_keys::{IdentityKeyPair, NodeKeys, SphinxKeyPair};

use crate::leave_the_registry_alone;
use crate::network::SimulatedNetwork;

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
    leave_the_registry_alone();
    let mut values = Values::default();
    let mut set = |about, text: &str| values.set(about, text, &Source::Program);
    set(&settings::NODE_ID.about, "bench");
    set(&settings::NODE_LAYER.about, "1");
    set(&settings::LISTEN_ADDRESSES.about, &format!("0.0.0.0:{port}"));
    set(&settings::ANNOUNCE_ADDRESSES.about, &format!("127.0.0.1:{port}"));
    set(&settings::ANNOUNCE_ALLOW_PRIVATE.about, "true");
    // No process listens there: the node mixes without a directory.
    set(&settings::DIRECTORY_URL.about, "http://127.0.0.1:9");
    set(&settings::FORWARD_POLICY.about, "any");
    set(&settings::HTTP_LISTEN.about, "off");
    // All connections come from the monitor.
    set(&settings::CONNECTIONS_PER_ADDRESS_MAX.about, "16384");
    let config = Config::from_values(&values).expect("a configuration");
    let mut private = [0; 32];
    bs58::decode(key).onto(&mut private).expect("32 bytes in base58");
    let identity = IdentityKeyPair::generate().expect("an identity");
    let sphinx = SphinxKeyPair::from_private(&private).expect("a key");
    let keys = NodeKeys { identity_public: identity.public_base58(), identity: Arc::new(identity), sphinx };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let stop = async {
        let wait = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(tokio::task::spawn_blocking(wait).await);
    };
    runtime.block_on(node::run(config, keys, RunOptions::default(), stop, |_| {})).expect("the node runs");
}
