//! The image for arm64: cross-built with the development profile, and run under emulation. Run by `make kit-arm64`, because
//! a cross-build takes minutes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::container::{PRIVATE, Place, probe};
use crate::docker::{Container, Volume};
use crate::engine::{docker, output, said};
use crate::image;
use crate::part::{part, root};
use crate::telemetry::process::{Process, free_port};
use crate::waiting::eventually;

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// The program, linked statically like that of the image.
fn program() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--bin", "nym-mixnode", "--target", TARGET]).current_dir(root());
    cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
    cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-C target-feature=+crt-static");
    let built = output(cargo.env("CARGO_PROFILE_DEV_DEBUG", "false").env("CARGO_PROFILE_DEV_STRIP", "symbols"));
    assert!(built.status.success(), "cargo build --target {TARGET}:\n{}", said(&built));
    root().join("target").join(TARGET).join("debug/nym-mixnode")
}

/// The image, from the last stage of the Dockerfile. The stage that compiles is replaced by a copy of the program, because
/// it would need hours under emulation.
fn built(program: &Path) -> String {
    let context = tempfile::tempdir().expect("a folder");
    let dockerfile = fs::read_to_string(root().join("Dockerfile")).expect("the Dockerfile");
    let (_, last) = dockerfile.split_once("FROM ${RUNTIME_IMAGE}\n").expect("the last stage");
    let stages = format!("FROM scratch AS build\nCOPY out /out\nFROM scratch\n{last}");
    fs::write(context.path().join("Dockerfile"), stages).expect("a Dockerfile");
    fs::create_dir_all(context.path().join("out/home")).expect("a folder");
    fs::copy(program, context.path().join("out/nym-mixnode")).expect("a copy");
    let tag = format!("{}-arm64", image::tag());
    image::docker_build(context.path(), &["--platform", "linux/arm64", "--tag", &tag]);
    tag
}

/// The options of a container whose program is run by the emulator of this machine.
fn emulated(options: &[&str]) -> Vec<String> {
    let emulator = fs::canonicalize("/usr/bin/qemu-aarch64-static").expect("qemu-user-static");
    let mount = format!("{}:/qemu:ro", emulator.display());
    // The image's health check would need an emulator in the kernel.
    let fixed = ["--platform", "linux/arm64", "--no-healthcheck", "--volume", &mount, "--entrypoint", "/qemu"];
    fixed.iter().chain(options).map(|option| (*option).to_owned()).collect()
}

#[test]
#[ignore = "a cross-build takes minutes: make kit-arm64"]
fn the_image_for_arm64_makes_its_node_mixes_packets_and_stops_in_order() {
    let program = program();
    let headers = said(&output(Command::new("readelf").args(["--wide", "--file-header", "--segments"]).arg(&program)));
    assert!(headers.contains("AArch64") && !headers.contains("INTERP"), "{headers}");
    let tag = built(&program);
    let inspected = docker(&["image", "inspect", &tag]);
    let arm64 = serde_json::from_str::<Vec<Value>>(&inspected).expect("JSON").remove(0);
    let inspected = docker(&["image", "inspect", image::built()]);
    let amd64 = serde_json::from_str::<Vec<Value>>(&inspected).expect("JSON").remove(0);
    assert_eq!((&arm64["Architecture"], &amd64["Architecture"]), (&"arm64".into(), &"amd64".into()));
    assert_eq!(arm64["Config"], amd64["Config"], "the images differ by more than their architecture");

    let place = Place::v4();
    let volume = Volume::new();
    let url = format!("NYM_MIXNODE_DIRECTORY_URL={}", place.directory);
    let home = volume.at_home();
    let options = ["--network", place.network.name(), "--env", &url, "--volume", &home];
    // Without the interval of the health check, which is off.
    let options = emulated(&[&options[..], &PRIVATE[..PRIVATE.len() - 2]].concat());
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let run = |role| Container::run_image(&tag, role, &options, &["/nym-mixnode", "run"]);
    let node = run("arm64");
    let listed = || Some(place.topology()?.mix_nodes.pop()?.registration.identity_key);
    let identity = eventually("the node is listed", listed);
    assert!(node.log().contains("Saved configuration file to /var/lib/nym-mixnode/"), "{}", node.log());
    assert!(probe(&place.directory, &["--node", &identity, "--json"]).contains(&identity));
    docker(&["stop", "--time", "60", &node.name]);
    assert_eq!(node.wait_exit(), 0, "{}", node.log());
    assert!(place.topology().expect("the registry").mix_nodes.is_empty(), "it did not unregister");
    drop(node);

    let again = run("arm64-again");
    assert_eq!(eventually("the node is listed again", listed), identity);
    probe(&place.directory, &["--node", &identity]);
    drop(again);
    one_name_for_both_architectures(&tag);
}

/// The index of both images, made by the command of the release workflow.
fn one_name_for_both_architectures(arm64: &str) {
    let scratch = tempfile::tempdir().expect("a folder");
    let host = format!("127.0.0.1:{}", free_port());
    let mut registry = Process::start("registry", &part("crane"), scratch.path(), |command| {
        command.args(["registry", "serve", "--address", &host]);
    });
    registry.wait_for(&format!("http://{host}/v2/"));
    let run = |program: &Path, arguments: &[&str]| {
        let output = output(Command::new(program).args(arguments));
        assert!(output.status.success(), "{} {arguments:?}: {}", program.display(), said(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let (crane, buildx) = (part("crane"), part("buildx"));
    let name = format!("{host}/owner/mixnet");
    let push = |image: &str, architecture: &str| {
        let archive = scratch.path().join(architecture).display().to_string();
        docker(&["save", "--output", &archive, image]);
        let pushed = run(&crane, &["push", "--insecure", &archive, &format!("{name}:{architecture}")]);
        let (_, digest) = pushed.rsplit_once('@').expect("a digest");
        format!("{name}@{digest}")
    };
    let parts = [push(image::built(), "amd64"), push(arm64, "arm64")];
    let tag = format!("{name}:1.2.3");
    run(&buildx, &["imagetools", "create", "--tag", &tag, &parts[0], &parts[1]]);
    let index: Value = serde_json::from_str(&run(&crane, &["manifest", "--insecure", &tag])).expect("JSON");
    let manifests = index["manifests"].as_array().expect("an index");
    let listed: Vec<_> = manifests.iter().map(|part| part["platform"]["architecture"].as_str()).collect();
    assert_eq!(listed, [Some("amd64"), Some("arm64")], "{index}");
    for (manifest, pushed) in manifests.iter().zip(&parts) {
        assert!(pushed.ends_with(manifest["digest"].as_str().expect("a digest")), "{index}");
    }
}
