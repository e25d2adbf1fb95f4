//! A whole network of real processes, and clients whose application is this program.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nym_mixnode_message::address::ClientAddress;
use nym_mixnode_message::application::{Request, Response};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::PATIENCE;
use crate::support::usage::Usage;

/// One mix in each layer, one gateway, and few packets besides those of the clients.
pub(crate) const NETWORK: [&str; 9] =
    ["localnet", "--nodes", "1", "--rate", "10", "--mean-delay", "1ms", "--gateways", "1"];
/// Status of `client init` until the monitor has tested the gateway.
const UNAVAILABLE: i32 = 69;

pub(crate) fn nym_mixnode(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// A process that ends when this is dropped.
struct Process(Child);

impl Drop for Process {
    /// Its errors mean that it has ended.
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(crate) struct Network {
    registry: String,
    home: TempDir,
    _localnet: Process,
}

impl Network {
    pub(crate) fn start() -> Self {
        let mut localnet = nym_mixnode(&NETWORK);
        let mut localnet = localnet.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a network");
        let mut notes = BufReader::new(localnet.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let localnet = Process(localnet);
        let registry = notes.find(|line| line.contains("explorer")).expect("the address of the registry");
        let registry = registry.rsplit(' ').next().expect("an address").to_owned();
        // It would wait for a reader of its notes.
        std::thread::spawn(|| notes.for_each(drop));
        Self { registry, home: tempfile::tempdir().expect("a directory"), _localnet: localnet }
    }

    fn command(&self, id: &str, command: &[&str]) -> Command {
        let home = self.home.path().to_str().expect("a path");
        nym_mixnode(&[&["client"], command, &["--home", home, "--id", id]].concat())
    }

    /// Creates a client with these flags and runs it.
    pub(crate) async fn client(&self, id: &str, flags: &[&str]) -> Client {
        let address = self.create(id, flags).await;
        let mut process = self.command(id, &["run", "--port", "0"]);
        let process = process.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a client");
        let mut process = Process(process);
        let mut line = String::new();
        let output = process.0.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("the address of its WebSocket");
        let port = line.trim().rsplit(':').next().expect("a port");
        let connected = timeout(PATIENCE, connect_async(format!("ws://127.0.0.1:{port}"))).await;
        let (application, _) = connected.expect("in time").expect("a connection");
        let mut client = Client { address, process, application };
        // What arrives is delivered from the first request on.
        client.ask(&Request::SelfAddress).await;
        assert!(matches!(client.next().await, Response::SelfAddress(own) if own == client.address));
        client
    }

    async fn create(&self, id: &str, flags: &[&str]) -> ClientAddress {
        let init = [&["init", "--registry", &self.registry], flags].concat();
        loop {
            let Output { status, stdout, stderr } = self.command(id, &init).output().expect("a client");
            if status.success() {
                let address = String::from_utf8(stdout).expect("text");
                return address.trim().parse().expect("an address");
            }
            assert_eq!(status.code(), Some(UNAVAILABLE), "{}", String::from_utf8_lossy(&stderr));
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// A running client, and the connection of its application.
pub(crate) struct Client {
    pub(crate) address: ClientAddress,
    process: Process,
    application: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.process.0.id())
    }

    pub(crate) async fn ask(&mut self, request: &Request) {
        self.application.send(Frame::Binary(request.to_bytes().into())).await.expect("the client runs");
    }

    /// What comes next from the client.
    pub(crate) async fn next(&mut self) -> Response {
        loop {
            let frame = timeout(PATIENCE, self.application.next()).await.expect("in time");
            if let Frame::Binary(bytes) = frame.expect("the client runs").expect("a frame") {
                return Response::from_bytes(&bytes).expect("a response");
            }
        }
    }
}
