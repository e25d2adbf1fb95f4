//! The places that a setting can come from, one over the other: default, file, environment, flags.

use std::path::Path;

use super::environment::Environment;
use super::error::{ConfigError, ConfigErrors};
use super::values::Values;
use super::{Config, file};

/// What the places have set so far, and what was wrong in them.
///
/// A later call wins over an earlier one.
#[derive(Debug, Default)]
pub struct Layers {
    values: Values,
    problems: Vec<ConfigError>,
}

impl Layers {
    /// Adds the settings of a configuration file; tells whether there is one.
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

    /// What is set so far, allowed or not.
    #[must_use]
    pub const fn so_far(&self) -> &Values {
        &self.values
    }

    /// Whether every setting that has no default is set.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.values.unset().next().is_none()
    }

    /// Whether nothing was wrong with the places themselves; the values are not looked at.
    ///
    /// # Errors
    /// With everything that was.
    pub fn check_places(self) -> Result<Values, ConfigErrors> {
        if self.problems.is_empty() { Ok(self.values) } else { Err(ConfigErrors(self.problems)) }
    }

    /// Everything that is wrong in any place, but for what is not set at all.
    #[must_use]
    pub fn problems(self) -> Vec<ConfigError> {
        let all = self.finish().err().map(|errors| errors.0).unwrap_or_default();
        all.into_iter().filter(|problem| !matches!(problem, ConfigError::Unset { .. })).collect()
    }

    /// Parses and checks the settings.
    ///
    /// # Errors
    /// With everything that is wrong in any place.
    pub fn finish(mut self) -> Result<(Values, Config), ConfigErrors> {
        match Config::from_values(&self.values) {
            Ok(config) if self.problems.is_empty() => return Ok((self.values, config)),
            Ok(_) => {}
            Err(errors) => {
                // In a file that cannot be read to its end, nobody knows what is missing.
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
