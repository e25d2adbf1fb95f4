//! Images built without an engine, as archives in the format of `docker save`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::part::{part, root};

/// The pause image, which keeps the namespaces of a pod.
pub(crate) fn pause(dir: &Path) -> PathBuf {
    let program = dir.join("pause");
    let built = Command::new("cc")
        .args(["-Os", "-static", "-o"])
        .args([&program, &root().join("tests/kit/cluster/pause.c")])
        .status();
    assert!(built.expect("cc").success(), "pause.c");
    archive(dir, "localhost/pause:1", &[(&program, "pause")], &["/pause"])
}

/// The image of the OpenTelemetry collector.
pub(crate) fn collector(dir: &Path) -> PathBuf {
    archive(dir, "localhost/otelcol:kit", &[(&part("otelcol"), "otelcol")], &["/otelcol"])
}

/// An image with only these files.
fn archive(dir: &Path, reference: &str, files: &[(&Path, &str)], entrypoint: &[&str]) -> PathBuf {
    let made = tempfile::tempdir_in(dir).expect("a directory");
    let (layer, content) = (made.path().join("layer.tar"), made.path().join("content"));
    for (file, path) in files {
        let to = content.join(path);
        fs::create_dir_all(to.parent().expect("a directory")).expect("a directory");
        fs::copy(file, &to).expect("a file");
    }
    tar(&layer, &content, &["."]);
    let digest = sha256(&layer);
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "Entrypoint": entrypoint, "User": "65532:65532" },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"] }]);
    fs::write(made.path().join("config.json"), config.to_string()).expect("a file");
    fs::write(made.path().join("manifest.json"), manifest.to_string()).expect("a file");
    let archive = dir.join(format!("{}.tar", reference.replace(['/', ':'], "-")));
    tar(&archive, made.path(), &["manifest.json", "config.json", "layer.tar"]);
    archive
}

fn sha256(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().expect("sha256sum");
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned()
}

fn tar(archive: &Path, dir: &Path, names: &[&str]) {
    let made = Command::new("tar").arg("-cf").arg(archive).arg("-C").arg(dir).args(names).status();
    assert!(made.expect("tar").success(), "{}", archive.display());
}
