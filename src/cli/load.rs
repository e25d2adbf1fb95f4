//! Loads a node's configuration from its file, the environment and the flags.

use std::net::SocketAddr;

use nym_mixnode_config::{
    Config, ConfigError, Environment, HttpConfig, InvalidValue, Layers, NodeHome, NodeId, Role, Source, Values,
    settings as s,
};
use nym_mixnode_directory::{DirectoryError, read_join_token};
use nym_mixnode_telemetry::otel::{self, StartError, Telemetry, VariableError};

use super::flags::naming;
use super::node_files::{KeyState, keys_config};
use super::{Failure, upgrade};

/// Loads the node's configuration: its file, overridden by the environment, then by `overrides`.
pub(super) fn load_config(home: &NodeHome, id: &NodeId, overrides: &Values) -> Result<Config, Failure> {
    Sources::read(home, id, overrides).config()
}

/// Validated settings of a start, for `run`, `config check` and `doctor`.
pub(super) struct StartSettings {
    pub(super) config: Config,
    /// Settings of the telemetry export; `None` if it is off.
    pub(super) telemetry: Option<otel::Settings>,
}

/// Settings of a node's file, the environment and the flags, each read once and not parsed yet.
pub(super) struct Sources<'a> {
    home: &'a NodeHome,
    id: &'a NodeId,
    layers: Layers,
    pub(super) has_file: bool,
}

impl<'a> Sources<'a> {
    /// Reads the file and the environment; `overrides` take precedence over both.
    pub(super) fn read(home: &'a NodeHome, id: &'a NodeId, overrides: &Values) -> Self {
        let mut layers = Layers::default();
        if home.role() == Role::Gateway {
            layers.values(&without_layer());
        }
        let has_file = layers.file(&home.config_file());
        let other = layers.so_far().of(&s::NODE_ID.about).iter().find(|value| value.text != id.as_str());
        let other = other.map(|value| InvalidValue {
            place: value.source.clone(),
            key: s::NODE_ID.about.key,
            value: value.text.clone(),
            problem: format!("is not {:?}, whose directory this file lies in", id.as_str()),
        });
        if let Some(other) = other {
            layers.problem(ConfigError::Invalid(other));
        }
        layers.environment(&Environment::of_process());
        if overrides.of(&s::NODE_ID.about).is_empty() {
            let mut node = Values::default();
            node.set(&s::NODE_ID.about, id.as_str(), &Source::Flag(s::NODE_ID.about.flag()));
            layers.values(&node);
        }
        layers.values(overrides);
        Self { home, id, layers, has_file }
    }

    /// The settings, valid or not.
    pub(super) const fn values(&self) -> &Values {
        self.layers.so_far()
    }

    /// Whether every setting without a default is set; those of a gateway have one each, so it must name its directory.
    pub(super) fn is_complete(&self) -> bool {
        let is_named = || !self.values().of(&s::DIRECTORY_URL.about).is_empty();
        self.layers.is_complete() && (self.home.role() == Role::Mixnode || is_named())
    }

    /// Moves the configured bind addresses to `port`, as `--port` without `--host` does.
    pub(super) fn listen_on(&mut self, port: u16) {
        // An error in these settings is reported together with all others.
        let Ok(listen) = nym_mixnode_config::listening(self.values()) else { return };
        let moved = listen.bind_addresses().into_iter().map(|address| SocketAddr::new(address.get().ip(), port));
        let mut values = Values::default();
        values.set_list(&s::LISTEN_ADDRESSES.about, moved.map(|address| address.to_string()), &Source::Flag("--port"));
        self.layers.values(&values);
    }

    /// The settings, if the sources have no errors; does not check the values.
    pub(super) fn checked(self) -> Result<Values, Failure> {
        Ok(self.layers.check_places()?)
    }

    /// Parses and checks all settings.
    pub(super) fn config(self) -> Result<Config, Failure> {
        if !self.has_file && !self.is_complete() {
            let missing = without_file(self.home, self.id, self.values());
            return Err(missing.after(self.layers.problems()));
        }
        Ok(self.layers.finish()?)
    }

    /// Like [`Self::config`], with the standard `OTEL_…` variables. `RUST_LOG` was checked when the program started.
    pub(super) fn start(mut self) -> Result<StartSettings, Failure> {
        let telemetry = read_telemetry(&mut self.layers);
        let config = self.config()?;
        if let Some(file) = &config.directory.join_token_file {
            read_join_token(file).map_err(DirectoryError::from)?;
        }
        Ok(StartSettings { config, telemetry })
    }
}

/// A layer for the settings of a gateway, which has none.
pub(super) fn without_layer() -> Values {
    let mut values = Values::default();
    values.set(&s::NODE_LAYER.about, "1", &Source::Program);
    values
}

/// Overrides `layers` with the standard `OTEL_…` variables, and adds their errors to `layers`.
pub(super) fn read_telemetry(layers: &mut Layers) -> Option<otel::Settings> {
    // Errors of the section itself are reported together with all other settings.
    let config = nym_mixnode_config::telemetry(layers.so_far()).unwrap_or_default();
    let problems = match otel::Settings::of_process(&config) {
        Ok(settings) => match settings.as_ref().map(Telemetry::check) {
            Some(Err(error @ StartError::Exporter { .. })) => vec![ConfigError::Telemetry(error.to_string())],
            _ => return settings,
        },
        Err(problems) => problems
            .into_iter()
            .map(|VariableError { variable, problem }| ConfigError::Variable { variable, problem })
            .collect(),
    };
    for problem in problems {
        layers.problem(problem);
    }
    None
}

/// HTTP settings from the environment alone, for a node that was not selected.
pub(super) fn http_of_environment() -> Result<HttpConfig, Failure> {
    let mut layers = Layers::default();
    layers.environment(&Environment::of_process());
    Ok(HttpConfig::from_values(&layers.check_places()?)?)
}

/// Error for a missing configuration file.
fn without_file(home: &NodeHome, id: &NodeId, values: &Values) -> Failure {
    let path = home.config_file();
    if let Err(failure) = upgrade::refuse_older(home, id) {
        return failure;
    }
    if let Some(failure) = KeyState::of(home, &keys_config(values)).without_file(home, id) {
        return failure;
    }
    let advice = format!("create the node first with `{} init {}`", home.role().program(), naming(home, id));
    Failure::from(ConfigError::NotFound(path)).with_advice(advice)
}
