//! A network of real processes with a gateway, and clients that use it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nym_mixnode_message::application::{Request, Response};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::localnet::{PATIENCE, Running, nym_mixnode};

/// Pause between two attempts.
const STEP: Duration = Duration::from_millis(200);
/// Fast mixes and one gateway; its own test packets are few.
const NETWORK: [&str; 7] = ["--gateways", "1", "--mean-delay", "1ms", "--rate", "5", "--json"];

/// The network, and a directory of clients. Dropping it ends the network.
pub(crate) struct Messaging {
    pub(crate) network: Running,
    pub(crate) registry: String,
    home: TempDir,
}

impl Messaging {
    /// With one mix in each layer.
    pub(crate) async fn start() -> Self {
        Self::with_mixes("1").await
    }

    /// With so many mixes in each layer. It goes on when a node dies, and [`kept`](Self::kept) has its files.
    pub(crate) async fn with_mixes(nodes: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let kept = home.path().join("network");
        let own = ["--nodes", nodes, "--keep-going", "--keep", kept.to_str().unwrap()];
        let mut network = Running::start(&[&NETWORK[..], &own].concat());
        let registry = network.registry().await;
        Self { network, registry, home }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The directory of a node of the network.
    pub(crate) fn kept(&self, id: &str) -> PathBuf {
        self.home().join("network").join(id)
    }

    /// A directory of a client.
    pub(crate) fn dir(&self, id: &str, below: &str) -> PathBuf {
        self.home().join("clients").join(id).join(below)
    }

    /// Creates a client with short times once the monitor has tested the gateway; returns its address.
    pub(crate) async fn create(&self, id: &str) -> String {
        self.create_with(id, "5ms", &[]).await
    }

    /// The same with this interval between its packets.
    pub(crate) async fn create_sending(&self, id: &str, interval: &str) -> String {
        self.create_with(id, interval, &[]).await
    }

    /// The same with these flags as well.
    pub(crate) async fn create_with(&self, id: &str, interval: &str, flags: &[&str]) -> String {
        let rates = ["--packet-delay", "1ms", "--sending-interval", interval, "--cover-interval", "100ms"];
        let init = [&["init", "--registry", self.registry.as_str()][..], &rates, flags].concat();
        let created = async {
            loop {
                let output = self.command(id, &init).output().await.unwrap();
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

    pub(crate) fn command(&self, id: &str, command: &[&str]) -> Command {
        let own = ["--id", id, "--home", self.home().to_str().unwrap()];
        nym_mixnode(&[&["client"], command, &own].concat())
    }

    pub(crate) async fn run(&self, id: &str, command: &[&str]) -> Output {
        timeout(PATIENCE, self.command(id, command).output()).await.unwrap().unwrap()
    }

    /// `client run` and the port of its WebSocket.
    pub(crate) async fn serve(&self, id: &str) -> (Child, String) {
        self.serve_by(self.command(id, &["run", "--port", "0"])).await
    }

    /// The same with this command.
    pub(crate) async fn serve_by(&self, mut command: Command) -> (Child, String) {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().expect("a line before the end");
        (child, line.rsplit(':').next().unwrap().to_owned())
    }

    /// Writes the file that is sent, with random bytes, and returns these.
    pub(crate) fn random_file(&self, len: usize) -> Vec<u8> {
        let mut content = vec![0; len];
        rand::fill(&mut content[..]);
        fs::write(self.file(), &content).unwrap();
        content
    }

    fn file(&self) -> PathBuf {
        self.home().join("file")
    }

    /// The command that sends the file with these flags.
    pub(crate) fn sending(&self, id: &str, to: &str, flags: &[&str]) -> Command {
        self.command(id, &[&["send", "--json", "--to", to], flags, &[self.file().to_str().unwrap()]].concat())
    }

    pub(crate) async fn send(&self, id: &str, to: &str, flags: &[&str]) -> Output {
        timeout(PATIENCE, self.sending(id, to, flags).output()).await.unwrap().unwrap()
    }

    /// Sends the file, and waits so long for the receipt.
    pub(crate) async fn send_confirmed(&self, id: &str, to: &str, limit: &str) -> Output {
        self.send(id, to, &["--confirm", "--timeout", limit]).await
    }

    pub(crate) fn receiving(&self, id: &str, flags: &[&str]) -> Command {
        let out = self.home().join(id);
        let command = ["receive", "--count", "1", "--json", "--timeout", "10m", "--out", out.to_str().unwrap()];
        self.command(id, &[&command, flags].concat())
    }

    pub(crate) async fn receive(&self, id: &str, flags: &[&str]) -> Output {
        timeout(PATIENCE, self.receiving(id, flags).output()).await.unwrap().unwrap()
    }

    /// Kills the network's gateway, as by a power cut.
    pub(crate) async fn kill_gateway(&mut self) {
        // Before, the death of a node would be the end.
        self.network.note("active after").await;
        self.network.kill_node("gateway1");
        self.network.note("last log lines").await;
    }

    /// Runs the network's gateway again after it was killed, with these flags. Also returns where its log is.
    pub(crate) fn gateway_again(&self, flags: &[&str]) -> (Child, PathBuf) {
        self.gateway_by(nym_mixnode(&[]), flags)
    }

    /// The same by a command that runs the program.
    pub(crate) fn gateway_by(&self, mut command: Command, flags: &[&str]) -> (Child, PathBuf) {
        let (dir, log) = (self.kept("gateway1"), self.home().join("gateway.log"));
        command.args(["gateway", "run", "--home", dir.to_str().unwrap(), "--id", "gateway1"]);
        command.args(["--shutdown-linger", "0s", "--topology-refresh", "1s"]).args(flags);
        if !flags.contains(&"--http-listen") {
            command.args(["--http-listen", "off"]);
        }
        let file = File::create(&log).unwrap();
        (command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap(), log)
    }
}

/// The JSON that a command has printed.
pub(crate) fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The content of the file that `client receive --json` has printed.
pub(crate) fn received(output: &Output) -> Vec<u8> {
    fs::read(json(output)["path"].as_str().unwrap()).unwrap()
}

/// An application of a client, which speaks the binary form.
pub(crate) struct Application(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Application {
    /// Connects to the client that serves at this port.
    pub(crate) async fn connect(port: &str) -> Self {
        let connected = timeout(PATIENCE, connect_async(format!("ws://127.0.0.1:{port}"))).await;
        Self(connected.unwrap().unwrap().0)
    }

    pub(crate) async fn ask(&mut self, request: &Request) {
        self.send_bytes(&request.to_bytes()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.0.send(Frame::Binary(bytes.to_vec().into())).await.unwrap();
    }

    /// What comes next from the client.
    pub(crate) async fn next(&mut self) -> Response {
        loop {
            let frame = timeout(PATIENCE, self.0.next()).await.unwrap().unwrap().unwrap();
            if let Frame::Binary(bytes) = frame {
                return Response::from_bytes(&bytes).unwrap();
            }
        }
    }
}
