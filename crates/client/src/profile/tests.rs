use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;
use crate::endpoint::Endpoint;

fn tls() -> Endpoint {
    Endpoint::tls("wss://127.0.0.1:9443", "qFVIzO06NAv2GHpuJH2qLBc+veS7+qg+I8ab+E5TuwM=".parse().unwrap())
}

fn config() -> ProfileConfig {
    ProfileConfig {
        id: "alice \"a\" \\".to_owned(),
        registry: "http://127.0.0.1:8081".to_owned(),
        registry_key: None,
        gateway_id: "6Ky4PYVGYn2DqcR9rRR7RYkjWbWyTfaTxGvVX6wWgnqz".to_owned(),
        gateway_listener: "ws://127.0.0.1:9000".to_owned(),
        gateway_tls: Some(tls()),
        gateway_plain: false,
        packet_delay: Duration::from_millis(50),
        ack_delay: Duration::from_millis(1500),
        cover: Duration::from_secs(2),
        sending: Duration::from_millis(1),
    }
}

fn keys() -> ProfileKeys {
    ProfileKeys {
        identity: IdentityKeyPair::generate().unwrap(),
        encryption: SphinxKeyPair::generate().unwrap(),
        ack: AckKey::from_bytes(&[7; 16]),
        shared: SharedKey::from_bytes(&[8; 32]),
    }
}

#[test]
fn a_client_comes_back_as_it_was_created_and_is_never_replaced() {
    let root = tempfile::tempdir().unwrap();
    let profile = Profile::new(root.path(), "alice");
    assert!(matches!(profile.config(), Err(ProfileError::Missing(_))));
    let keys = keys();
    profile.create(&config(), &keys).unwrap();
    assert_eq!(profile.config().unwrap(), config());
    let read = profile.keys().unwrap();
    for file in ClientKeyFile::ALL {
        assert_eq!(read.bytes(file), keys.bytes(file), "{file:?}");
    }
    assert!(matches!(profile.create(&config(), &keys), Err(ProfileError::Exists(_))));
}

#[test]
fn keys_that_others_can_read_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let profile = Profile::new(root.path(), "alice");
    profile.create(&config(), &keys()).unwrap();
    let path = profile.key_path(ClientKeyFile::Ack);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(profile.keys(), Err(ProfileError::Loose(loose)) if loose == path));
}

#[test]
fn one_process_at_a_time_uses_a_client() {
    let root = tempfile::tempdir().unwrap();
    let profile = Profile::new(root.path(), "alice");
    profile.create(&config(), &keys()).unwrap();
    let lock = profile.lock().unwrap();
    assert!(matches!(profile.lock(), Err(ProfileError::InUse(_))));
    drop(lock);
    profile.lock().unwrap();
}

#[test]
fn the_file_of_0_9_2_is_read() {
    let text = "[client]\nversion = '0.9.2'\nid = 'alice'\nvalidator_rest_url = 'http://v:8081'\nvpn_mode = false\n\
        private_identity_key_file = '/x'\ngateway_id = 'g'\ngateway_listener = 'ws://g:9000'\n\
        [socket]\nsocket_type = 'WebSocket'\nlistening_port = 1977\n[logging]\n\
        [debug]\naverage_packet_delay = '1ms'\nloop_cover_traffic_average_delay = 300\n";
    let config = ProfileConfig::from_toml(text).unwrap();
    assert_eq!((config.packet_delay, config.cover), (Duration::from_millis(1), Duration::from_millis(300)));
    assert_eq!((config.ack_delay, config.sending), (Duration::from_millis(50), Duration::from_millis(20)));
    assert_eq!(*config.access([7; 32]).endpoint(), Endpoint::plain("ws://g:9000"));
    let without_delay = text.replace("'1ms'", "'0ms'");
    assert!(matches!(ProfileConfig::from_toml(&without_delay), Err(ConfigError::Duration { .. })));
}

#[test]
fn a_client_connects_with_tls_unless_its_user_chooses_otherwise() {
    assert_eq!(*config().access([7; 32]).endpoint(), tls());
    let without = ProfileConfig { gateway_plain: true, ..config() };
    assert_eq!(ProfileConfig::from_toml(&without.to_toml()).unwrap(), without);
    assert_eq!(*without.access([7; 32]).endpoint(), Endpoint::plain("ws://127.0.0.1:9000"));
    // A damaged key never means a connection without TLS.
    let damaged = config().to_toml().replace("uwM=", "");
    assert!(matches!(ProfileConfig::from_toml(&damaged), Err(ConfigError::TlsKey(_))));
}
