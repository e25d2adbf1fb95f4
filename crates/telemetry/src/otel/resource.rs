//! Who the telemetry is of: the service, the machine, the cloud, the pod. Never the node's identity, nor the arguments
//! of the process, which may hold secrets.

use std::env;
use std::fs;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use rustix::system::uname;

/// A pod's namespace stands here, where Kubernetes puts it.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The resource; what somebody has `given` wins over what is found.
pub(super) fn resource(cloud: Option<&'static str>, given: &[(String, String)]) -> Resource {
    let attribute = |(key, value): &(String, String)| KeyValue::new(key.clone(), value.clone());
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(found(cloud, |variable| env::var(variable).ok().filter(|value| !value.is_empty())))
        .with_attributes(given.iter().map(attribute))
        .build()
}

fn found(cloud: Option<&'static str>, variable: impl Fn(&str) -> Option<String>) -> Vec<KeyValue> {
    let mut all = vec![
        KeyValue::new("service.name", "nym-mixnode"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        // Another one at each start: it tells runs apart, and is no key of the node.
        KeyValue::new("service.instance.id", format!("{:032x}", rand::random::<u128>())),
        KeyValue::new("host.name", uname().nodename().to_string_lossy().into_owned()),
        KeyValue::new("host.arch", architecture(env::consts::ARCH)),
        KeyValue::new("os.type", env::consts::OS),
    ];
    all.extend(cloud.and_then(provider).map(|provider| KeyValue::new("cloud.provider", provider)));
    if variable("KUBERNETES_SERVICE_HOST").is_some() {
        // Not the name of the host, which is another one in a pod on its host's network.
        all.extend(variable("POD_NAME").map(|name| KeyValue::new("k8s.pod.name", name)));
        all.extend(variable("NODE_NAME").map(|name| KeyValue::new("k8s.node.name", name)));
        let namespace = fs::read_to_string(NAMESPACE_FILE).ok();
        all.extend(namespace.map(|name| KeyValue::new("k8s.namespace.name", name.trim().to_owned())));
    }
    all
}

/// The word of the conventions.
fn architecture(rust: &'static str) -> &'static str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The clouds that the conventions have a word for.
fn provider(cloud: &'static str) -> Option<&'static str> {
    match cloud {
        "aws" | "gcp" | "azure" => Some(cloud),
        "oracle" => Some("oracle_cloud"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::Key;

    #[test]
    fn pod_and_node_are_told_by_the_names_that_kubernetes_gives_and_never_by_the_hosts() {
        let pod = |names: &[(&str, &str)]| {
            let variable =
                |wanted: &str| names.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned());
            let found = found(None, variable);
            let told = |key| found.iter().find(|told| told.key.as_str() == key).map(|told| told.value.to_string());
            (told("k8s.pod.name"), told("k8s.node.name"))
        };
        let inside = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        let (name, node) = (("POD_NAME", "mix-0"), ("NODE_NAME", "machine"));
        assert_eq!(pod(&[inside, name, node]), (Some("mix-0".to_owned()), Some("machine".to_owned())));
        assert_eq!(pod(&[inside]), (None, None));
        assert_eq!(pod(&[name, node]), (None, None));
    }

    #[test]
    fn what_is_given_wins_and_no_argument_of_the_process_is_told() {
        let given = [("service.name".to_owned(), "mix".to_owned()), ("cloud.region".to_owned(), "eu-1".to_owned())];
        let resource = resource(Some("aws"), &given);
        let value = |key: &'static str| resource.get(&Key::from_static_str(key)).map(|value| value.to_string());
        assert_eq!(value("service.name").as_deref(), Some("mix"));
        assert_eq!(value("cloud.region").as_deref(), Some("eu-1"));
        assert_eq!(value("cloud.provider").as_deref(), Some("aws"));
        assert_eq!(value("service.instance.id").map(|id| id.len()), Some(32));
        assert!(resource.iter().all(|(key, _)| !key.as_str().starts_with("process.")));
    }
}
