//! Releases an identity that has signed for a program that never signs, with real processes.

use nym_mixnode_api::MixRegistration;
use nym_mixnode_directory::{Directory, DirectoryError};

use super::process::{NodeFiles, RegistryProcess, program};

/// Runs a command of the program; returns its exit code and output.
async fn ran(arguments: &[&str]) -> (Option<i32>, String) {
    let output = program(arguments).output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn its_owner_or_the_operator_releases_an_identity_and_the_node_that_still_runs_stands_down() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let (url, token) = (registry.url(), home.path().join("monitor.token"));
    let files = NodeFiles::init(&url).await;
    let identity = files.identity();
    let operator = ["registry", "release", &identity, "--directory", url.as_str(), "--monitor-token-file"];
    let operator = [&operator[..], &[token.to_str().unwrap()]].concat();
    let owner = ["unregister", "--home", files.root(), "--id", "mix", "--release"];
    for release in [&owner[..], &operator] {
        let mut node = files.run(&[]);
        node.registered().await;
        let signed = registry.topology().await.mix(&identity).unwrap().registration.clone();
        let unsigned = MixRegistration { proof: None, ..signed };
        let refused = registry.client().register_mix(&unsigned, None).await.unwrap_err();
        assert!(matches!(refused, DirectoryError::Refused { status: 403, .. }), "{refused}");

        let (code, said) = ran(release).await;
        assert!(code == Some(0) && said.contains("is released"), "{code:?} {said}");
        registry.client().register_mix(&unsigned, None).await.unwrap();
        node.reports("no longer registered", |status| !status.registered).await;
        assert!(node.stop().await.success());
        let topology = registry.topology().await;
        assert_eq!(topology.mix(&identity).unwrap().registration, unsigned, "it is not the node's entry");
        assert_eq!(topology.releases.len(), 1);
    }
    // The next start signs again.
    let mut node = files.run(&[]);
    node.registered().await;
    assert!(registry.topology().await.releases.is_empty());
    assert!(node.stop().await.success());
}

#[tokio::test]
async fn a_node_that_the_operator_removes_stays_out_until_it_is_started_again() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let (url, token) = (registry.url(), home.path().join("monitor.token"));
    let files = NodeFiles::init(&url).await;
    let identity = files.identity();
    let mut node = files.run(&[]);
    node.registered().await;
    let remove = ["registry", "remove", &identity, "--directory", url.as_str(), "--monitor-token-file"];
    let remove = [&remove[..], &[token.to_str().unwrap()]].concat();
    let (code, said) = ran(&remove).await;
    assert!(code == Some(0) && said.contains("is removed"), "{code:?} {said}");
    node.reports("no longer registered", |status| !status.registered).await;
    assert_eq!(registry.listed(&identity).await, None);
    // A release would accept this.
    assert_eq!(ran(&remove).await.0, Some(65), "it is not registered any more");
    assert!(node.stop().await.success());

    let mut node = files.run(&[]);
    node.registered().await;
    assert!(node.stop().await.success());
}

#[tokio::test]
async fn what_cannot_be_released_is_named() {
    let home = tempfile::tempdir().unwrap();
    let registry = RegistryProcess::start(&home.path().join("registry.sqlite")).await;
    let other_token = home.path().join("other.token");
    tokio::fs::write(&other_token, "another-token-of-an-operator").await.unwrap();
    std::fs::set_permissions(&other_token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let token = home.path().join("monitor.token");
    let unknown = bs58::encode([7; 32]).into_string();
    for (identity, token, expected, words) in [
        ("short", &token, 64, "not an identity key"),
        (&unknown, &token, 65, "no node"),
        (&unknown, &other_token, 77, "not the registry's token"),
        (&unknown, &home.path().join("none"), 74, "none"),
    ] {
        let (url, token) = (registry.url(), token.to_str().unwrap());
        let (code, said) =
            ran(&["registry", "release", identity, "--directory", url.as_str(), "--monitor-token-file", token]).await;
        assert!(code == Some(expected) && said.contains(words), "{code:?} {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
}
