//! Status of a running node over HTTP, through the command `health`, and to systemd.

use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::time::Duration;

use nym_mixnode_sphinx::EngineChoice;
use rustix::process::Signal;
use serde_json::Value;
use url::Url;

use super::process::{NodeFiles, NodeProcess, RegistryProcess, eventually, own_address, program, signal};
use super::support::{ACK, NOWHERE, PATIENCE, Sink, closed_port, hop, packet_via, send};

struct Reply {
    code: u16,
    body: String,
}

async fn get(address: SocketAddr, path: &str) -> Option<Reply> {
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let reply = client.get(format!("http://{address}{path}")).send().await.ok()?;
    Some(Reply { code: reply.status().as_u16(), body: reply.text().await.ok()? })
}

async fn status(address: SocketAddr) -> Value {
    serde_json::from_str(&get(address, "/status").await.unwrap().body).unwrap()
}

/// Exit code and output line of `health`.
async fn health(flags: &[&str], listen: Option<&str>) -> (Option<i32>, String) {
    let mut command = program(&[&["health"], flags].concat());
    command.envs(listen.map(|listen| ("NYM_MIXNODE_HTTP_LISTEN", listen)));
    let output = command.output().await.unwrap();
    let line = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(line).unwrap())
}

async fn without_directory() -> NodeFiles {
    NodeFiles::init(&Url::parse(&NOWHERE).unwrap()).await
}

#[tokio::test]
async fn a_node_without_its_directory_lives_and_says_why_it_is_not_ready() {
    let files = without_directory().await;
    let mut node = files.run(&[]);
    let address = node.http().await;
    let alive = get(address, "/livez").await.unwrap();
    assert_eq!((alive.code, alive.body.as_str()), (200, "alive\n"));
    let refusal = eventually("the directory's failure is told", async || {
        let reply = get(address, "/readyz").await?;
        (reply.code == 503 && reply.body.contains(NOWHERE.as_str())).then_some(reply.body)
    })
    .await;
    assert!(refusal.starts_with("not ready: not registered: "), "{refusal}");
    assert_eq!(refusal.lines().count(), 1, "{refusal}");
    assert_eq!(status(address).await["ready"]["reason"], "directory_error");

    let url = format!("http://{address}");
    let (code, line) = health(&["--url", &url], None).await;
    assert_eq!(code, Some(1), "{line}");
    assert!(line.starts_with("nym-mixnode: not registered: ") && line.lines().count() == 1, "{line}");
    assert!(node.stop().await.success());
}

/// The engine is in the status, or the CPU cannot run it: then the node says what it lacks.
#[tokio::test]
async fn a_node_runs_the_chosen_engine_or_refuses_to_start() {
    for name in EngineChoice::NAMES {
        let files = without_directory().await;
        let mut node = files.run(&["--unwrap-engine", name]);
        match EngineChoice::from_name(name).unwrap().resolve() {
            Ok(kind) => {
                assert_eq!(status(node.http().await).await["engine"], kind.name());
                assert!(node.stop().await.success());
            }
            Err(missing) => {
                let (code, log) = node.end().await;
                assert_eq!(code, Some(78), "{missing}: {log}");
                assert!(log.contains("unwrap.engine"), "{log}");
            }
        }
    }
}

#[tokio::test]
async fn a_registered_node_is_ready_and_tells_its_state_without_a_peer_or_a_packet() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let files = NodeFiles::init(&registry.url()).await;
    let mut sink = Sink::start().await;
    let mut node = files.run(&["--forward-policy", "any"]);
    let address = node.http().await;
    node.registered().await;
    eventually("ready", async || get(address, "/readyz").await.filter(|reply| reply.code == 200)).await;

    let first_hop = hop(files.address, *files.keys().sphinx.public());
    let packet = packet_via(&first_hop, sink.address, Duration::ZERO, ACK);
    let _connection = send(files.address, &[packet]).await;
    sink.next().await;
    node.reports("forwarded", |status| status.forwarded == 1).await;

    let text = get(address, "/status").await.unwrap().body;
    assert!(!text.contains(&sink.address.to_string()), "{text}");
    let status = status(address).await;
    assert_eq!(status["identity_key"], files.identity());
    let [listen, announce] = ["listen", "announce"].map(|what| status[what].as_array().unwrap().clone());
    assert_eq!((listen.len(), announce.len()), (1, 1), "{status:#}");
    for (told, source) in [(&listen[0], "config.yaml:"), (&announce[0], "listened on (")] {
        assert_eq!((&told["family"], &told["address"]), (&"ipv4".into(), &files.address.to_string().into()));
        assert!(told["source"].as_str().unwrap().contains(source), "{status:#}");
    }
    assert_eq!(status["directory"]["registered"], true);
    assert!(status["directory"]["registered_at"].as_u64().unwrap() > 1_600_000_000, "{status:#}");
    assert_eq!(status["topology"]["mixes"], 1);
    assert!(status["topology"]["age_s"].as_u64().is_some(), "{status:#}");
    assert!(status["limits"]["nofile_soft"].as_u64().is_some_and(|limit| limit > 0), "{status:#}");
    for count in ["received", "forwarded", "final"] {
        assert_eq!(status["packets"]["total"][count].as_u64().unwrap() % 64, 0, "{status:#}");
    }
    assert!(node.stop().await.success());
}

#[tokio::test]
async fn a_stop_begins_with_being_unready() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let files = NodeFiles::init(&registry.url()).await;
    let mut node = files.run(&[]);
    let address = node.http().await;
    node.registered().await;
    // The directory never answers the request to unregister, so the node waits in that step.
    registry.freeze();
    node.terminate();
    let refusal = eventually("not ready", async || get(address, "/readyz").await.filter(|reply| reply.code == 503));
    assert!(refusal.await.body.starts_with("not ready: draining: "));
    assert_eq!(get(address, "/livez").await.unwrap().code, 200, "it works until its end");
    assert!(node.stop().await.success());
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_before_anything_is_registered() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let files = NodeFiles::init(&registry.url()).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, line) = files.run_to_its_end(&["--http-listen", &address]).await;
    assert_eq!(code, Some(69), "{line}");
    assert!(line.contains(&address) && line.contains("http.listen") && line.contains("off"), "{line}");
    assert!(registry.topology().await.mix_nodes.is_empty());
}

#[tokio::test]
async fn health_finds_the_node_by_its_configuration_and_by_the_environment() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let files = NodeFiles::init(&registry.url()).await;
    let address = own_address().to_string();
    files.configure(&format!("http:\n  listen: \"{address}\""));
    let by_id = ["--home", files.root(), "--id", "mix"];
    let (code, line) = health(&by_id, None).await;
    assert_eq!(code, Some(1), "{line}");
    assert!(line.contains(&format!("no answer at http://{address}/livez")), "{line}");

    let mut node = files.run(&["--http-listen", &address]);
    node.registered().await;
    let healthy = (Some(0), "ready\n".to_owned());
    assert_eq!(health(&by_id, None).await, healthy);
    assert_eq!(health(&["--listen", &address], None).await, healthy);
    assert_eq!(health(&["--url", &format!("http://{address}")], None).await, healthy);
    assert_eq!(health(&[], Some(&address)).await, healthy);
    assert_eq!(health(&["--nofile-min", "64"], Some(&address)).await, healthy);
    let (code, line) = health(&["--nofile-min", "1000000000000"], Some(&address)).await;
    assert_eq!(code, Some(1), "{line}");
    assert!(line.contains(" 1000000000000: "), "{line}");

    let (code, line) = health(&[], Some("here")).await;
    assert_eq!(code, Some(78), "{line}");
    let (code, line) = health(&[], Some("off")).await;
    assert_eq!(code, Some(78), "{line}");
    let (code, line) = health(&["--listen", &address, "--url", &NOWHERE], None).await;
    assert_eq!(code, Some(64), "{line}");

    // Another node at the address of this one.
    let other = NodeFiles::init(&registry.url()).await;
    other.configure(&format!("http:\n  listen: \"{address}\""));
    let (code, line) = health(&["--home", other.root(), "--id", "mix"], None).await;
    assert_eq!(code, Some(1), "{line}");
    assert!(line.contains("another node") && line.contains(&files.identity()), "{line}");
    assert!(line.contains("--http-listen"), "{line}");

    // A process that hangs still accepts connections, but never answers.
    node.freeze();
    let (code, line) = health(&by_id, None).await;
    assert_eq!(code, Some(1), "{line}");
    assert!(line.contains("not within 3 s"), "{line}");
}

#[tokio::test]
async fn the_environment_moves_the_node_and_whoever_asks_it() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let files = NodeFiles::init(&registry.url()).await;
    files.configure(&format!("http:\n  listen: \"127.0.0.1:{}\"", closed_port()));
    let address = own_address().to_string();
    let listen = ("NYM_MIXNODE_HTTP_LISTEN", address.as_str());
    let mut node = NodeProcess::spawn(&files, &[], |command| {
        command.env(listen.0, listen.1);
    });
    assert_eq!(node.http().await.to_string(), address);
    node.registered().await;

    let asks = async |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = program(arguments).envs(variables.iter().copied()).output().await.unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), text)
    };
    let ready = (Some(0), "ready\n".to_owned());
    let by_flags = ["--home", files.root(), "--id", "mix"];
    let by_variables = [("NYM_MIXNODE_HOME", files.root()), ("NYM_MIXNODE_ID", "mix")];
    assert_eq!(asks(&[&["health"], &by_flags[..]].concat(), &[listen]).await, ready);
    assert_eq!(asks(&["health"], &[&by_variables[..], &[listen]].concat()).await, ready);
    let in_file = home.path().join("listen");
    std::fs::write(&in_file, format!("{address}\n")).unwrap();
    let (variable, path) = ("NYM_MIXNODE_HTTP_LISTEN_FILE", in_file.to_str().unwrap());
    assert_eq!(asks(&["health"], &[(variable, path)]).await, ready);

    // Without the variable they use the address in the file.
    let (code, line) = asks(&["health"], &by_variables).await;
    assert!(code == Some(1) && line.contains(&format!("no answer at {}/", *NOWHERE)), "{line}");
    assert!(line.contains("http.listen"), "{line}");
    let (code, line) = asks(&["health", "--home", files.root()], &[listen]).await;
    assert!(code == Some(78) && line.contains("--id"), "{line}");
    let (code, line) = asks(&["health"], &[("NYM_MIXNODE_HTTP_LISTNE", &address)]).await;
    assert!(code == Some(78) && line.contains("did you mean NYM_MIXNODE_HTTP_LISTEN?"), "{line}");

    let (_, findings) = asks(&["doctor", "--no-probe"], &[&by_variables[..], &[listen]].concat()).await;
    assert!(findings.contains("the node listens on"), "{findings}");
    let (code, findings) = asks(&["doctor", "--no-probe"], &[&by_variables[..], &[(listen.0, "here")]].concat()).await;
    assert_eq!(code, Some(1), "{findings}");
    assert!(
        findings.starts_with("failed   configuration  NYM_MIXNODE_HTTP_LISTEN: http.listen \"here\""),
        "{findings}"
    );
    assert!(node.stop().await.success());
}

/// A socket as systemd has one, and its name.
fn service_manager(abstract_name: bool) -> (tempfile::TempDir, UnixDatagram, String) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("notify").to_str().unwrap().to_owned();
    let (socket, name) = if abstract_name {
        let address = UnixAddress::from_abstract_name(&path).unwrap();
        (UnixDatagram::bind_addr(&address).unwrap(), format!("@{path}"))
    } else {
        (UnixDatagram::bind(&path).unwrap(), path)
    };
    socket.set_nonblocking(true).unwrap();
    (home, socket, name)
}

async fn heard(socket: &UnixDatagram, words: &str) -> String {
    let mut buffer = [0; 1024];
    eventually(words, async || {
        let len = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..len].to_vec()).unwrap()).filter(|message| message.contains(words))
    })
    .await
}

#[tokio::test]
async fn systemd_hears_of_the_start_the_state_the_life_and_the_stop() {
    for abstract_name in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
        let files = NodeFiles::init(&registry.url()).await;
        let (_home, socket, name) = service_manager(abstract_name);
        let node = NodeProcess::spawn(&files, &[], |command| {
            command.env("NOTIFY_SOCKET", &name).env("WATCHDOG_USEC", "200000");
        });
        let ready = heard(&socket, "READY=1\n").await;
        assert!(ready.contains("STATUS=not registered"), "{ready}");
        heard(&socket, "STATUS=mixing, and listed by the directory\n").await;
        for _ in 0..3 {
            heard(&socket, "WATCHDOG=1\n").await;
        }
        node.terminate();
        heard(&socket, "STOPPING=1\nSTATUS=draining").await;
        assert!(node.stop().await.success());
    }
}

#[tokio::test]
async fn systemd_hears_when_a_registry_serves_and_when_it_stops() {
    let home = tempfile::tempdir().unwrap();
    let (_home, socket, name) = service_manager(false);
    let address = own_address().to_string();
    let data = home.path().join("registry.sqlite");
    let mut command = program(&["registry", "--listen", &address, "--data", data.to_str().unwrap()]);
    let mut registry = command.env("NOTIFY_SOCKET", &name).spawn().unwrap();
    let ready = heard(&socket, "READY=1\n").await;
    assert!(ready.contains(&format!("STATUS=Registry serving at http://{address}\n")), "{ready}");
    signal(&registry, Signal::TERM);
    heard(&socket, "STOPPING=1\n").await;
    assert!(registry.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_watchdog_of_another_process_and_a_manager_that_is_gone_are_no_concern() {
    let files = without_directory().await;
    let (_home, socket, name) = service_manager(false);
    let mut node = NodeProcess::spawn(&files, &[], |command| {
        command.env("NOTIFY_SOCKET", &name).env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    });
    heard(&socket, "READY=1\n").await;
    for _ in 0..3 {
        tokio::time::timeout(PATIENCE, node.event()).await.unwrap();
    }
    let mut buffer = [0; 1024];
    while let Ok(len) = socket.recv(&mut buffer) {
        assert!(!buffer[..len].starts_with(b"WATCHDOG"), "pinged although no watchdog is configured");
    }
    drop(socket);
    assert!(node.stop().await.success());
}
