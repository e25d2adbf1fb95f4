//! A registry with TLS, its nodes and commands, with certificates that the tests make.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nym_mixnode_directory::{Client, ClientLimits, Directory, DirectoryError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use url::Url;

use super::process::{NodeFiles, RegistryProcess, eventually, own_address, program};
use super::support::PATIENCE;

/// Files of a private authority and of a registry that it certifies.
struct Pki {
    dir: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
    address: SocketAddr,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pki = Self { dir: tempfile::tempdir().unwrap(), ca, address: own_address() };
        fs::write(pki.path("ca.crt"), pki.ca.pem()).unwrap();
        pki.renew(2120);
        pki
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes another certificate, valid until this year, and its key.
    fn renew(&self, until: i32) {
        let mut params = CertificateParams::new([self.address.ip().to_string()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        fs::write(self.path("tls.crt"), params.signed_by(&key, &self.ca).unwrap().pem()).unwrap();
        fs::write(self.path("tls.key"), key.serialize_pem()).unwrap();
        fs::set_permissions(self.path("tls.key"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    async fn registry(&self) -> RegistryProcess {
        let (certificate, key) = (self.text("tls.crt"), self.text("tls.key"));
        let flags = ["--tls-certificate", &certificate, "--tls-key", &key];
        RegistryProcess::start_with(self.address, &self.path("registry.sqlite"), &flags).await
    }

    fn client(&self, url: &Url) -> Client {
        Client::trusting(Some(&self.path("ca.crt")), url, url, ClientLimits::default()).unwrap()
    }
}

/// Exit code and output of a command.
async fn output(arguments: &[&str]) -> (Option<i32>, String) {
    let output = program(arguments).output().await.unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// A connection to the registry with TLS, trusting `ca`.
fn tls(address: SocketAddr, ca: &Pki) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.ca.der().clone()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.into()).with_safe_default_protocol_versions();
    let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    let connection = rustls::ClientConnection::new(Arc::new(config), address.ip().into()).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    rustls::StreamOwned::new(connection, stream)
}

/// Sends a request that keeps the connection open, and returns the status line.
fn ask(stream: &mut (impl Read + Write), address: SocketAddr) -> String {
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let mut status = String::new();
    reader.read_line(&mut status).unwrap();
    let mut line = String::new();
    while !line.ends_with('}') {
        let read = reader.fill_buf().unwrap().to_vec();
        assert!(!read.is_empty(), "the response ends early: {line}");
        reader.consume(read.len());
        line.push_str(&String::from_utf8(read).unwrap());
    }
    status
}

#[tokio::test]
async fn nodes_and_commands_use_a_registry_with_tls_of_a_private_authority() {
    let pki = Pki::new();
    let registry = pki.registry().await;
    let (url, ca) = (registry.url(), pki.text("ca.crt"));
    assert_eq!(url.scheme(), "https");
    let trusting = ["--directory-ca-file", ca.as_str()];
    let files = NodeFiles::init_with(&url, &trusting).await;
    let mut node = files.run(&[]);
    node.registered().await;
    let topology = pki.client(&url).topology().await.unwrap();
    assert!(topology.mix(&files.identity()).is_some());

    let health = ["health", "--directory", url.as_str()];
    assert_eq!(output(&[&health[..], &trusting].concat()).await, (Some(0), "ready\n".to_owned()));
    let doctor = ["doctor", "--home", files.root(), "--id", "mix", "--json"];
    let (_, report) = output(&doctor).await;
    assert!(report.contains("lists 1 mixnode") && report.contains("the directory's"), "{report}");

    // Without the file the error names the flag.
    let (code, line) = output(&health).await;
    assert!(code == Some(1) && line.contains("--directory-ca-file") && line.lines().count() == 1, "{code:?} {line}");
    let mut by_variable = program(&health);
    let by_variable = by_variable.env("NYM_MIXNODE_DIRECTORY_CA_FILE", &ca).output().await.unwrap();
    assert!(by_variable.status.success(), "{by_variable:?}");

    let (page, address) = (reqwest_of(&pki), url.join("join").unwrap());
    let page = page.get(address).send().await.unwrap().text().await.unwrap();
    let command = format!("--validator https://{}", registry.address);
    assert!(page.contains(&command) && page.contains("--directory-ca-file") && !page.contains("http://1"), "{page}");

    let token = pki.text("monitor.token");
    let identity = files.identity();
    let remove = ["registry", "remove", &identity, "--directory", url.as_str(), "--monitor-token-file", &token];
    let (code, line) = output(&[&remove[..], &trusting].concat()).await;
    assert_eq!(code, Some(0), "{line}");
}

fn reqwest_of(pki: &Pki) -> reqwest::Client {
    let ca = reqwest::Certificate::from_pem(pki.ca.pem().as_bytes()).unwrap();
    reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap()
}

#[tokio::test]
async fn each_failure_of_tls_is_an_error_that_says_what_to_do() {
    let pki = Pki::new();
    let registry = pki.registry().await;
    let error_of = async |ca: &Path, url: &Url| {
        let client = Client::trusting(Some(ca), url, url, ClientLimits::default()).unwrap();
        client.topology().await.unwrap_err()
    };
    let other = Pki::new();
    let error = error_of(&other.path("ca.crt"), &registry.url()).await;
    assert!(matches!(&error, DirectoryError::Tls { .. }) && error.to_string().contains("ca_file"), "{error}");
    assert!(error.is_transient() && error.exit_code().code() == 69);
    // HTTP to a port with TLS, and the other way round.
    let plain = Url::parse(&format!("http://{}/", registry.address)).unwrap();
    let error = error_of(&pki.path("ca.crt"), &plain).await;
    assert!(matches!(&error, DirectoryError::Refused { status: 421, .. }), "{error}");
    assert!(error.to_string().contains("https://"), "{error}");
    let without = RegistryProcess::start(&pki.path("other.sqlite")).await;
    let error = error_of(&pki.path("ca.crt"), &Url::parse(&format!("https://{}/", without.address)).unwrap()).await;
    assert!(matches!(&error, DirectoryError::Tls { .. }) && error.to_string().contains("http://"), "{error}");
}

#[tokio::test]
async fn a_renewed_certificate_is_used_while_connections_are_open_and_an_expired_one_is_refused_by_clients() {
    let pki = Pki::new();
    let registry = pki.registry().await;
    let address = registry.address;
    let mut open = tls(address, &pki);
    assert!(ask(&mut open, address).starts_with("HTTP/1.1 200 "));
    let first = open.conn.peer_certificates().unwrap().to_vec();

    // A bad pair changes nothing.
    let key = fs::read(pki.path("tls.key")).unwrap();
    fs::write(pki.path("tls.key"), "no key").unwrap();
    fs::write(pki.path("tls.key"), key).unwrap();
    pki.renew(2121);
    eventually("the new certificate is used", async || {
        let mut new = tls(address, &pki);
        assert!(ask(&mut new, address).starts_with("HTTP/1.1 200 "));
        (new.conn.peer_certificates().unwrap() != first.as_slice()).then_some(())
    })
    .await;

    pki.renew(2001);
    let client = pki.client(&registry.url());
    let error = eventually("the expired certificate is used", async || client.topology().await.err()).await;
    assert!(matches!(&error, DirectoryError::Tls { .. }) && error.to_string().contains("expired"), "{error}");
}

#[tokio::test]
async fn a_registry_without_a_usable_pair_does_not_start() {
    let pki = Pki::new();
    let (certificate, key, ca) = (pki.text("tls.crt"), pki.text("tls.key"), pki.text("ca.crt"));
    fs::set_permissions(&certificate, fs::Permissions::from_mode(0o644)).unwrap();
    let (missing, store) = (pki.text("missing"), pki.text("registry.sqlite"));
    let start = async |certificate: &str, key: &str| {
        let listen = ["registry", "--listen", "127.0.0.1:0", "--data", &store];
        output(&[&listen[..], &["--tls-certificate", certificate, "--tls-key", key]].concat()).await
    };
    for (certificate, key, code, named) in [
        (missing.as_str(), key.as_str(), 78, missing.as_str()),
        (&certificate, &missing, 78, &missing),
        (&ca, &key, 78, &ca),
        (&key, &key, 65, &key),
        (&certificate, &certificate, 77, "chmod 600"),
    ] {
        let (found, line) = start(certificate, key).await;
        assert!(found == Some(code) && line.contains(named) && line.lines().count() == 1, "{found:?}: {line}");
    }
    assert!(!pki.path("registry.sqlite").exists(), "the store is created only afterwards");
}
