//! Announce addresses in Kubernetes: a pod in a namespace of its own asks an API server over TLS, whose certificate
//! the cluster's CA has signed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::netns::NetNs;
use super::program::{PROGRAM, Process, pause};
use super::support::PATIENCE;

const API_SERVER: &str = "10.96.0.1";
/// Name of the same server that is not in its certificate.
const ANOTHER_NAME: &str = "10.96.0.2";
const DIRECTORY: &str = "127.0.0.1:8081";
const HTTP: &str = "127.0.0.1:8000";
const TOKEN: &str = "the-pods-token";
/// In no certain order, as a name server gives them.
const HOSTS: &str = "127.0.0.1 localhost\n36.68.243.20 lb.example\n36.68.243.18 lb.example\n2600:1f18::7 lb.example\n";

/// An API server that knows one Node and one Service.
struct ApiServer {
    ca: String,
    ingress: Arc<Mutex<Value>>,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl ApiServer {
    fn serve(netns: &NetNs) -> Self {
        let (ca, key) = (authority(), KeyPair::generate().unwrap());
        let params = CertificateParams::new([API_SERVER.to_owned(), "kubernetes.default.svc".to_owned()]).unwrap();
        let chain = vec![params.signed_by(&key, &ca).unwrap().der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let config = ServerConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions();
        let config = Arc::new(config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap());
        let ingress = Arc::new(Mutex::new(json!([])));
        for address in [API_SERVER, ANOTHER_NAME] {
            let listener = netns.inside(|| TcpListener::bind((address, 443)).unwrap());
            let (config, ingress) = (Arc::clone(&config), Arc::clone(&ingress));
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                    // Clients that do not trust the certificate disconnect.
                    answer(StreamOwned::new(connection, stream), &ingress.lock().unwrap()).ok();
                }
            });
        }
        Self { ca: ca.pem(), ingress }
    }
}

fn answer(mut stream: StreamOwned<ServerConnection, TcpStream>, ingress: &Value) -> std::io::Result<()> {
    let lines = BufReader::new(&mut stream).lines();
    let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let Some(request) = head.first() else { return Ok(()) };
    let is_known = head.iter().any(|line| line.eq_ignore_ascii_case(&format!("authorization: Bearer {TOKEN}")));
    let external = |address: &str| json!({ "type": "ExternalIP", "address": address });
    let (status, body) = match request.strip_suffix(" HTTP/1.1") {
        _ if !is_known => ("401 Unauthorized", json!({})),
        Some("GET /api/v1/namespaces/nym/services/mix-0") => {
            ("200 OK", json!({ "status": { "loadBalancer": { "ingress": ingress } } }))
        }
        Some("GET /api/v1/nodes/worker-1") => {
            ("200 OK", json!({ "status": { "addresses": [external("36.68.243.21"), external("2600:1f18::21")] } }))
        }
        _ => ("404 Not Found", json!({})),
    };
    let body = body.to_string();
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// A pod: a network, a mounted service account, and names.
struct Pod {
    netns: NetNs,
    files: TempDir,
}

impl Pod {
    fn new() -> Self {
        let netns = NetNs::new("pod");
        for address in [API_SERVER, ANOTHER_NAME] {
            netns.ip(&format!("address add {address}/32 dev lo"));
        }
        let files = tempfile::tempdir().unwrap();
        fs::create_dir(files.path().join("account")).unwrap();
        fs::write(files.path().join("hosts"), HOSTS).unwrap();
        Self { netns, files }
    }

    fn mount_account(&self, ca: &str) {
        for (name, text) in [("ca.crt", ca), ("token", TOKEN), ("namespace", "nym")] {
            fs::write(self.files.path().join("account").join(name), text).unwrap();
        }
    }

    /// The program in the pod; only `ip` gives it a mount namespace of its own.
    fn command(&self, arguments: &[&str]) -> Command {
        let files = self.files.path().display();
        let line = format!(
            "mount -t tmpfs pod /run && mkdir -p /run/secrets/kubernetes.io && \
             ln -s {files}/account /run/secrets/kubernetes.io/serviceaccount && \
             mount --bind {files}/hosts /etc/hosts && exec \"$@\""
        );
        let mut command = self.netns.command("sh");
        command.args(["-c", &line, "sh", PROGRAM]).args(arguments);
        let variables = [
            ("KUBERNETES_SERVICE_HOST", API_SERVER),
            ("KUBERNETES_SERVICE_PORT", "443"),
            ("NODE_NAME", "worker-1"),
            ("NYM_MIXNODE_ANNOUNCE_SOURCE", "kubernetes-service"),
            ("NYM_MIXNODE_ANNOUNCE_SERVICE", "mix-0"),
            ("NYM_MIXNODE_ANNOUNCE_PORT", "31789"),
        ];
        command.envs(variables).env_remove("RUST_LOG");
        command
    }

    /// Output of `detect --json` with these variables.
    fn detect(&self, variables: &[(&str, &str)]) -> (Value, String) {
        let mut command = self.command(&["detect", "--json"]);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        (serde_json::from_slice(&output.stdout).expect(&error), error)
    }

    fn get(&self, address: &str, path: &str) -> (String, String) {
        self.netns.inside(|| {
            let mut stream = TcpStream::connect(address.parse::<SocketAddr>().unwrap()).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            let (head, body) = reply.split_once("\r\n\r\n").unwrap();
            (head.lines().next().unwrap().to_owned(), body.to_owned())
        })
    }

    /// Addresses listed by the directory.
    fn listed(&self) -> Vec<Value> {
        let topology: Value = serde_json::from_str(&self.get(DIRECTORY, "/api/mixmining/topology").1).unwrap();
        topology["mixNodes"].as_array().unwrap().clone()
    }

    /// A registry that admits nodes by a token, since no load balancer is here to prove an address through; and the token.
    fn registry(&self, home: &Path) -> (Process, PathBuf) {
        let (data, token) = (home.join("registry.sqlite"), home.join("join-token"));
        fs::write(&token, "a token that only nodes of this network know\n").unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        let mut command = self.netns.command(PROGRAM);
        command.args(["registry", "--listen", DIRECTORY, "--supervised", "--data"]).arg(data);
        let registry = Process::spawn(command.arg("--join-token-file").arg(&token));
        registry.wait_for("the registry starts", |event| event["event"] == "ready");
        (registry, token)
    }
}

fn addresses(document: &Value) -> Vec<&str> {
    document["announce"].as_array().unwrap().iter().map(|one| one["address"].as_str().unwrap()).collect()
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn a_load_balancer_that_comes_late_and_as_a_name_is_waited_for_and_announced_over_both_families() {
    let pod = Pod::new();
    let api = ApiServer::serve(&pod.netns);
    pod.mount_account(&api.ca);
    let (_registry, token) = pod.registry(pod.files.path());
    let home = pod.files.path().join("home");
    let run = ["run", "--init-if-missing", "--supervised", "--home", home.to_str().unwrap(), "--id", "mix"];
    let mut command = pod.command(&run);
    command.env("NYM_MIXNODE_DIRECTORY_URL", format!("http://{DIRECTORY}"));
    command.env("NYM_MIXNODE_DIRECTORY_JOIN_TOKEN_FILE", token);
    command.env("NYM_MIXNODE_HTTP_LISTEN", HTTP).env("NYM_MIXNODE_NODE_LAYER", "1");
    let node = Process::spawn(&mut command);
    node.wait_for("the node mixes", |event| event["event"] == "status");
    let waiting = "kubernetes: Service ingress: nothing yet: the load balancer has no address";
    let (code, words) = pod.get(HTTP, "/readyz");
    assert_eq!(code, "HTTP/1.1 503 Service Unavailable", "{words}");
    assert!(words.contains(waiting) && words.lines().count() == 1, "{words}");
    node.log_with(&format!("Waiting for an address to announce: {waiting}"));
    assert_eq!(pod.listed(), [] as [Value; 0], "nobody could reach it");
    let doctor =
        pod.command(&["doctor", "--no-probe", "--home", home.to_str().unwrap(), "--id", "mix"]).output().unwrap();
    let words = String::from_utf8(doctor.stdout).unwrap();
    assert!(words.contains(&format!("warning  announce       no address yet: {waiting}")), "{words}");

    *api.ingress.lock().unwrap() = json!([{ "hostname": "lb.example" }]);
    node.wait_for("the node is registered", |event| event["status"]["registered"] == true);
    let listed = pod.listed();
    let all = ["36.68.243.18:31789", "[2600:1f18::7]:31789"];
    assert_eq!((listed.len(), &listed[0]["mixHost"], &listed[0]["mixHosts"]), (1, &json!(all[0]), &json!(all)));
    let deadline = Instant::now() + PATIENCE;
    while !pod.get(HTTP, "/readyz").0.contains("200 OK") {
        assert!(Instant::now() < deadline, "{:?}", pod.get(HTTP, "/readyz"));
        pause(Duration::from_millis(50));
    }
    let status: Value = serde_json::from_str(&pod.get(HTTP, "/status").1).unwrap();
    assert_eq!(addresses(&status), all);
    assert_eq!(status["announce"][1]["source"], "kubernetes: Service ingress lb.example");
    assert_eq!(node.event()["status"]["announce_changes"], 0, "a beginning is no change");
}

#[test]
#[ignore = "needs root and network namespaces: `make kit`"]
fn the_api_server_must_have_the_clusters_certificate_for_the_name_that_is_asked() {
    let pod = Pod::new();
    let api = ApiServer::serve(&pod.netns);
    *api.ingress.lock().unwrap() = json!([{ "ip": "36.68.243.19" }]);
    pod.mount_account(&api.ca);
    let (document, error) = pod.detect(&[]);
    assert_eq!(addresses(&document), ["36.68.243.19:31789"], "{error}");
    let (document, error) = pod.detect(&[("NYM_MIXNODE_ANNOUNCE_SOURCE", "kubernetes-node")]);
    assert_eq!(addresses(&document), ["36.68.243.21:31789", "[2600:1f18::21]:31789"], "{error}");

    let (document, error) = pod.detect(&[("KUBERNETES_SERVICE_HOST", ANOTHER_NAME)]);
    assert_eq!(addresses(&document), [""; 0], "{document:#}");
    assert!(error.contains("certificate"), "{error}");
    pod.mount_account(&authority().pem());
    let (document, error) = pod.detect(&[]);
    assert_eq!(addresses(&document), [""; 0], "{document:#}");
    assert!(error.contains("certificate"), "{error}");
    fs::remove_file(pod.files.path().join("account/token")).unwrap();
    let (_, error) = pod.detect(&[]);
    assert!(error.contains("token"), "{error}");
}
