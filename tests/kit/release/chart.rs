//! The chart of a release: packaged and pushed to an OCI registry by the scripts of the release workflow, and installed from
//! there. The signature needs the identity of a workflow, so it is not part of the rehearsal.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::http;
use crate::image;
use crate::part::{part, root};
use crate::telemetry::process::{Process, free_port};

/// A version that is none of the sources.
const VERSION: &str = "7.8.9-rc.1";

fn make(arguments: &[&str]) -> Output {
    Command::new("make")
        .arg("--silent")
        .args(arguments)
        .env("HELM", part("helm"))
        .current_dir(root())
        .output()
        .expect("make")
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(part(program)).args(arguments).output().expect(program);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Packages the chart and returns its path.
fn package(image: &str, dist: &Path) -> String {
    let dist = format!("DIST={}", dist.display());
    let (image, version) = (format!("IMAGE={image}"), format!("VERSION={VERSION}"));
    let made = make(&["chart", &image, "REPOSITORY=Owner/mixnet", &dist, &version]);
    assert!(made.status.success(), "{}", text(&made));
    String::from_utf8_lossy(&made.stdout).trim().to_owned()
}

#[test]
fn image_and_chart_are_pushed_and_the_chart_installs_that_image() {
    let scratch = tempfile::tempdir().expect("a directory");
    let host = format!("127.0.0.1:{}", free_port());
    let mut registry = Process::start("registry", &part("crane"), scratch.path(), |command| {
        command.args(["registry", "serve", "--address", &host]);
    });
    registry.wait_for(&format!("http://{host}/v2/"));
    let image = format!("{host}/owner/mixnet");
    let archive = image::archive().display().to_string();
    run("crane", &["push", "--insecure", &archive, &format!("{image}:{VERSION}")]);

    let package = package(&image, scratch.path());
    says_where_it_comes_from(&run("helm", &["show", "chart", &package]), &image);
    let (charts, package) = (format!("CHARTS={host}/owner/charts"), format!("PACKAGE={package}"));
    let push = ["push-chart", &package, &charts, "HELM_FLAGS=--plain-http"];
    let pushed = make(&push);
    assert!(pushed.status.success(), "{}", text(&pushed));
    let pushed = String::from_utf8_lossy(&pushed.stdout).trim().to_owned();
    let (name, digest) = pushed.split_once('@').expect("a digest");
    let version = run("helm", &["show", "chart", &format!("oci://{name}"), "--plain-http"]);
    let version = version.lines().find_map(|line| line.strip_prefix("version: ")).expect("a version");
    assert_eq!(run("crane", &["digest", "--insecure", &format!("{name}:{version}")]), digest);

    a_version_is_never_replaced(&image, &charts, &pushed, scratch.path());
    let flags = ["--plain-http", "--version", version, "--set", "directory.url=http://directory"];
    let rendered = run("helm", &[&["template", "mix", &format!("oci://{name}")], &flags[..]].concat());
    let used = rendered.lines().find_map(|line| line.trim().strip_prefix("image: ")).expect("an image");
    assert_eq!(used.trim_matches('"'), format!("{image}:{VERSION}"));
    run("crane", &["digest", "--insecure", used.trim_matches('"')]);
    assert!(http::get(&format!("http://{host}/v2/owner/charts/nym-mixnode/tags/list")).is_some());
}

/// A run after a failed signature finds the published chart; other content of the same version is refused.
fn a_version_is_never_replaced(image: &str, charts: &str, pushed: &str, scratch: &Path) {
    let push = |image: &str, folder: &str| {
        let package = format!("PACKAGE={}", package(image, &scratch.join(folder)));
        make(&["push-chart", &package, charts, "HELM_FLAGS=--plain-http"])
    };
    let again = push(image, "again");
    assert!(again.status.success(), "{}", text(&again));
    assert_eq!(String::from_utf8_lossy(&again.stdout).trim(), pushed);
    let other = push(&format!("{image}-other"), "other");
    assert!(!other.status.success() && text(&other).contains("with other content"), "{}", text(&other));
    assert!(text(&other).contains(&format!("repository: {image}-other")), "the difference: {}", text(&other));
}

#[test]
fn a_registry_that_cannot_be_asked_gets_no_chart() {
    let scratch = tempfile::tempdir().expect("a directory");
    let host = format!("127.0.0.1:{}", free_port());
    let package = format!("PACKAGE={}", package(&format!("{host}/owner/mixnet"), scratch.path()));
    // Nothing listens there.
    let refused = make(&["push-chart", &package, &format!("CHARTS={host}/charts"), "HELM_FLAGS=--plain-http"]);
    assert!(!refused.status.success() && text(&refused).contains("cannot look up version"), "{}", text(&refused));
    let (address, requests) = registry_without_permissions();
    let refused = make(&["push-chart", &package, &format!("CHARTS={address}/charts"), "HELM_FLAGS=--plain-http"]);
    assert!(!refused.status.success() && text(&refused).contains("cannot look up version"), "{}", text(&refused));
    let requests: Vec<_> = requests.try_iter().collect();
    assert!(!requests.is_empty());
    assert!(requests.iter().all(|line| line.starts_with("GET ") || line.starts_with("HEAD ")), "{requests:?}");
}

/// A registry that answers all requests with 403; and the first lines of the requests.
fn registry_without_permissions() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, requests) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let head = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<_> = head.take_while(|line| !line.is_empty()).collect();
            let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            (&stream).write_all(answer.as_bytes()).ok();
            if let Some(line) = head.into_iter().next()
                && sender.send(line).is_err()
            {
                return;
            }
        }
    });
    (address, requests)
}

/// What Artifact Hub shows about the chart.
fn says_where_it_comes_from(about: &str, image: &str) {
    for line in [
        "home: https://github.com/Owner/mixnet",
        "- https://github.com/Owner/mixnet",
        "artifacthub.io/prerelease: \"true\"",
        "artifacthub.io/changes: |",
        &format!("appVersion: {VERSION}"),
        &format!("image: \"{image}:{VERSION}\""),
    ] {
        assert!(about.contains(line), "no {line} in {about}");
    }
    let icon = about.lines().find_map(|line| line.strip_prefix("icon: ")).expect("an icon");
    let (_, path) = icon.split_once(&format!("/v{VERSION}/")).expect("the tag of the release");
    assert!(root().join(path).is_file(), "{path}");
}

#[test]
fn a_chart_needs_the_name_of_its_image() {
    let scratch = tempfile::tempdir().expect("a directory");
    let dist = format!("DIST={}", scratch.path().display());
    let made = make(&["chart", "IMAGE=", "REPOSITORY=Owner/mixnet", &dist]);
    assert!(!made.status.success() && text(&made).contains("is not the name of an image"), "{}", text(&made));
    assert_eq!(fs::read_dir(scratch.path()).expect("a directory").count(), 0);
}
