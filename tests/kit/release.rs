//! The parts of a release, made by the targets that the release workflow calls, and the workflows themselves.

mod chart;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::part::{part, root};

/// Runs a target of the Makefile.
fn make(arguments: &[&str]) -> Output {
    Command::new("make").arg("--silent").args(arguments).current_dir(root()).output().expect("make")
}

/// The output of a command that must succeed.
fn said(mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn sh(script: &str, dir: &Path) -> String {
    let mut command = Command::new("sh");
    command.args(["-ec", script]).current_dir(dir);
    said(command)
}

/// The program of the tests without debug information, because a release build and packing would take minutes.
fn binary(dir: &Path) -> String {
    let path = dir.join("program");
    let mut strip = Command::new("strip");
    strip.arg("-o").args([&path, Path::new(env!("CARGO_BIN_EXE_nym-mixnode"))]);
    said(strip);
    format!("BINARY={}", path.display())
}

fn workflows() -> Vec<(String, String)> {
    let folder = root().join(".github/workflows");
    let files = fs::read_dir(&folder).expect("workflows").map(|entry| entry.expect("an entry").path());
    let named = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    files.map(|path| (named(&path), fs::read_to_string(&path).expect("a workflow"))).collect()
}

#[test]
fn the_linter_finds_nothing_in_any_workflow() {
    let mut lint = Command::new(part("actionlint"));
    lint.arg("-shellcheck").arg(part("shellcheck")).current_dir(root());
    assert_eq!(said(lint), "");
}

#[test]
fn workflows_take_no_moving_action_and_no_right_that_they_do_not_need() {
    for (name, text) in workflows() {
        for action in text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: ")) {
            let pin = action.split_once('@').map(|(_, pin)| pin.split_once(" # v"));
            let is_pinned = matches!(pin, Some(Some((commit, _))) if commit.len() == 40);
            assert!(is_pinned || action.starts_with("./"), "{name}: {action} is pinned to no commit");
        }
        assert!(text.contains("\npermissions:\n  contents: read\n"), "{name}: rights are given job by job");
        assert!(!text.contains("pull_request_target"), "{name} would run others' code with our rights");
    }
}

#[test]
fn everybody_builds_with_the_compiler_of_the_image() {
    let dockerfile = fs::read_to_string(root().join("Dockerfile")).expect("the Dockerfile");
    let image = dockerfile.lines().find_map(|line| line.strip_prefix("ARG BUILDER_IMAGE=rust:"));
    let (version, _) = image.and_then(|tag| tag.split_once('-')).expect("a version of Rust");
    assert_eq!(version.split('.').count(), 3, "{version} is not one release");
    let mut installed = 0;
    for (name, text) in workflows() {
        let words: Vec<&str> = text.split_whitespace().collect();
        for pair in words.windows(2).filter(|pair| pair[0] == "--default-toolchain" || pair[0] == "default") {
            assert_eq!(pair[1], version, "{name}");
            installed += 1;
        }
        assert!(!text.contains("toolchain install stable"), "{name}: each release of Rust would be another compiler");
    }
    assert!(installed >= 3, "{installed}");
    let compose = fs::read_to_string(root().join("docker-compose.yml")).expect("the compose file");
    assert!(compose.contains(&format!("BUILDER_IMAGE:-rust:{version}-")));
}

/// The job of this name in a workflow.
fn job<'a>(workflow: &'a str, name: &str) -> &'a str {
    let (_, rest) = workflow.split_once(&format!("\n  {name}:\n")).unwrap_or_else(|| panic!("no job {name}"));
    let end = rest.match_indices("\n  ").map(|(at, _)| at).find(|at| !rest[at + 3..].starts_with([' ', '#']));
    &rest[..end.unwrap_or(rest.len())]
}

#[test]
fn a_release_waits_for_the_audit_and_its_images_are_named_and_dated() {
    let text = fs::read_to_string(root().join(".github/workflows/release.yml")).expect("the workflow");
    for name in ["publish-image", "publish"] {
        let needs = job(&text, name).lines().find_map(|line| line.trim().strip_prefix("needs: ")).expect("needs");
        assert!(needs.contains("test") && needs.contains("audit"), "{name}: {needs}");
    }
    for (name, before) in [("publish-chart", "publish-image"), ("publish", "publish-chart")] {
        assert!(job(&text, name).contains(&format!("{before}]")), "{name} does not wait for {before}");
    }
    let audit = fs::read_to_string(root().join(".github/workflows/audit.yml")).expect("the audit");
    assert!(audit.contains("run: make audit\n") && audit.contains("schedule:") && audit.contains("workflow_call:"));
    let images = job(&text, "images");
    for words in ["VERSION=${{ env.VERSION }}", "REVISION=${{ github.sha }}", "SOURCE_DATE_EPOCH=$(git log"] {
        assert!(images.contains(words), "{words}: {images}");
    }
    // The token of the repository must not be sent elsewhere.
    assert!(!text.contains("GITHUB_TOKEN") && text.matches("github.token").count() == 1);
    assert_eq!(text.matches("password: ${{ secrets.IMAGE_REGISTRY_PASSWORD }}").count(), 3);
}

#[test]
fn the_image_is_named_after_the_registry_and_the_repository() {
    let name = |registry: &str, repository: &str| {
        let made = make(&["image-name", &format!("REGISTRY={registry}"), &format!("REPOSITORY={repository}")]);
        let said = if made.status.success() { made.stdout } else { made.stderr };
        (made.status.success(), String::from_utf8(said).expect("text").lines().next().unwrap_or_default().to_owned())
    };
    for (registry, expected) in [
        ("registry.example.org", "registry.example.org/owner/my.mix-node"),
        ("registry.example.org:5000/team", "registry.example.org:5000/team/owner/my.mix-node"),
    ] {
        assert_eq!(name(registry, "Owner/My.Mix-Node"), (true, expected.to_owned()));
    }
    for registry in ["", "https://registry.example.org", "team", "registry.example.org/", "a b.example"] {
        let (is_named, problem) = name(registry, "owner/name");
        assert!(!is_named && problem.contains("IMAGE_REGISTRY"), "{registry:?}: {problem}");
    }
    let (is_named, problem) = name("registry.example.org", "name");
    assert!(!is_named && problem.contains("OWNER/NAME"), "{problem}");
}

#[test]
fn documented_checks_of_a_signature_take_only_this_repositorys() {
    let ours = "https://github.com/OWNER/REPOSITORY/.github/workflows/release.yml@refs/tags/v1.0.0";
    for document in ["docs/systemd.md", "docs/containers.md"] {
        let text = fs::read_to_string(root().join(document)).expect("a document");
        let option = text.split_once("--certificate-identity-regexp").map(|(_, rest)| rest.splitn(3, '\''));
        let pattern = option.and_then(|mut parts| parts.nth(1));
        let pattern = pattern.unwrap_or_else(|| panic!("{document} checks no identity"));
        let fits = |identity: &str| {
            let mut grep = Command::new("sh");
            grep.args(["-c", "echo \"$0\" | grep -qE \"$1\"", identity, pattern]).status().expect("grep").success()
        };
        assert!(fits(ours), "{document}: {pattern}");
        for other in [
            ours.replace("OWNER", "somebody"),
            ours.replace("REPOSITORY", "REPOSITORY2"),
            format!("https://example.org/?{ours}"),
            ours.replace("release.yml", "release2yml"),
            ours.replace("tags", "heads"),
        ] {
            assert!(!fits(&other), "{document}: {pattern} takes {other}");
        }
    }
}

#[test]
fn a_candidate_comes_before_its_release() {
    part("debhelper");
    let scratch = tempfile::tempdir().expect("a directory");
    let dist = format!("DIST={}", scratch.path().display());
    let made = Command::new("make")
        .args(["--silent", "deb", "VERSION=1.0.0-rc.1", &binary(scratch.path()), &dist])
        .envs([("DPKG_DEB_COMPRESSOR_TYPE", "gzip"), ("DPKG_DEB_COMPRESSOR_LEVEL", "1")])
        .current_dir(root())
        .output()
        .expect("make");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // The name has no tilde, because release pages replace it.
    let version = sh("dpkg-deb --field nym-mixnode_1.0.0-rc.1-1_*.deb Version", scratch.path());
    assert_eq!(version.trim(), "1.0.0~rc.1-1");
    sh(&format!("dpkg --compare-versions {} lt 1.0.0-1", version.trim()), scratch.path());
    sh(&format!("dpkg --compare-versions {} gt 0.9.0-1", version.trim()), scratch.path());
}

#[test]
fn what_workflows_make_are_targets() {
    let makefile = fs::read_to_string(root().join("Makefile")).expect("the Makefile");
    let mut made = 0;
    for (name, text) in workflows() {
        for line in text.lines().filter_map(|line| line.split_once("run: make ")) {
            let targets = line.1.split(' ').take_while(|word| !word.contains('='));
            for target in targets.filter(|word| !word.starts_with("--")) {
                assert!(makefile.contains(&format!("\n{target}:")), "{name}: make {target}");
                made += 1;
            }
        }
    }
    assert!(made >= 5, "{made}");
}

#[test]
fn a_release_is_put_together_and_checks_itself() {
    part("debhelper");
    let scratch = tempfile::tempdir().expect("a directory");
    let dist = scratch.path().join("dist");
    let made = Command::new("make")
        .args(["--silent", "dist", &binary(scratch.path()), &format!("DIST={}", dist.display())])
        .envs([("DPKG_DEB_COMPRESSOR_TYPE", "gzip"), ("DPKG_DEB_COMPRESSOR_LEVEL", "1")])
        .current_dir(root())
        .output()
        .expect("make");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let version = env!("CARGO_PKG_VERSION");
    let names = sh("cut -c67- SHA256SUMS", &dist);
    let [archive, bill, package] = names.lines().collect::<Vec<_>>()[..] else { panic!("{names}") };
    assert!(archive.starts_with(&format!("nym-mixnode-{version}-linux-")) && archive.ends_with(".tar.gz"));
    assert!(package.starts_with(&format!("nym-mixnode_{version}-1_")) && package.strip_suffix(".deb").is_some());
    sh("sha256sum --check --strict SHA256SUMS", &dist);

    let folder = archive.trim_end_matches(".tar.gz");
    let unpacked = sh(&format!("tar xzf {archive} && cd {folder} && ./nym-mixnode --version && find . -type f"), &dist);
    for file in [
        version,
        "LICENSE",
        "third-party.txt",
        "man/nym-mixnode-run.1",
        "completions/zsh/_nym-mixnode",
        "systemd/nym-mixnode.service",
        "systemd/nym-mixnode.default",
        "systemd/nym-mixnode-gateway.service",
        "systemd/nym-mixnode-gateway.default",
        "systemd/nym-mixnode-registry.service",
        "systemd/nym-mixnode-registry.default",
    ] {
        assert!(unpacked.contains(file), "{file}: {unpacked}");
    }
    let licences = sh(&format!("cat {folder}/third-party.txt"), &dist);
    for words in
        ["\ntokio v", "\ncurve25519-dalek v", ": LICENSE", "Permission is hereby granted", "Redistribution and use"]
    {
        assert!(licences.contains(words), "{words}");
    }
    lists_what_is_linked(&fs::read_to_string(dist.join(bill)).expect("the bill"));

    sh(&format!("echo >>{package}"), &dist);
    let check = Command::new("sha256sum").args(["--check", "--status", "SHA256SUMS"]).current_dir(&dist).status();
    assert!(!check.expect("sha256sum").success(), "a file that was changed");
}

/// The bill of materials contains the dependencies of the program, and not those of its tests only.
fn lists_what_is_linked(bill: &str) {
    let bill: serde_json::Value = serde_json::from_str(bill).expect("JSON");
    assert_eq!(bill["bomFormat"], "CycloneDX");
    let components = bill["components"].as_array().expect("components");
    let has = |name: &str| components.iter().any(|component| component["name"] == name);
    for name in ["tokio", "curve25519-dalek", "aws-lc-sys", "libsqlite3-sys"] {
        assert!(has(name), "{name} is missing");
    }
    assert!(!has("proptest"), "that is for tests");
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    for component in components.iter().filter(|component| component["type"] == "library") {
        let (name, version) = (component["name"].as_str().unwrap(), component["version"].as_str().unwrap());
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"")), "{name} {version}");
    }
}

/// With other umasks, time zones and folders.
#[test]
fn the_same_sources_make_the_same_archive_and_the_same_package() {
    let scratch = tempfile::tempdir().expect("a directory");
    let program = binary(scratch.path());
    let hashes =
        [("one", "umask 022; export TZ=UTC"), ("two", "umask 077; export TZ=Asia/Tokyo")].map(|(dist, habits)| {
            let dist = scratch.path().join(dist);
            let program = &program;
            sh(&format!("{habits}; make --silent archive deb {program} DIST={}", dist.display()), &root());
            sh("sha256sum *.tar.gz *.deb", &dist)
        });
    assert_eq!(hashes[0].lines().count(), 2, "{hashes:?}");
    assert_eq!(hashes[0], hashes[1]);
}

#[test]
fn notes_are_those_of_the_changelog_and_a_tag_has_to_fit() {
    let notes = make(&["release-notes", "VERSION=Unreleased"]);
    let text = String::from_utf8(notes.stdout).expect("text");
    let has_other_release = text.lines().any(|line| line.starts_with("## "));
    assert!(notes.status.success() && text.contains("`run --init-if-missing`") && !has_other_release, "{text}");
    let notes = make(&["release-notes", "VERSION=99.0.0"]);
    let problem = String::from_utf8_lossy(&notes.stderr).into_owned();
    assert!(!notes.status.success() && problem.contains("not 99.0.0"), "{problem}");
}
