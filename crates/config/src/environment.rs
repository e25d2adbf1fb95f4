//! The `NYM_MIXNODE_…` environment variables: one for each setting, and a few others.
//!
//! An empty variable counts as unset, because a compose file cannot omit one.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use nym_mixnode_base::file;

use super::error::ConfigError;
use super::home::NodeId;
use super::service_link;
use super::settings::{self, About, VARIABLE_PREFIX};
use super::values::{Source, Values};

/// The node's id, as `--id`.
pub const ID: &str = "NYM_MIXNODE_ID";
/// The directory of all nodes' files, as `--home`.
pub const HOME: &str = "NYM_MIXNODE_HOME";
/// Whether `run` creates a missing node, as `--init-if-missing`.
pub(super) const INIT_IF_MISSING: &str = "NYM_MIXNODE_INIT_IF_MISSING";
/// The file with the passphrase of `keys backup` and `keys restore`.
pub const KEYS_PASSPHRASE_FILE: &str = "NYM_MIXNODE_KEYS_PASSPHRASE_FILE";

/// Variables that do not belong to a setting.
pub(super) const SWITCHES: [&str; 4] = [ID, HOME, INIT_IF_MISSING, KEYS_PASSPHRASE_FILE];

/// Variables of the deployment files, ignored here: the image in `docker-compose.yml`.
const OF_THE_KIT: [&str; 1] = ["NYM_MIXNODE_IMAGE"];

const FILE_SUFFIX: &str = "_FILE";
/// Size limit of a file named by a variable, in bytes; every valid value is far shorter.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// The variables with this program's prefix.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Environment {
    /// Reads the variables of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(env::vars_os())
    }

    fn new(variables: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let own = variables.filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(VARIABLE_PREFIX))?;
            (!value.is_empty()).then_some((name, value))
        });
        Self(own.collect())
    }

    /// Parses a variable that does not belong to a setting.
    ///
    /// # Errors
    /// If its text is not valid Unicode or not a valid `T`.
    pub fn parse<T: FromStr<Err: std::fmt::Display>>(&self, variable: &str) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.0.get(variable) else { return Ok(None) };
        let text = text_of(variable, value)?;
        let problem = |error| ConfigError::Variable { variable: variable.to_owned(), problem: format!("{error}") };
        text.parse().map(Some).map_err(problem)
    }

    /// A variable that is `true` or `false`.
    ///
    /// # Errors
    /// If it is neither.
    pub fn switch(&self, variable: &str) -> Result<Option<bool>, ConfigError> {
        let Some(value) = self.0.get(variable) else { return Ok(None) };
        let text = text_of(variable, value)?;
        text.parse().map(Some).map_err(|_| ConfigError::Variable {
            variable: variable.to_owned(),
            problem: format!("{text:?} is not true or false"),
        })
    }

    /// Whether `run` creates a missing node.
    ///
    /// # Errors
    /// If the variable is neither `true` nor `false`.
    pub fn init_if_missing(&self) -> Result<bool, ConfigError> {
        Ok(self.switch(INIT_IF_MISSING)?.unwrap_or(false))
    }

    /// A variable that contains a directory.
    #[must_use]
    pub fn path(&self, variable: &str) -> Option<PathBuf> {
        self.0.get(variable).map(PathBuf::from)
    }

    /// The settings, and the errors in the variables.
    pub(super) fn read(&self) -> (Values, Vec<ConfigError>) {
        let (mut values, mut problems) = (Values::default(), Vec::new());
        problems.extend(self.parse::<NodeId>(ID).err());
        problems.extend(self.init_if_missing().err());
        for (name, value) in &self.0 {
            if SWITCHES.contains(&name.as_str()) || OF_THE_KIT.contains(&name.as_str()) {
                continue;
            }
            if let Err(problem) = self.read_setting(name, value, &mut values) {
                problems.push(problem);
            }
        }
        (values, problems)
    }

    fn read_setting(&self, name: &str, value: &OsString, values: &mut Values) -> Result<(), ConfigError> {
        if value.to_str().is_some_and(|value| service_link::is(name, value)) {
            return Ok(());
        }
        if let Some(about) = by_variable(name) {
            set(values, about, text_of(name, value)?, &Source::Variable(about.variable()));
            return Ok(());
        }
        let Some(about) = name.strip_suffix(FILE_SUFFIX).and_then(by_variable) else {
            return Err(ConfigError::unknown_variable(name));
        };
        if self.0.contains_key(about.variable()) {
            let problem = format!("{} is also set: unset one of the two", about.variable());
            return Err(ConfigError::Variable { variable: name.to_owned(), problem });
        }
        let path: Arc<Path> = Path::new(value).into();
        let text = file::read_text(&path, FILE_BYTES_MAX).map_err(|error| ConfigError::Variable {
            variable: name.to_owned(),
            problem: format!("{} cannot be read: {error}{}", path.display(), file::remedy(&error)),
        })?;
        let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        set(values, about, text, &Source::VariableFile { variable: about.variable(), path });
        Ok(())
    }
}

/// Sets a setting from the single text of a variable or of a flag such as `--set`.
pub fn set(values: &mut Values, about: &'static About, text: &str, source: &Source) {
    if about.is_list() {
        values.set_list(about, text.split(',').map(str::trim), source);
    } else {
        values.set(about, text, source);
    }
}

/// The setting of a variable. The node's id is excluded: it is needed before any settings are read.
fn by_variable(name: &str) -> Option<&'static About> {
    settings::ALL.iter().copied().find(|about| about.variable() == name && name != ID)
}

fn text_of<'a>(variable: &str, value: &'a OsString) -> Result<&'a str, ConfigError> {
    value.to_str().ok_or_else(|| ConfigError::Variable {
        variable: variable.to_owned(),
        problem: format!("{} is not valid UTF-8", value.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::ffi::OsStringExt;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::new(variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
    }

    fn problems(variables: &[(&str, &str)]) -> Vec<String> {
        environment(variables).read().1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_setting_has_a_variable_and_lists_have_commas() {
        for about in settings::ALL.iter().filter(|about| about.variable() != ID) {
            let (values, problems) = environment(&[(about.variable(), "a, b")]).read();
            let texts: Vec<_> = values.of(about).iter().map(|value| value.text.as_str()).collect();
            assert_eq!(texts, if about.is_list() { vec!["a", "b"] } else { vec!["a, b"] });
            assert!(problems.is_empty());
        }
        assert_eq!(environment(&[("NYM_MIXNODE_MIX_WORKERS", ""), ("PATH", "/")]).read().0, Values::default());
    }

    #[test]
    fn a_variable_that_is_not_known_is_refused_with_the_nearest_one() {
        let unknown = problems(&[("NYM_MIXNODE_MIX_WORKER", "1"), ("NYM_MIXNODE_HOEM", "/"), ("NYM_MIXNODE_ID", "a")]);
        let [home, workers] = &unknown[..] else { panic!("{unknown:?}") };
        assert!(home.starts_with("NYM_MIXNODE_HOEM ") && home.contains(" NYM_MIXNODE_HOME?"), "{home}");
        assert!(workers.starts_with("NYM_MIXNODE_MIX_WORKER "), "{workers}");
        assert!(workers.contains(" NYM_MIXNODE_MIX_WORKERS?"), "{workers}");
        for (flag, variable) in [
            ("HOST", "LISTEN_ADDRESSES"),
            ("ANNOUNCE_HOST", "ANNOUNCE_ADDRESSES"),
            ("VALIDATOR", "DIRECTORY_URL"),
            ("LAYER", "NODE_LAYER"),
            ("LISTN", "LISTEN_ADDRESSES"),
        ] {
            let [problem] = &problems(&[(&format!("NYM_MIXNODE_{flag}"), "1")])[..] else { panic!("{flag}") };
            assert!(problem.ends_with(&format!("did you mean NYM_MIXNODE_{variable}?")), "{problem}");
        }
        let strange = problems(&[("NYM_MIXNODE_COLOUR", "red")]);
        assert!(
            strange[0].starts_with("NYM_MIXNODE_COLOUR ") && strange[0].contains("config reference"),
            "{strange:?}"
        );
    }

    #[test]
    fn variables_of_kubernetes_and_of_the_kit_are_no_settings() {
        let foreign = [
            ("NYM_MIXNODE_IMAGE", "registry.example/nym-mixnode:1"),
            ("NYM_MIXNODE_PORT", "tcp://10.0.0.7:1789"),
            ("NYM_MIXNODE_ANNOUNCE_PORT", "tcp://10.0.0.7:1789"),
            ("NYM_MIXNODE_ANNOUNCE_SERVICE_HOST", "10.0.0.7"),
            ("NYM_MIXNODE_ANNOUNCE_PORT_1789_TCP_ADDR", "10.0.0.7"),
        ];
        assert_eq!(problems(&foreign), [""; 0]);
        assert_eq!(environment(&foreign).read().0, Values::default());
        for own in ["NYM_MIXNODE_PORT", "NYM_MIXNODE_IMAGES", "NYM_MIXNODE_ANNOUNCE_PORT_1789"] {
            assert_eq!(problems(&[(own, "1789")]).len(), 1, "{own}");
        }
        let (values, _) = environment(&[("NYM_MIXNODE_ANNOUNCE_PORT", "1789")]).read();
        assert_eq!(values.of(&settings::ANNOUNCE_PORT.about)[0].text, "1789");
    }

    #[test]
    fn variables_that_are_no_settings_are_checked_with_them() {
        for bad in ["1", "yes", "True", " true"] {
            let [problem] = &problems(&[(INIT_IF_MISSING, bad)])[..] else { panic!("{bad}") };
            assert!(problem.starts_with(&format!("NYM_MIXNODE_INIT_IF_MISSING: {bad:?} ")), "{problem}");
        }
        assert_eq!(problems(&[(INIT_IF_MISSING, "false"), (ID, "mix")]), [""; 0]);
        assert!(problems(&[(ID, "a/b")])[0].starts_with("NYM_MIXNODE_ID: "));
    }

    #[test]
    fn a_file_can_hold_the_value() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("url");
        let name = path.to_str().unwrap();
        let variable = "NYM_MIXNODE_DIRECTORY_URL_FILE";
        for (text, expected) in [("http://a", "http://a"), ("http://a\n", "http://a"), ("a\r\n", "a"), ("a\n\n", "a\n")]
        {
            fs::write(&path, text).unwrap();
            let (values, problems) = environment(&[(variable, name)]).read();
            assert!(problems.is_empty());
            let [value] = values.of(&settings::DIRECTORY_URL.about) else { panic!("{values:?}") };
            assert_eq!(value.text, expected);
            assert_eq!(value.source.to_string(), format!("{variable} ({name})"));
        }
        let both = problems(&[(variable, name), ("NYM_MIXNODE_DIRECTORY_URL", "http://b")]);
        let [both] = &both[..] else { panic!("{both:?}") };
        assert!(both.starts_with(&format!("{variable}: NYM_MIXNODE_DIRECTORY_URL ")), "{both}");
        fs::write(&path, vec![b'a'; 70_000]).unwrap();
        assert!(problems(&[(variable, name)])[0].contains("64 KiB"));
        assert!(problems(&[(variable, "/nowhere")])[0].contains("/nowhere "));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let broken = [("NYM_MIXNODE_MIX_WORKERS".into(), OsString::from_vec(vec![0xff]))];
        let (_, problems) = Environment::new(broken.into_iter()).read();
        assert!(problems[0].to_string().contains("is not valid UTF-8"));
    }
}
