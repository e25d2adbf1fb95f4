//! The chart of a release: packaged and pushed to an OCI registry by the scripts of the release workflow, and installed from
//! there. The signature needs the identity of a workflow, so it is not part of the rehearsal.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

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

    let again = make(&push);
    assert!(!again.status.success() && text(&again).contains("has version"), "{}", text(&again));
    let flags = ["--plain-http", "--version", version, "--set", "directory.url=http://directory"];
    let rendered = run("helm", &[&["template", "mix", &format!("oci://{name}")], &flags[..]].concat());
    let used = rendered.lines().find_map(|line| line.trim().strip_prefix("image: ")).expect("an image");
    assert_eq!(used.trim_matches('"'), format!("{image}:{VERSION}"));
    run("crane", &["digest", "--insecure", used.trim_matches('"')]);
    assert!(http::get(&format!("http://{host}/v2/owner/charts/nym-mixnode/tags/list")).is_some());
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
