//! The sources of settings in ascending precedence: defaults, file, environment, flags.

use std::path::Path;

use super::environment::Environment;
use super::error::{ConfigError, ConfigErrors};
use super::values::Values;
use super::{Config, file};

/// The settings and errors collected from the sources so far.
///
/// Later calls take precedence over earlier ones.
#[derive(Debug, Default)]
pub struct Layers {
    values: Values,
    problems: Vec<ConfigError>,
}

impl Layers {
    /// Adds the settings of a configuration file; returns whether the file exists.
    pub fn file(&mut self, path: &Path) -> bool {
        match file::read(path) {
            Ok((values, problems)) => {
                self.values.replace_with(&values);
                self.problems.extend(problems);
            }
            Err(ConfigError::NotFound(_)) => return false,
            Err(error) => self.problems.push(error),
        }
        true
    }

    /// Adds the settings of the environment.
    pub fn environment(&mut self, environment: &Environment) {
        let (values, problems) = environment.read();
        self.values.replace_with(&values);
        self.problems.extend(problems);
    }

    /// Adds settings, such as those of flags.
    pub fn values(&mut self, values: &Values) {
        self.values.replace_with(values);
    }

    /// Adds a problem.
    pub fn problem(&mut self, problem: ConfigError) {
        self.problems.push(problem);
    }

    /// The settings so far, valid or not.
    #[must_use]
    pub const fn so_far(&self) -> &Values {
        &self.values
    }

    /// Whether every setting without a default is set.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.values.unset().next().is_none()
    }

    /// Checks that the sources have no errors; does not check the values.
    ///
    /// # Errors
    /// Lists all errors of the sources.
    pub fn check_places(self) -> Result<Values, ConfigErrors> {
        if self.problems.is_empty() { Ok(self.values) } else { Err(ConfigErrors(self.problems)) }
    }

    /// All errors in the sources and values, except missing settings.
    #[must_use]
    pub fn problems(self) -> Vec<ConfigError> {
        let all = self.finish().err().map(|errors| errors.0).unwrap_or_default();
        all.into_iter().filter(|problem| !matches!(problem, ConfigError::Unset { .. })).collect()
    }

    /// Parses and checks the settings.
    ///
    /// # Errors
    /// Lists all errors in all sources.
    pub fn finish(mut self) -> Result<Config, ConfigErrors> {
        match Config::from_values(&self.values) {
            Ok(config) if self.problems.is_empty() => return Ok(config),
            Ok(_) => {}
            Err(errors) => {
                // After a syntax error in the file, missing settings cannot be determined.
                let half_read =
                    |problem: &ConfigError| matches!(problem, ConfigError::Syntax { .. } | ConfigError::Read { .. });
                let is_told = !self.problems.iter().any(half_read);
                let counts = |problem: &ConfigError| is_told || !matches!(problem, ConfigError::Unset { .. });
                self.problems.extend(errors.0.into_iter().filter(counts));
            }
        }
        Err(ConfigErrors(self.problems))
    }
}
