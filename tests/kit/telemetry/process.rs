//! Servers of a test, and HTTP requests to them.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::http::get;
use crate::waiting::{PATIENCE, eventually, eventually_or};

/// A process that ends with its handle or with the process of the test.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with its output in `folder/name.log`.
    pub(crate) fn start(name: &str, program: &Path, folder: &Path, prepare: impl FnOnce(&mut Command)) -> Self {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).current_dir(folder);
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        // Variables of telemetry and of nodes in the environment of the test must not apply.
        for (variable, _) in std::env::vars_os() {
            let text = variable.to_string_lossy();
            if ["NYM_", "OTEL_", "COLLECTOR_", "RUST_LOG"].iter().any(|own| text.starts_with(own)) {
                command.env_remove(&variable);
            }
        }
        prepare(&mut command);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { child, log }
    }

    /// Its output so far.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    /// Kills it, like a crash.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Sends SIGTERM and waits for its end.
    pub(crate) fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        eventually("the process ends", || self.child.try_wait().unwrap());
    }

    /// Waits for a response from `url`.
    pub(crate) fn wait_for(&mut self, url: &str) {
        let log = self.log.clone();
        let answers = || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{url}: {ended:?}\n{}", read(&log));
            get(url).map(drop)
        };
        eventually_or(&format!("{url} answers"), answers, || read(&log));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn read(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}

/// A port that was free on the IPv4 and IPv6 loopback addresses.
pub(crate) fn free_port() -> u16 {
    loop {
        let v4 = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = v4.local_addr().unwrap().port();
        if TcpListener::bind(("::1", port)).is_ok() {
            return port;
        }
    }
}

/// A receiver of alerts: accepts every POST and keeps its body.
pub(crate) struct Receiver {
    pub(crate) url: String,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bodies);
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if let Some(body) = take_request(connection) {
                    kept.lock().unwrap().push(body);
                }
            }
        });
        Self { url, bodies }
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        self.bodies.lock().unwrap().clone()
    }
}

/// Reads one request with a `Content-Length` and responds with 200.
fn take_request(mut connection: TcpStream) -> Option<String> {
    connection.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            })?;
            if body.len() >= length {
                connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok()?;
                return Some(body.to_owned());
            }
        }
        match connection.read(&mut buffer) {
            Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}
