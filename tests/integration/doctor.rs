//! The command `doctor` on healthy and unhealthy nodes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tokio::process::Command;
use url::Url;

use super::process::{NodeFiles, NodeProcess, RegistryProcess, eventually, own_address, program, program_at};
use super::support::NOWHERE;

const PROGRAM: &str = env!("CARGO_BIN_EXE_nym-mixnode");

struct Examination {
    code: Option<i32>,
    report: Value,
    error: String,
}

impl Examination {
    /// Levels of a check's findings.
    fn levels<'a>(&'a self, check: &'a str) -> Vec<&'a str> {
        self.findings(check).map(|finding| finding["level"].as_str().unwrap()).collect()
    }

    /// Findings of a check, with their fixes.
    fn words(&self, check: &str) -> String {
        let words = |finding: &Value| format!("{} {}", finding["message"], finding["fix"]);
        self.findings(check).map(words).collect::<Vec<_>>().join("\n")
    }

    fn findings<'a>(&'a self, check: &'a str) -> impl Iterator<Item = &'a Value> {
        let all = self.report["findings"].as_array().unwrap();
        all.iter().filter(move |finding| finding["check"] == check)
    }
}

async fn doctor(files: &NodeFiles, flags: &[&str]) -> Examination {
    let arguments = ["doctor", "--home", files.root(), "--id", "mix", "--json"];
    let output = program(&[&arguments[..], flags].concat()).output().await.unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON; {error}"));
    Examination { code: output.status.code(), report, error }
}

#[tokio::test]
async fn a_node_that_runs_and_is_listed_mixes() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let files = NodeFiles::init(&registry.url()).await;
    let http = own_address().to_string();
    files.configure(&format!("http:\n  listen: \"{http}\""));
    let mut node = files.run(&["--http-listen", &http]);
    node.registered().await;

    let found = doctor(&files, &[]).await;
    assert_eq!(found.code, Some(0), "{} {:#}", found.error, found.report);
    assert!(found.words("node").contains("runs, and is ready"), "{:#}", found.report);
    for check in [
        "configuration",
        "keys",
        "engine",
        "node",
        "bind",
        "egress IPv4",
        "directory",
        "clock",
        "registration",
        "mixing IPv4",
    ] {
        assert_eq!(found.levels(check), ["ok"], "{check}: {:#}", found.report);
    }
    // Loopback is nobody else's network; the connection to it stands.
    assert_eq!(found.levels("announce"), ["ok"], "{:#}", found.report);
    assert!(found.words("bind").contains("the node listens on"), "{:#}", found.report);
    assert!(registry.topology().await.gateways.is_empty(), "the prober has taken itself off the list");

    // Pushed out of the directory, and not let in again.
    registry.freeze();
    let found = doctor(&files, &["--no-probe"]).await;
    assert_eq!((found.code, found.levels("directory")), (Some(1), vec!["failed"]), "{:#}", found.report);
}

#[tokio::test]
async fn the_commands_for_operators_know_gateways() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let root = home.path().join("nodes");
    let named = ["--home", root.to_str().unwrap(), "--id", "home"];
    let (mixes, http) = (own_address(), own_address().to_string());
    // Clients find it at the announced address.
    let free = || std::net::TcpListener::bind((mixes.ip(), 0)).unwrap();
    let (clients, tls) = (free(), free());
    let address = |listener: std::net::TcpListener| listener.local_addr().unwrap().to_string();
    let (clients, tls) = (address(clients), address(tls));
    let mixes = mixes.to_string();
    let addresses =
        ["--host", &mixes, "--gateway-listen", &clients, "--gateway-tls-listen", &tls, "--http-listen", &http];
    let settings = [&addresses[..], &["--allow-private", "--validator"]].concat();
    let gateway = async |command: &[&str]| {
        let output = program(&[&["gateway"], command, &named].concat()).output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let url = registry.url();
    let created = gateway(&[&["init"], &settings[..], &[url.as_str()]].concat()).await;
    assert_eq!(created.0, Some(0), "{}", created.2);
    let doctor = async || {
        let (code, stdout, error) = gateway(&["doctor", "--json"]).await;
        let report = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("no JSON; {error}"));
        Examination { code, report, error }
    };
    let found = doctor().await;
    assert_eq!((found.code, found.levels("bind")), (Some(0), vec!["ok"; 3]), "{:#}", found.report);
    assert!(found.words("registration").contains("gateway run --id home"), "{:#}", found.report);
    assert_eq!(gateway(&["health"]).await.0, Some(1));
    // The health check of a container, which needs no name and no role.
    let health = async |flags: &[&str]| {
        let variables = [("NYM_MIXNODE_HOME", root.to_str().unwrap()), ("NYM_MIXNODE_ID", "home")];
        let output = program(&[&["health"], flags].concat()).envs(variables).output().await.unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let health_of_container = async || health(&[]).await;
    let (code, line) = health_of_container().await;
    assert!(code == Some(1) && line.contains("does not run"), "{line}");

    let run = [&["gateway", "run"], &named[..], &["--topology-refresh", "100ms", "--shutdown-linger", "0s"]].concat();
    let _running = program(&run).spawn().unwrap();
    eventually("listed", async || (registry.topology().await.gateways.len() == 1).then_some(())).await;
    let found = doctor().await;
    for check in ["configuration", "keys", "engine", "certificate", "announce", "directory", "clock", "registration"] {
        assert_eq!(found.levels(check), ["ok"], "{check}: {:#}", found.report);
    }
    assert_eq!(found.levels("clients"), ["ok", "ok"], "{:#}", found.report);
    assert!(found.words("clients").contains(&format!("ws://{clients} accepts")), "{:#}", found.report);
    assert!(found.words("clients").contains(&format!("wss://{tls} has the listed TLS key")), "{:#}", found.report);
    assert_eq!(found.levels("mixing IPv4"), Vec::<&str>::new(), "{:#}", found.report);

    let ready = (Some(0), "ready\n".to_owned());
    eventually("the gateway is ready", async || (health_of_container().await == ready).then_some(())).await;
    // A volume may have the files of a mixnode of the same name, which does not run.
    let of_mixnode = ["--layer", "1", "--host", &mixes, "--allow-private", "--validator", url.as_str()];
    let init = [&["init"], &named[..], &of_mixnode].concat();
    assert!(program(&init).output().await.unwrap().status.success());
    assert_eq!(health_of_container().await, ready);
    let (code, line) = health(&["--id", "home", "--home", root.to_str().unwrap()]).await;
    assert_eq!(code, Some(1), "a name on the command line is that of a mixnode: {line}");
    let (code, words, error) = gateway(&["unregister"]).await;
    assert!(code == Some(0) && words.starts_with("Gateway home "), "{words}{error}");
    assert!(registry.topology().await.gateways.is_empty());
    eventually("not ready, since it is not listed", async || {
        let (code, _, error) = gateway(&["health"]).await;
        (code == Some(1) && !error.contains("no answer")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_limit_on_open_files_is_that_of_the_node_and_so_is_the_remedy() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let files = NodeFiles::init(&registry.url()).await;
    let http = own_address().to_string();
    files.configure(&format!("http:\n  listen: \"{http}\""));
    let found = doctor(&files, &["--no-probe"]).await;
    assert!(found.words("descriptors").contains("may open"), "{:#}", found.report);

    let limited = program_at("sh", &["-c", "ulimit -n 600; exec \"$@\"", "sh", PROGRAM]);
    // Only the node is in a pod, as far as it can tell.
    let in_a_pod = |command: &mut Command| _ = command.env("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    let mut node = NodeProcess::of(limited, &files, &["--http-listen", &http], in_a_pod);
    node.registered().await;
    let found = doctor(&files, &["--no-probe"]).await;
    assert_eq!(found.levels("descriptors"), ["warning"], "{:#}", found.report);
    for words in ["600 files (hard limit 600)", "about 2048", "pod"] {
        assert!(found.words("descriptors").contains(words), "{words}: {:#}", found.report);
    }
    assert!(!found.words("descriptors").contains("ulimit"), "{:#}", found.report);
}

#[tokio::test]
async fn a_node_that_does_not_run_and_a_directory_that_is_down_are_told() {
    let files = without_http(&Url::parse(&NOWHERE).unwrap()).await;
    let found = doctor(&files, &[]).await;
    assert_eq!(found.code, Some(1), "{:#}", found.report);
    assert_eq!(found.error, "nym-mixnode: 1 of 10 checks failed\n", "{:#}", found.report);
    assert!(found.words("node").contains("does not run"), "{:#}", found.report);
    assert_eq!(found.report["worst"], "failed");
    assert_eq!(found.levels("bind"), ["ok"]);
    assert_eq!((found.levels("egress IPv4"), found.levels("directory")), (vec!["warning"], vec!["failed"]));

    let _other_program = std::net::TcpListener::bind(files.address).unwrap();
    let found = doctor(&files, &[]).await;
    assert_eq!(found.levels("bind"), ["failed"], "{:#}", found.report);
    assert!(found.words("bind").contains("another program"), "{:#}", found.report);
    assert!(!found.words("bind").contains("stop the program"), "{:#}", found.report);
}

#[tokio::test]
async fn a_node_that_is_not_listed_and_an_address_that_is_taken_are_told() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let files = without_http(&registry.url()).await;
    let found = doctor(&files, &[]).await;
    assert_eq!((found.code, found.levels("registration")), (Some(0), vec!["warning"]), "{:#}", found.report);
    let start = format!("start it with `nym-mixnode run --id mix --home {}`", files.root());
    assert!(found.words("registration").contains(&start), "{:#}", found.report);

    let other = NodeFiles::init(&registry.url()).await;
    let mut holder = other.run(&["--announce-host", &files.address.to_string()]);
    holder.registered().await;
    let found = doctor(&files, &[]).await;
    assert_eq!((found.code, found.levels("registration")), (Some(1), vec!["failed"]), "{:#}", found.report);
    assert!(found.words("registration").contains(&other.identity()), "{:#}", found.report);
}

/// Node without HTTP, independent of other programs at the default address.
async fn without_http(directory: &Url) -> NodeFiles {
    let files = NodeFiles::init(directory).await;
    files.configure("http:\n  listen: \"off\"");
    files
}

#[tokio::test]
async fn a_node_that_was_killed_and_is_still_listed_is_a_failure() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let files = without_http(&registry.url()).await;
    let mut node = files.run(&["--http-listen", "off"]);
    node.registered().await;
    // It serves no HTTP, and is known to run all the same.
    let found = doctor(&files, &["--no-probe"]).await;
    assert_eq!(found.code, Some(0), "{:#}", found.report);
    assert!(found.words("bind").contains("the node listens on"), "{:#}", found.report);
    assert_eq!((found.levels("node"), found.levels("registration")), (vec!["ok"], vec!["ok"]), "{:#}", found.report);

    node.kill().await;
    let found = doctor(&files, &["--no-probe"]).await;
    assert_eq!((found.code, found.levels("registration")), (Some(1), vec!["failed"]), "{:#}", found.report);
    for words in ["does not run", "nym-mixnode run --id mix", "nym-mixnode unregister --id mix"] {
        assert!(found.words("registration").contains(words), "{:#}", found.report);
    }
}

#[tokio::test]
async fn two_nodes_of_a_machine_that_want_one_http_address_are_told_to_have_two() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let http = own_address().to_string();
    let (first, second) = (NodeFiles::init(&registry.url()).await, NodeFiles::init(&registry.url()).await);
    for files in [&first, &second] {
        files.configure(&format!("http:\n  listen: \"{http}\""));
    }
    let mut node = first.run(&["--http-listen", &http]);
    node.registered().await;
    let found = doctor(&second, &["--no-probe"]).await;
    assert_eq!((found.code, found.levels("node")), (Some(1), vec!["failed"]), "{:#}", found.report);
    assert!(found.words("node").contains(&first.identity()), "{:#}", found.report);

    let mut other = second.run(&["--http-listen", "off"]);
    other.registered().await;
    let found = doctor(&second, &["--no-probe"]).await;
    assert_eq!((found.code, found.levels("node")), (Some(0), vec!["warning"]), "{:#}", found.report);
    for words in ["runs, but another node", &first.identity(), "--http-listen"] {
        assert!(found.words("node").contains(words), "{words}: {:#}", found.report);
    }
    assert!(found.words("bind").contains("the node listens on"), "{:#}", found.report);
    let output = program(&["health", "--home", second.root(), "--id", "mix"]).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("another node") && said.contains("--http-listen"), "{said}");
    assert_eq!(doctor(&first, &["--no-probe"]).await.code, Some(0));
}

#[tokio::test]
#[ignore = "needs root, or namespaces of a user: `make kit`"]
async fn a_node_in_another_network_namespace_is_known_to_run() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let files = without_http(&registry.url()).await;
    let alone = program_at(
        "unshare",
        &["--user", "--map-root-user", "--net", "sh", "-c", "ip link set lo up; exec \"$@\"", "sh", PROGRAM],
    );
    let node = NodeProcess::of(alone, &files, &["--http-listen", "off"], |_| {});
    eventually("the node runs", async || node.log().contains("Listening for packets").then_some(())).await;
    let found = doctor(&files, &["--no-probe"]).await;
    assert_eq!(found.levels("bind"), ["warning"], "{:#}", found.report);
    for words in ["nothing listens", "network namespace"] {
        assert!(found.words("bind").contains(words), "{:#}", found.report);
    }
}

#[tokio::test]
async fn bad_keys_and_a_bad_configuration_are_told_with_the_fix() {
    let files = NodeFiles::init(&Url::parse(&NOWHERE).unwrap()).await;
    let key = files.dir().join("data/private_sphinx.pem");
    fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    let found = doctor(&files, &[]).await;
    assert_eq!((found.code, found.levels("keys")), (Some(1), vec!["failed"]), "{:#}", found.report);
    assert!(found.words("keys").contains("chmod 600"), "{:#}", found.report);

    files.configure("mix:\n  wrokers: 2");
    let found = doctor(&files, &[]).await;
    assert_eq!((found.code, found.levels("configuration")), (Some(1), vec!["failed"]), "{:#}", found.report);
    assert!(found.words("configuration").contains("mix.wrokers"), "{:#}", found.report);
}

#[tokio::test]
async fn lines_for_people_have_no_colours_in_a_file() {
    let files = NodeFiles::init(&Url::parse(&NOWHERE).unwrap()).await;
    let output = program(&["doctor", "--home", files.root(), "--id", "mix"]).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\u{1b}'), "{text}");
    let words: Vec<&str> = text.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert!(words.iter().all(|word| ["ok", "warning", "failed"].contains(word)), "{text}");
    assert!(text.starts_with("ok       configuration  "), "{text}");
}
