//! The programs of docs/applications.md, as they are there, with clients in a real network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nym_mixnode_message::application::{Request, Response};
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::clients::{Application, Messaging};
use super::localnet::PATIENCE;
use super::process::eventually;

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

/// A client that serves applications.
struct Client {
    address: String,
    port: String,
    _process: Child,
}

impl Client {
    async fn start(clients: &Messaging, id: &str) -> Self {
        let address = clients.create(id).await;
        let (process, port) = clients.serve(id).await;
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
    let programs = tempfile::tempdir().unwrap();
    write_programs(programs.path());
    let clients = Messaging::start().await;
    let alice = Client::start(&clients, "alice").await;
    let bob = Client::start(&clients, "bob").await;
    ask(&programs, (&alice, "ask.py"), (&bob, "answer.mjs")).await;
    ask(&programs, (&alice, "ask.mjs"), (&bob, "answer.py")).await;
    ask(&programs, (&alice, "ask.py"), (&bob, "answer.py")).await;
    ask(&programs, (&alice, "ask.mjs"), (&bob, "answer.mjs")).await;
}

#[tokio::test]
async fn a_message_that_waits_for_an_application_survives_a_kill_of_its_client() {
    let mut clients = Messaging::start().await;
    clients.create("alice").await;
    let bob = clients.create("bob").await;
    let (mut process, _) = clients.serve("bob").await;
    let (mut alice, port) = clients.serve("alice").await;
    let data = b"for an application that is not there".to_vec();
    let request = Request::Send { recipient: bob.parse().unwrap(), with_reply_block: false, data: data.clone() };
    Application::connect(&port).await.ask(&request).await;
    let messages = clients.dir("bob", "received/messages");
    let waiting = || fs::read_dir(&messages).map_or(0, Iterator::count);
    eventually("the message arrives", async || (waiting() > 0).then_some(())).await;
    // Nobody can send it again: not alice, and not the gateway, which has it in no inbox.
    alice.kill().await.unwrap();
    clients.kill_gateway().await;
    process.kill().await.unwrap();

    let (_process, port) = clients.serve("bob").await;
    let mut application = Application::connect(&port).await;
    let Response::Received { data: received, .. } = application.next().await else { panic!() };
    assert_eq!(received, data);
    eventually("it leaves the disk", async || (waiting() == 0).then_some(())).await;
}
