//! A release of the chart in the cluster.

use std::process::Output;

use super::{chart, here};
use crate::cluster::{Cluster, cluster, succeeded};
use crate::waiting::eventually;

/// A release in a namespace of the same name. It is never removed, because the cluster is.
pub(super) struct Release {
    pub(super) name: String,
}

impl Release {
    /// Installs the chart with these flags and waits until all pods are ready.
    pub(super) fn install(name: &str, security: &str, flags: &[&str]) -> Self {
        cluster().namespace(name, security);
        let release = Self::named(name);
        succeeded("helm install", flags, &release.helm("install", &chart(), flags));
        release
    }

    /// A release that is not installed yet, in an existing namespace.
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// `helm install` or `helm upgrade`, of this or another chart.
    pub(super) fn helm(&self, verb: &str, chart: &str, flags: &[&str]) -> Output {
        let here = here();
        let here: Vec<_> = here.iter().map(String::as_str).collect();
        let wait = ["--wait", "--timeout", "300s"];
        cluster().try_helm(&[&[verb, &self.name, chart, "-n", &self.name], &here[..], flags, &wait].concat())
    }

    /// `helm upgrade`, which must succeed.
    pub(super) fn upgrade(&self, flags: &[&str]) {
        succeeded("helm upgrade", flags, &self.helm("upgrade", &chart(), flags));
    }

    /// `helm test`; returns the logs of its pods.
    pub(super) fn test(&self) -> String {
        cluster().helm(&["test", &self.name, "-n", &self.name, "--timeout", "300s"])
    }

    /// The output of `kubectl` in the namespace of the release.
    pub(super) fn kubectl(&self, arguments: &[&str]) -> String {
        cluster().kubectl(&[&["-n", &self.name], arguments].concat())
    }

    /// The name of the pod with this number.
    pub(super) fn pod(&self, number: usize) -> String {
        format!("{}-nym-mixnode-{number}", self.name)
    }

    /// The log of a node since its start.
    pub(super) fn log(&self, number: usize) -> String {
        self.kubectl(&["logs", &self.pod(number), "-c", "mixnode"])
    }

    /// The public key that a node registers with.
    pub(super) fn identity(&self, number: usize) -> String {
        let log = self.log(number);
        let line = log.lines().find_map(|line| line.strip_prefix("Public key: "));
        line.unwrap_or_else(|| panic!("no key in {log}")).to_owned()
    }

    /// The UID of a pod.
    pub(super) fn uid(&self, number: usize) -> String {
        self.kubectl(&["get", "pod", &self.pod(number), "-o", "jsonpath={.metadata.uid}"])
    }

    /// Waits until the pod with this number is ready.
    pub(super) fn await_ready(&self, number: usize) {
        let pod = format!("pod/{}", self.pod(number));
        eventually(&format!("{pod} is ready"), || {
            let output = self.try_kubectl(&["wait", "--for=condition=Ready", &pod, "--timeout=10s"]);
            output.status.success().then_some(())
        });
    }

    /// `kubectl` in the namespace of the release, which may fail.
    pub(super) fn try_kubectl(&self, arguments: &[&str]) -> Output {
        cluster().try_kubectl(&[&["-n", &self.name], arguments].concat())
    }
}

/// Standard output and standard error of a program.
pub(super) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// The cluster.
pub(super) fn the_cluster() -> &'static Cluster {
    cluster()
}
