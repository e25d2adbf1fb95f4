//! Tests of the configuration as a whole.

use nym_mixnode_sphinx::PacketSize;

use super::*;
use settings::About;

fn minimal() -> Values {
    let mut values = Values::default();
    values.set(&s::NODE_ID.about, "mix090", &Source::Program);
    values.set(&s::NODE_LAYER.about, "2", &Source::Program);
    values.set(&s::LISTEN_ADDRESSES.about, "36.68.243.1", &Source::Flag("--host"));
    values
}

fn with(about: &'static About, texts: &[&str]) -> Result<Config, String> {
    let mut values = minimal();
    values.set_list(about, texts.iter().copied(), &Source::Flag("--flag"));
    Config::from_values(&values).map_err(|error| error.to_string())
}

fn announced(config: &Config) -> Vec<SocketAddr> {
    config.announce.addresses.iter().map(|announced| announced.address.get()).collect()
}

/// Removes the sources, to compare settings only.
fn without_sources(mut config: Config) -> Config {
    config.listen.addresses.iter_mut().for_each(|listening| listening.source.clear());
    config.announce.addresses.iter_mut().for_each(|announced| announced.source.clear());
    Config { values: Values::default(), ..config }
}

#[test]
fn unset_settings_have_the_documented_defaults() {
    let config = Config::from_values(&minimal()).unwrap();
    let address: SocketAddr = "36.68.243.1:1789".parse().unwrap();
    assert_eq!(config.listen.bind_addresses(), [BindAddr::new(address)]);
    assert_eq!(announced(&config), [address]);
    assert_eq!(config.directory.metrics_url, config.directory.url);
    let sizes = PacketSizes::from_iter([PacketSize::Regular, PacketSize::Ack]);
    let mix = MixConfig {
        workers: 0,
        delay_max: Duration::from_secs(10),
        release_interval: Duration::from_millis(1),
        memory_bytes: 256 << 20,
        packet_sizes: sizes,
    };
    assert_eq!(config.mix, mix);
    assert_eq!(config.replay.window, ReplayWindow { length: Duration::from_secs(600), expected_rate: 9000 });
    let defaults = Values::default();
    assert_eq!(config.forward, Reader::read(&defaults, |reader| forward(reader, 256 << 20)).unwrap());
    assert_eq!(config.connections, Reader::read(&defaults, connections).unwrap());
    assert_eq!(config.shutdown, Reader::read(&defaults, shutdown).unwrap());
    assert_eq!(config.keys, KeysConfig::default());
}

#[test]
fn a_written_file_parses_to_the_same_settings() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    let mut values = minimal();
    values.set(&s::NODE_LOCATION.about, "Null Island: \"0, 0\"", &Source::Program);
    values.set(&s::FORWARD_POLICY.about, "any", &Source::Program);
    values.set_list(&s::ANNOUNCE_ADDRESSES.about, ["36.68.243.9", "[2600::1]:7"], &Source::Program);
    let written = Config::from_values(&values).unwrap();
    create_file(&path, &written).unwrap();
    let config = Config::load(&path, &Values::default()).unwrap();
    let source = &config.announce.addresses[1].source;
    assert!(source.starts_with(&format!("{}:", path.display())), "{source}");
    assert_eq!(without_sources(config.clone()), without_sources(written.clone()));
    assert_eq!(config.node.location, "Null Island: \"0, 0\"");

    let mut overrides = Values::default();
    overrides.set(&s::MIX_WORKERS.about, "3", &Source::Flag("--workers"));
    let overridden = Config::load(&path, &overrides).unwrap();
    assert_eq!(overridden.mix.workers, 3);
    let restored = Config { mix: config.mix.clone(), values: config.values.clone(), ..overridden };
    assert_eq!(restored, config);
    assert!(matches!(create_file(&path, &written), Err(CreateError::Exists(_))));
}

#[test]
fn a_relative_path_of_the_file_begins_at_the_nodes_directory_and_one_of_a_flag_at_the_working_directory() {
    for (about, is_ca) in [(&s::DIRECTORY_CA_FILE.about, true), (&s::DIRECTORY_JOIN_TOKEN_FILE.about, false)] {
        let file = |directory: DirectoryConfig| if is_ca { directory.ca_file } else { directory.join_token_file };
        let here = std::path::absolute("a-file").unwrap();
        let node = tempfile::tempdir().unwrap();
        std::fs::create_dir(node.path().join("config")).unwrap();
        let path = node.path().join(home::CONFIG_FILE);
        let key = about.key.strip_prefix("directory.").unwrap();
        let in_file = |text: &str| {
            let text = format!("node:\n  id: mix\n  layer: 1\ndirectory:\n  {key}: {text}\n");
            std::fs::write(&path, text).unwrap();
            file(Config::load(&path, &Values::default()).unwrap().directory).unwrap()
        };
        assert_eq!(in_file("a-file"), node.path().join("a-file"));
        assert_eq!(in_file("/run/a-file"), Path::new("/run/a-file"));
        assert_eq!(file(with(about, &["a-file"]).unwrap().directory), Some(here.clone()));

        // `init` keeps the file that the flag named.
        std::fs::remove_file(&path).unwrap();
        let mut values = minimal();
        values.set(about, "a-file", &Source::Flag("--flag"));
        create_file(&path, &Config::from_values(&values).unwrap()).unwrap();
        assert_eq!(file(Config::load(&path, &Values::default()).unwrap().directory), Some(here));
    }
}

#[test]
fn every_setting_rejects_invalid_values_and_lists_the_valid_ones() {
    for about in settings::ALL {
        let error = with(about, &["\u{7}/"]).unwrap_err();
        let expected = format!("--flag: {} \"\\u{{7}}/\" is not {}", about.key, about.allowed);
        assert!(error.lines().any(|line| line.starts_with(&expected)), "{expected} is not in:\n{error}");
    }
}

#[test]
fn missing_required_settings_are_errors() {
    for about in settings::ALL.iter().filter(|about| about.when_unset == settings::WhenUnset::Required) {
        let mut values = minimal();
        values.set_list(about, [""; 0], &Source::Program);
        let error = Config::from_values(&values).unwrap_err().to_string();
        assert!(error.contains(about.key), "{error}");
    }
}

#[test]
fn announced_addresses_are_reachable_ones_one_of_each_family() {
    let set = |texts: &[&str]| with(&s::ANNOUNCE_ADDRESSES.about, texts).map(|config| announced(&config).len());
    assert_eq!(set(&["36.68.243.9", "2600::1"]), Ok(2));
    assert!(set(&["36.68.243.9", "36.68.243.10"]).unwrap_err().contains("one too many"));
    assert!(set(&["2600::1", "2600::2"]).unwrap_err().contains("one too many"));
    let error = set(&["0.0.0.0"]).unwrap_err();
    assert!(error.starts_with("--flag: announce.addresses \"0.0.0.0:1789\" is every"), "{error}");
    assert!(set(&["::"]).unwrap_err().contains("is every"));
    let error = set(&["10.126.5.7"]).unwrap_err();
    assert!(error.contains("is a private address") && error.contains("--announce-host"), "{error}");
    let two = with(&s::LISTEN_ADDRESSES.about, &["36.68.243.9", "36.68.243.10"]).unwrap_err();
    assert!(two.starts_with("--flag: announce.addresses \"36.68.243.10:1789\" "), "{two}");
}

#[test]
fn unreachable_addresses_are_announced_only_in_a_closed_network() {
    for listen in ["10.126.5.7", "0.0.0.0", "::", "127.0.0.1"] {
        assert_eq!(announced(&with(&s::LISTEN_ADDRESSES.about, &[listen]).unwrap()), [], "{listen}");
    }
    let mut values = minimal();
    values.set(&s::LISTEN_ADDRESSES.about, "10.126.5.7:7", &Source::Program);
    values.set(&s::ANNOUNCE_ALLOW_PRIVATE.about, "true", &Source::Program);
    assert_eq!(announced(&Config::from_values(&values).unwrap()), ["10.126.5.7:7".parse().unwrap()]);
    values.set_list(&s::LISTEN_ADDRESSES.about, [""; 0], &Source::Program);
    let config = Config::from_values(&values).unwrap();
    assert_eq!(config.listen.bind_addresses(), [BindAddr::new("[::]:1789".parse().unwrap())]);
    assert_eq!(announced(&config), []);
}

#[test]
fn an_announce_address_without_a_port_has_the_listen_port() {
    let mut values = minimal();
    values.set(&s::LISTEN_ADDRESSES.about, "10.0.0.1:2000", &Source::Program);
    values.set(&s::ANNOUNCE_ADDRESSES.about, "36.68.243.9", &Source::Program);
    let config = Config::from_values(&values).unwrap();
    assert_eq!(announced(&config), ["36.68.243.9:2000".parse().unwrap()]);
}

#[test]
fn the_announce_port_may_differ_from_the_listen_port() {
    let port = |listen: &[&str], announce: &[&str]| {
        let mut values = minimal();
        values.set_list(&s::LISTEN_ADDRESSES.about, listen.iter().copied(), &Source::Program);
        values.set_list(&s::ANNOUNCE_ADDRESSES.about, announce.iter().copied(), &Source::Program);
        values.set(&s::ANNOUNCE_PORT.about, "31789", &Source::Program);
        let config = Config::from_values(&values).unwrap();
        assert_eq!(config.announce.port, 31_789, "of what is detected");
        announced(&config).iter().map(SocketAddr::to_string).collect::<Vec<_>>()
    };
    assert_eq!(port(&["36.68.243.1"], &[]), ["36.68.243.1:31789"]);
    assert_eq!(port(&["10.0.0.1:1790"], &["36.68.243.9", "2600::1"]), ["36.68.243.9:31789", "[2600::1]:31789"]);
    assert_eq!(port(&["10.0.0.1"], &["36.68.243.9:1"]), ["36.68.243.9:1"], "what is written with its address wins");
    assert_eq!(port(&["10.0.0.1"], &[]), [""; 0]);
}

#[test]
fn all_errors_are_reported_at_once() {
    let mut values = minimal();
    for (about, text) in [(&s::MIX_WORKERS.about, "many"), (&s::NODE_LAYER.about, "0"), (&s::MIX_MEMORY.about, "1")] {
        values.set(about, text, &Source::Variable(about.variable()));
    }
    values.set(&s::FORWARD_BACKOFF_MAX.about, "1ms", &Source::Flag("--set"));
    values.set(&s::ANNOUNCE_ADDRESSES.about, "::", &Source::Flag("--announce-host"));
    let errors = Config::from_values(&values).unwrap_err();
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let begins = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    for start in ["NYM_MIXNODE_MIX_WORKERS: mix.workers", "NYM_MIXNODE_NODE_LAYER: ", "NYM_MIXNODE_MIX_MEMORY: "] {
        assert_eq!(begins(start), 1, "{lines:#?}");
    }
    assert_eq!((begins("--set: forward.backoff_max"), begins("--announce-host: announce")), (1, 1), "{lines:#?}");
}

#[test]
fn passwords_are_accepted_only_from_a_separate_file_and_never_printed() {
    let url = "https://me:s3cret@directory.example/";
    let refused = with(&s::DIRECTORY_URL.about, &[url]).unwrap_err();
    assert!(refused.contains("https://***@directory.example/"), "{refused}");
    assert!(refused.ends_with("that file's path into NYM_MIXNODE_DIRECTORY_URL_FILE"), "{refused}");

    let mut values = minimal();
    let file = Source::VariableFile { variable: s::DIRECTORY_URL.about.variable(), path: Path::new("/run/url").into() };
    values.set(&s::DIRECTORY_URL.about, url, &file);
    let config = Config::from_values(&values).unwrap();
    assert_eq!(config.directory.url.password(), Some("s3cret"));
    values.set(&s::MIX_WORKERS.about, "s3cret", &file);
    let invalid = Config::from_values(&values).unwrap_err();
    for shown in [refused, format!("{config:?} {values:?}"), invalid.to_string(), file::render(&values)] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn contradictions_are_refused() {
    let error = with(&s::FORWARD_BACKOFF_MAX.about, &["100ms"]).unwrap_err();
    assert!(error.starts_with("--flag: forward.backoff_max \"100ms\" "), "{error}");
    assert!(error.contains("forward.backoff_initial"), "{error}");
    let error = with(&s::ANNOUNCE_SOURCE.about, &["kubernetes-service"]).unwrap_err();
    assert!(error.contains("announce.service"), "{error}");
    let error = with(&s::LISTEN_ADDRESSES.about, &["36.68.243.1", "36.68.243.1:1789"]).unwrap_err();
    assert!(error.starts_with("--flag: listen.addresses \"36.68.243.1:1789\" "), "{error}");
}

#[test]
fn packet_sizes_are_chosen_by_name_and_replace_the_default() {
    let config = |sizes: &[&str]| {
        let mut values = minimal();
        values.set_list(&s::MIX_PACKET_SIZES.about, sizes.iter().copied(), &Source::Program);
        Config::from_values(&values).map(|config| config.mix.packet_sizes)
    };
    assert_eq!(config(&["regular"]).unwrap(), PacketSizes::from_iter([PacketSize::Regular]));
    assert_eq!(config(&PacketSize::NAMES).unwrap(), PacketSizes::from_iter(PacketSize::ALL));
    assert_eq!(config(&[]).unwrap(), PacketSizes::default());
    let error = config(&["regular", "extended"]).unwrap_err().to_string();
    assert!(error.contains("extended8, extended16 or extended32"), "{error}");
}

#[test]
fn a_replay_window_beyond_all_memory_is_refused() {
    let mut values = minimal();
    values.set(&s::REPLAY_WINDOW.about, "1day", &Source::Program);
    values.set(&s::REPLAY_EXPECTED_RATE.about, "80000", &Source::Program);
    assert!(Config::from_values(&values).is_ok());
    values.set(&s::REPLAY_EXPECTED_RATE.about, "10000000", &Source::Program);
    let error = Config::from_values(&values).unwrap_err().to_string();
    assert!(error.contains("replay.expected_rate") && error.contains("GiB"), "{error}");
}
