//! The example for `OpenShift`, whose admission assigns ids of users and groups to each namespace and rejects others.
//!
//! An admission policy of Kubernetes plays that part here: it sets the ids that a pod leaves open.

use std::fs;

use super::release::{Release, said, the_cluster};
use super::{chart, template};
use crate::cluster::succeeded;

/// Ids as `OpenShift` chooses them.
const ASSIGNED: &str = "1000680000";

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
    succeeded("helm install", &["openshift"], &release.helm("install", &chart(), &["-f", &values()]));
    release.test();
    let path = "jsonpath={.spec.securityContext.runAsUser}";
    assert_eq!(release.kubectl(&["get", "pod", &release.pod(0), "-o", path]), ASSIGNED);
    // The policy rejects ids of the default values.
    let flags = ["-n", "openshift", "--set", "directory.url=http://directory,image.repository=a"];
    let pod = template(&[&flags[..], &["-s", "templates/tests/open-files.yaml"]].concat()).expect("a pod");
    let path = cluster.dir().join("fixed.yaml");
    fs::write(&path, pod).expect("a file");
    let fixed = release.try_kubectl(&["apply", "--dry-run=server", "-f", &path.display().to_string()]);
    assert!(said(&fixed).contains("not in the range of the namespace"), "{}", said(&fixed));
}
