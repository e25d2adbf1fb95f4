//! A node in a process of its own, without a directory, until the end of its standard input.

use std::net::SocketAddr;
use std::sync::Arc;

use nym_mixnode::node::{self, RunOptions};
use nym_mixnode_config::settings::About;
use nym_mixnode_config::{Config, Source};
use nym_mixnode_keys::{IdentityKeyPair, NodeKeys, SphinxKeyPair};
use nym_mixnode_telemetry::otel::{self, Telemetry};
use nym_mixnode_testing::support::loopback_settings;

/// Configuration of a node that listens here and forwards to any address, with these settings.
pub(crate) fn config(listen: SocketAddr, settings: &[(&'static About, &str)]) -> Config {
    let mut values = loopback_settings(listen);
    for (about, text) in settings {
        values.set(about, *text, &Source::Program);
    }
    Config::from_values(&values).expect("a configuration")
}

/// Runs a node with this private Sphinx key in base58.
pub(crate) fn run(config: Config, private_key: &str) {
    let mut private = [0; 32];
    bs58::decode(private_key).onto(&mut private).expect("32 bytes in base58");
    let identity = IdentityKeyPair::generate().expect("an identity");
    let sphinx = SphinxKeyPair::from_private(&private).expect("a key");
    let keys = NodeKeys { identity_public: identity.public_base58(), identity: Arc::new(identity), sphinx };
    // Without an endpoint in the environment nothing is exported.
    let exports = otel::Settings::of_process(&config.telemetry).expect("allowed variables");
    let telemetry = exports.map(|exports| Telemetry::start(&exports, None).expect("exporters")).unwrap_or_default();
    let options = RunOptions { telemetry, ..RunOptions::default() };
    let stop = async {
        let wait = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(tokio::task::spawn_blocking(wait).await);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(node::run(config, keys, options, stop, |_| {})).expect("the node runs");
}
