//! A real Docker engine that all test processes on this machine share. It keeps images and build caches for the next
//! run. `tests/kit/engine.sh` starts and stops it.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;

use rustix::fs::{FlockOperation, flock};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::part::{part, root};
use crate::waiting::eventually;

/// A running engine. It stops with the last process that uses it.
pub(crate) struct Engine {
    folder: PathBuf,
    /// PID of the first process in its namespaces.
    pid: String,
    /// The network namespace with the published ports of its containers.
    network: File,
    /// A shared lock that marks the engine as used.
    _user: File,
}

/// The engine of this process, started at the first call.
pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(Engine::start)
}

/// Runs `docker` with these arguments, and returns its output.
///
/// # Panics
/// When it fails, with its output.
pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = output(engine().docker().args(arguments));
    assert!(output.status.success(), "docker {}: {}", arguments.join(" "), said(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs the command to its end.
///
/// # Panics
/// When it cannot be started.
pub(crate) fn output(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()))
}

/// Standard output and standard error of a command.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

impl Engine {
    fn start() -> Self {
        let dockerd = part("dockerd");
        let folder = cache().join("engine");
        fs::create_dir_all(&folder).expect("a folder in the cache");
        put_plugins(&folder);
        let lock = |name: &str, operation| {
            let file = File::options().create(true).append(true).open(folder.join(name)).expect("a lock file");
            flock(&file, operation).expect("a lock");
            file
        };
        let user = lock("users", FlockOperation::LockShared);
        let starting = lock("starting", FlockOperation::LockExclusive);
        let socket = folder.join("docker.sock");
        assert!(socket.as_os_str().len() < 108, "{} is too long for a socket: set XDG_CACHE_HOME", socket.display());
        let was_running = UnixStream::connect(&socket).is_ok();
        if !was_running {
            spawn(&dockerd, &folder);
            eventually("the engine answers", || UnixStream::connect(&socket).ok());
        }
        let pid = fs::read_to_string(folder.join("pid")).expect("the engine's process id");
        let network = File::open(format!("/proc/{}/ns/net", pid.trim())).expect("the engine's network namespace");
        let engine = Self { folder, pid: pid.trim().to_owned(), network, _user: user };
        if !was_running {
            engine.remove_leftovers();
        }
        drop(starting);
        engine
    }

    /// Removes what killed tests left behind.
    fn remove_leftovers(&self) {
        let containers = output(self.docker().args(["ps", "--all", "--quiet"]));
        let containers = String::from_utf8_lossy(&containers.stdout).into_owned();
        output(self.docker().args(["rm", "--force", "--volumes"]).args(containers.split_whitespace()));
        for what in ["network", "volume"] {
            output(self.docker().args([what, "prune", "--force"]));
        }
    }

    /// The `docker` command, for this engine and with the plugins of the tests.
    pub(crate) fn docker(&self) -> Command {
        let mut docker = Command::new("docker");
        docker.env_clear();
        docker.envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME"));
        docker.env("DOCKER_HOST", format!("unix://{}", self.folder.join("docker.sock").display()));
        docker.env("DOCKER_CONFIG", &self.folder).env("DOCKER_BUILDKIT", "1");
        docker.current_dir(root());
        docker
    }

    /// A command in the engine's PID namespace, where containers have the PIDs that the engine reports.
    pub(crate) fn among_processes(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid, "--mount", "--pid", "--net", "--", program]);
        command
    }

    /// Runs `work` in the network namespace of the engine's host: published ports are on loopback addresses, and
    /// containers are reachable at their own addresses.
    pub(crate) fn on_host<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            move_into_link_name_space(self.network.as_fd(), Some(LinkNameSpaceType::Network)).expect("root");
            work()
        };
        // A namespace applies to a thread.
        thread::scope(|scope| scope.spawn(inside).join().expect("the work on the host"))
    }
}

/// The cache directory, as in `tests/kit/parts/lib.sh`.
pub(crate) fn cache() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("NYM_MIXNODE_KIT_CACHE").unwrap_or_else(|| {
        let caches = set("XDG_CACHE_HOME").unwrap_or_else(|| set("HOME").expect("HOME").join(".cache"));
        caches.join("nym-mixnode-kit")
    })
}

/// Links the plugins of the tests to where the command line finds them.
fn put_plugins(folder: &Path) {
    let plugins = folder.join("cli-plugins");
    fs::create_dir_all(&plugins).expect("a folder in the cache");
    for name in ["buildx", "compose"] {
        let (program, link) = (part(name), plugins.join(format!("docker-{name}")));
        if fs::read_link(&link).ok().as_ref() != Some(&program) {
            fs::remove_file(&link).ok();
            symlink(&program, &link).or_else(|error| if link.exists() { Ok(()) } else { Err(error) }).expect("a link");
        }
    }
}

/// The engine continues to run if another process uses it, so nothing waits for its end.
#[expect(clippy::zombie_processes, reason = "the shell that is started ends with the engine, not before this process")]
fn spawn(dockerd: &Path, folder: &Path) {
    let mut engine = Command::new("setsid");
    engine.arg(root().join("tests/kit/engine.sh")).arg(dockerd).arg(folder);
    let log = File::create(folder.join("start.log")).expect("a log");
    engine.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
    engine.spawn().expect("setsid");
}
