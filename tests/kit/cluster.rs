//! A real Kubernetes of one node: API server, controllers, scheduler, kubelet, containerd, kube-proxy and name server,
//! in namespaces of their own (`cluster/keeper.sh`).
//!
//! It lives for as long as this process, however that ends. A cloud's parts in it are played by the tests, through the
//! same interfaces as a cloud: addresses of the Node and of load balancers are written into their status.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::part::{part, root};
use crate::waiting::{PATIENCE, TURN, pause};
use crate::{docker_archive, image};

/// This process, as seen from the cluster: public addresses, for nodes that announce such send to no others.
pub(crate) const OUTSIDE: [&str; 2] = ["36.68.241.1", "2600:1f18:99::1"];
/// This process, as seen from the cluster: a private address.
pub(crate) const HOST_V4: &str = "10.99.0.1";
/// The node, as seen from this process.
pub(crate) const NODE_V4: &str = "10.99.0.2";
pub(crate) const NODE_V6: &str = "fd99::2";

const COMPONENTS: [&str; 7] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"];

/// A running cluster.
pub(crate) struct Cluster {
    dir: PathBuf,
    programs: PathBuf,
    helm: PathBuf,
    netns: String,
    /// The cluster goes when this is closed, by us or by the kernel.
    _alive: ChildStdin,
}

/// The cluster of this run, which the first caller starts.
pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start)
}

/// The program `helm`, which needs no cluster to render and to check.
pub(crate) fn helm_program() -> &'static Path {
    static HELM: OnceLock<PathBuf> = OnceLock::new();
    HELM.get_or_init(|| part("helm"))
}

impl Cluster {
    fn start() -> Self {
        part("containerd");
        let dir = tempfile::Builder::new().prefix("nym-kit-cluster-").tempdir().expect("a directory").keep();
        let programs = dir.join("programs");
        fs::create_dir(&programs).expect("a directory");
        let kubernetes = part("kubernetes");
        for component in COMPONENTS {
            symlink(&kubernetes, programs.join(component)).expect("a link");
        }
        symlink(part("coredns"), programs.join("coredns")).expect("a link");
        let mut keeper = Command::new("bash")
            .arg(root().join("tests/kit/cluster/keeper.sh"))
            .args([&dir, &programs])
            .args([docker_archive::pause(&dir), image::archive(), docker_archive::collector(&dir)])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("bash");
        let alive = keeper.stdin.take().expect("a pipe");
        await_ready(&dir, &mut keeper);
        let helm = helm_program().to_owned();
        let netns = format!("nym-kit-{}", keeper.id());
        Self { dir, programs, helm, netns, _alive: alive }
    }

    /// `kubectl` with these arguments, whether it succeeds or not.
    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.programs.join("kubectl"));
        self.output(command.args(arguments))
    }

    /// What `kubectl` prints.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        succeeded("kubectl", arguments, &self.try_kubectl(arguments))
    }

    /// `helm` with these arguments, whether it succeeds or not.
    pub(crate) fn try_helm(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.helm);
        command.env("HELM_CACHE_HOME", self.dir.join("helm")).env("HELM_CONFIG_HOME", self.dir.join("helm"));
        self.output(command.env("HELM_DATA_HOME", self.dir.join("helm")).args(arguments))
    }

    /// What `helm` prints.
    pub(crate) fn helm(&self, arguments: &[&str]) -> String {
        succeeded("helm", arguments, &self.try_helm(arguments))
    }

    /// A namespace with the `restricted` Pod Security, or with none.
    pub(crate) fn namespace(&self, name: &str, security: &str) {
        self.kubectl(&["create", "namespace", name]);
        self.kubectl(&["label", "namespace", name, &format!("pod-security.kubernetes.io/enforce={security}")]);
    }

    /// A directory for the test's files; it goes with the cluster.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The network namespace of the cluster's machine.
    pub(crate) fn netns(&self) -> &str {
        &self.netns
    }

    fn output(&self, command: &mut Command) -> Output {
        let command = command.env("KUBECONFIG", self.dir.join("pki/admin.conf")).env("HOME", &self.dir);
        command.stdin(Stdio::null()).output().expect("a program of the cluster")
    }
}

fn await_ready(dir: &Path, keeper: &mut Child) {
    let mut began = Instant::now();
    let asked = began;
    while !dir.join("ready").exists() {
        let ended = keeper.try_wait().expect("the keeper");
        if !dir.join("alone").exists() && asked.elapsed() < TURN {
            began = Instant::now();
        }
        if ended.is_some() || began.elapsed() > PATIENCE {
            let logs = Command::new("tail").args(["-n", "5"]).args(logs(dir)).output().expect("tail");
            let logs = String::from_utf8_lossy(&logs.stdout).into_owned();
            panic!("no cluster after {:?} ({ended:?}):\n{logs}", began.elapsed());
        }
        pause(Duration::from_millis(200));
    }
}

fn logs(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("log")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The standard output of a program that succeeded.
pub(crate) fn succeeded(program: &str, arguments: &[&str], output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {}\n{text}{error}", arguments.join(" "), output.status);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::{eventually_or, within};
    use std::env;

    /// Tells the process that this test starts that it is the one that is killed.
    const VICTIM: &str = "NYM_MIXNODE_KIT_VICTIM";

    /// A run of the kit, killed at the latest when this is dropped.
    struct Victim(Child);

    impl Drop for Victim {
        fn drop(&mut self) {
            self.0.kill().ok();
            self.0.wait().ok();
        }
    }

    #[test]
    fn a_run_that_is_killed_leaves_nothing_behind() {
        if let Some(file) = env::var_os(VICTIM) {
            fs::write(file, cluster().dir().display().to_string()).expect("a file");
            loop {
                pause(PATIENCE);
            }
        }
        // What may take long is there before anything is waited for.
        image::archive();
        for name in ["containerd", "kubernetes", "coredns", "otelcol", "helm"] {
            part(name);
        }
        let told = tempfile::tempdir().expect("a directory");
        let file = told.path().join("dir");
        let name = "cluster::tests::a_run_that_is_killed_leaves_nothing_behind";
        let mut victim = Command::new(env::current_exe().expect("this program"));
        victim.args(["--exact", name]).env(VICTIM, &file).stdout(Stdio::null());
        let victim = Victim(victim.spawn().expect("a run"));
        // Another run on this machine may have its cluster first.
        let told = || fs::read_to_string(&file).ok().filter(|dir| !dir.is_empty());
        let dir = within(TURN + PATIENCE, "a cluster", told, String::new);
        let traces = traces(Path::new(&dir));
        assert!(traces.len() > 3, "it is not known what to look for: {traces:?}");
        drop(victim);
        let what_is_left = || -> Vec<PathBuf> {
            let processes = processes_of(Path::new(&dir));
            traces.iter().filter(|place| place.exists()).cloned().chain(processes).collect()
        };
        let story = || format!("left: {:?}", what_is_left());
        eventually_or("it takes everything with it", || what_is_left().is_empty().then_some(()), story);
    }

    /// What is there of a cluster, by the names that its keeper made of its own number.
    fn traces(dir: &Path) -> Vec<PathBuf> {
        let keeper = processes_of(dir).into_iter().find(|process| {
            let command = fs::read(process.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains("keeper.sh")
        });
        let keeper = keeper.expect("a keeper");
        let number = keeper.file_name().expect("a number").to_string_lossy().into_owned();
        let mut places = vec![
            dir.to_owned(),
            format!("/run/netns/nym-kit-{number}").into(),
            format!("/sys/class/net/nymkit{number}").into(),
            format!("/sys/fs/cgroup/nym-kit-{number}").into(),
        ];
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        places.extend(hierarchies.map(|entry| entry.path().join(format!("nym-kit-{number}"))));
        places.retain(|place| place.exists());
        places
    }

    fn processes_of(dir: &Path) -> Vec<PathBuf> {
        let all = fs::read_dir("/proc").expect("/proc").flatten();
        let mentions = |process: &PathBuf| {
            let command = fs::read(process.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(&dir.display().to_string())
        };
        all.map(|entry| entry.path()).filter(mentions).collect()
    }
}
