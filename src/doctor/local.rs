//! Checks without the network: keys, addresses of this machine, limits.

use nym_mixnode_base::open_files as limits;
use nym_mixnode_base::open_files::{LimitsConfig, Remedy};
use nym_mixnode_config::{Config, Role};
use nym_mixnode_keys::{KeyFiles, store};
use nym_mixnode_link::listener::{self, BindError};
use nym_mixnode_net::BindAddr;
use nym_mixnode_sphinx::self_check;
use nym_mixnode_telemetry::health::FileLimits;
use nym_mixnode_tls::Tls;
use rustix::process::{Resource, Rlimit, getrlimit};

use super::process::Running;
use super::{Finding, Level};

/// Checks that the keys are complete and private; returns the identity if they are.
pub(super) fn keys(files: &KeyFiles) -> (Finding, Option<String>) {
    match store::load(files) {
        Ok(keys) => {
            let message = format!("complete and private; the identity is {}", keys.identity_public);
            (Finding::ok("keys", message), Some(keys.identity_public))
        }
        Err(error) => (Finding::failed("keys", error.to_string()), None),
    }
}

/// Checks that this CPU can run the configured engine, and that its results are right.
pub(super) fn engine(config: &Config) -> Finding {
    let choice = config.unwrap.engine;
    match choice.resolve() {
        Ok(engine) => match self_check(engine) {
            Ok(()) => Finding::ok("engine", format!("this CPU unwraps packets with the engine {engine}")),
            Err(error) => Finding::failed("engine", format!("{engine}: {error}")),
        },
        Err(error) => Finding::failed("engine", error.to_string()).with_fix("set unwrap.engine to auto or portable"),
    }
}

/// Checks that a gateway can use the certificate that is configured.
pub(super) fn certificate(role: Role, config: &Config) -> Option<Finding> {
    let tls = config.gateway.tls.as_ref().filter(|_| role == Role::Gateway)?;
    Some(match tls.files.clone().map(Tls::load).transpose() {
        Ok(None) => Finding::ok("certificate", "for clients: self-signed, with a key derived from the identity key"),
        Ok(Some(_)) => Finding::ok("certificate", "for clients: the files of gateway.tls_certificate_file and its key"),
        Err(error) => Finding::failed("certificate", error.to_string()),
    })
}

/// Checks that each bind address is free or used by the node.
pub(super) fn bind(role: Role, config: &Config, running: Running) -> Vec<Finding> {
    let mut findings = bind_each(&config.listen.bind_addresses(), ("--port", "listen.addresses"), running);
    if role == Role::Gateway {
        findings.extend(bind_each(&[config.gateway.listen], ("--gateway-listen", "gateway.listen"), running));
        if let Some(tls) = &config.gateway.tls {
            findings.extend(bind_each(&[tls.listen], ("--gateway-tls-listen", "gateway.tls_listen"), running));
        }
    }
    findings
}

/// Checks the addresses of a setting, which is named by its flag and its key.
fn bind_each(addresses: &[BindAddr], (flag, key): (&str, &str), running: Running) -> Vec<Finding> {
    let check = |address: &BindAddr| match (listener::bind(*address, addresses), running) {
        (Ok(None), _) => Finding::ok("bind", format!("{address} is skipped: this machine has no IPv6")),
        (Ok(_), Running::Yes) => Finding::warning(
            "bind",
            format!("the node runs, but nothing listens on {address} here"),
            "restart the node if its addresses were changed since it started; if it runs in a container or another \
             network namespace, run doctor there",
        ),
        (Ok(_), _) => Finding::ok("bind", format!("{address} is free")),
        (Err(BindError::InUse(_)), Running::Yes) => Finding::ok("bind", format!("the node listens on {address}")),
        (Err(BindError::InUse(_)), Running::No) => {
            Finding::failed("bind", format!("{address} is in use by another program: this node does not run")).with_fix(
                format!(
                    "give this node another port, with {flag} or in {key}, if another node has this one; `ss -ltnp` \
                     names the program"
                ),
            )
        }
        (Err(BindError::InUse(_)), Running::Unknown) => Finding::warning(
            "bind",
            format!("{address} is in use, by this node or by another program"),
            format!("`ss -ltnp` names the program; if it is not this node, give this one another port with {flag}"),
        ),
        (Err(error), _) => Finding::failed("bind", error.to_string()),
    };
    addresses.iter().map(check).collect()
}

/// Checks the limit of open files for a node started from this process.
pub(super) fn files_here() -> FileLimits {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let remedy = match Remedy::here() {
        // A shell cannot know how the node will be started.
        remedy @ Remedy::Shell => format!("{remedy}; for a unit of systemd, {}", Remedy::Systemd),
        remedy => remedy.to_string(),
    };
    FileLimits { soft: current, hard: maximum, remedy }
}

/// Compares these limits with the open files, one per connection, that a node needs: `limits.nofile`, and the
/// connections of a network with this many announced addresses.
pub(super) fn descriptors(files: &FileLimits, config: &LimitsConfig, next_hops: Option<usize>) -> Finding {
    let whose = "a node started from here may open";
    judge(Judged { whose, may_have: files.hard, files, config, next_hops })
}

/// The same for a running node, which has already raised its limit.
pub(super) fn descriptors_of_node(files: &FileLimits, config: &LimitsConfig, next_hops: Option<usize>) -> Finding {
    let finding = judge(Judged { whose: "the node may open", may_have: files.soft, files, config, next_hops });
    let could_have = files.hard.is_none_or(|hard| hard >= config.nofile);
    match finding.level {
        Level::Ok => finding,
        _ if could_have && files.soft.is_some_and(|soft| soft < config.nofile) => {
            finding.with_fix(format!("restart it to raise its limit to limits.nofile, {}", config.nofile))
        }
        _ => finding,
    }
}

struct Judged<'a> {
    whose: &'static str,
    /// Current limit of the process, or the one that it can set.
    may_have: Option<u64>,
    files: &'a FileLimits,
    config: &'a LimitsConfig,
    next_hops: Option<usize>,
}

fn judge(Judged { whose, may_have, files, config, next_hops }: Judged<'_>) -> Finding {
    let any = |limit: Option<u64>, none: &str| limit.map_or_else(|| none.to_owned(), |limit| limit.to_string());
    let (soft, hard) = (any(files.soft, "any number of"), any(files.hard, "none"));
    let needed = next_hops.map(limits::descriptors_needed);
    let network = needed.map(|needed| format!("; this network takes about {needed}")).unwrap_or_default();
    let message = format!("{whose} {soft} files (hard limit {hard}){network}");
    let is_enough = needed.is_some_and(|needed| may_have.is_none_or(|limit| limit >= needed));
    if may_have.is_some_and(|limit| limit < config.nofile) && (config.nofile_strict || !is_enough) {
        let fix = format!("the node needs {}: {}", config.nofile, files.remedy);
        let finding = Finding::warning("descriptors", message, fix);
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
    use nym_mixnode_config::{Source, Values, settings as s};

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
        let (finding, identity) = keys(&KeyFiles::new(home.path(), &nym_mixnode_keys::KeysConfig::default()));
        assert_eq!((finding.level, identity), (Level::Failed, None));
        assert!(finding.message.contains("private_identity.pem does not exist"), "{finding:?}");
    }

    #[test]
    fn an_address_is_free_or_the_nodes_or_somebody_elses() {
        // No other test binds this address, so the port stays free after the drop.
        let listener = std::net::TcpListener::bind("127.0.0.5:0").unwrap();
        let taken = config(&listener.local_addr().unwrap().to_string());
        drop(listener);
        assert_eq!(bind(Role::Mixnode, &taken, Running::No)[0].level, Level::Ok);
        assert_eq!(bind(Role::Mixnode, &taken, Running::Yes)[0].level, Level::Warning);
        let _holder = std::net::TcpListener::bind(taken.listen.addresses[0].address.get()).unwrap();
        assert_eq!(bind(Role::Mixnode, &taken, Running::Yes)[0].level, Level::Ok);
        assert_eq!(bind(Role::Mixnode, &taken, Running::Unknown)[0].level, Level::Warning);
        let failed = &bind(Role::Mixnode, &taken, Running::No)[0];
        assert!(failed.level == Level::Failed && failed.message.contains("in use"), "{failed:?}");
        assert!(words(failed).contains("another port") && !words(failed).contains("stop"), "{failed:?}");
        let foreign = &bind(Role::Mixnode, &config("36.68.243.18:1789"), Running::No)[0];
        assert!(foreign.level == Level::Failed && foreign.message.contains("--announce-host"), "{foreign:?}");
    }

    #[test]
    fn a_gateway_binds_an_address_for_clients_as_well() {
        let bound = || std::net::TcpListener::bind("127.0.0.5:0").unwrap();
        let (free, holder) = (bound().local_addr().unwrap(), bound());
        let mut config = config(&free.to_string());
        config.gateway.listen = BindAddr::new(holder.local_addr().unwrap());
        config.gateway.tls = None;
        let found = bind(Role::Gateway, &config, Running::No);
        assert_eq!(found.iter().map(|finding| finding.level).collect::<Vec<_>>(), [Level::Ok, Level::Failed]);
        assert!(words(&found[1]).contains("gateway.listen"), "{found:?}");
        assert_eq!(bind(Role::Mixnode, &config, Running::No).len(), 1);
    }

    fn limits(soft: Option<u64>, hard: Option<u64>) -> FileLimits {
        FileLimits { soft, hard, remedy: Remedy::Docker.to_string() }
    }

    fn words(finding: &Finding) -> String {
        format!("{}; {}", finding.message, finding.fix.clone().unwrap_or_default())
    }

    #[test]
    fn too_few_descriptors_come_with_the_fix_for_the_place() {
        let found = |hard, nofile_strict, next_hops| {
            let config = LimitsConfig { nofile: 65_535, nofile_strict };
            let finding = descriptors(&limits(Some(1024), hard), &config, next_hops);
            (finding.level, words(&finding))
        };
        for enough in [None, Some(65_535), Some(524_288)] {
            let (level, words) = found(enough, true, Some(100));
            assert_eq!(level, Level::Ok, "{words}");
        }
        let (level, words) = found(Some(65_534), false, None);
        assert!(level == Level::Warning && words.contains("--ulimit nofile=65535:65535"), "{words}");
        assert_eq!(found(Some(65_534), true, None).0, Level::Failed, "the node would not start");
        // Enough for this network, unless the configuration requires more.
        assert_eq!(
            (found(Some(20_000), false, Some(100)).0, found(Some(20_000), true, Some(100)).0),
            (Level::Ok, Level::Failed)
        );
        let (level, words) = found(Some(524_288), false, Some(50_000));
        assert!(level == Level::Warning && words.contains("about 150128"), "{words}");
        assert!(words.contains("limits.nofile from 65535 to 150128"), "{words}");
    }

    #[test]
    fn a_node_that_runs_has_what_it_has() {
        let config = LimitsConfig { nofile: 65_535, nofile_strict: false };
        let found = |soft, hard| descriptors_of_node(&limits(soft, hard), &config, Some(100));
        for enough in [(None, None), (Some(65_535), Some(65_535)), (Some(70_000), None)] {
            let finding = found(enough.0, enough.1);
            assert_eq!(finding.level, Level::Ok, "{finding:?}");
        }
        let low = found(Some(600), Some(600));
        assert!(low.level == Level::Warning && words(&low).contains("--ulimit nofile=65535:65535"), "{low:?}");
        assert!(low.message.contains("600 files (hard limit 600)"), "{low:?}");
        let older = found(Some(1024), Some(65_535));
        assert!(older.level == Level::Warning && words(&older).contains("restart it"), "{older:?}");
    }
}
