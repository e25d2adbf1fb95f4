//! A flag for every setting, generated from the table of settings, and `--set`.

use std::str::FromStr;

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use nym_mixnode_config::settings::{self, About};
use nym_mixnode_config::{Source, Values, environment};

const HEADING: &str = "Every setting (each also has a variable: `nym-mixnode config reference`)";
const SET: &str = "--set";

/// Settings from these flags.
#[derive(Debug, Clone, Default)]
pub(super) struct TableFlags(Values);

/// A setting as `KEY=VALUE`.
#[derive(Debug, Clone)]
struct Assignment {
    about: &'static About,
    text: String,
}

impl TableFlags {
    pub(super) const fn values(&self) -> &Values {
        &self.0
    }
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, text) = text.split_once('=').ok_or("expected KEY=VALUE")?;
        if key == settings::NODE_ID.about.key {
            return Err("use --id to select the node".to_owned());
        }
        match settings::find(key) {
            Some(about) => Ok(Self { about, text: text.to_owned() }),
            None => Err(match settings::nearest(key) {
                Some(nearest) => format!("{key} is not a setting, did you mean {nearest}?"),
                None => format!("{key} is not a setting: `nym-mixnode config reference` lists them all"),
            }),
        }
    }
}

impl clap::Args for TableFlags {
    fn augment_args(command: Command) -> Command {
        let set = Arg::new(SET)
            .long("set")
            .value_name("KEY=VALUE")
            .value_parser(clap::value_parser!(Assignment))
            .action(ArgAction::Append)
            .help("Set any setting, such as --set mix.workers=4; can be repeated")
            .help_heading(HEADING);
        let missing: Vec<_> = settings::ALL.iter().filter(|about| !has_flag(&command, about)).collect();
        missing.into_iter().fold(command.arg(set), |command, about| command.arg(flag(about)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for TableFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut values = Values::default();
        for Assignment { about, text } in matches.get_many(SET).into_iter().flatten() {
            environment::set(&mut values, about, text, &Source::Flag(SET));
        }
        for about in settings::ALL {
            // Settings that another flag already defines are not among the matches.
            if let Ok(Some(texts)) = matches.try_get_many::<String>(about.key) {
                values.set_list(about, texts.cloned(), &Source::Flag(about.flag()));
            }
        }
        Ok(Self(values))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn has_flag(command: &Command, about: &'static About) -> bool {
    let name = about.flag().trim_start_matches("--");
    command
        .get_arguments()
        .any(|arg| arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name)))
}

fn flag(about: &'static About) -> Arg {
    let arg = Arg::new(about.key)
        .long(about.flag().trim_start_matches("--"))
        .value_name(about.kind.value_name())
        .help(about.help.replace('\n', " ").trim_end_matches('.').to_owned())
        .help_heading(HEADING)
        .hide_short_help(true);
    if about.is_list() { arg.action(ArgAction::Append).value_delimiter(',') } else { arg }
}
