//! A machine in namespaces: Debian with systemd as process 1 and its own root user.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use tempfile::TempDir;

use crate::part::{part, root};
use crate::waiting::eventually_or;

/// Address of the machine, which a node can announce.
pub(super) const ADDRESS: &str = "10.9.0.1";

pub(super) struct Machine {
    boot: Child,
    /// The process that keeps the machine running.
    alive: Option<ChildStdin>,
    init: String,
    scratch: TempDir,
}

impl Machine {
    /// Boots a machine.
    pub(super) fn boot() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let console = fs::File::create(scratch.path().join("console")).unwrap();
        let mut boot = Command::new(root().join("tests/kit/systemd/boot"))
            .args([part("debian").as_path(), scratch.path()])
            .stdin(Stdio::piped())
            .stdout(console.try_clone().unwrap())
            .stderr(console)
            .spawn()
            .unwrap();
        let alive = boot.stdin.take();
        let mut machine = Self { boot, alive, init: String::new(), scratch };
        let init = machine.scratch.path().join("init");
        machine.until("systemd runs", || init.exists());
        fs::read_to_string(init).unwrap().trim().clone_into(&mut machine.init);
        machine.until("its bus answers", || machine.try_run("systemctl is-system-running --wait").status.success());
        machine
    }

    /// Runs a script as root, which may fail, and returns its output.
    pub(super) fn try_run(&self, script: &str) -> Output {
        let mut command = self.enter();
        command.args(["sh", "-c", script]).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Runs a script as root that must succeed, and returns its standard output without the last line break.
    pub(super) fn run(&self, script: &str) -> String {
        let output = self.try_run(script);
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}: {}\n{stdout}{stderr}{}", output.status, self.journal());
        stdout.trim_end().to_owned()
    }

    /// Writes a file and creates its parent directories.
    pub(super) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let mut command = self.enter();
        command.args(["sh", "-c", "mkdir -p \"${0%/*}\" && cat >\"$0\"", path]).stdin(Stdio::piped());
        let mut writer = command.spawn().unwrap();
        writer.stdin.take().unwrap().write_all(text.as_ref()).unwrap();
        assert!(writer.wait().unwrap().success(), "{path} cannot be written");
    }

    /// Installs a package, and returns the output of dpkg and its scripts.
    pub(super) fn install(&self, package: &Path) -> String {
        self.write("/root/package.deb", fs::read(package).unwrap());
        self.run("dpkg --install /root/package.deb 2>&1")
    }

    /// One property of a unit.
    pub(super) fn show(&self, unit: &str, property: &str) -> String {
        self.run(&format!("systemctl show --property={property} --value {unit}"))
    }

    /// The log lines of systemd and of the program of a unit.
    pub(super) fn log(&self, unit: &str) -> Vec<String> {
        self.journal_of(&format!("_SYSTEMD_UNIT={unit}.service + UNIT={unit}.service"))
    }

    /// The log lines of the program of a unit.
    pub(super) fn said_by(&self, unit: &str) -> Vec<String> {
        self.journal_of(&format!("_SYSTEMD_UNIT={unit}.service"))
    }

    fn journal_of(&self, matches: &str) -> Vec<String> {
        let log = self.run(&format!("journalctl --sync; journalctl --quiet --output=cat {matches}"));
        log.lines().map(str::to_owned).collect()
    }

    /// Waits until the condition holds.
    pub(super) fn until(&self, what: &str, condition: impl Fn() -> bool) {
        eventually_or(what, || condition().then_some(()), || self.journal());
    }

    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root"]);
        command.args(["--wd", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "PAGER=cat"]);
        command
    }

    /// The logs for a failing test.
    fn journal(&self) -> String {
        let console = fs::read_to_string(self.scratch.path().join("console")).unwrap_or_default();
        if self.init.is_empty() {
            return console;
        }
        let journal = self.try_run("journalctl --quiet --lines=60 --output=short 2>&1").stdout;
        format!("{console}\n{}", String::from_utf8_lossy(&journal))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.alive.take());
        self.boot.wait().ok();
    }
}

/// The Debian package of the program under test, in `version`.
///
/// It contains the program of the tests without debug information, because a release build takes minutes and the
/// package does not depend on the profile.
pub(super) fn package(into: &Path, version: &str) -> PathBuf {
    part("debhelper");
    let program = into.join("nym-mixnode");
    let stripped =
        Command::new("strip").arg("-o").args([&program, Path::new(env!("CARGO_BIN_EXE_nym-mixnode"))]).status();
    assert!(stripped.unwrap().success());
    let made = Command::new("make")
        .args(["--silent", "deb", &format!("VERSION={version}")])
        .arg(format!("BINARY={}", program.display()))
        .arg(format!("DIST={}", into.display()))
        // Compression would take most of the time.
        .envs([("DPKG_DEB_COMPRESSOR_TYPE", "gzip"), ("DPKG_DEB_COMPRESSOR_LEVEL", "1")])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    PathBuf::from(String::from_utf8(made.stdout).unwrap().trim())
}
