//! The image, built with the real engine from a clean clone.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::engine::{cache, docker, engine, output, said};
use crate::part::{part, root};

/// The tag of the image of this work tree. It is built once for all tests, and again only after a change.
pub(crate) fn built() -> &'static str {
    static TAG: OnceLock<String> = OnceLock::new();
    TAG.get_or_init(build)
}

/// The image as a tar archive, in the format of `docker save`.
pub(crate) fn archive() -> PathBuf {
    let id = docker(&["image", "inspect", "--format", "{{.Id}}", built()]);
    let folder = cache().join("images");
    fs::create_dir_all(&folder).expect("a folder in the cache");
    // The archive contains the tag: work trees with the same sources share an image, but not the archive.
    let name = format!("{}-{}", built().replace(':', "-"), id.trim_start_matches("sha256:"));
    let archive = folder.join(format!("{name}.tar"));
    if !archive.exists() {
        forget_old(&folder);
        let new = archive.with_extension(format!("{}.new", std::process::id()));
        docker(&["save", "--output", &new.to_string_lossy(), built()]);
        fs::rename(&new, &archive).expect("an archive");
    }
    archive
}

/// Deletes archives of images that were not used for a day.
fn forget_old(folder: &Path) {
    for entry in fs::read_dir(folder).expect("the cache").flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|written| written.elapsed());
        if age.is_ok_and(|age| age.is_ok_and(|age| age.as_secs() > 24 * 3600)) {
            fs::remove_file(entry.path()).ok();
        }
    }
}

fn build() -> String {
    let builder = builder();
    let clone = tempfile::tempdir().expect("a folder");
    clone_to(clone.path());
    let tag = tag();
    docker_build(clone.path(), &["--build-arg", &format!("BUILDER_IMAGE={builder}"), "--tag", &tag]);
    // What the tag named before.
    docker(&["image", "prune", "--force", "--filter", "label=org.opencontainers.image.title=nym-mixnode"]);
    tag
}

/// The tag of the image. Each work tree has its own.
pub(crate) fn tag() -> String {
    format!("nym-mixnode:kit-{:08x}", hash(root().as_os_str().as_encoded_bytes()) >> 32)
}

/// `docker build` without a network.
pub(crate) fn docker_build(context: &Path, arguments: &[&str]) {
    let mut build = engine().docker();
    build.args(["build", "--network", "none", "--progress", "plain"]).args(arguments).arg(context);
    let output = output(&mut build);
    assert!(output.status.success(), "docker build {}:\n{}", arguments.join(" "), said(&output));
}

/// A clone of the repository with the uncommitted changes of its files.
pub(crate) fn clone_to(target: &Path) {
    let run = |command: &mut Command| {
        let output = output(command);
        assert!(output.status.success(), "{command:?}: {}", said(&output));
    };
    run(Command::new("git").args(["clone", "--quiet"]).arg(root()).arg(target));
    let changes = Command::new("git").args(["diff", "--binary", "HEAD"]).current_dir(root()).output().expect("git");
    if !changes.stdout.is_empty() {
        let patch = target.join(".git/changes");
        fs::write(&patch, changes.stdout).expect("a patch");
        run(Command::new("git").args(["apply", "--whitespace=nowarn"]).arg(&patch).current_dir(target));
    }
}

/// A small Debian with the Rust toolchain of this machine.
pub(crate) fn builder_base() -> String {
    let rootfs = part("builder");
    let name = rootfs.file_stem().expect("a name").to_string_lossy().into_owned();
    let base = format!("nym-mixnode-kit/{}", name.replacen('-', ":", 1));
    if !is_there(&base) {
        let environment = "ENV PATH=/usr/local/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin CARGO_HOME=/usr/local/cargo";
        docker(&["import", "--change", environment, &rootfs.to_string_lossy(), &base]);
    }
    base
}

/// The image for the build. It contains the sources of all dependencies, because the build has no network.
pub(crate) fn builder() -> String {
    static TAG: OnceLock<String> = OnceLock::new();
    TAG.get_or_init(make_builder).clone()
}

fn make_builder() -> String {
    let base = builder_base();
    let lock = fs::read(root().join("Cargo.lock")).expect("Cargo.lock");
    let builder = format!("{base}-{:016x}", hash(&lock));
    if !is_there(&builder) {
        let context = tempfile::tempdir().expect("a folder");
        vendor(&context.path().join("cargo"));
        fs::write(context.path().join("Dockerfile"), format!("FROM {base}\nCOPY cargo /usr/local/cargo\n")).unwrap();
        docker_build(context.path(), &["--tag", &builder]);
    }
    builder
}

fn is_there(image: &str) -> bool {
    output(engine().docker().args(["image", "inspect", image])).status.success()
}

/// Writes the sources of the dependencies and a configuration that uses them to a cargo home.
fn vendor(home: &Path) {
    let mut vendor = Command::new(env!("CARGO"));
    vendor.args(["vendor", "--locked", "--versioned-dirs", "--quiet"]).arg(home.join("vendor")).current_dir(root());
    let status = vendor.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("cargo");
    assert!(status.success(), "cargo vendor");
    let configuration = "[source.crates-io]\nreplace-with = \"vendored\"\n\n\
        [source.vendored]\ndirectory = \"/usr/local/cargo/vendor\"\n\n[net]\noffline = true\n";
    fs::write(home.join("config.toml"), configuration).expect("a configuration of cargo");
    // Build scripts run again if a file is newer than their last run. These files never are.
    let touched =
        output(Command::new("find").arg(home).args(["-exec", "touch", "--no-dereference", "--date=@1", "{}", "+"]));
    assert!(touched.status.success(), "{}", said(&touched));
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn the_image_holds_one_program_and_runs_as_nobody() {
    let inspected = docker(&["image", "inspect", built()]);
    let image = &serde_json::from_str::<Value>(&inspected).expect("JSON")[0];
    let size = image["Size"].as_u64().expect("a size");
    assert!(size < 24_000_000, "{size} bytes");
    let config = &image["Config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/nym-mixnode"]));
    assert_eq!(config["Cmd"], serde_json::json!(["run"]));
    assert_eq!(config["Healthcheck"]["Test"], serde_json::json!(["CMD", "/nym-mixnode", "health"]));
    assert_eq!(config["StopSignal"], "SIGTERM");
    assert_eq!(config["Volumes"], serde_json::json!({"/var/lib/nym-mixnode": {}}));
    for label in ["title", "description", "licenses", "version", "revision"] {
        assert!(config["Labels"][format!("org.opencontainers.image.{label}")].is_string(), "{config}");
    }
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"), "ARG VERSION");
    assert_eq!(image["RootFS"]["Layers"].as_array().expect("layers").len(), 1, "{}", image["RootFS"]);
}

/// A time or an owner that the build does not set is another one in the next build. `reproducible` compares two builds.
#[test]
fn every_file_of_the_image_has_the_time_and_the_owner_that_the_build_sets() {
    let list = "tar -xOf \"$0\" \"$(tar -tf \"$0\" | grep 'layer.tar$')\" | tar --list --verbose --numeric-owner --utc --full-time";
    let listed = output(Command::new("bash").args(["-euo", "pipefail", "-c", list]).arg(archive()));
    assert!(listed.status.success(), "{}", said(&listed));
    let listed = said(&listed);
    let files: Vec<_> = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    let described: Vec<_> = files.iter().map(|file| format!("{} {} {}", file[0], file[1], file[5])).collect();
    assert_eq!(
        described,
        [
            "-rwxr-xr-x 0/0 nym-mixnode",
            "drwxr-xr-x 0/0 var/",
            "drwxr-xr-x 0/0 var/lib/",
            "drwxr-xr-x 65532/65532 var/lib/nym-mixnode/"
        ]
    );
    // SOURCE_DATE_EPOCH is 0 unless the build sets it.
    assert!(files.iter().all(|file| file[3..5] == ["1970-01-01", "00:00:00"]), "{listed}");
    let folder = tempfile::tempdir().expect("a folder");
    let program = fs::read(copy_program(folder.path())).expect("the program");
    for path in [&b"/src/target"[..], b"/src/crates"] {
        assert!(!program.windows(path.len()).any(|window| window == path), "a path of the build");
    }
}

/// Extracts the program from the image.
fn copy_program(folder: &Path) -> PathBuf {
    let name = format!("nym-mixnode-kit-copy-{}", std::process::id());
    docker(&["create", "--name", &name, built()]);
    let program = folder.join("nym-mixnode");
    let copied = output(engine().docker().args(["cp", &format!("{name}:/nym-mixnode")]).arg(&program));
    docker(&["rm", "--volumes", &name]);
    assert!(copied.status.success(), "{}", said(&copied));
    program
}

#[test]
fn the_program_needs_no_library() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = copy_program(folder.path());
    let headers = output(Command::new("readelf").args(["--wide", "--segments"]).arg(&program));
    let headers = said(&headers);
    assert!(headers.contains("LOAD") && !headers.contains("INTERP"), "{headers}");
}

/// glibc's own name resolution loads the modules of `/etc/nsswitch.conf`, and with them another version of libc.
#[test]
fn the_program_looks_names_up_without_the_machines_modules() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = copy_program(folder.path());
    for (name, text) in [
        ("nsswitch.conf", "passwd: systemd files\nhosts: mymachines resolve hesiod myhostname files dns\n"),
        ("hosts", "127.0.0.1 directory.mix.example\n"),
        ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"),
    ] {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    let script = "for file in nsswitch.conf hosts resolv.conf; do mount --bind $file /etc/$file; done; ip link set lo up; \
        for name in directory nowhere; do strace -f -qq -E HOME -e trace=openat,open,connect -o $name.trace \
        $0 probe --directory http://$name.mix.example:9 2>&1 || test $? = 69; done";
    let mut probe = Command::new("unshare");
    probe.args(["--mount", "--net", "--", "sh", "-ec", script]).arg(&program).current_dir(folder.path());
    let probed = output(&mut probe);
    assert!(
        probed.status.success() && said(&probed).matches("cannot get the topology").count() == 2,
        "{}",
        said(&probed)
    );
    let trace = |name: &str| fs::read_to_string(folder.path().join(name)).expect("a trace");
    let (listed, nowhere) = (trace("directory.trace"), trace("nowhere.trace"));
    assert!(listed.contains("sin_port=htons(9)"), "the name of /etc/hosts is found: {listed}");
    assert!(nowhere.contains("sin_port=htons(53)"), "the other one is asked for by DNS: {nowhere}");
    for line in listed.lines().chain(nowhere.lines()) {
        assert!(!line.contains(".so"), "it opens a library of the machine: {line}");
    }
}

#[test]
fn the_linter_has_nothing_to_say() {
    let output = output(Command::new(part("hadolint")).arg("Dockerfile").current_dir(root()));
    assert!(output.status.success(), "{}", said(&output));
}

/// Trivy in its own network namespace, so that it downloads nothing.
fn trivy(arguments: &[&str]) -> Value {
    let mut trivy = Command::new("unshare");
    trivy.args(["--net", "--"]).arg(part("trivy")).args(arguments).current_dir(root());
    trivy.args(["--format", "json", "--quiet", "--skip-check-update"]).env("TRIVY_CACHE_DIR", cache().join("trivy"));
    let output = output(&mut trivy);
    assert!(output.status.success(), "trivy {}: {}", arguments.join(" "), said(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_archive_names_the_image_as_this_work_tree_does() {
    let tags = Command::new("tar").arg("-xOf").arg(archive()).arg("manifest.json").output().expect("tar");
    let manifest: Value = serde_json::from_slice(&tags.stdout).expect("a manifest");
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!([tag()]), "another work tree's archive: {manifest}");
}

#[test]
fn the_scanner_finds_nothing_in_the_dockerfile_and_no_secret_in_the_image() {
    let found = trivy(&["config", "Dockerfile"]);
    let results = found["Results"].as_array().expect("results");
    let checked: u64 = results.iter().filter_map(|result| result["MisconfSummary"]["Successes"].as_u64()).sum();
    assert!(checked > 10, "{found}");
    assert!(results.iter().all(|result| result["Misconfigurations"].is_null()), "{found}");
    let archive = archive();
    let found = trivy(&[
        "image",
        "--offline-scan",
        "--skip-db-update",
        "--scanners",
        "secret",
        "--input",
        &archive.to_string_lossy(),
    ]);
    let results = found["Results"].as_array().cloned().unwrap_or_default();
    assert!(results.iter().all(|result| result["Secrets"].is_null()), "{found}");
}
