//! A long file through a network of real processes.

use std::process::Command;

use serde_json::Value;

use crate::engine::{output, said};

#[test]
fn ten_megabytes_cross_the_network() {
    let network = ["localnet", "--nodes", "1", "--rate", "10", "--mean-delay", "1ms", "--gateways", "1", "--json"];
    let mut localnet = Command::new(env!("CARGO_BIN_EXE_nym-mixnode"));
    let output = output(localnet.args(network).args(["--send", "10MB"]));
    assert!(output.status.success(), "{}", said(&output));
    let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&summary["file"]["bytes"], &summary["file"]["intact"]), (&10_000_000.into(), &true.into()));
    assert_eq!(summary["lost"], 0, "{summary:#}");
    let seconds = summary["file"]["seconds"].as_f64().expect("seconds");
    let delays = &summary["latency_over_delay_ms"];
    eprintln!(
        "10 MB in {seconds:.1} s: {:.0} kB/s; latency of test packets beyond their delays: {delays}",
        10_000.0 / seconds
    );
}
