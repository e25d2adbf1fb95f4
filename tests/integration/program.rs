//! The program as a child process that is killed with the test, and its output.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::support::PATIENCE;

/// Waits on a thread that may block.
#[expect(clippy::disallowed_methods, reason = "these tests are threads and processes; no runtime is blocked")]
pub(crate) fn pause(duration: Duration) {
    thread::sleep(duration);
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_nym-mixnode");

/// Process that is killed on drop.
pub(crate) struct Process {
    child: Child,
    out: Arc<Mutex<Vec<String>>>,
    err: Arc<Mutex<Vec<String>>>,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        command.env_remove("RUST_LOG").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = lines(child.stdout.take().unwrap());
        let err = lines(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Standard error so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.err.lock().unwrap().clone()
    }

    /// Waits until a log line contains this text; events may arrive before the matching log line.
    #[track_caller]
    pub(crate) fn log_with(&self, words: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if log.iter().any(|line| line.contains(words)) {
                return log;
            }
            assert!(Instant::now() < deadline, "{words:?} is not in the log:\n{}", log.join("\n"));
            pause(Duration::from_millis(20));
        }
    }

    /// The last event of a supervised node.
    pub(crate) fn event(&self) -> serde_json::Value {
        let out = self.out.lock().unwrap();
        out.last().map_or(serde_json::Value::Null, |line| serde_json::from_str(line).unwrap())
    }

    /// Waits for an event that is `wanted`.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let event = self.event();
            if wanted(&event) {
                return event;
            }
            assert!(Instant::now() < deadline, "{what}: {event:#}\n{}", self.log().join("\n"));
            pause(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn lines(stream: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let collected = Arc::clone(&lines);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            collected.lock().unwrap().push(line);
        }
    });
    lines
}

/// The public Sphinx key of the node `mix` in this home.
pub(crate) fn sphinx_key(home: &Path) -> [u8; 32] {
    let file = home.join("mixnodes/mix/data/public_sphinx.pem");
    pem::parse(std::fs::read(file).unwrap()).unwrap().into_contents().try_into().unwrap()
}
