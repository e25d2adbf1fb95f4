//! The programs of docs/applications.md, as they are there, with clients in a real network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::localnet::{PATIENCE, Running, nym_mixnode};

/// Pause between two attempts.
const STEP: Duration = Duration::from_millis(200);
/// Fast mixes and one gateway; its own test packets are few.
pub(crate) const NETWORK: [&str; 9] =
    ["--nodes", "1", "--gateways", "1", "--mean-delay", "1ms", "--rate", "5", "--json"];

/// The code blocks of the page in a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let (mut blocks, mut is_wanted) = (Vec::new(), false);
    for event in Parser::new(page) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(of))) => {
                is_wanted = &*of == language;
                blocks.extend(is_wanted.then(String::new));
            }
            Event::End(TagEnd::CodeBlock) => is_wanted = false,
            Event::Text(text) if is_wanted => blocks.last_mut().unwrap().push_str(&text),
            _ => {}
        }
    }
    blocks
}

/// Writes the programs of the page, each of which has its name in its first line.
fn write_programs(dir: &Path) {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/applications.md")).unwrap();
    for program in ["python", "javascript"].iter().flat_map(|language| blocks(&page, language)) {
        let name = program.split_whitespace().nth(1).unwrap();
        assert!(matches!(name, "answer.py" | "ask.py" | "answer.mjs" | "ask.mjs"), "{program}");
        fs::write(dir.join(name), &program).unwrap();
    }
}

/// The command that runs a program of the page.
fn program(path: &Path) -> Command {
    let is_python = path.extension().is_some_and(|extension| extension == "py");
    // Debian's Python has Debian's packages, also where another one comes first in PATH.
    let mut command = Command::new(if is_python { "/usr/bin/python3" } else { "node" });
    if !is_python {
        command.arg("--experimental-websocket");
    }
    command.arg(path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    command
}

/// A command in the background, and the first line that it has printed.
async fn started(mut command: Command) -> (Child, String) {
    let mut process = command.stderr(Stdio::inherit()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
    (process, line.expect("a line before the end"))
}

/// Creates a client with short times in a network that is starting; returns its address.
pub(crate) async fn created(home: &Path, id: &str, registry: &str, flags: &[&str]) -> String {
    let own = ["--id", id, "--home", home.to_str().unwrap()];
    let rates = ["--packet-delay", "1ms", "--sending-interval", "5ms", "--cover-interval", "100ms"];
    let init = [&["client", "init", "--registry", registry], &own[..], &rates, flags].concat();
    let created = async {
        loop {
            let output = nym_mixnode(&init).output().await.unwrap();
            match output.status.code() {
                Some(0) => return String::from_utf8(output.stdout).unwrap().trim().to_owned(),
                // The monitor has not yet tested the gateway.
                Some(69) => sleep(STEP).await,
                _ => panic!("{}", String::from_utf8_lossy(&output.stderr)),
            }
        }
    };
    timeout(PATIENCE, created).await.unwrap()
}

/// A client that serves applications.
struct Client {
    address: String,
    port: String,
    _process: Child,
}

impl Client {
    async fn start(home: &Path, id: &str, registry: &str) -> Self {
        let address = created(home, id, registry, &[]).await;
        let own = ["--id", id, "--home", home.to_str().unwrap()];
        let run = nym_mixnode(&[&["client", "run", "--port", "0"], &own[..]].concat());
        let (process, line) = started(run).await;
        let port = line.rsplit(':').next().unwrap().to_owned();
        Self { address, port, _process: process }
    }
}

/// One program of the page answers, and another one asks.
async fn ask(programs: &TempDir, asking: (&Client, &str), answering: (&Client, &str)) {
    let path = |name: &str| -> PathBuf { programs.path().join(name) };
    let mut answer = program(&path(answering.1));
    answer.arg(&answering.0.port);
    let (mut answering_process, shown) = started(answer).await;
    assert_eq!(shown, answering.0.address, "{}", answering.1);
    let mut ask = program(&path(asking.1));
    ask.args([&asking.0.port, &shown, &"grüezi".to_owned()]);
    let output = timeout(PATIENCE, ask.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", asking.1);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "GRÜEZI\n", "{}", asking.1);
    answering_process.kill().await.unwrap();
}

#[tokio::test]
#[ignore = "needs Node.js and python3-websockets: `make kit`"]
async fn the_programs_of_the_page_ask_and_answer_in_both_languages() {
    let (home, programs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_programs(programs.path());
    let mut network = Running::start(&NETWORK);
    let registry = network.registry().await;
    let alice = Client::start(home.path(), "alice", &registry).await;
    let bob = Client::start(home.path(), "bob", &registry).await;
    ask(&programs, (&alice, "ask.py"), (&bob, "answer.mjs")).await;
    ask(&programs, (&alice, "ask.mjs"), (&bob, "answer.py")).await;
    ask(&programs, (&alice, "ask.py"), (&bob, "answer.py")).await;
    ask(&programs, (&alice, "ask.mjs"), (&bob, "answer.mjs")).await;
}
