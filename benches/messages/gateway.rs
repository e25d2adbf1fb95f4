//! A gateway in a process of its own.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_client::endpoint::Endpoint;
use nym_mixnode_gateway::mixing::OutboundSettings;
use nym_mixnode_gateway::run::{Gateway, Settings};
use nym_mixnode_gateway::server::ServerTimes;
use nym_mixnode_gateway::store::StoreBounds;
use nym_mixnode_keys::{IdentityKeyPair, KeyGenerationError, SecretKey};
use nym_mixnode_mix::{ReplayWindow, Rule};
use nym_mixnode_sphinx::EngineChoice;
use nym_mixnode_tls::Tls;
use nym_mixnode_wire::Deadlines;

use crate::support::usage::Usage;
use crate::support::{TestNode, pin_to_core};

const CONNECTIONS_MAX: usize = 20_000;

/// A running gateway. Dropping it kills it.
pub(crate) struct GatewayProcess {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(crate) mixes: SocketAddr,
    pub(crate) clients: Endpoint,
    pub(crate) clients_with_tls: Endpoint,
    pub(crate) identity: [u8; 32],
    pub(crate) sphinx: TestNode,
    _home: tempfile::TempDir,
}

impl GatewayProcess {
    pub(crate) fn start() -> Self {
        let (home, sphinx) = (tempfile::tempdir().expect("a directory"), TestNode::random());
        let mut command = Command::new(env::current_exe().expect("this program"));
        command.arg("gateway").arg(home.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a child process");
        let (Some(mut questions), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            panic!("no pipes")
        };
        writeln!(questions, "{}", bs58::encode(sphinx.private).into_string()).expect("a pipe");
        let mut answers = BufReader::new(answers);
        let mut line = String::new();
        answers.read_line(&mut line).expect("a line");
        let words: Vec<&str> = line.split_whitespace().collect();
        let [mixes, clients, clients_with_tls, key_hash, identity] = words[..] else {
            panic!("the gateway does not start: {line}")
        };
        let identity = bs58::decode(identity).into_vec().expect("base58").try_into().expect("a key");
        let mixes = mixes.parse().expect("an address");
        let clients = Endpoint::plain(clients);
        let clients_with_tls = Endpoint::tls(clients_with_tls, key_hash.parse().expect("a hash"));
        Self { process, questions, answers, mixes, clients, clients_with_tls, identity, sphinx, _home: home }
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.process.id())
    }

    /// Messages that were pushed or stored.
    pub(crate) fn delivered(&mut self) -> usize {
        writeln!(self.questions, "delivered").expect("the gateway runs");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("a line");
        line.trim().parse().expect("a number")
    }
}

impl Drop for GatewayProcess {
    /// Its errors mean that it has ended.
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Runs a gateway whose private key is the first line of standard input. Each other line is a question.
pub(crate) fn serve(home: &str) {
    pin_to_core(0..1);
    let mut lines = std::io::stdin().lines().map(|line| line.expect("a line"));
    let key = bs58::decode(lines.next().expect("a key")).into_vec().expect("base58");
    let identity = Arc::new(IdentityKeyPair::generate().expect("a key"));
    let public = *identity.public();
    let listener = || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        listener
    };
    let (mixes, clients, clients_with_tls) = (listener(), listener(), listener());
    let acceptor = Tls::derived(&identity).expect("a certificate").acceptor();
    let address = |listener: &TcpListener| listener.local_addr().expect("an address");
    let line = format!(
        "{} ws://{} wss://{} {} {}",
        address(&mixes),
        address(&clients),
        address(&clients_with_tls),
        acceptor.key_hash().expect("a key"),
        bs58::encode(public).into_string()
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let settings = settings(Path::new(home), &key, identity);
    let gateway = runtime.block_on(async {
        let mut gateway = Gateway::start(settings, vec![mixes], vec![clients]).await.expect("a gateway");
        gateway.serve_tls(vec![clients_with_tls], &acceptor).expect("a socket");
        gateway
    });
    println!("{line}");
    for _question in lines {
        let counters = gateway.delivered();
        let failed: u64 = counters.dropped().iter().chain(&gateway.mixing().dropped()).sum();
        assert_eq!(failed, 0, "dropped packets");
        println!("{}", counters.pushed() + counters.stored());
    }
}

fn settings(home: &Path, key: &[u8], identity: Arc<IdentityKeyPair>) -> Settings {
    let sphinx = SecretKey::written_by(|secret| {
        secret.copy_from_slice(key);
        Ok::<_, KeyGenerationError>(())
    });
    let minute = Duration::from_mins(1);
    Settings {
        identity,
        sphinx: sphinx.expect("memory"),
        engine: EngineChoice::Auto.resolve().expect("an engine"),
        store: home.join("gateway.sqlite"),
        bounds: StoreBounds { messages_per_client: 1_000_000, ..StoreBounds::default() },
        replay: ReplayWindow { length: Duration::from_mins(10), expected_rate: 1000 },
        deadlines: Deadlines { frame: minute, idle: minute },
        mix_connections: (CONNECTIONS_MAX, CONNECTIONS_MAX),
        client_connections: (CONNECTIONS_MAX, CONNECTIONS_MAX),
        times: ServerTimes::default(),
        outbound: OutboundSettings::default(),
        rule: Rule::Any,
        now: || 1_800_000_000,
    }
}
