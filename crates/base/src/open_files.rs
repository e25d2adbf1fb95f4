//! The limit on open files, and the number of file descriptors that a network of a given size needs.

use std::env;
use std::fmt;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;
use tracing::{info, warn};

/// Descriptors for listeners, event queues, logs, files being written and requests to the directory, rounded up.
const RESERVE: u64 = 128;
/// Descriptors per announced address: one connection out and one in, and as many again for clients of the first layer
/// and for nodes that reconnect.
const PER_NEXT_HOP: u64 = 3;
/// The need of the smallest public network. The usual default limit of 1024 is too low for it.
const NEEDED_MIN: u64 = 2048;

/// Descriptors that a node needs in a network with this many announced addresses.
#[must_use]
pub fn descriptors_needed(next_hops: usize) -> u64 {
    let next_hops = u64::try_from(next_hops).unwrap_or(u64::MAX);
    next_hops.saturating_mul(PER_NEXT_HOP).saturating_add(RESERVE).max(NEEDED_MIN)
}

/// The limit on open files cannot be raised to the value that the configuration requires.
#[derive(Debug, Error)]
#[error(
    "the limit on open files cannot be raised to {target}, the hard limit is {hard}: {remedy}, or take \
     limits.nofile_strict away"
)]
pub struct LimitError {
    target: u64,
    hard: u64,
    remedy: Remedy,
}

/// Raises the limit on open files to the lower of the configured target and the hard limit; never lowers it.
///
/// # Errors
/// When the configuration is strict about the target and the hard limit is lower.
pub fn raise_nofile(config: &LimitsConfig) -> Result<(), LimitError> {
    let before = getrlimit(Resource::Nofile);
    let (soft, hard) = (before.current.unwrap_or(u64::MAX), before.maximum.unwrap_or(u64::MAX));
    if config.nofile_strict && hard < config.nofile {
        return Err(LimitError { target: config.nofile, hard, remedy: Remedy::here() });
    }
    let wanted = config.nofile.min(hard);
    if wanted > soft
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: before.maximum })
    {
        warn!(%error, "cannot raise the limit on open files");
    }
    let limit = nofile();
    if limit == soft {
        info!(limit, hard_limit = hard, "limit on open files");
    } else {
        info!(limit, before = soft, hard_limit = hard, "raised the limit on open files");
    }
    if hard < config.nofile {
        warn!(
            "the hard limit on open files is {hard}, less than limits.nofile ({}): {}",
            config.nofile,
            Remedy::here()
        );
    }
    Ok(())
}

/// The current limit on open files.
#[must_use]
pub fn nofile() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How the descriptors of a node are divided, so that no kind of connection takes those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Incoming connections.
    pub incoming: usize,
    /// Next hops with a connection.
    pub next_hops: usize,
}

/// Descriptors of a worker: its event queue, and what wakes it up.
const PER_WORKER: u64 = 4;

impl Shares {
    /// Divides the descriptors of this process that are not in use yet. `next_hops_max` is what the configuration
    /// allows for all workers together.
    ///
    /// An eighth of the limit, between 8 and 128, is reserved for the operator's HTTP, the directory and files. Next
    /// hops get up to half of the rest, and incoming connections what remains.
    #[must_use]
    pub fn here(workers: usize, next_hops_max: usize) -> Self {
        Self::of(nofile(), in_use(), workers, next_hops_max)
    }

    fn of(limit: u64, in_use: u64, workers: usize, next_hops_max: usize) -> Self {
        let reserved = (limit / 8).clamp(8, RESERVE) + PER_WORKER.saturating_mul(workers as u64);
        let free = usize::try_from(limit.saturating_sub(in_use + reserved)).unwrap_or(usize::MAX);
        let next_hops = next_hops_max.min(free / 2).max(workers);
        Self { incoming: free.saturating_sub(next_hops).max(1), next_hops }
    }
}

/// Open descriptors of this process; 0 if that is unknown.
fn in_use() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64)
}

/// Compares the limit on open files with the need of the network, and warns when the limit is too low.
#[derive(Debug, Default)]
pub struct DescriptorWatch {
    /// The need in the last warning. The next warning comes when the need has doubled.
    warned_of: std::sync::atomic::AtomicU64,
}

impl DescriptorWatch {
    /// Checks the limit for a topology with this many announced addresses. Logs a warning and returns the need when the
    /// limit is too low and the last warning was for less than half of the need.
    pub fn check(&self, next_hops: usize) -> Option<u64> {
        self.check_against(next_hops, nofile())
    }

    fn check_against(&self, next_hops: usize, limit: u64) -> Option<u64> {
        use std::sync::atomic::Ordering;
        let needed = descriptors_needed(next_hops);
        if needed <= limit || needed < self.warned_of.load(Ordering::Relaxed).saturating_mul(2) {
            return None;
        }
        self.warned_of.store(needed, Ordering::Relaxed);
        warn!(
            limit,
            needed,
            next_hops,
            "the limit on open files is too low for this network, connections will fail (\"Too many open files\"): {}",
            Remedy::here()
        );
        Some(needed)
    }
}

/// How to raise the limit permanently, which depends on what started the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// A unit of systemd.
    Systemd,
    /// A container of docker or podman.
    Docker,
    /// A pod, whose limit is the container runtime's.
    Kubernetes,
    /// A shell or something unknown.
    Shell,
}

impl Remedy {
    /// For this process.
    #[must_use]
    pub fn here() -> Self {
        Self::of(Path::new("/"), |name| env::var_os(name).is_some())
    }

    fn of(root: &Path, is_set: impl Fn(&str) -> bool) -> Self {
        // Innermost environment first: a pod may run in a container that a systemd unit started.
        if is_set("KUBERNETES_SERVICE_HOST") {
            return Self::Kubernetes;
        }
        let cgroup = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        if cgroup.contains("kubepods") {
            Self::Kubernetes
        } else if root.join(".dockerenv").exists()
            || root.join("run/.containerenv").exists()
            || ["/docker", "libpod"].iter().any(|mark| cgroup.contains(mark))
        {
            Self::Docker
        } else if is_set("INVOCATION_ID") {
            Self::Systemd
        } else {
            Self::Shell
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Systemd => "set LimitNOFILE=65535 in the [Service] section of the node's unit",
            Self::Docker => "start the container with --ulimit nofile=65535:65535 (compose: ulimits: nofile: 65535)",
            Self::Kubernetes => {
                "raise LimitNOFILE of the node's container runtime (containerd, CRI-O); a pod cannot do it itself"
            }
            Self::Shell => "run `ulimit -Hn 65535` as root before the start, or raise nofile in limits.conf",
        })
    }
}

/// Settings for the system limits of the process.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitsConfig {
    /// Target for the limit on open files. The hard limit caps it.
    pub nofile: u64,
    /// Refuse to start when the hard limit is lower.
    pub nofile_strict: bool,
}

/// The defaults of the settings.
impl Default for LimitsConfig {
    fn default() -> Self {
        Self { nofile: 65_535, nofile_strict: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_need_grows_with_the_network() {
        assert_eq!(descriptors_needed(0), NEEDED_MIN);
        assert_eq!(descriptors_needed(1000), 3128);
        assert_eq!(descriptors_needed(usize::MAX), u64::MAX);
    }

    #[test]
    fn each_kind_of_connection_has_its_share_of_the_descriptors_and_some_are_reserved() {
        assert_eq!(Shares::of(64, 20, 2, 8192), Shares { incoming: 14, next_hops: 14 });
        assert_eq!(Shares::of(1024, 20, 2, 8192), Shares { incoming: 434, next_hops: 434 });
        assert_eq!(Shares::of(65_535, 20, 2, 8192), Shares { incoming: 57_187, next_hops: 8192 });
        assert_eq!(Shares::of(u64::MAX, 20, 64, 1 << 20).next_hops, 1 << 20);
        // Too few for anything, but never none.
        assert_eq!(Shares::of(16, 20, 2, 8192), Shares { incoming: 1, next_hops: 2 });
        for limit in 64..4096 {
            let Shares { incoming, next_hops } = Shares::of(limit, 20, 2, 8192);
            assert!((incoming + next_hops) as u64 + 20 + 8 + 8 <= limit, "{limit}");
        }
    }

    #[test]
    fn a_low_limit_is_logged_once_for_each_doubling_of_the_network() {
        let watch = DescriptorWatch::default();
        assert_eq!(watch.check_against(10, 65_535), None);
        assert_eq!(watch.check_against(10, 1024), Some(2048));
        assert_eq!(watch.check_against(11, 1024), None);
        assert_eq!(watch.check_against(1300, 1024), None, "not yet the double");
        assert_eq!(watch.check_against(2000, 1024), Some(6128));
    }

    #[test]
    fn the_advice_matches_the_environment() {
        let root = tempfile::tempdir().unwrap();
        let of = |env: &[&str]| Remedy::of(root.path(), |name| env.contains(&name));
        assert_eq!(of(&[]), Remedy::Shell);
        assert_eq!(of(&["INVOCATION_ID"]), Remedy::Systemd);
        assert_eq!(of(&["KUBERNETES_SERVICE_HOST"]), Remedy::Kubernetes);
        std::fs::write(root.path().join(".dockerenv"), "").unwrap();
        assert_eq!(of(&["INVOCATION_ID"]), Remedy::Docker);
        std::fs::create_dir_all(root.path().join("proc/self")).unwrap();
        std::fs::write(root.path().join("proc/self/cgroup"), "0::/kubepods.slice/x\n").unwrap();
        assert_eq!(of(&[]), Remedy::Kubernetes);
    }

    #[test]
    fn a_strict_target_rejects_a_low_hard_limit_with_advice() {
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        let Some(above) = hard.checked_add(1) else { return };
        let error = raise_nofile(&LimitsConfig { nofile: above, nofile_strict: true }).unwrap_err().to_string();
        assert!(error.contains(&format!("hard limit is {hard}")) && error.contains("65535"), "{error}");
        raise_nofile(&LimitsConfig { nofile: above, nofile_strict: false }).unwrap();
        assert_eq!(nofile(), hard);
    }
}
