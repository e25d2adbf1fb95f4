//! A machine: a Debian or an Ubuntu with systemd as process 1 in a network namespace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use crate::netns::NetNs;
use crate::part::root;
use crate::waiting::{eventually, eventually_or};

/// A machine. Dropping it simulates a power failure; its directory keeps the written data for the next boot.
pub(crate) struct Machine {
    boot: Child,
    alive: Option<ChildStdin>,
    folder: PathBuf,
    init: String,
}

impl Machine {
    /// Boots the machine with this root file system, and with the data that an earlier boot left in `folder`.
    pub(crate) fn start(netns: &NetNs, system: &Path, folder: PathBuf) -> Self {
        fs::remove_file(folder.join("init")).ok();
        let program = root().join("tests/kit/machine/boot");
        let mut command = netns.command(program.to_str().unwrap());
        let mut boot = command.arg(system).arg(&folder).stdin(Stdio::piped()).spawn().unwrap();
        let alive = boot.stdin.take();
        let init = folder.join("init");
        eventually("systemd runs", || init.exists().then_some(()));
        let init = fs::read_to_string(init).unwrap().trim().to_owned();
        Self { boot, alive, folder, init }
    }

    /// Runs a script as root.
    pub(crate) fn try_run(&self, script: &str) -> Output {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root"]);
        command.args(["--wd", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "PAGER=cat"]);
        command.args(["bash", "-c", script]).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs a script as root that must succeed, and returns its output.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        let output = self.try_run(script);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}: {}\n{out}{err}\n{}", output.status, self.story());
        out.trim_end().to_owned()
    }

    /// Waits for the condition, and fails with the logs of the machine.
    #[track_caller]
    pub(crate) fn until<T>(&self, what: &str, ask: impl Fn() -> Option<T>) -> T {
        eventually_or(what, ask, || self.story())
    }

    /// The log of the unit since its start.
    pub(crate) fn log(&self, unit: &str) -> String {
        // All machines share the boot ID of the kernel.
        let invocation = self.run(&format!("systemctl show --property=InvocationID --value {unit}"));
        self.run(&format!("journalctl --sync; journalctl --quiet --output=cat _SYSTEMD_INVOCATION_ID={invocation}"))
    }

    /// Shuts the machine down.
    pub(crate) fn power_off(mut self) {
        self.try_run("systemctl poweroff");
        eventually("the machine is off", || self.boot.try_wait().unwrap());
    }

    fn story(&self) -> String {
        let console = fs::read_to_string(self.folder.join("console")).unwrap_or_default();
        let journal = self.try_run("cloud-init status --long; journalctl --quiet --lines=80 --no-pager 2>&1").stdout;
        format!("{console}\n{}", String::from_utf8_lossy(&journal))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.alive.take());
        self.boot.wait().ok();
    }
}
