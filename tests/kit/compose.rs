//! The network of docker-compose.yml, started with `docker compose up --build`.

mod failing;
mod users;

use std::collections::BTreeSet;
use std::fs;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nym_mixnode_api::RegisteredMix;
use serde_json::Value;
use tempfile::TempDir;
use url::Url;

use crate::container::topology;
use crate::docker::{Container, Subnet, nofile};
use crate::engine::{docker, engine, output, said};
use crate::http;
use crate::image;
use crate::part::part;
use crate::waiting::{eventually, pause};

/// Takes IPv6 away from the network of the compose file.
const IPV4_ONLY: &str = "deploy/compose/ipv4.yml";

const NODES: [&str; 6] = ["mix1-1", "mix1-2", "mix2-1", "mix2-2", "mix3-1", "mix3-2"];

/// A network of the compose file under a unique name, removed at the end.
struct Stack {
    project: String,
    subnet: Subnet,
    registry_port: u16,
    prometheus_port: u16,
    /// The output file of the collector.
    telemetry: TempDir,
}

impl Stack {
    fn new() -> Self {
        let telemetry = tempfile::tempdir().expect("a folder");
        fs::set_permissions(telemetry.path(), fs::Permissions::from_mode(0o777)).expect("permissions");
        Self {
            project: format!("kit-{}-{:04x}", std::process::id(), rand::random::<u16>()),
            subnet: Subnet::random(),
            registry_port: rand::random_range(20_000..25_000),
            prometheus_port: rand::random_range(25_000..30_000),
            telemetry,
        }
    }

    /// `docker compose up --build` with these arguments; waits until all services are healthy.
    fn up(&self, arguments: &[&str]) {
        let output = output(self.compose().args(["up", "--build", "--detach", "--wait"]).args(arguments));
        if !output.status.success() {
            let logs = said(&crate::engine::output(self.compose().args(["logs", "--tail", "20"])));
            panic!("docker compose up: {}\n{logs}", said(&output));
        }
    }

    fn compose(&self) -> Command {
        let mut compose = engine().docker();
        let (v4, v6) = (self.subnet.v4(0).to_string(), self.subnet.v6(0).to_string());
        compose.args(["compose", "--env-file", "/dev/null", "--project-name", &self.project]);
        compose.envs([
            ("NYM_MIXNODE_IMAGE", image::tag()),
            ("BUILDER_IMAGE", image::builder()),
            ("BUILD_NETWORK", "none".to_owned()),
            ("NOFILE", nofile().to_string()),
            ("NET_V4", v4.trim_end_matches(".0").to_owned()),
            ("NET_V6", v6.trim_end_matches("::").to_owned()),
            ("REGISTRY_PORT", self.registry_port.to_string()),
            ("PROMETHEUS_PORT", self.prometheus_port.to_string()),
            ("HEALTH_INTERVAL", "2s".to_owned()),
            ("COLLECTOR_TRACES_TO", "[file]".to_owned()),
            ("COLLECTOR_DATA", self.telemetry.path().display().to_string()),
        ]);
        compose
    }

    fn directory(&self) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}", self.registry_port)).expect("a URL")
    }

    /// The container of a service. The stack removes it.
    fn container(&self, service: &str) -> ManuallyDrop<Container> {
        named(format!("{}-{service}-1", self.project))
    }

    fn containers(&self) -> Vec<String> {
        let filter = format!("label=com.docker.compose.project={}", self.project);
        let listed = docker(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"]);
        listed.lines().map(str::to_owned).collect()
    }

    /// The identity of the node of a service.
    fn identity(&self, service: &str) -> String {
        let number = NODES.iter().position(|name| *name == service).expect("a node");
        let host = [11, 12, 21, 22, 31, 32][number];
        let address = (self.subnet.v4(host), 1789).into();
        eventually(&format!("{service} is registered"), || {
            let listed = topology(&self.directory())?.mix_nodes;
            let mix = listed.into_iter().find(|mix| mix.announced_addresses().contains(&address))?;
            Some(mix.registration.identity_key)
        })
    }

    /// The result of `probe` on the engine's host.
    fn probe(&self, arguments: &[&str]) -> Value {
        self.probe_from(&[self.subnet.v4(1).to_string(), self.subnet.v6(1).to_string()], arguments)
    }

    /// As [`Stack::probe`], from these addresses of the engine's host.
    fn probe_from(&self, hosts: &[String], arguments: &[&str]) -> Value {
        let mut probe = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
        probe.args(["probe", "--json", "--directory", self.directory().as_str()]);
        probe.arg("--host").args(hosts).args(["--packets", "5"]).args(arguments);
        let output = engine().on_host(|| output(&mut probe));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)))
    }

    /// The nodes that mix over both address families.
    fn mixing(&self, arguments: &[&str]) -> BTreeSet<String> {
        let verdict = self.probe(arguments);
        let nodes = verdict["nodes"].as_array().expect("nodes").iter();
        let mixes = |node: &&Value| {
            let lossless = |family: &str| node[family]["outcome"] == "tested" && node[family]["lost"] == 0;
            node["mixing"] == true && lossless("ipv4") && lossless("ipv6")
        };
        nodes.filter(mixes).map(|node| node["identity"].as_str().expect("a key").to_owned()).collect()
    }

    /// Waits until all nodes mix.
    fn wait_all_mixing(&self, all: &BTreeSet<String>) {
        eventually("all nodes mix", || (self.mixing(&[]) == *all).then_some(()));
    }

    /// Unix time of the latest measurement of each node and family.
    fn measured(&self) -> Vec<f64> {
        let url = self.directory().join("metrics").expect("a URL");
        let metrics = engine().on_host(|| http::get(url.as_str())).unwrap_or_default();
        let samples = metrics.lines().filter(|line| line.starts_with("mix_registry_node_measured_timestamp_seconds{"));
        samples.map(|line| line.rsplit(' ').next().expect("a value").parse().expect("a time")).collect()
    }

    /// The result of a query of Prometheus.
    fn prometheus(&self, path: &str) -> Option<Value> {
        let answer = get(&format!("http://127.0.0.1:{}/api/v1/{path}", self.prometheus_port))?;
        (answer["status"] == "success").then(|| answer["data"].clone())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", said(&output(self.compose().args(["logs", "--tail", "50"]))));
        }
        let profiles = ["--profile", "extra", "--profile", "dashboards", "--profile", "messages"];
        output(self.compose().args(profiles).args(["down", "--volumes", "--timeout", "2"]));
    }
}

fn named(name: String) -> ManuallyDrop<Container> {
    ManuallyDrop::new(Container { name })
}

/// JSON from a URL that the engine's host can reach.
fn get(url: &str) -> Option<Value> {
    engine().on_host(|| serde_json::from_str(&http::get(url)?).ok())
}

/// Creates an image of a part, because the tests cannot reach an image registry.
fn image_of(name: &str, dockerfile: &str) -> String {
    let program = part(name);
    let context = tempfile::tempdir().expect("a folder");
    fs::copy(&program, context.path().join(name)).expect("the program");
    fs::write(context.path().join("Dockerfile"), dockerfile).expect("a Dockerfile");
    let tag = format!("nym-mixnode-kit/{name}");
    image::docker_build(context.path(), &["--tag", &tag]);
    tag
}

fn collector() -> String {
    image_of("otelcol", "FROM scratch\nCOPY otelcol /otelcol\nENTRYPOINT [\"/otelcol\"]\n")
}

fn prometheus() -> String {
    let dockerfile = format!(
        "FROM {}\nCOPY prometheus /bin/prometheus\nRUN install -d -o 65534 -g 65534 /prometheus\n\
         VOLUME /prometheus\nENTRYPOINT [\"/bin/prometheus\"]\n",
        image::builder_base()
    );
    image_of("prometheus", &dockerfile)
}

#[test]
fn the_file_means_what_it_says() {
    let stack = Stack::new();
    let profiles = ["--profile", "extra", "--profile", "dashboards", "--profile", "messages"];
    let output = output(stack.compose().args(profiles).args(["config", "--format", "json"]));
    assert!(output.status.success(), "{}", said(&output));
    let config: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let services = config["services"].as_object().expect("services");
    assert_eq!(services.len(), NODES.len() + 7, "{services:#?}");
    for (name, service) in services {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert_eq!(service["security_opt"], serde_json::json!(["no-new-privileges:true"]), "{name}");
        assert!(service["privileged"].is_null() && service["cap_add"].is_null(), "{name}");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}");
        }
        let image = service["image"].as_str().expect("an image");
        assert!(image.contains(':') && !image.ends_with(":latest"), "{name}: {image} has no version");
    }
    let said =
        crate::engine::output(Command::new(part("yamllint")).args(["-d", LINT, "docker-compose.yml", IPV4_ONLY]));
    assert!(said.status.success(), "{}", crate::engine::said(&said));
}

const LINT: &str = "{extends: default, rules: {line-length: {max: 120}, document-start: disable, \
    braces: {max-spaces-inside: 1}, comments: {min-spaces-from-content: 1}}}";

#[test]
fn every_setting_of_the_example_is_one_of_the_file_and_has_its_default() {
    let root = crate::part::root();
    let compose = fs::read_to_string(root.join("docker-compose.yml")).expect("the compose file");
    let example = fs::read_to_string(root.join(".env.example")).expect("the example");
    let settings = example.lines().filter_map(|line| line.strip_prefix('#')?.split_once('='));
    let settings: Vec<_> = settings.filter(|(name, _)| !name.contains(' ')).collect();
    for (name, value) in &settings {
        assert!(compose.contains(&format!("${{{name}:-{value}}}")), "{name}={value}");
    }
    let used: BTreeSet<&str> = compose.split("${").skip(1).filter_map(|rest| rest.split(":-").next()).collect();
    assert_eq!(used, settings.iter().map(|(name, _)| *name).collect());
}

#[test]
fn one_command_brings_up_a_whole_network_that_mixes_and_is_seen() {
    let stack = Stack::new();
    // Build both images before the first health check starts.
    let (collector, prometheus) = (collector(), prometheus());
    let mut up = stack.compose();
    up.envs([("COLLECTOR_IMAGE", &collector), ("PROMETHEUS_IMAGE", &prometheus)]);
    let began = Instant::now();
    let output = output(up.args(["up", "--build", "--detach", "--wait"]));
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(stack.containers().len(), NODES.len() + 4);

    let all: BTreeSet<String> = NODES.iter().map(|service| stack.identity(service)).collect();
    assert_eq!(stack.mixing(&[]), all, "{:#}", stack.probe(&[]));
    every_container_is_harmless(&stack);
    // The reports of the monitor in the network.
    let up = |node: &Value| node["mostRecentIPV4"] == true && node["mostRecentIPV6"] == true;
    eventually("the monitor finds six nodes up", || {
        let reports = get(stack.directory().join("api/mixmining/fullreport").ok()?.as_str())?;
        let nodes = reports["report"].as_array()?;
        (nodes.len() == NODES.len() && nodes.iter().all(up)).then_some(())
    });
    all_nodes_become_active(&stack, began);
    failing::nodes_are_shown_as_they_are(&stack);
    prometheus_sees_all(&stack);
    eventually("the collector has a trace of the pipeline", || {
        let written = fs::read_to_string(stack.telemetry.path().join("telemetry.jsonl")).ok()?;
        ["mix.window", "mix.unwrap", "mix1-1", "mix3-2"].iter().all(|word| written.contains(word)).then_some(())
    });
    measurements_go_on_after_a_crash_of_the_registry(&stack);
}

/// Clients read the active set, and nothing else.
fn all_nodes_become_active(stack: &Stack, began: Instant) {
    eventually("all six nodes are in the active set", || {
        let active = get(stack.directory().join("api/mixmining/topology/active").ok()?.as_str())?;
        (active["mixNodes"].as_array()?.len() == NODES.len()).then_some(())
    });
    eprintln!("docker compose up to six active nodes: {:.0} s", began.elapsed().as_secs_f64());
    let deep = format!("{}healthz?deep", stack.directory());
    assert_eq!(get(&deep), Some(serde_json::json!({"ok": true})));
    assert_eq!(stack.probe(&[])["ok"], true);
}

fn measurements_go_on_after_a_crash_of_the_registry(stack: &Stack) {
    let registry = stack.container("registry");
    output(engine().among_processes("kill").args(["-9", &registry.pid()]));
    let before = eventually("the engine has started the registry again", || {
        let restarted = registry.inspect()["RestartCount"] == 1;
        restarted.then(|| stack.measured()).filter(|times| times.len() == 2 * NODES.len())
    });
    let last = before.into_iter().fold(0.0, f64::max);
    eventually("the monitor's measurements arrive again", || {
        let now = stack.measured();
        (now.len() == 2 * NODES.len() && now.iter().all(|time| *time > last)).then_some(())
    });
}

fn prometheus_sees_all(stack: &Stack) {
    let count = |query: &str| {
        let answer = stack.prometheus(&format!("query?query={query}"))?;
        answer["result"][0]["value"][1].as_str()?.parse::<u32>().ok()
    };
    for (query, expected) in [
        ("count(up{job=\"mixnode\"}==1)", 6),
        ("count(up{job=\"registry\"}==1)", 1),
        ("count(up{job=\"collector\"}==1)", 1),
    ] {
        eventually(query, || (count(query)? == expected).then_some(()));
    }
    eventually("Prometheus has mix_packets_total of six nodes", || {
        (count("count(count by (instance) (mix_packets_total))")? == 6).then_some(())
    });
    let groups = stack.prometheus("rules").expect("rules");
    let rules: Vec<&Value> = groups["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    assert!(!rules.is_empty() && rules.iter().all(|rule| rule["lastError"].is_null()), "{rules:#?}");
}

/// No container runs as root, has a capability, or has written outside of its volumes.
fn every_container_is_harmless(stack: &Stack) {
    for name in stack.containers() {
        let container = named(name.clone());
        let status = container.process_status();
        let line = |prefix: &str| status.lines().find(|line| line.starts_with(prefix)).unwrap_or_default();
        assert!(!line("Uid:").split_whitespace().skip(1).any(|id| id == "0"), "{name}: {status}");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(line(set).split_whitespace().nth(1), Some("0000000000000000"), "{name}: {status}");
        }
        assert_eq!(line("NoNewPrivs:").split_whitespace().nth(1), Some("1"), "{name}: {status}");
        // The engine creates mount points.
        let mounts = container.inspect()["Mounts"].as_array().expect("mounts").clone();
        let is_mount = |path: &str| {
            let place = |mount: &Value| Path::new(mount["Destination"].as_str().expect("a path")).starts_with(path);
            mounts.iter().any(place)
        };
        let changed = container.docker(&["diff"]);
        let written: Vec<&str> = changed.lines().filter(|line| !is_mount(&line[2..])).collect();
        assert_eq!(written, [""; 0], "{name}");
    }
}

#[test]
fn the_network_starts_and_mixes_without_ipv6() {
    let stack = Stack::new();
    let files = ["--file", "docker-compose.yml", "--file", IPV4_ONLY];
    let config = said(&output(stack.compose().args(files).args(["config"])));
    assert!(config.contains("ipv4_address") && !config.contains("ipv6") && !config.contains("fd17"), "{config}");
    let services = ["mix1-1", "mix2-1", "mix3-1"];
    let up = output(stack.compose().args(files).args(["up", "--build", "--detach", "--wait"]).args(services));
    assert!(up.status.success(), "{}", said(&up));
    let network = format!("{}_mix", stack.project);
    assert_eq!(docker(&["network", "inspect", "--format", "{{.EnableIPv6}}", &network]).trim(), "false");
    eventually("three nodes mix over IPv4, the only family they have", || {
        let verdict = stack.probe_from(&[stack.subnet.v4(1).to_string()], &[]);
        let nodes = verdict["nodes"].as_array()?;
        let mixes = |node: &Value| node["ipv4"]["outcome"] == "tested" && node["ipv4"]["lost"] == 0;
        (nodes.len() == services.len() && nodes.iter().all(mixes)).then_some(())
    });
    let listed = topology(&stack.directory()).expect("a topology").mix_nodes;
    let addresses: Vec<_> = listed.iter().flat_map(RegisteredMix::announced_addresses).collect();
    assert!(addresses.len() == services.len() && addresses.iter().all(SocketAddr::is_ipv4), "{addresses:?}");
}

#[test]
fn clients_on_the_host_send_a_file_through_the_gateway() {
    let stack = Stack::new();
    let services = ["mix1-1", "mix2-1", "mix3-1", "monitor", "gateway"];
    stack.up(&services);
    let home = tempfile::tempdir().expect("a folder");
    let client = |command: &[&str]| {
        let mut client = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
        client.arg("client").args(command).args(["--home", home.path().to_str().expect("a path")]);
        engine().on_host(|| output(&mut client))
    };
    let created = |id: &str| {
        eventually("the gateway is active", || {
            let url = stack.directory().to_string();
            let created = client(&["init", "--id", id, "--registry", &url, "--packet-delay", "5ms"]);
            created.status.success().then(|| String::from_utf8(created.stdout).expect("an address").trim().to_owned())
        })
    };
    let (_, bob) = (created("alice"), created("bob"));
    let file = home.path().join("file");
    fs::write(&file, vec![7; 30_000]).expect("a file");
    let sent = client(&["send", "--id", "alice", "--to", &bob, "--timeout", "1m", file.to_str().expect("a path")]);
    assert!(sent.status.success(), "{}", said(&sent));
    let out = home.path().join("out");
    let out = out.to_str().expect("a path");
    let received = client(&["receive", "--id", "bob", "--count", "1", "--timeout", "1m", "--out", out]);
    assert!(received.status.success(), "{}", said(&received));
    let path = String::from_utf8(received.stdout).expect("a path");
    assert_eq!(fs::read(path.trim()).expect("the received file"), vec![7; 30_000]);
    assert_eq!(stack.container("gateway").inspect()["State"]["Health"]["Status"], "healthy");
}

#[test]
fn a_node_that_is_killed_cut_off_or_paused_costs_the_others_nothing_and_comes_back() {
    let stack = Stack::new();
    stack.up(&NODES);
    let all: BTreeSet<String> = NODES.iter().map(|service| stack.identity(service)).collect();
    stack.wait_all_mixing(&all);
    let others = |service: &str| {
        let mut others = all.clone();
        assert!(others.remove(&stack.identity(service)));
        others
    };
    // Long enough to learn about the prober, and shorter than the time-out for the removed node.
    let impatient = ["--settle", "15s", "--timeout", "3s"];

    let killed = stack.container("mix1-1");
    output(engine().among_processes("kill").args(["-9", &killed.pid()]));
    assert!(stack.mixing(&impatient).is_superset(&others("mix1-1")));
    stack.wait_all_mixing(&all);
    assert_eq!(killed.inspect()["RestartCount"], 1, "the engine has started it again");

    let network = format!("{}_mix", stack.project);
    let cut_off = format!("{}-mix2-1-1", stack.project);
    let rest = others("mix2-1");
    docker(&["network", "disconnect", &network, &cut_off]);
    assert_eq!(stack.mixing(&impatient), rest);
    let (v4, v6) = (stack.subnet.v4(21).to_string(), stack.subnet.v6(0x21).to_string());
    docker(&["network", "connect", "--ip", &v4, "--ip6", &v6, &network, &cut_off]);
    stack.wait_all_mixing(&all);

    let rest = others("mix3-2");
    let paused = format!("{}-mix3-2-1", stack.project);
    docker(&["pause", &paused]);
    let begin = Instant::now();
    assert_eq!(stack.mixing(&impatient), rest);
    pause(Duration::from_secs(30).saturating_sub(begin.elapsed()));
    docker(&["unpause", &paused]);
    stack.wait_all_mixing(&all);
    for service in NODES {
        let restarts = stack.container(service).inspect()["RestartCount"].clone();
        assert_eq!(restarts, u32::from(service == "mix1-1"), "{service}");
    }
}

#[test]
fn twenty_nodes_fit_on_one_machine() {
    let stack = Stack::new();
    let mut up = stack.compose();
    up.args(["--profile", "extra", "up", "--build", "--detach", "--wait"]).args(NODES).arg("extra");
    let output = output(&mut up);
    assert!(output.status.success(), "{}", said(&output));
    let listed = eventually("twenty nodes are listed", || {
        let listed = topology(&stack.directory())?.mix_nodes;
        (listed.len() == 20).then_some(listed)
    });
    let all: BTreeSet<String> = listed.into_iter().map(|mix| mix.registration.identity_key).collect();
    stack.wait_all_mixing(&all);
}
