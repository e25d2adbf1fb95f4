//! The example for `OpenShift`, whose admission assigns ids of users and groups to each namespace and rejects others.
//!
//! An admission policy of Kubernetes plays that part here: it sets the ids that a pod leaves open.

use std::fs;
use std::process::Output;

use super::release::{Release, said, the_cluster};
use super::{chart, template};
use crate::cluster::succeeded;
use crate::waiting::eventually_or;

/// Ids as `OpenShift` chooses them.
const ASSIGNED: &str = "1000680000";

/// The user whose id a pod runs with.
const USER: &str = "jsonpath={.spec.securityContext.runAsUser}";

const POLICIES: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: openshift}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints:
    resourceRules:
      - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  mutations:
    - patchType: ApplyConfiguration
      applyConfiguration:
        expression: >-
          Object{spec: Object.spec{securityContext: Object.spec.securityContext{
          fsGroup: ASSIGNED, runAsUser: ASSIGNED, runAsGroup: 0}}}
  matchConditions:
    - name: open
      expression: "!has(object.spec.securityContext.runAsUser) && !has(object.spec.securityContext.fsGroup)"
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: openshift}
spec:
  policyName: openshift
  matchResources:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: openshift}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: openshift}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
    - expression: >-
        object.spec.securityContext.runAsUser == ASSIGNED && object.spec.securityContext.fsGroup == ASSIGNED &&
        object.spec.containers.all(c, !has(c.securityContext.runAsUser))
      message: the ids are not in the range of the namespace
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: openshift}
spec:
  policyName: openshift
  validationActions: [Deny]
  matchResources:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: openshift}}
"#;

/// The values of the example.
fn values() -> String {
    format!("{}/ci/openshift-values.yaml", chart())
}

#[test]
fn no_pod_of_the_example_chooses_its_ids() {
    let rendered = template(&["-f", &values()]).expect("the example");
    for id in ["runAsUser:", "runAsGroup:", "fsGroup:"] {
        assert!(!rendered.contains(id), "{id}");
    }
    assert!(rendered.contains("runAsNonRoot: true"));
    assert!(
        template(&["-f", &values(), "--set", "securityContext.runAsUser=77"]).expect("an id").contains("runAsUser: 77")
    );
}

#[test]
fn nodes_and_registry_run_with_assigned_ids() {
    let cluster = the_cluster();
    cluster.namespace("openshift", "restricted");
    let path = cluster.dir().join("openshift.yaml");
    fs::write(&path, POLICIES.replace("ASSIGNED", ASSIGNED)).expect("a file");
    cluster.kubectl(&["apply", "-f", &path.display().to_string()]);
    let release = Release::named("openshift");
    let values = values();
    await_policies(&release, &values);
    succeeded("helm install", &["openshift"], &release.helm("install", &chart(), &["-f", &values]));
    release.test();
    assert_eq!(release.kubectl(&["get", "pod", &release.pod(0), "-o", USER]), ASSIGNED);
}

/// Waits until pods get ids and the ids of the chart's default values are rejected: the API server takes note of new
/// policies a moment after it stored them, and a pod from before would run with the ids of the image.
fn await_policies(release: &Release, values: &str) {
    let open = admitted(release, "open", &["-f", values]);
    eventually_or("assigned ids", || (said(&open()) == ASSIGNED).then_some(()), || said(&open()));
    let fixed = admitted(release, "fixed", &["--set", "directory.url=http://directory,image.repository=a"]);
    let rejected = || said(&fixed()).contains("not in the range of the namespace").then_some(());
    eventually_or("rejected ids", rejected, || said(&fixed()));
}

/// What the API server says of a pod of the chart with these values, without creating it.
fn admitted<'a>(release: &'a Release, name: &str, flags: &[&str]) -> impl Fn() -> Output + 'a {
    let pod = [&["-n", "openshift", "-s", "templates/tests/open-files.yaml"], flags].concat();
    let pod = template(&pod).expect("a pod");
    let path = the_cluster().dir().join(format!("openshift-{name}.yaml"));
    fs::write(&path, pod).expect("a file");
    let path = path.display().to_string();
    move || release.try_kubectl(&["apply", "--dry-run=server", "-f", &path, "-o", USER])
}
