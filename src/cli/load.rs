//! A node's configuration out of all the places that it can come from.

use nym_mixnode_config::{
    Config, ConfigError, Environment, HttpConfig, InvalidValue, Layers, NodeHome, NodeId, Source, Values, settings as s,
};
use nym_mixnode_telemetry::otel::{self, StartError, Telemetry, VariableError};

use super::flags::naming;
use super::node_files::KeyState;
use super::{Failure, upgrade};

/// The node's configuration: its file, over that the environment, over that `overrides`.
pub(super) fn load_config(home: &NodeHome, id: &NodeId, overrides: &Values) -> Result<Config, Failure> {
    load(home, id, overrides).map(|(_, config)| config)
}

/// Everything that configures a start, checked: what `run` starts from, and `config check` and `doctor` examine.
pub(super) struct StartSettings {
    /// The texts that the configuration was made from.
    pub(super) values: Values,
    pub(super) config: Config,
    /// How telemetry is exported, if it is.
    pub(super) telemetry: Option<otel::Settings>,
}

/// As [`load`], with the standard `OTEL_…` variables. `RUST_LOG` has been checked since the program began.
pub(super) fn load_start(home: &NodeHome, id: &NodeId, overrides: &Values) -> Result<StartSettings, Failure> {
    let (mut layers, has_file) = layers(home, id, overrides);
    let telemetry = read_telemetry(&mut layers);
    let (values, config) = finish(home, id, layers, has_file)?;
    Ok(StartSettings { values, config, telemetry })
}

/// Reads the standard `OTEL_…` variables over what `layers` have set; what is wrong with them is added there.
pub(super) fn read_telemetry(layers: &mut Layers) -> Option<otel::Settings> {
    // What is wrong with the section itself is found with all other settings.
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

/// As [`load_config`], with the texts that it was made from.
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

/// Where a node that nobody has named serves HTTP, as far as the environment says it.
pub(super) fn http_of_environment() -> Result<HttpConfig, Failure> {
    let mut layers = Layers::default();
    layers.environment(&Environment::of_process());
    Ok(HttpConfig::from_values(&layers.check_places()?)?)
}

/// What the file, the environment and `overrides` have set; and whether there is a file.
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

/// Why there is no file, and what to do about it.
fn without_file(home: &NodeHome, id: &NodeId, values: &Values) -> Failure {
    let path = home.config_file();
    if let Err(failure) = upgrade::refuse_older(home, id) {
        return failure;
    }
    if let Some(failure) = KeyState::of(home, values).without_file(home, id) {
        return failure;
    }
    let advice = format!("make the node first with `nym-mixnode init {}`", naming(home, id));
    Failure::from(ConfigError::NotFound(path)).with_advice(advice)
}
