//! `config`: checks, shows and documents a node's configuration.

use std::io;

use clap::Subcommand;
use comfy_table::{Table, presets};
use nym_mixnode_config::address::Host;
use nym_mixnode_config::settings::{self, About, WhenUnset};
use nym_mixnode_config::{NodeHome, Values, reference, schema};
use serde_json::{Map, Value, json};

use super::Failure;
use super::flags::{NodeFlags, SettingFlags};
use super::load::Sources;
use super::output::print_to;

/// Check, show or document the configuration
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a node's configuration and list all errors
    Check(Node),
    /// Show a node's effective settings and the source of each
    Show(Show),
    /// Print the reference of all settings, in Markdown
    Reference,
    /// Print the JSON Schema of the configuration file, for editors
    Schema,
}

/// Flags that select and configure the node, as in `run`.
#[derive(Debug, clap::Args)]
struct Node {
    #[command(flatten)]
    which: NodeFlags,
    /// IP address of this machine to accept packets on, and port if it differs from --port
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', help_heading = "Addresses")]
    host: Vec<Host>,
    #[command(flatten)]
    settings: SettingFlags,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    node: Node,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Check(node) => {
            // As `run` would.
            let values = node.sources(&node.which.home()?).start()?.config.values;
            let (set, all) = (values.count(), settings::ALL.len());
            print_to(
                io::stdout(),
                format_args!("ok: {all} settings, {set} of them set and {} at their default", all - set),
            )
        }
        Command::Show(show) => {
            let values = show.node.sources(&show.node.which.home()?).config()?.values;
            if show.json { print_to(io::stdout(), as_json(&values)) } else { print_to(io::stdout(), as_table(&values)) }
        }
        // Both texts already end in a line break.
        Command::Reference => print_to(io::stdout(), reference::markdown().trim_end()),
        Command::Schema => print_to(io::stdout(), schema::json().trim_end()),
    }
}

impl Node {
    fn sources<'a>(&'a self, home: &'a NodeHome) -> Sources<'a> {
        let mut flags = self.which.values();
        flags.replace_with(&self.settings.values(&self.host));
        Sources::read(home, &self.which.id, &flags)
    }
}

/// Effective value of one setting.
struct Effective {
    texts: Vec<String>,
    sources: Vec<String>,
}

impl Effective {
    fn of(about: &'static About, values: &Values) -> Self {
        let set = values.of(about);
        if !set.is_empty() {
            let mut sources: Vec<_> = set.iter().map(|value| value.source.to_string()).collect();
            sources.dedup();
            return Self { texts: set.iter().map(|value| value.shown(about.kind)).collect(), sources };
        }
        match about.when_unset {
            WhenUnset::Value(text) => Self { texts: vec![text.to_owned()], sources: vec!["default".to_owned()] },
            WhenUnset::Follows(what) => Self { texts: Vec::new(), sources: vec![format!("default: {what}")] },
            WhenUnset::Required => Self { texts: Vec::new(), sources: Vec::new() },
        }
    }
}

fn as_table(values: &Values) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(["SETTING", "VALUE", "SOURCE"]);
    for about in settings::ALL {
        let Effective { texts, sources } = Effective::of(about, values);
        table.add_row([about.key.to_owned(), texts.join(", "), sources.join(", ")]);
    }
    table
}

fn as_json(values: &Values) -> String {
    let mut all = Map::new();
    for about in settings::ALL {
        let Effective { texts, sources } = Effective::of(about, values);
        let value =
            if about.is_list() { json!(texts) } else { texts.into_iter().next_back().map_or(Value::Null, Value::from) };
        all.insert(about.key.to_owned(), json!({ "value": value, "source": sources.join(", ") }));
    }
    format!("{:#}", Value::from(all))
}
