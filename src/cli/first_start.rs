//! `run --init-if-missing`: creates the node at the first start of a container.

use std::io::Write;

use nym_mixnode_config::{Environment, Layers, NodeHome, NodeId, Role, Source, Values, settings as s};
use nym_mixnode_keys::{KeyFiles, store};
use nym_mixnode_net::BindAddr;
use rustix::process::{getgid, getuid};

use super::init::{NewNode, complete, create_node, defaults_of, summary};
use super::load::{Sources, read_telemetry};
use super::node_files::{self, KeyState, keys_config};
use super::output::print_to;
use super::{Exit, Failure, volume};

/// Creates the node unless it has or needs no configuration file; prints what it creates to `out`. Returns the
/// settings of the node, which are `given` unless it creates or completes files.
pub(super) async fn make_if_missing<'a>(
    home: &'a NodeHome,
    id: &'a NodeId,
    flags: &Values,
    mut given: Sources<'a>,
    mut out: impl Write,
) -> Result<Sources<'a>, Failure> {
    if node_files::finish(home, given.values())? {
        given = Sources::read(home, id, flags);
        print_to(&mut out, format_args!("Completed an unfinished start: {}", home.dir().display()))?;
    }
    if given.has_file || home.older_config_file().is_some() {
        return Ok(given);
    }
    let keys = KeyState::of(home, &keys_config(given.values()));
    if given.is_complete() && matches!(keys, KeyState::All { .. }) {
        return Ok(given);
    }
    if let Some(failure) = keys.without_file(home, id) {
        return Err(failure);
    }
    if let KeyState::All { files } = &keys {
        // Check the keys before anything is created.
        store::load(files)?;
    }
    // The node reports by itself whether its directory answers.
    let NewNode { config, .. } = complete(settings(home.role(), id, flags)?, &mut out).await?;
    let kept = matches!(keys, KeyState::All { .. });
    let keys = create_node(home, &config).map_err(|failure| match failure.exit {
        Exit::CANNOT_CREATE => failure.with_advice(MOUNT),
        Exit::PERMISSION => failure.with_advice(format_args!("{MOUNT}; {}", give_volume())),
        _ => failure,
    })?;
    print_to(out, summary(home, &keys, kept))?;
    let files = KeyFiles::new(home.dir(), &config.keys);
    if let Some(warning) = volume::warning(files.dir()) {
        tracing::warn!("{warning}");
    }
    Ok(Sources::read(home, id, flags))
}

const MOUNT: &str = "mount a volume there that this user may write to, or name one with NYM_MIXNODE_HOME, for keys \
    with NYM_MIXNODE_KEYS_DIR";

/// Command that makes this user the owner of a volume.
fn give_volume() -> String {
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    format!("`chown -R {user}:{group}` on the volume gives it to this user")
}

/// Settings of a node created at its first start: defaults, environment and flags.
fn settings(role: Role, id: &NodeId, flags: &Values) -> Result<Values, Failure> {
    let mut defaults = defaults_of(role);
    let everywhere = BindAddr::everywhere(s::DEFAULT_PORT);
    defaults.set(&s::NODE_ID.about, id.as_str(), &Source::Program);
    defaults.set(&s::LISTEN_ADDRESSES.about, everywhere.to_string(), &Source::Program);
    let mut layers = Layers::default();
    layers.values(&defaults);
    layers.environment(&Environment::of_process());
    layers.values(flags);
    read_telemetry(&mut layers);
    Ok(layers.check_places()?)
}
