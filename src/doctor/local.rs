//! What can be found out without the network: keys, addresses of this machine, limits.

use rustix::process::{Resource, Rlimit, getrlimit};

use super::{Finding, Level};
use crate::address::BindAddr;
use crate::config::{Config, LimitsConfig};
use crate::keys::store::{self, KeyFiles};
use crate::limits::{self, Remedy};
use crate::listener::{self, BindError};
use crate::telemetry::health;

/// Whether the node runs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Running {
    /// It answers, with its identity.
    Yes,
    /// It does not answer, or another node does.
    No,
    /// It serves no HTTP, or at an address that only it knows.
    Unknown,
}

/// Whether the keys are whole and private; the identity, if they are.
pub(super) fn keys(files: &KeyFiles) -> (Finding, Option<String>) {
    match store::load(files) {
        Ok(keys) => {
            let message = format!("whole and private; the identity is {}", keys.identity_public);
            (Finding::ok("keys", message), Some(keys.identity_public))
        }
        Err(error) => (Finding::failed("keys", error.to_string()), None),
    }
}

pub(super) async fn running(config: &Config, identity: Option<&str>) -> Running {
    let Some(url) = config.http.listen.and_then(health::url_of) else { return Running::Unknown };
    match health::ask(&url).await {
        Ok(health) if Some(health.identity_key.as_str()) == identity => Running::Yes,
        _ => Running::No,
    }
}

/// Whether each listening address can be had, or the node has it.
pub(super) fn bind(config: &Config, running: Running) -> Vec<Finding> {
    let addresses = config.listen.bind_addresses();
    let check = |address: &BindAddr| match (listener::bind(*address, &addresses), running) {
        (Ok(_), Running::Yes) => Finding::warning(
            "bind",
            format!("the node runs, but does not listen on {address}"),
            "restart it for the configuration to take effect",
        ),
        (Ok(_), _) => Finding::ok("bind", format!("{address} is free")),
        (Err(BindError::InUse(_)), Running::Yes) => Finding::ok("bind", format!("the node listens on {address}")),
        (Err(BindError::InUse(_)), Running::Unknown) => Finding::warning(
            "bind",
            format!("{address} is in use; whether by this node cannot be told, for it serves no HTTP at a known port"),
            "set http.listen to an address with a port",
        ),
        (Err(error), _) => Finding::failed("bind", error.to_string()),
    };
    addresses.iter().map(check).collect()
}

pub(super) fn nofile() -> Rlimit {
    getrlimit(Resource::Nofile)
}

/// Whether enough files can be open, which every connection is one of: as many as the node wants to raise its limit
/// to, and as many as a network with this many announced addresses takes.
pub(super) fn descriptors(limit: Rlimit, config: &LimitsConfig, next_hops: Option<usize>, remedy: Remedy) -> Finding {
    let words = |limit: Option<u64>| limit.map_or_else(|| "any number".to_owned(), |limit| limit.to_string());
    let needed = next_hops.map(limits::descriptors_needed);
    let network = needed.map(|needed| format!("; this network takes about {needed}")).unwrap_or_default();
    let message = format!("{} open files, and {} at most{network}", words(limit.current), words(limit.maximum));
    let hard = limit.maximum.unwrap_or(u64::MAX);
    if hard < config.nofile {
        let finding = Finding::warning("descriptors", message, format!("the node wants {}: {remedy}", config.nofile));
        return if config.nofile_strict { Finding { level: Level::Failed, ..finding } } else { finding };
    }
    match needed {
        Some(needed) if config.nofile < needed => {
            Finding::warning("descriptors", message, format!("raise limits.nofile from {} to {needed}", config.nofile))
        }
        _ => Finding::ok("descriptors", message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, Values, settings as s};

    fn config(listen: &str) -> Config {
        let mut values = Values::default();
        values.set(&s::NODE_ID.about, "mix", &Source::Program);
        values.set(&s::NODE_LAYER.about, "1", &Source::Program);
        values.set(&s::LISTEN_ADDRESSES.about, listen, &Source::Program);
        Config::from_values(&values).unwrap()
    }

    #[test]
    fn missing_keys_are_a_failure() {
        let home = tempfile::tempdir().unwrap();
        let (finding, identity) = keys(&KeyFiles::new(home.path(), &crate::config::KeysConfig::default()));
        assert_eq!((finding.level, identity), (Level::Failed, None));
        assert!(finding.message.contains("private_identity.pem does not exist"), "{finding:?}");
    }

    #[test]
    fn an_address_is_free_or_the_nodes_or_somebody_elses() {
        // No other test binds on this address, so the port stays free once it is dropped.
        let listener = std::net::TcpListener::bind("127.0.0.5:0").unwrap();
        let taken = config(&listener.local_addr().unwrap().to_string());
        drop(listener);
        assert_eq!(bind(&taken, Running::No)[0].level, Level::Ok);
        assert_eq!(bind(&taken, Running::Yes)[0].level, Level::Warning);
        let _holder = std::net::TcpListener::bind(taken.listen.addresses[0].address.get()).unwrap();
        assert_eq!(bind(&taken, Running::Yes)[0].level, Level::Ok);
        assert_eq!(bind(&taken, Running::Unknown)[0].level, Level::Warning);
        let failed = &bind(&taken, Running::No)[0];
        assert!(failed.level == Level::Failed && failed.message.contains("in use"), "{failed:?}");
        let foreign = &bind(&config("192.0.2.1:1789"), Running::No)[0];
        assert!(foreign.level == Level::Failed && foreign.message.contains("--announce-host"), "{foreign:?}");
    }

    #[test]
    fn too_few_descriptors_come_with_the_fix_for_the_place() {
        let found = |maximum, nofile_strict, next_hops| {
            let limit = Rlimit { current: Some(1024), maximum };
            let config = LimitsConfig { nofile: 65_535, nofile_strict };
            let finding = descriptors(limit, &config, next_hops, Remedy::Docker);
            (finding.level, format!("{}; {}", finding.message, finding.fix.unwrap_or_default()))
        };
        for enough in [None, Some(65_535), Some(524_288)] {
            assert_eq!(found(enough, true, Some(100)).0, Level::Ok, "{enough:?}");
        }
        let (level, words) = found(Some(65_534), false, None);
        assert!(level == Level::Warning && words.contains("--ulimit nofile=65535:65535"), "{words}");
        assert_eq!(found(Some(65_534), true, None).0, Level::Failed, "the node would not start");
        let (level, words) = found(Some(524_288), false, Some(50_000));
        assert!(level == Level::Warning && words.contains("about 150128"), "{words}");
        assert!(words.contains("raise limits.nofile from 65535 to 150128"), "{words}");
    }
}
