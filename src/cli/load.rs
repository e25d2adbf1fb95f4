//! Loads a node's configuration from its file, the environment and the flags.

use nym_mixnode_config::{
    Config, ConfigError, Environment, HttpConfig, InvalidValue, Layers, NodeHome, NodeId, Source, Values, settings as s,
};
use nym_mixnode_telemetry::otel::{self, StartError, Telemetry, VariableError};

use super::flags::naming;
use super::node_files::KeyState;
use super::{Failure, upgrade};

/// Loads the node's configuration: its file, overridden by the environment, then by `overrides`.
pub(super) fn load_config(home: &NodeHome, id: &NodeId, overrides: &Values) -> Result<Config, Failure> {
    load(home, id, overrides).map(|(_, config)| config)
}

/// Validated settings of a start, for `run`, `config check` and `doctor`.
pub(super) struct StartSettings {
    /// Texts that the configuration was parsed from.
    pub(super) values: Values,
    pub(super) config: Config,
    /// Settings of the telemetry export; `None` if it is off.
    pub(super) telemetry: Option<otel::Settings>,
}

/// Like [`load`], with the standard `OTEL_…` variables. `RUST_LOG` was checked when the program started.
pub(super) fn load_start(home: &NodeHome, id: &NodeId, overrides: &Values) -> Result<StartSettings, Failure> {
    let (mut layers, has_file) = layers(home, id, overrides);
    let telemetry = read_telemetry(&mut layers);
    let (values, config) = finish(home, id, layers, has_file)?;
    Ok(StartSettings { values, config, telemetry })
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

/// Like [`load_config`], with the texts that the configuration was parsed from.
pub(super) fn load(home: &NodeHome, id: &NodeId, overrides: &Values) -> Result<(Values, Config), Failure> {
    let (layers, has_file) = layers(home, id, overrides);
    finish(home, id, layers, has_file)
}

fn finish(home: &NodeHome, id: &NodeId, layers: Layers, has_file: bool) -> Result<(Values, Config), Failure> {
    if !has_file && !layers.is_complete() {
        let missing = without_file(home, id, layers.so_far());
        return Err(missing.after(layers.problems()));
    }
    Ok(layers.finish()?)
}

/// HTTP settings from the environment alone, for a node that was not selected.
pub(super) fn http_of_environment() -> Result<HttpConfig, Failure> {
    let mut layers = Layers::default();
    layers.environment(&Environment::of_process());
    Ok(HttpConfig::from_values(&layers.check_places()?)?)
}

/// Settings of the file, the environment and `overrides`, and whether the file exists.
pub(super) fn layers(home: &NodeHome, id: &NodeId, overrides: &Values) -> (Layers, bool) {
    let mut layers = Layers::default();
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
    (layers, has_file)
}

/// Error for a missing configuration file.
fn without_file(home: &NodeHome, id: &NodeId, values: &Values) -> Failure {
    let path = home.config_file();
    if let Err(failure) = upgrade::refuse_older(home, id) {
        return failure;
    }
    if let Some(failure) = KeyState::of(home, values).without_file(home, id) {
        return failure;
    }
    let advice = format!("create the node first with `nym-mixnode init {}`", naming(home, id));
    Failure::from(ConfigError::NotFound(path)).with_advice(advice)
}
