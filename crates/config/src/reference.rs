//! The reference of all settings, for people: `docs/configuration.md`.

use super::environment;
use super::settings::{self, About, WhenUnset};

/// The reference in Markdown.
pub fn markdown() -> String {
    let section = |name: &&'static str| {
        let rows: Vec<_> = settings::in_section(name).map(row).collect();
        format!("\n## {name}\n\n{COLUMNS}{}", rows.concat())
    };
    let sections: Vec<_> = settings::sections().iter().map(section).collect();
    head() + &sections.concat()
}

const COLUMNS: &str = "\
| key | variable | flag | type | unit | default | meaning |\n\
|---|---|---|---|---|---|---|\n";

fn head() -> String {
    format!(
        "\
<!-- Made by `nym-mixnode config reference`; `make docs` makes it anew. -->

# Configuration

Each setting can be given by a flag, by a variable of the environment, or in the node's `config/config.yaml`. The first
of these that has it wins; otherwise the default holds. In a variable, and in a flag, the items of a list stand with
commas between them.

- `--set KEY=VALUE` sets any of them too, and can be repeated.
- A variable with `_FILE` at its end names a file that holds the value, such as a mounted secret. Only there may a URL
  have a user and a password.
- An empty variable counts as not set. A key or a variable that is not known is an error. Not meant by this are
  `NYM_MIXNODE_IMAGE` (of `docker-compose.yml`) and what Kubernetes sets for a Service called `nym-mixnode` or
  `nym-mixnode-…`, such as `NYM_MIXNODE_ANNOUNCE_PORT=tcp://10.0.0.7:1789`.
- `nym-mixnode config show` says what holds, and where it comes from; `nym-mixnode config check` names everything that
  is wrong. `configuration.schema.json` is the schema of the file, for editors.

These variables are no settings:

| variable | flag | meaning |
|---|---|---|
| `{}` | `--id` | which node |
| `{}` | `--home` | directory of all nodes' files, instead of `~/.nym` |
| `{}` | `--init-if-missing` | `true` or `false`: whether `run` makes a node that is missing |
",
        environment::ID,
        environment::HOME,
        environment::INIT_IF_MISSING,
    )
}

fn row(about: &'static About) -> String {
    let list = if about.is_list() { "list of " } else { "" };
    let default = match about.when_unset {
        WhenUnset::Value("") => "empty".to_owned(),
        WhenUnset::Value(text) => format!("`{text}`"),
        WhenUnset::Follows(what) => what.to_owned(),
        WhenUnset::Required => "none, it has to be set".to_owned(),
    };
    let meaning = format!("{} Allowed: {}.", about.help.replace('\n', " "), about.allowed);
    let cells = [
        format!("`{}`", about.key),
        format!("`{}`", about.variable()),
        format!("`{}`", about.flag()),
        format!("{list}{}", about.kind.name()),
        about.kind.units().to_owned(),
        default,
        meaning,
    ];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_docs_is_up_to_date() {
        let written = include_str!("../../../docs/configuration.md");
        assert!(written == markdown(), "docs/configuration.md is out of date: `make docs` makes it anew");
    }

    #[test]
    fn every_setting_has_a_row() {
        let text = markdown();
        for about in settings::ALL {
            assert!(text.contains(&format!("| `{}` | `{}` | `{}` |", about.key, about.variable(), about.flag())));
        }
    }
}
