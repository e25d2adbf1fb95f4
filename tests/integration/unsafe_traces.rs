//! Traces of single packets are in no release: what the program says to whoever asks for them.

use url::Url;

use super::process::{NodeFiles, program};
use super::support::NOWHERE;

#[tokio::test]
async fn the_flag_without_the_feature_says_how_to_get_it() {
    let files = NodeFiles::init(&Url::parse(&NOWHERE).unwrap()).await;
    let node = ["run", "--home", files.root(), "--id", "mix", "--unsafe-per-packet-traces"];
    let output = program(&node).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("built without") && said.contains("--features unsafe-per-packet-traces"), "{said}");
    let help = program(&["run", "--help"]).output().await.unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("per-packet"), "nobody is led there");
}
