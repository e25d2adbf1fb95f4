//! A registry behind an Ingress and a Gateway, whose controllers the tests play: they send what a proxy sends.

use serde_json::{Value, json};

use super::database::TOKEN;
use super::release::Release;
use crate::cluster::HOST_V4;
use crate::http::exchange;
use crate::waiting::eventually;

/// Both routes lead to the registry, under their host names.
pub(super) fn the_explorer_is_reached_through_proxies(release: &Release) {
    let object = |kind: &str, name: &str| -> Value {
        serde_json::from_str(&release.kubectl(&["get", kind, name, "-o", "json"])).expect("JSON")
    };
    let name = format!("{}-nym-mixnode-registry", release.name);
    let ingress = object("ingress", &name);
    let rule = &ingress["spec"]["rules"][0];
    let backend = &rule["http"]["paths"][0]["backend"]["service"];
    let route = object("httproute.gateway.networking.k8s.io", &name);
    let reference = &route["spec"]["rules"][0]["backendRefs"][0];
    assert_eq!(ingress["spec"]["tls"][0], json!({"hosts": [rule["host"]], "secretName": "registry-tls"}));
    assert_eq!(ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"], "letsencrypt");
    assert_eq!(route["spec"]["parentRefs"][0]["name"], "public");
    for (number, host, service, port) in [
        (1, &rule["host"], &backend["name"], &backend["port"]["number"]),
        (2, &route["spec"]["hostnames"][0], &reference["name"], &reference["port"]),
    ] {
        let host = host.as_str().expect("a host");
        let service = object("service", service.as_str().expect("a name"));
        let ports = service["spec"]["ports"].as_array().expect("ports");
        let found = ports.iter().find(|found| found["name"] == *port || found["port"] == *port);
        let found = found.unwrap_or_else(|| panic!("no port {port} in {ports:?}"));
        let url = format!("http://{}:{}", service["spec"]["clusterIP"].as_str().expect("an address"), found["port"]);
        answers_under_its_name(&url, host);
        shows_the_address_of_the_proxy(&url, host);
        believes_the_proxy(&url, host, number);
    }
}

fn answers_under_its_name(url: &str, host: &str) {
    let (status, page) = exchange(&format!("{url}/"), &[("host", host)], None).expect("an answer");
    assert!(status == 200 && page.starts_with("<!DOCTYPE html>"), "{status} {page}");
    let privileged = |host: &str| {
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("host", host), ("authorization", &bearer)];
        exchange(&format!("{url}/api/metrics/mixes"), &headers, None).expect("an answer").0
    };
    assert_eq!(privileged(host), 200);
    assert_eq!(privileged("evil.example"), 421, "another site's name");
}

/// The commands that join the network contain the URL of the proxy.
fn shows_the_address_of_the_proxy(url: &str, host: &str) {
    let headers = [("host", host), ("x-forwarded-host", host), ("x-forwarded-proto", "https")];
    let (_, page) = exchange(&format!("{url}/join"), &headers, None).expect("an answer");
    assert!(page.contains(&format!("https://{host}")), "{page}");
}

/// A call proves the address that the proxy names, so that the entry is listed and not pending.
fn believes_the_proxy(url: &str, host: &str, number: u8) {
    let identity = bs58::encode([number; 32]).into_string();
    let entry = json!({
        "mixHost": format!("{HOST_V4}:{number}"), "identityKey": identity, "sphinxKey": identity, "version": "0.9.2",
        "location": "", "incentivesAddress": "", "layer": 1,
    });
    let headers = [("host", host), ("x-forwarded-for", HOST_V4)];
    let registered = exchange(&format!("{url}/api/mixmining/register/mix"), &headers, Some(&entry));
    assert!(registered.as_ref().is_some_and(|(status, _)| *status < 300), "{registered:?}");
    // The other registry notices it a moment later.
    eventually("the entry is listed", || {
        let (_, topology) = exchange(&format!("{url}/api/mixmining/topology"), &headers, None)?;
        topology.contains(&identity).then_some(())
    });
}
