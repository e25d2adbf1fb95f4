//! Addresses on machines like those of the clouds: network namespaces in which the metadata service is a strict
//! stand-in, and in which the public address is one that no interface has.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::metadata::{Answers, Metadata, Mood};
use super::netns::NetNs;
use super::program::{PROGRAM, Process, pause, sphinx_key};
use super::support::{ACK, PATIENCE, hop, packet_via};

const PUBLIC_V4: &str = "36.68.243.18";
const PUBLIC_V6: &str = "2600:1f18::7";
const METADATA_V4: &str = "169.254.169.254:80";
const METADATA_V6: &str = "[fd00:ec2::254]:80";
const REGISTRY: &str = "36.68.240.1:8081";
const REGISTRY_V6: &str = "[2600:1f18::1]:8081";

/// A machine in a cloud, and the world around it.
struct Place {
    world: NetNs,
    machine: NetNs,
}

impl Place {
    fn new() -> Self {
        let (world, machine) = (NetNs::new("world"), NetNs::new("machine"));
        world.cable("to-machine", &machine, "eth0");
        Self { world, machine }
    }

    /// The machine has a private address, which the cloud translates to a public one.
    fn with_v4(self) -> Self {
        self.world.ip("address add 10.126.5.1/24 dev to-machine");
        self.world.ip("address add 169.254.169.254/32 dev lo");
        // Test packets return to the registry only at an address that the internet can reach.
        self.world.ip("address add 36.68.240.1/32 dev lo");
        self.machine.ip("address add 10.126.5.7/24 dev eth0");
        self.machine.ip("route add default via 10.126.5.1");
        self.world.ip("route add 36.68.243.0/24 via 10.126.5.7");
        self.world.sh("nft add table ip cloud && \
             nft 'add chain ip cloud out { type nat hook output priority -100; }' && \
             nft add rule ip cloud out ip daddr 36.68.243.0/24 dnat to 10.126.5.7");
        self
    }

    /// The machine has its public address itself, as is usual with IPv6.
    fn with_v6(self) -> Self {
        self.world.ip("address add 2600:1f18::1/64 dev to-machine nodad");
        self.world.ip("address add fd00:ec2::254/128 dev lo nodad");
        self.machine.ip(&format!("address add {PUBLIC_V6}/64 dev eth0 nodad"));
        self.machine.ip("route add default via 2600:1f18::1");
        self
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.machine.command(PROGRAM).args(arguments).env_remove("RUST_LOG").output().unwrap()
    }

    fn detect(&self, arguments: &[&str]) -> Found {
        let began = Instant::now();
        let output = self.run(&[&["detect", "--json"], arguments].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        let document = serde_json::from_slice(&output.stdout).expect(&error);
        Found { code: output.status.code(), document, error, took: began.elapsed() }
    }

    /// A registry in the world, once it answers; its test packets prove the addresses.
    fn registry(&self, home: &Path, listen: &[&str]) -> Process {
        let data = home.join("registry.sqlite");
        let mut command = self.world.command(PROGRAM);
        command.args(["registry", "--listen", &listen.join(","), "--supervised", "--data"]).arg(data);
        let registry = Process::spawn(&mut command);
        registry.wait_for("the registry starts", |event| event["event"] == "ready");
        registry
    }

    /// The addresses that the registry lists: `mixHost` and `mixHosts`.
    fn listed(&self) -> Vec<(String, Vec<String>)> {
        let topology: Value = self.world.inside(|| {
            let mut stream = TcpStream::connect(REGISTRY).unwrap();
            write!(stream, "GET /api/mixmining/topology HTTP/1.0\r\nHost: {REGISTRY}\r\n\r\n").unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap()
        });
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let hosts = |mix: &Value| mix["mixHosts"].as_array().into_iter().flatten().map(text).collect();
        topology["mixNodes"].as_array().unwrap().iter().map(|mix| (text(&mix["mixHost"]), hosts(mix))).collect()
    }

    #[track_caller]
    fn wait_until_listed(&self, first: &str, all: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        let expected = [(first.to_owned(), all.iter().map(|host| (*host).to_owned()).collect())];
        while self.listed() != expected {
            assert!(Instant::now() < deadline, "{:?} is not {expected:?}", self.listed());
            pause(Duration::from_millis(50));
        }
    }

    /// Node in the machine without address settings.
    fn node(&self, home: &Path, cloud: &str) -> Process {
        let home = home.to_str().unwrap();
        let node = ["--home", home, "--id", "mix", "--cloud", cloud];
        let directory = format!("http://{REGISTRY}");
        let made = self.run(&[&["init", "--layer", "1", "--validator", &directory], &node[..]].concat());
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let said = String::from_utf8(made.stdout).unwrap();
        assert!(said.contains(&format!("address: {PUBLIC_V4}:1789 ({cloud} metadata: ")), "{said}");
        let mut command = self.machine.command(PROGRAM);
        command.args(["run", "--supervised", "--shutdown-linger", "0s"]).args(node);
        let node = Process::spawn(&mut command);
        node.wait_for("the node is registered", |event| event["status"]["registered"] == true);
        node
    }
}

struct Found {
    code: Option<i32>,
    document: Value,
    error: String,
    took: Duration,
}

impl Found {
    /// Each announced address with its source.
    fn announced(&self) -> Vec<(&str, &str)> {
        let all = self.document["announce"].as_array().unwrap();
        all.iter().map(|one| (one["address"].as_str().unwrap(), one["source"].as_str().unwrap())).collect()
    }

    #[track_caller]
    fn finds_nothing_but_prints(&self, words: &[&str]) {
        assert_eq!(self.announced(), [], "{}", self.document);
        assert_eq!(self.code, Some(69), "{}", self.error);
        assert_eq!(self.error.lines().count(), 1, "{}", self.error);
        for word in [words, &["--announce-host"]].concat() {
            assert!(self.error.contains(word), "{word:?} is not in: {}", self.error);
        }
    }
}

fn dual() -> Answers {
    Answers { public_v4: Some(PUBLIC_V4), public_v6: Some(PUBLIC_V6), ..Answers::default() }
}

fn v4_only() -> Answers {
    Answers { public_v4: Some(PUBLIC_V4), ..Answers::default() }
}

/// Checks that a node that knows only its cloud registers at its public address, and that a packet sent there arrives.
fn a_node_is_reached_at_its_public_addresses(cloud: &str) {
    let place = Place::new().with_v4().with_v6();
    Metadata::serve(|at| place.world.listen(at), &[METADATA_V4, METADATA_V6], dual());
    let home = tempfile::tempdir().unwrap();
    let _registry = place.registry(home.path(), &[REGISTRY, REGISTRY_V6]);
    let node = place.node(home.path(), cloud);
    let (v4, v6) = (format!("{PUBLIC_V4}:1789"), format!("[{PUBLIC_V6}]:1789"));
    place.wait_until_listed(&v4, &[&v4, &v6]);

    let key = sphinx_key(home.path());
    for (number, address) in [v4, v6].iter().enumerate() {
        let to: SocketAddr = address.parse().unwrap();
        // To an address that is not listed, so that the node drops it: test packets of the registry arrive too.
        let packet = packet_via(&hop(to, key), "192.0.2.1:1789".parse().unwrap(), Duration::ZERO, ACK);
        place.world.inside(|| TcpStream::connect(to).unwrap().write_all(&packet).unwrap());
        node.wait_for("the packet arrives", |event| event["status"]["dropped"]["next_hop_refused"] == number + 1);
    }
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn a_node_on_aws_is_reached_at_its_public_addresses() {
    a_node_is_reached_at_its_public_addresses("aws");
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn a_node_on_gcp_is_reached_at_its_public_addresses() {
    a_node_is_reached_at_its_public_addresses("gcp");
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn the_public_address_cannot_be_bound_and_the_private_one_not_announced() {
    let place = Place::new().with_v4();
    let home = tempfile::tempdir().unwrap();
    let node = ["--home", home.path().to_str().unwrap(), "--id", "mix"];
    let init = ["init", "--layer", "1", "--validator", "http://127.0.0.1:9"];
    let wrong = place.run(&[&init[..], &node, &["--host", "10.126.5.7", "--announce-host", "10.126.5.7"]].concat());
    let error = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(64), "{error}");
    assert!(error.contains("is a private address") && error.contains("--announce-host"), "{error}");

    assert!(place.run(&[&init[..], &node, &["--host", PUBLIC_V4]].concat()).status.success());
    let wrong = place.run(&[&["run"], &node[..]].concat());
    let error = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(69), "{error}");
    for word in ["AddrNotAvailable", "--host", "--announce-host 36.68.243.18"] {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn an_address_that_the_machine_is_about_to_have_is_bound() {
    let place = Place::new();
    // Asks the link about a new address for longer than this test takes.
    place.machine.sh("sysctl -qw net.ipv6.conf.eth0.accept_dad=1 net.ipv6.conf.eth0.dad_transmits=600");
    place.machine.ip(&format!("address add {PUBLIC_V6}/64 dev eth0"));
    let home = tempfile::tempdir().unwrap();
    let mut command = place.machine.command(PROGRAM);
    command.args(["registry", "--listen", &format!("[{PUBLIC_V6}]:8081"), "--supervised", "--data"]);
    let registry = Process::spawn(command.arg(home.path().join("registry.sqlite")));
    registry.wait_for("the registry starts", |event| event["event"] == "ready");
    let tentative = place.machine.command("ip").args(["-6", "address", "show", "tentative"]).output().unwrap();
    let tentative = String::from_utf8(tentative.stdout).unwrap();
    assert!(tentative.contains(PUBLIC_V6), "the address came too soon to test anything: {tentative}");
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn a_changed_address_is_registered_and_a_silent_service_changes_nothing() {
    let place = Place::new().with_v4();
    let metadata = Metadata::serve(|at| place.world.listen(at), &[METADATA_V4], v4_only());
    let home = tempfile::tempdir().unwrap();
    let _registry = place.registry(home.path(), &[REGISTRY]);
    let node = place.node(home.path(), "aws");
    place.wait_until_listed("36.68.243.18:1789", &[]);

    metadata.change(|answers| answers.public_v4 = Some("36.68.243.19"));
    node.signal(Signal::HUP);
    place.wait_until_listed("36.68.243.19:1789", &[]);
    node.wait_for("the change is counted", |event| event["status"]["announce_changes"] == 1);
    let told = "36.68.243.18:1789 (aws metadata: public-ipv4) → 36.68.243.19:1789 (aws metadata: public-ipv4)";
    node.log_with(told);

    for mood in [Mood::Html, Mood::Hangs] {
        metadata.change(|answers| answers.mood = mood);
        let warned =
            || node.log().iter().filter(|line| line.contains("Cannot detect all announce addresses: aws")).count();
        let before = warned();
        node.signal(Signal::HUP);
        let deadline = Instant::now() + PATIENCE;
        while warned() == before {
            assert!(Instant::now() < deadline, "{:#?}", node.log());
            pause(Duration::from_millis(50));
        }
        place.wait_until_listed("36.68.243.19:1789", &[]);
        assert_eq!(node.event()["status"]["announce_changes"], 1);
    }
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn every_address_names_its_source() {
    let place = Place::new().with_v4().with_v6();
    Metadata::serve(|at| place.world.listen(at), &[METADATA_V4, METADATA_V6], dual());
    let (v4, v6) = ("36.68.243.18:1789", "[2600:1f18::7]:1789");
    let found = place.detect(&["--cloud", "aws"]);
    assert_eq!(found.announced(), [(v4, "aws metadata: public-ipv4"), (v6, "aws metadata: ipv6s")]);
    assert_eq!(found.document["bind"][0]["address"], "[::]:1789");
    let found = place.detect(&["--cloud", "gcp"]);
    assert_eq!(found.announced(), [(v4, "gcp metadata: external-ip"), (v6, "gcp metadata: ipv6s")]);
    let found = place.detect(&["--cloud", "none"]);
    assert_eq!(found.announced(), [(v6, "local interface: eth0")]);

    let text = place.run(&["detect", "--cloud", "aws", "--explain"]);
    let text = String::from_utf8(text.stdout).unwrap();
    for line in
        ["bind      [::]:1789 (default: ", "announce  36.68.243.18:1789 (aws metadata: public-ipv4)", "token from"]
    {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn only_families_that_are_listened_on_are_announced() {
    let place = Place::new().with_v4();
    place.world.ip("address add fd00::1/64 dev to-machine nodad");
    place.machine.ip("address add fd00::2/64 dev eth0 nodad");
    for (listen, expected) in
        [("0.0.0.0:1790", &["10.126.5.7:1790"][..]), ("[::]:1790", &["10.126.5.7:1790", "[fd00::2]:1790"])]
    {
        let private = ["--cloud", "none", "--allow-private"];
        let found = place.detect(&[&private[..], &["--listen-addresses", listen]].concat());
        let addresses: Vec<_> = found.announced().into_iter().map(|(address, _)| address).collect();
        assert_eq!(addresses, expected, "{}", found.document);
        let home = tempfile::tempdir().unwrap();
        let init = ["init", "--id", "mix", "--home", home.path().to_str().unwrap(), "--layer", "1", "--host", listen];
        let said = String::from_utf8(place.run(&[&init[..], &private].concat()).stdout).unwrap();
        assert_eq!(said.matches("socket address: ").count(), expected.len(), "{said}");
    }
}

/// The form of a document: its keys, and the kinds of its values.
fn form(value: &Value) -> Value {
    match value {
        Value::Object(entries) => entries.iter().map(|(key, value)| (key.clone(), form(value))).collect(),
        // All entries of a list have one form.
        Value::Array(items) => {
            let mut forms: Vec<_> = items.iter().map(form).collect();
            forms.dedup();
            forms.into()
        }
        Value::String(_) => "text".into(),
        Value::Bool(_) => "true or false".into(),
        other => panic!("{other} has no place in it"),
    }
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn the_document_of_detect_has_the_form_that_the_documentation_promises() {
    let text = include_str!("../../docs/addresses.md");
    let example = text.split_once("```json\n").unwrap().1.split_once("```").unwrap().0;
    let promised = form(&serde_json::from_str(example).unwrap());
    let entry = serde_json::json!([{ "family": "text", "address": "text", "source": "text" }]);
    let step = serde_json::json!([{ "asked": "text", "answer": "text", "failed": "true or false" }]);
    assert_eq!(promised, serde_json::json!({ "bind": entry, "announce": entry, "steps": step }));

    let place = Place::new().with_v4().with_v6();
    Metadata::serve(|at| place.world.listen(at), &[METADATA_V4, METADATA_V6], dual());
    let document = place.detect(&["--cloud", "aws"]).document;
    assert_eq!(form(&document), promised, "{document:#}");
    let families: Vec<_> = document["announce"].as_array().unwrap().iter().map(|entry| &entry["family"]).collect();
    assert_eq!(families, ["ipv4", "ipv6"], "{document:#}");
    // Configured addresses are announced without detection.
    let written = place.detect(&["--cloud", "aws", "--announce-addresses", "36.68.243.9", "--announce-port", "80"]);
    assert_eq!(written.announced(), [("36.68.243.9:80", "--announce-addresses")]);
    assert_eq!(form(&written.document), promised, "{:#}", written.document);
    assert_eq!(written.document["steps"].as_array().unwrap().len(), 1);
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn a_machine_with_ipv6_alone_asks_over_ipv6() {
    let place = Place::new().with_v6();
    let answers = Answers { public_v6: Some(PUBLIC_V6), ..Answers::default() };
    Metadata::serve(|at| place.world.listen(at), &[METADATA_V6], answers);
    let found = place.detect(&["--cloud", "aws"]);
    assert_eq!(found.announced(), [("[2600:1f18::7]:1789", "aws metadata: ipv6s")], "{}", found.document);
    // Google's service has IPv4 alone; the address is on the interface, and the refusal costs no time.
    let found = place.detect(&["--cloud", "gcp"]);
    assert_eq!(found.announced(), [("[2600:1f18::7]:1789", "local interface: eth0")], "{}", found.document);
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn a_machine_with_ipv4_alone_binds_and_announces_ipv4() {
    let place = Place::new().with_v4();
    place.machine.sh("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6");
    Metadata::serve(|at| place.world.listen(at), &[METADATA_V4], v4_only());
    for (cloud, source) in [("aws", "aws metadata: public-ipv4"), ("gcp", "gcp metadata: external-ip")] {
        let found = place.detect(&["--cloud", cloud]);
        assert_eq!(found.announced(), [("36.68.243.18:1789", source)], "{}", found.document);
    }
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn without_a_network_one_line_says_what_was_tried() {
    let machine = NetNs::new("alone");
    let place = Place { world: NetNs::new("nowhere"), machine };
    for cloud in ["aws", "gcp"] {
        let found = place.detect(&["--cloud", cloud]);
        found.finds_nothing_but_prints(&[&format!("{cloud} metadata: "), "local interface: lo has 127.0.0.1"]);
    }
    let found = place.detect(&["--cloud", "none"]);
    found.finds_nothing_but_prints(&["cloud: none, as configured"]);
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn a_hop_limit_of_one_is_a_time_out_that_is_explained() {
    let place = Place { world: NetNs::new("world"), machine: NetNs::new("container") };
    let host = NetNs::new("host");
    place.world.cable("to-host", &host, "eth0");
    host.cable("bridge", &place.machine, "eth0");
    place.world.ip("address add 10.126.5.1/24 dev to-host");
    place.world.ip("address add 169.254.169.254/32 dev lo");
    place.world.ip("route add 172.17.0.0/24 via 10.126.5.7");
    host.ip("address add 10.126.5.7/24 dev eth0");
    host.ip("address add 172.17.0.1/24 dev bridge");
    host.ip("route add default via 10.126.5.1");
    host.sh("echo 1 > /proc/sys/net/ipv4/ip_forward");
    place.machine.ip("address add 172.17.0.2/24 dev eth0");
    place.machine.ip("route add default via 172.17.0.1");
    Metadata::serve(|at| place.world.listen(at), &[METADATA_V4], v4_only());
    // The instance itself is near enough, and so is the container with a limit of 2.
    place.world.sh("echo 2 > /proc/sys/net/ipv4/ip_default_ttl");
    assert_eq!(place.detect(&["--cloud", "aws"]).announced().len(), 1);
    place.world.sh("echo 1 > /proc/sys/net/ipv4/ip_default_ttl");
    place.detect(&["--cloud", "aws"]).finds_nothing_but_prints(&["no answer within", "hop limit"]);
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn a_service_that_is_not_well_is_told_and_not_believed() {
    let place = Place::new().with_v4();
    let metadata = Metadata::serve(|at| place.world.listen(at), &[METADATA_V4], v4_only());
    for cloud in ["aws", "gcp"] {
        for (mood, words) in [
            (Mood::Hangs, "no answer within 2s"),
            (Mood::Megabyte, "more than 64 KiB"),
            (Mood::Html, if cloud == "aws" { "no token" } else { "lacks \"Metadata-Flavor: Google\"" }),
            (Mood::Busy(100), "HTTP 503 Service Unavailable, 4 times"),
        ] {
            metadata.change(|answers| answers.mood = mood);
            let found = place.detect(&["--cloud", cloud]);
            found.finds_nothing_but_prints(&[words]);
            assert!(found.took < Duration::from_secs(20), "{:?}", found.took);
        }
        metadata.change(|answers| answers.mood = Mood::Busy(3));
        let found = place.detect(&["--cloud", cloud]);
        assert_eq!(found.announced().len(), 1, "{}", found.document);
    }
}
