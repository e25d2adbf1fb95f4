//! `detect --wait`: an address that appears later, or never.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{Instant, timeout};

use super::process::program;
use super::support::PATIENCE;

/// Outside a pod no API server provides an address.
const NOWHERE: [&str; 3] = ["detect", "--announce-source", "kubernetes-node"];

#[tokio::test]
async fn it_looks_again_and_gives_up_when_the_time_is_over() {
    let began = Instant::now();
    let output = program(&[&NOWHERE[..], &["--wait", "2s"]].concat()).output().await.unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(began.elapsed() >= Duration::from_millis(500), "it has not waited");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("up to 2s"), "{said}");
    assert!(said.contains("KUBERNETES_SERVICE_HOST"), "{said}");
}

#[tokio::test]
async fn a_signal_ends_the_wait() {
    let mut command = program(&[&NOWHERE[..], &["--wait", "1h"]].concat());
    command.env_remove("KUBERNETES_SERVICE_HOST");
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let told = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(told.contains("no announce address yet"), "{told}");
    let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(75));
    let last = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(last.contains("SIGTERM"), "{last}");
}
