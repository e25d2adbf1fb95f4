//! Secrets of clients and of a gateway pass through real processes: none comes out in any encoding.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding};
use nym_mixnode_message::address::ClientAddress;
use nym_mixnode_message::application::{Request, Response};
use nym_mixnode_message::reply::ReplyBlock;

use super::clients::{Application, Messaging, json};
use super::collector::{Collector, Manner};
use super::localnet::nym_mixnode;
use super::process::eventually;

/// Bytes by which texts are found: fewer than in the shortest one.
const START_LEN: usize = 8;

/// What must not come out.
#[derive(Default)]
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    fn add(&mut self, name: impl Into<String>, bytes: &[u8]) {
        assert!(bytes.len() >= 16, "a short secret is found by chance");
        self.0.push((name.into(), bytes.to_vec()));
    }

    /// Random bytes.
    fn fresh(&mut self, name: &str) -> Vec<u8> {
        let bytes: [u8; 32] = rand::random();
        self.add(name, &bytes);
        bytes.to_vec()
    }

    /// The keys in a directory whose files have names that begin like this.
    fn keys_in(&mut self, dir: &Path, prefix: &str) {
        let before = self.0.len();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.starts_with(prefix) && path.extension().is_some_and(|extension| extension == "pem") {
                self.add(path.display().to_string(), pem::parse(fs::read(&path).unwrap()).unwrap().contents());
            }
        }
        assert!(self.0.len() > before, "no keys in {}", dir.display());
    }

    fn address(&mut self, name: &str, address: &str) {
        let address: ClientAddress = address.parse().unwrap();
        self.add(format!("identity of {name}"), address.identity());
        self.add(format!("encryption key of {name}"), address.encryption_key());
    }

    fn reply_block(&mut self, block: &ReplyBlock) {
        self.add("reply key", block.key().to_bytes());
        self.add("digest of the reply key", &block.key().digest());
        self.add("header of the reply block", &block.to_bytes()[16..]);
    }

    /// What to look for.
    fn search(&self) -> Search<'_> {
        let mut search = Search { texts: HashMap::new(), starts: vec![false; 1 << 16] };
        for (name, secret) in &self.0 {
            for (encoding, text) in encodings(secret) {
                let start = *text.first_chunk().unwrap();
                search.starts[usize::from(u16::from_be_bytes([start[0], start[1]]))] = true;
                search.texts.entry(start).or_default().push((name, encoding, text));
            }
        }
        search
    }
}

/// A secret's name, an encoding, and the first bytes of the secret in it.
type Text<'a> = (&'a str, &'static str, Vec<u8>);

/// All secrets in all encodings, by their first bytes: the outputs are long.
struct Search<'a> {
    texts: HashMap<[u8; START_LEN], Vec<Text<'a>>>,
    /// Whether a text begins with these two bytes.
    starts: Vec<bool>,
}

impl Search<'_> {
    #[track_caller]
    fn assert_nothing_in(&self, place: &str, output: &[u8]) {
        assert!(!output.is_empty(), "{place} has no output");
        for at in 0..output.len() {
            let Some(start) = output[at..].first_chunk::<START_LEN>() else { return };
            if !self.starts[usize::from(u16::from_be_bytes([start[0], start[1]]))] {
                continue;
            }
            for (name, encoding, text) in self.texts.get(start).into_iter().flatten() {
                assert!(!output[at..].starts_with(text), "{name} as {encoding} in {place}");
            }
        }
    }
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn contains(output: &[u8], text: &[u8]) -> bool {
    output.windows(text.len()).any(|window| window == text)
}

/// Beginnings of what a secret looks like in an output, also within longer data.
fn encodings(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let first = &secret[..16];
    let hex = hex_of(first);
    let decimal = first[..8].iter().map(u8::to_string).collect::<Vec<_>>();
    let mut all = vec![
        ("bytes", first.to_vec()),
        ("hex", hex.clone().into_bytes()),
        ("upper-case hex", hex.to_uppercase().into_bytes()),
        ("a list", decimal.join(", ").into_bytes()),
        ("a dense list", decimal.join(",").into_bytes()),
        ("escaped bytes", first[..8].escape_ascii().to_string().into_bytes()),
    ];
    // The digits of a longer number are others.
    for len in [16, 32, secret.len()] {
        if let Some(number) = secret.get(..len) {
            all.push(("base58", bs58::encode(number).into_string().into_bytes()[..16].to_vec()));
        }
    }
    for skipped in 0..3 {
        // Whole groups of three bytes from here on.
        let groups = &first[skipped..skipped + 12];
        all.push(("base64", Base64Unpadded::encode_string(groups).into_bytes()));
        all.push(("base64 of URLs", Base64UrlUnpadded::encode_string(groups).into_bytes()));
    }
    all
}

#[test]
fn the_search_finds_secrets_in_every_encoding() {
    let secret: [u8; 32] = rand::random();
    let outputs = [
        [b"x", &secret[..], b"y"].concat(),
        format!("{secret:?}").into_bytes(),
        serde_json::to_vec(&secret[..]).unwrap(),
        hex_of(&secret).to_uppercase().into_bytes(),
        bs58::encode(secret).into_string().into_bytes(),
        Base64Unpadded::encode_string(&[&b"12"[..], &secret].concat()).into_bytes(),
        Base64UrlUnpadded::encode_string(&[&b"1"[..], &secret].concat()).into_bytes(),
        format!("{}", secret.escape_ascii()).into_bytes(),
    ];
    for output in outputs {
        let found = |secret: &[u8]| {
            let mut secrets = Secrets::default();
            secrets.add("a secret", secret);
            std::panic::catch_unwind(|| secrets.search().assert_nothing_in("a text", &output)).is_err()
        };
        assert!(found(&secret), "{output:?}");
        assert!(!found(&rand::random::<[u8; 32]>()));
    }
}

/// All files below a directory but key files.
fn files_below(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            all.extend(files_below(&path));
        } else if kind.is_file() && path.extension().is_none_or(|extension| extension != "pem") {
            all.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    all
}

#[tokio::test]
async fn no_secret_of_clients_and_gateway_comes_out() {
    let mut clients = Messaging::start().await;
    let mut secrets = Secrets::default();
    let mut addresses = Vec::new();
    for id in ["alice", "bob", "carol"] {
        let address = clients.create(id).await;
        secrets.address(id, &address);
        secrets.keys_in(&clients.dir(id, "data"), "");
        addresses.push(address);
    }
    let [_, bob, carol] = &addresses[..] else { unreachable!() };
    let gateway_dir = clients.kept("gateway1").join("gateways/gateway1");
    secrets.keys_in(&gateway_dir.join("data"), "private");

    clients.kill_gateway().await;
    let mut collector = Collector::start(Manner::Works).await;
    let mut command = nym_mixnode(&[]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
    let own = ["--http-listen", "127.0.0.1:0", "--log-filter", "trace", "--telemetry-window", "10s"];
    let (mut gateway, gateway_log) = clients.gateway_by(command, &own);
    let operator = eventually("the gateway listens", async || {
        let log = fs::read_to_string(&gateway_log).unwrap();
        Some(log.split_once("Serving the status at ")?.1.split_once("/status")?.0.to_owned())
    })
    .await;

    let mut running = Vec::new();
    let mut applications = Vec::new();
    for id in ["alice", "bob"] {
        let mut command = clients.command(id, &["run", "--port", "0"]);
        command.env("RUST_LOG", "trace").stderr(File::create(clients.home().join(format!("{id}.log"))).unwrap());
        let (process, port) = clients.serve_by(command).await;
        running.push(process);
        applications.push(Application::connect(&port).await);
    }
    let [alice, bobs] = &mut applications[..] else { unreachable!() };
    let send = |to: &str, data: Vec<u8>| Request::Send { recipient: to.parse().unwrap(), with_reply_block: true, data };
    // One that waits at the gateway, one with a reply, one that cannot be sent, and no request at all.
    alice.ask(&send(carol, secrets.fresh("message for carol"))).await;
    alice.ask(&send(bob, secrets.fresh("message for bob"))).await;
    let Response::Received { reply_block: Some(block), .. } = bobs.next().await else { panic!() };
    secrets.reply_block(&block);
    bobs.ask(&Request::Reply { reply_block: block, data: secrets.fresh("reply") }).await;
    assert!(matches!(alice.next().await, Response::Received { reply_block: None, .. }));
    // A gateway that is in no topology.
    let elsewhere = format!("{}@{}", bob.split_once('@').unwrap().0, bob.split_once('.').unwrap().0);
    alice.ask(&send(&elsewhere, secrets.fresh("message for nobody"))).await;
    assert!(matches!(alice.next().await, Response::Error { .. }));
    alice.send_bytes(&[&[9][..], &secrets.fresh("what is no request")].concat()).await;
    assert!(matches!(alice.next().await, Response::Error { .. }));

    let name = hex_of(&secrets.fresh("name of a file"));
    let (file, content) = (clients.home().join(&name), secrets.fresh("content of a file"));
    fs::write(&file, content).unwrap();
    json(&clients.run("alice", &["send", "--json", "--to", bob, file.to_str().unwrap()]).await);
    json(&clients.receive("bob", &[]).await);

    let search = secrets.search();
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    for path in ["/status", "/livez", "/readyz", "/metrics", "/"] {
        let answer = http.get(format!("{operator}{path}")).send().await.unwrap().bytes().await.unwrap();
        search.assert_nothing_in(path, &answer);
    }
    let home = clients.kept("gateway1");
    let doctor = ["gateway", "doctor", "--id", "gateway1", "--home", home.to_str().unwrap()];
    let doctor = nym_mixnode(&doctor).output().await.unwrap();
    search.assert_nothing_in("the doctor's report", &[doctor.stdout, doctor.stderr].concat());
    super::process::signal(&gateway, rustix::process::Signal::TERM);
    assert!(gateway.wait().await.unwrap().success());
    let mut exported = Vec::new();
    while let Ok(request) = collector.requests.try_recv() {
        exported.extend([request.head.as_bytes(), &request.body].concat());
    }
    assert!(contains(&exported, b"directory.register"));
    search.assert_nothing_in("a request to the collector", &exported);

    // Logs, and everything that the nodes and the registry have on disk.
    for process in &mut running {
        process.kill().await.unwrap();
    }
    for id in ["alice", "bob"] {
        let log = fs::read(clients.home().join(format!("{id}.log"))).unwrap();
        assert!(contains(&log, b"Connected to the gateway"), "{}", String::from_utf8_lossy(&log));
        search.assert_nothing_in("the log of a client", &log);
        search.assert_nothing_in("the configuration", &fs::read(clients.dir(id, "config/config.toml")).unwrap());
    }
    let log = fs::read(gateway_log).unwrap();
    assert!(contains(&log, b"draining"), "{}", String::from_utf8_lossy(&log));
    search.assert_nothing_in("the log of the gateway", &log);
    let files = files_below(&clients.home().join("network"));
    assert!(files.iter().any(|(path, _)| path.ends_with("gateway.sqlite")), "the inboxes are searched");
    for (path, content) in files.iter().filter(|(_, content)| !content.is_empty()) {
        search.assert_nothing_in(path, content);
    }
}
