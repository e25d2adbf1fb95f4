//! The same sources and builder make the same image. Run by `make kit-reproducible`, because it compiles everything anew.

use std::fs;

use serde_json::Value;

use crate::engine::docker;
use crate::image;

/// The layers and the configuration of an image. The rest of its description is the date and place of its build.
fn contents(image: &str) -> (Value, Value) {
    let inspected = docker(&["image", "inspect", image]);
    let image = serde_json::from_str::<Vec<Value>>(&inspected).expect("JSON").remove(0);
    // Digests of the layers' bytes, with times, owners and modes of the files.
    let layers = image["RootFS"]["Layers"].clone();
    assert_eq!(layers.as_array().map(Vec::len), Some(1), "{image}");
    (layers, image["Config"].clone())
}

/// The first image may come from a build that compiled only what had changed, the second one uses no cache and one job.
#[test]
#[ignore = "it compiles everything anew: make kit-reproducible"]
fn a_build_without_caches_makes_the_same_bytes() {
    let clone = tempfile::tempdir().expect("a folder");
    image::clone_to(clone.path());
    let path = clone.path().join("Dockerfile");
    let dockerfile = fs::read_to_string(&path).expect("the Dockerfile");
    let caches = |line: &&str| line.contains("--mount=type=cache,");
    assert_eq!(dockerfile.lines().filter(caches).count(), 2, "{dockerfile}");
    let without = dockerfile.lines().filter(|line| !line.contains("--mount=type=cache,target=/src/target,"));
    // The sources of the dependencies are in the builder.
    let without: Vec<_> = without
        .map(|line| line.replace("RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked", "RUN"))
        // Another order of compilation.
        .map(|line| line.replace("cargo build --release", "cargo build --jobs 1 --release"))
        .collect();
    fs::write(&path, without.join("\n") + "\n").expect("a Dockerfile");
    let tag = format!("{}-cold", image::tag());
    let builder = format!("BUILDER_IMAGE={}", image::builder());
    image::docker_build(clone.path(), &["--no-cache", "--build-arg", &builder, "--tag", &tag]);
    let (first, second) = (contents(image::built()), contents(&tag));
    docker(&["image", "rm", &tag]);
    assert_eq!(first, second);
}
