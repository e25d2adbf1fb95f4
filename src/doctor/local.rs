//! What can be found out without the network: keys, addresses of this machine, limits.

use rustix::process::{Resource, Rlimit, getrlimit};

use super::Finding;
use crate::address::BindAddr;
use crate::config::Config;
use crate::keys::store::{self, KeyFiles};
use crate::listener::{self, BindError};
use crate::telemetry::health;

/// Open files that a node of a busy network needs.
const NOFILE_TARGET: u64 = 65_535;

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
    let addresses = &config.listen.addresses;
    let check = |address: &BindAddr| match (listener::bind(*address, addresses), running) {
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

/// Whether enough files can be open, which every connection is one of.
pub(super) fn descriptors(limit: Rlimit) -> Finding {
    let words = |limit: Option<u64>| limit.map_or_else(|| "any number".to_owned(), |limit| limit.to_string());
    let message = format!("{} open files, and {} at most", words(limit.current), words(limit.maximum));
    if limit.maximum.is_none_or(|hard| hard >= NOFILE_TARGET) {
        return Finding::ok("descriptors", message);
    }
    let fix = format!(
        "allow {NOFILE_TARGET}: LimitNOFILE={NOFILE_TARGET} in the unit (systemd), \
         --ulimit nofile={NOFILE_TARGET}:{NOFILE_TARGET} (docker), the container runtime's limit (Kubernetes)"
    );
    Finding::warning("descriptors", message, fix)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
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
        let _holder = std::net::TcpListener::bind(taken.listen.addresses[0].get()).unwrap();
        assert_eq!(bind(&taken, Running::Yes)[0].level, Level::Ok);
        assert_eq!(bind(&taken, Running::Unknown)[0].level, Level::Warning);
        let failed = &bind(&taken, Running::No)[0];
        assert!(failed.level == Level::Failed && failed.message.contains("in use"), "{failed:?}");
        let foreign = &bind(&config("192.0.2.1:1789"), Running::No)[0];
        assert!(foreign.level == Level::Failed && foreign.message.contains("--announce-host"), "{foreign:?}");
    }

    #[test]
    fn too_few_descriptors_come_with_the_fix_for_each_place() {
        let limit = |maximum| Rlimit { current: Some(1024), maximum };
        for enough in [None, Some(65_535), Some(524_288)] {
            assert_eq!(descriptors(limit(enough)).level, Level::Ok, "{enough:?}");
        }
        let finding = descriptors(limit(Some(65_534)));
        assert_eq!(finding.level, Level::Warning);
        for place in ["systemd", "docker", "Kubernetes"] {
            assert!(finding.fix.as_ref().unwrap().contains(place), "{finding:?}");
        }
    }
}
