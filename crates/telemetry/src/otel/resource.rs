//! The resource attributes: service, machine, cloud and pod. They never contain the node's identity, nor the arguments
//! of the process, which may include secrets.

use std::env;
use std::fs;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use rustix::system::uname;

/// File with a pod's namespace, mounted by Kubernetes.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Builds the resource; attributes in `given` take precedence over detected ones.
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
        // Random for each start: it distinguishes runs and is not derived from a key of the node.
        KeyValue::new("service.instance.id", format!("{:032x}", rand::random::<u128>())),
        KeyValue::new("host.name", uname().nodename().to_string_lossy().into_owned()),
        KeyValue::new("host.arch", architecture(env::consts::ARCH)),
        KeyValue::new("os.type", env::consts::OS),
    ];
    all.extend(cloud.and_then(provider).map(|provider| KeyValue::new("cloud.provider", provider)));
    if variable("KUBERNETES_SERVICE_HOST").is_some() {
        // Not the host name, which differs in a pod on the host's network.
        all.extend(variable("POD_NAME").map(|name| KeyValue::new("k8s.pod.name", name)));
        all.extend(variable("NODE_NAME").map(|name| KeyValue::new("k8s.node.name", name)));
        let namespace = fs::read_to_string(NAMESPACE_FILE).ok();
        all.extend(namespace.map(|name| KeyValue::new("k8s.namespace.name", name.trim().to_owned())));
    }
    all
}

/// The architecture as the semantic conventions spell it.
fn architecture(rust: &'static str) -> &'static str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The cloud as the semantic conventions spell it, if they define it.
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
    fn pod_and_node_have_the_kubernetes_names_and_never_the_host_name() {
        let pod = |names: &[(&str, &str)]| {
            let variable =
                |wanted: &str| names.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned());
            let found = found(None, variable);
            let value = |key| found.iter().find(|entry| entry.key.as_str() == key).map(|entry| entry.value.to_string());
            (value("k8s.pod.name"), value("k8s.node.name"))
        };
        let inside = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
        let (name, node) = (("POD_NAME", "mix-0"), ("NODE_NAME", "machine"));
        assert_eq!(pod(&[inside, name, node]), (Some("mix-0".to_owned()), Some("machine".to_owned())));
        assert_eq!(pod(&[inside]), (None, None));
        assert_eq!(pod(&[name, node]), (None, None));
    }

    #[test]
    fn configured_attributes_win_and_process_arguments_are_not_exported() {
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
