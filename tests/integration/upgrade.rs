//! `upgrade`, by running the program on nodes of every older release.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nym_mixnode_config::{Config, Values};
use nym_mixnode_keys::KeyFile;

use crate::cli::Home;

const RELEASES: [&str; 4] = ["0.8.1", "0.9.0", "0.9.1", "0.9.2"];

fn fixture(release: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/upgrade/{release}.toml"));
    fs::read_to_string(path).unwrap()
}

/// A node as `release` leaves it, keys readable for everybody.
pub(crate) fn older_node(release: &str) -> Home {
    let home = Home::with_node();
    fs::remove_file(home.config()).unwrap();
    if release == "0.8.1" {
        fs::remove_file(home.key("private_identity.pem")).unwrap();
        fs::remove_file(home.key("public_identity.pem")).unwrap();
    }
    let elsewhere = home.0.path().join("elsewhere");
    if release == "0.9.1" {
        fs::create_dir(&elsewhere).unwrap();
        fs::rename(home.key("private_sphinx.pem"), elsewhere.join("sphinx.key")).unwrap();
        fs::rename(home.key("public_sphinx.pem"), elsewhere.join("sphinx.pub")).unwrap();
    }
    for dir in [home.node().join("data"), elsewhere.clone()] {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            fs::set_permissions(entry.unwrap().path(), PermissionsExt::from_mode(0o644)).unwrap();
        }
    }
    let (dir, elsewhere) = (home.node(), elsewhere.display().to_string());
    let text = fixture(release).replace("@DIR@", dir.to_str().unwrap()).replace("@ELSEWHERE@", &elsewhere);
    fs::write(toml(&home), text).unwrap();
    home
}

pub(crate) fn toml(home: &Home) -> PathBuf {
    home.node().join("config/config.toml")
}

fn backup(home: &Home, release: &str) -> PathBuf {
    home.node().join(format!("config/config.toml.{release}.bak"))
}

fn upgrade(home: &Home, release: &str) -> crate::cli::Outcome {
    home.run(&["upgrade", "--id", "mix", "--current-version", release])
}

fn config(home: &Home) -> Config {
    Config::load(&home.config(), &Values::default()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn every_release_is_upgraded_with_its_values_and_keys_and_a_second_time_changes_nothing() {
    for release in RELEASES {
        let home = older_node(release);
        let keys_before = keys(&home);
        let old = fs::read(toml(&home)).unwrap();
        let said = upgrade(&home, release).ok().stdout;
        assert!(said.starts_with(&format!("Upgrading mixnode mix from {release}...\n")), "{said}");
        assert!(said.contains("mode 0644 is now 0600") && said.contains("nym-mixnode run --id mix"), "{said}");
        assert_eq!(fs::read(backup(&home, release)).unwrap(), old);
        assert!(!toml(&home).exists());
        for (path, contents) in keys_before {
            assert_eq!(fs::read(&path).unwrap(), contents, "{}", path.display());
        }
        home.run(&["keys", "show", "--id", "mix"]).ok();

        let after = home.snapshot();
        let again = upgrade(&home, release).ok().stdout;
        assert!(again.contains("already upgraded"), "{again}");
        assert_eq!(home.snapshot(), after);
    }
}

fn keys(home: &Home) -> Vec<(PathBuf, Vec<u8>)> {
    let is_key = |path: &Path| path.extension().is_some_and(|end| end == "pem" || end == "key" || end == "pub");
    let files = home.snapshot().into_iter().filter(|(path, ..)| is_key(path));
    files.map(|(path, _, contents)| (path, contents)).collect()
}

#[test]
fn the_values_of_0_8_1_and_a_new_identity() {
    let home = older_node("0.8.1");
    let said = upgrade(&home, "0.8.1").ok().stdout;
    let config = config(&home);
    assert_eq!((config.node.layer, config.node.location.as_str()), (3, "Null Island: \"0, 0\""));
    assert_eq!(config.listen.addresses[0].address.to_string(), "10.126.5.7:1789");
    assert_eq!(config.announce.addresses[0].address.to_string(), "36.68.243.18:1789");
    assert_eq!(config.directory.url.as_str(), "https://directory.nymtech.net/");
    assert_eq!(config.directory.metrics_url.as_str(), "https://metrics.nymtech.net/");
    assert_eq!(config.forward.limits.backoff_initial.as_secs(), 10);
    assert_eq!(config.forward.limits.backoff_max.as_secs(), 300);
    assert_eq!(mode(&home.key("private_identity.pem")), 0o600);
    assert!(said.contains("Saved a new identity keypair"), "{said}");
    // It keeps the directory that it had, and that is no more.
    assert!(said.contains("network is gone"), "{said}");
    assert!(said.contains("directory.url ") && said.contains("directory.metrics_url"), "{said}");
    assert!(said.contains("debug.presence_sending_delay = \"1500\" is dropped: "), "{said}");
    let shown = home.run(&["keys", "show", "--id", "mix"]).ok().stdout;
    let identity = said.lines().find(|line| line.starts_with("Identity key: ")).unwrap();
    assert!(shown.contains(identity), "{shown}");
}

#[test]
fn the_values_of_0_9_0_over_ipv6() {
    let home = older_node("0.9.0");
    upgrade(&home, "0.9.0").ok();
    let config = config(&home);
    assert_eq!(config.listen.addresses[0].address.to_string(), "[::]:2789");
    assert_eq!(config.announce.addresses[0].address.to_string(), "[2600::1]:2789");
    assert_eq!(config.directory.metrics_url.as_str(), "http://testnet-metrics.nymtech.net:8080/");
    // The other half as it was in 0.9.0, for today's would be less than the first.
    assert_eq!(
        (config.forward.limits.backoff_initial.as_secs(), config.forward.limits.backoff_max.as_secs()),
        (120, 300)
    );
}

#[test]
fn the_values_of_0_9_1_with_keys_elsewhere() {
    let home = older_node("0.9.1");
    upgrade(&home, "0.9.1").ok();
    let config = config(&home);
    let elsewhere = home.0.path().join("elsewhere");
    assert_eq!(&config.keys.paths[KeyFile::PrivateSphinx], elsewhere.join("sphinx.key"));
    assert_eq!(&config.keys.paths[KeyFile::PrivateIdentity], Path::new("data/private_identity.pem"));
    assert_eq!(mode(&elsewhere.join("sphinx.key")), 0o600);
    assert_eq!((config.node.layer, config.node.location.as_str()), (12, "unknown"));
    assert_eq!(config.node.incentives_address, "");
    assert_eq!(config.directory.url.as_str(), "http://[2001:db8::53]:8081/");
    assert_eq!(config.directory.metrics_url, config.directory.url);
}

#[test]
fn the_values_of_0_9_2_and_what_is_dropped() {
    let home = older_node("0.9.2");
    let said = upgrade(&home, "0.9.2").ok().stdout;
    let config = config(&home);
    assert_eq!((config.node.location.as_str(), config.node.incentives_address.as_str()), ("Zürich ☃", "VJLxyz"));
    assert_eq!(config.forward.limits.connect_timeout.as_millis(), 1500);
    assert_eq!(
        (config.forward.limits.backoff_initial.as_secs(), config.forward.limits.backoff_max.as_secs()),
        (2, 300)
    );
    assert_eq!(config.forward.limits.queue_packets_max, 128);
    for key in ["mixnode.nym_root_directory", "mixnode.colour", "debug.cache_entry_ttl", "debug.metrics_running_stats"]
    {
        assert!(said.lines().any(|line| line.starts_with(key) && line.contains(" is dropped: ")), "{key}: {said}");
    }
}

#[test]
fn the_manuals_spellings_of_the_incentives_flag_work() {
    for flag in ["--incentives-address", "--incentives--address", "--incentives"] {
        let home = older_node("0.9.2");
        home.run(&["upgrade", "--id", "mix", "--current-version", "0.9.2", flag, "NEW"]).ok();
        assert_eq!(config(&home).node.incentives_address, "NEW");
        let line = ["upgrade", "--id", "mix", "--current-version", "0.9.2", flag, "LATER"];
        assert!(home.run(&line).ok().stdout.contains("still \"NEW\": set node.incentives_address"), "{flag}");
    }
}

#[test]
fn a_release_that_is_not_the_files_is_refused_with_the_right_command() {
    for release in RELEASES {
        let home = older_node(release);
        let before = home.snapshot();
        let right = format!("`nym-mixnode upgrade --id mix --current-version {release}`");
        for other in RELEASES.iter().filter(|other| **other != release) {
            upgrade(&home, other).fails(64, &[&format!("is of release {release}, not {other}"), &right]);
        }
        home.run(&["run", "--id", "mix"]).fails(78, &["config.toml is of an older release", &right]);
        home.run(&["init", "--id", "mix", "--host", "36.68.243.1"]).fails(78, &["older release", &right]);
        home.run(&["unregister", "--id", "mix"]).fails(78, &[&right]);
        home.run(&["keys", "show", "--id", "mix"]).fails(78, &[&right]);
        assert_eq!(home.snapshot(), before);
    }
    let home = older_node("0.9.2");
    upgrade(&home, "0.7.0").fails(64, &["'0.7.0'", "0.8.1, 0.9.0, 0.9.1, 0.9.2"]);
    home.run(&["upgrade", "--id", "mix"]).fails(64, &["--current-version"]);
    home.run(&["upgrade", "--id", "nobody", "--current-version", "0.9.2"]).fails(78, &["nobody/config/config.toml"]);
    let root = home.0.path().join(".nym");
    let root = root.to_str().unwrap();
    home.run(&["run", "--id", "mix", "--home", root]).fails(78, &[&format!("--home {root} --current-version 0.9.2")]);
}

#[test]
fn a_file_that_makes_no_sense_is_refused_with_its_line_and_nothing_changes() {
    let bad: &[(&str, &str, &[&str])] = &[
        ("layer = 2", "layer = 0", &["node.layer \"0\"", "from 1 up", "correct it"]),
        ("layer = 2", "layer = [2]", &["mixnode.layer is a list"]),
        ("layer = 2", "layer = ", &[""]),
        ("id = 'mix'", "id = 'other'", &["\"other\"", "\"mix\""]),
        ("version = '0.9.2'", "version = '0.11.0'", &["of release 0.11.0", "0.8.1, 0.9.0, 0.9.1, 0.9.2"]),
        ("version = '0.9.2'", "", &["it contains no release"]),
        ("listening_address = '167.70.75.75:1789'", "listening_address = 'example.org'", &["listen.addresses"]),
        ("announce_address = '167.70.75.75:1789'", "announce_address = '0.0.0.0:1'", &["announce.addresses"]),
        (
            "announce_address = '167.70.75.75:1789'",
            "announce_address = '10.0.0.1:1'",
            &["announce.addresses", "private"],
        ),
        ("'1s 500ms'", "'1s 500parsecs'", &["forward.connect_timeout", "10ms"]),
        ("'1s 500ms'", "-1500", &["forward.connect_timeout", "\"-1500\""]),
        ("https://testnet-validator1", "gopher://testnet", &["directory.url", "http://"]),
    ];
    for (from, to, words) in bad {
        let home = older_node("0.9.2");
        let text = fs::read_to_string(toml(&home)).unwrap();
        assert!(text.contains(from));
        fs::write(toml(&home), text.replacen(from, to, 1)).unwrap();
        let before = home.snapshot();
        upgrade(&home, "0.9.2").fails(78, &[&["config.toml"], *words].concat());
        assert_eq!(home.snapshot(), before, "{to}");
    }
    let home = older_node("0.9.2");
    fs::write(toml(&home), b"\xff\xfe").unwrap();
    upgrade(&home, "0.9.2").fails(65, &["config.toml cannot be read"]);
}

#[test]
fn a_closed_network_is_upgraded_with_allow_private() {
    let home = older_node("0.9.2");
    let text = fs::read_to_string(toml(&home)).unwrap();
    fs::write(toml(&home), text.replacen("announce_address = '167.70.75.75", "announce_address = '10.0.0.1", 1))
        .unwrap();
    upgrade(&home, "0.9.2").fails(78, &["\"10.0.0.1:1789\"", "--allow-private"]);
    home.run(&["upgrade", "--id", "mix", "--current-version", "0.9.2", "--allow-private"]).ok();
    assert_eq!(config(&home).announce.addresses[0].address.to_string(), "10.0.0.1:1789");
}

#[test]
fn keys_that_are_missing_or_foreign_stop_the_upgrade_before_it_begins() {
    for (release, name, words) in [
        ("0.9.2", "private_identity.pem", "private_identity.pem does not exist"),
        ("0.9.2", "public_sphinx.pem", "public_sphinx.pem does not exist"),
        ("0.8.1", "private_sphinx.pem", "private_sphinx.pem does not exist"),
    ] {
        let home = older_node(release);
        fs::remove_file(home.key(name)).unwrap();
        let before = home.snapshot();
        upgrade(&home, release).fails(78, &[words, "backup"]);
        assert_eq!(home.snapshot(), before);
    }
    // The public half of an identity whose private one is lost: no new key is made over it.
    let home = older_node("0.8.1");
    fs::copy(Home::with_node().key("public_identity.pem"), home.key("public_identity.pem")).unwrap();
    let before = home.snapshot();
    upgrade(&home, "0.8.1").fails(78, &["private_identity.pem does not exist"]);
    assert_eq!(home.snapshot(), before);
}

#[test]
fn an_identity_that_is_there_stays_and_a_half_one_is_completed() {
    let home = older_node("0.8.1");
    let other = Home::with_node();
    for name in ["private_identity.pem", "public_identity.pem"] {
        fs::copy(other.key(name), home.key(name)).unwrap();
    }
    upgrade(&home, "0.8.1").ok();
    assert_eq!(
        fs::read(home.key("private_identity.pem")).unwrap(),
        fs::read(other.key("private_identity.pem")).unwrap()
    );

    let home = older_node("0.8.1");
    fs::copy(other.key("private_identity.pem"), home.key("private_identity.pem")).unwrap();
    assert!(upgrade(&home, "0.8.1").ok().stdout.contains("Completed the identity"));
    assert_eq!(fs::read(home.key("public_identity.pem")).unwrap(), fs::read(other.key("public_identity.pem")).unwrap());
}

#[test]
fn an_existing_backup_stays() {
    let home = older_node("0.9.2");
    fs::write(backup(&home, "0.9.2"), "precious").unwrap();
    upgrade(&home, "0.9.2").ok();
    assert_eq!(fs::read_to_string(backup(&home, "0.9.2")).unwrap(), "precious");
    assert!(home.node().join("config/config.toml.0.9.2.bak.2").exists());
}
