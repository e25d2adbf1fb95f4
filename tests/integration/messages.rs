//! The commands `gateway` and `client` without a network. `localnet.rs` sends a file through one.

use std::fs;

use super::cli::Home;
use super::support::NOWHERE;

const ADDRESS: &str = "E8s4oDMNdMkftq78nUhxgVgRYZKN2zNYYTD6mhNnTFCM.DbaPb8mezsXLtcZxkmfPMoESx41er94k3H1Tp7jHU6vi@\
    FV8zV8CNFdwL1HJoRuXwhmT4STDB4TdGf2Jyfg2kupWY";

fn gateway<'a>(command: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    [&["gateway", command, "--id", "home"], flags].concat()
}

#[test]
fn a_gateway_is_created_once_with_its_own_section_and_without_a_layer() {
    let home = Home::new();
    let flags = ["--host", "127.0.0.1", "--allow-private", "--validator", &NOWHERE];
    let created = home.run(&gateway("init", &flags)).ok().stdout;
    assert!(created.contains("nym-mixnode gateway run --id home"), "{created}");
    let dir = home.0.path().join(".nym/gateways/home");
    let config = fs::read_to_string(dir.join("config/config.yaml")).unwrap();
    assert!(config.contains("\ngateway:\n") && config.contains("  #layer:\n"), "{config}");
    let before = home.snapshot();
    home.run(&gateway("init", &flags)).fails(73, &["private_identity.pem", "gateway run --id home"]);
    assert_eq!(home.snapshot(), before);
}

#[test]
fn the_keys_of_an_older_gateway_are_taken_over() {
    let home = Home::new();
    let flags = ["--host", "127.0.0.1", "--allow-private", "--validator", &NOWHERE];
    home.run(&gateway("init", &flags)).ok();
    let dir = home.0.path().join(".nym/gateways/home");
    let identity = fs::read(dir.join("data/public_identity.pem")).unwrap();
    // As the operator copies it from there: keys without a configuration.
    fs::remove_dir_all(dir.join("config")).unwrap();
    assert!(home.run(&gateway("init", &flags)).ok().stdout.contains("Kept the existing"));
    assert_eq!(fs::read(dir.join("data/public_identity.pem")).unwrap(), identity);
}

#[test]
fn a_gateway_refuses_urls_that_clients_cannot_use() {
    let home = Home::new();
    let flags = ["--host", "127.0.0.1", "--allow-private", "--gateway-announce-url", "https://gateway.example"];
    home.run(&gateway("init", &flags)).fails(64, &["--gateway-announce-url", "https://gateway.example"]);
    let flags = ["--host", "127.0.0.1", "--allow-private", "--gateway-tls-announce-url", "ws://gateway.example"];
    home.run(&gateway("init", &flags)).fails(64, &["--gateway-tls-announce-url", "ws://gateway.example", "wss://"]);
    home.run(&gateway("run", &[])).fails(78, &["gateway init"]);
}

#[test]
fn a_gateway_without_a_usable_certificate_does_not_start() {
    let home = Home::new();
    let flags = ["--host", "127.0.0.1", "--allow-private", "--validator", &NOWHERE];
    home.run(&gateway("init", &flags)).ok();
    let alone = ["--gateway-tls-certificate-file", "missing.pem"];
    home.run(&gateway("run", &alone)).fails(64, &["missing.pem", "gateway.tls_key_file"]);
    let both = [&alone[..], &["--gateway-tls-key-file", "missing.key"]].concat();
    let run = home.run(&gateway("run", &both));
    // Behind the first lines of its log.
    let error = run.stderr.lines().last().unwrap_or_default();
    assert!(run.code == 78 && error.contains("missing.pem") && error.contains("TLS certificate"), "{}", run.stderr);
}

#[test]
fn a_client_that_does_not_exist_cannot_send() {
    let home = Home::new();
    let file = home.0.path().join("file");
    fs::write(&file, "hello").unwrap();
    let send = |file: &str| home.run(&["client", "send", "--id", "alice", "--to", ADDRESS, file]);
    send(file.to_str().unwrap()).fails(78, &[".nym/clients/alice", "client init"]);
    send("missing").fails(74, &["missing"]);
    // A pipe would be waited for.
    for not_a_file in [home.0.path().to_str().unwrap(), "/dev/zero"] {
        send(not_a_file).fails(65, &[not_a_file, "is not a regular file"]);
    }
    home.run(&["client", "receive", "--id", "alice", "--out", file.to_str().unwrap()])
        .fails(73, &[file.to_str().unwrap(), "it is not a directory"]);
    home.run(&["client", "send", "--id", "alice", "--to", "bob", "file"]).fails(64, &["bob"]);
    home.run(&["client", "init", "--id", "alice", "--registry", &NOWHERE]).fails(69, &[&NOWHERE]);
    assert!(!home.0.path().join(".nym/clients").exists());
}
