//! Checks that each command of the program quoted in the documentation exists, with its flags.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// Names of the program on the pages.
const NAMES: [&str; 3] = ["nym-mixnode", "./nym-mixnode", "/nym-mixnode"];

/// Cached help of each command; `None` if the command does not exist.
#[derive(Default)]
struct Helps(HashMap<String, Option<String>>);

impl Helps {
    fn of(&mut self, command: &[&str]) -> Option<String> {
        let help = || {
            let output = Command::new(env!("CARGO_BIN_EXE_nym-mixnode")).args(command).arg("--help").output().unwrap();
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        };
        self.0.entry(command.join(" ")).or_insert_with(help).clone()
    }

    /// Checks the words after the program's name up to the end of the command; returns the error.
    fn fault(&mut self, words: &[&str]) -> Option<String> {
        let first = words.first().filter(|word| is_command(word))?;
        let Some(mut help) = self.of(&[first]) else { return Some(format!("there is no command {first:?}")) };
        let mut depth = 1;
        while help.contains("\nCommands:\n") && words.get(depth).is_some_and(|word| is_command(word)) {
            depth += 1;
            let nested = self.of(&words[..depth]);
            let Some(nested) = nested else { return Some(format!("no command {}", words[..depth].join(" "))) };
            help = nested;
        }
        let flags =
            words.iter().filter(|word| word.starts_with("--")).map(|word| word.split('=').next().unwrap_or(word));
        let mut unknown = flags.filter(|flag| !has_flag(&help, flag));
        unknown.next().map(|flag| format!("{first} has no flag {flag}"))
    }
}

fn is_command(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase())
}

fn has_flag(help: &str, flag: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
    help.match_indices(flag).any(|(at, _)| ends(&help[at + flag.len()..]))
}

/// Commands of a page: lines of its shell blocks, and its code spans.
fn commands(markdown: &str) -> Vec<String> {
    let (mut commands, mut is_shell) = (Vec::new(), false);
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => is_shell = &*language == "shell",
            Event::End(TagEnd::CodeBlock) => is_shell = false,
            Event::Text(text) if is_shell => commands.extend(text.replace("\\\n", "").lines().map(str::to_owned)),
            Event::Code(text) => commands.push(text.replace('\n', " ")),
            _ => {}
        }
    }
    commands
}

/// Checks the program's commands in a line of shell; returns the errors.
fn faults(helps: &mut Helps, line: &str) -> Vec<String> {
    let words: Vec<_> = line.split_whitespace().map(|word| word.trim_matches(['"', '\'', '`'])).collect();
    let named = words.iter().enumerate().filter(|(_, word)| NAMES.contains(word)).map(|(at, _)| &words[at + 1..]);
    let until_end = named.map(|rest| rest.split(|word| is_end(word)).next().unwrap_or_default());
    let faults = until_end.filter_map(|rest| helps.fault(rest));
    faults.collect()
}

/// Whether the word ends a shell command or redirects its output.
fn is_end(word: &str) -> bool {
    matches!(word, "|" | "&&" | "||" | "&" | ";" | "#") || word.starts_with(['>', '#']) || word.starts_with("2>")
}

#[test]
fn commands_on_the_pages_exist_with_their_flags() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md"), root.join("CONTRIBUTING.md"), root.join("helm/nym-mixnode/README.md")];
    let files = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    pages.extend(files.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    let (mut helps, mut found) = (Helps::default(), Vec::new());
    for page in pages {
        for line in commands(&fs::read_to_string(&page).unwrap()) {
            // In a loop, `;` is part of the command's last word.
            let line = line.replace(';', " ; ");
            found.extend(
                faults(&mut helps, &line).into_iter().map(|fault| format!("{}: {fault}: {line}", page.display())),
            );
        }
    }
    assert!(helps.0.len() > 12, "only these commands are on the pages: {:?}", helps.0.keys());
    assert_eq!(found, [""; 0]);
}

#[test]
fn commands_that_do_not_exist_are_found() {
    let text = "`nym-mixnode health --id mix` `nym-mixnode nonsense` `nym-mixnode keys burn` `nym-mixnode gateway keys burn`\n\n```shell\nfoo --bar | nym-mixnode \
        keys backup x --passphrase-file /dev/stdin >out --not-a-flag\nsudo ./nym-mixnode run --id mix \\\n  --workerss 4\n\
        systemctl status nym-mixnode\n```\n";
    let mut helps = Helps::default();
    let found: Vec<_> = commands(text).iter().flat_map(|line| faults(&mut helps, line)).collect();
    assert_eq!(
        found,
        [
            "there is no command \"nonsense\"",
            "no command keys burn",
            "no command gateway keys burn",
            "run has no flag --workerss"
        ]
    );
}
