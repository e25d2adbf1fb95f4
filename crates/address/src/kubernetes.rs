//! Kubernetes: the external address of the Node that the pod runs on, or of the Service in front of it.
//!
//! The downward API provides neither, so the API server is queried with the pod's service account.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;
use std::{env, io};

use nym_mixnode_base::file;
use reqwest::Certificate;
use serde_json::Value;

use super::inquiry::{self, Inquiry, Public, RequestRules, Step, Unanswered};

const MANNERS: RequestRules =
    RequestRules { name: "kubernetes", timeout: Duration::from_secs(5), retry_on: &[429, 500, 503, 504] };
/// Directory of the pod's service account files.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Size limit of one of these files: token and certificates take a few kilobytes.
const BYTES_MAX: u64 = 1 << 20;

/// Access of a pod to the API server.
#[derive(Debug, Clone)]
pub(super) struct Access {
    base: String,
    token: String,
    namespace: String,
    ca: Vec<Certificate>,
    node: String,
}

impl Access {
    /// Reads the variables that Kubernetes sets in each container, and `NODE_NAME` of the chart. The error describes
    /// what is missing.
    pub(super) fn of_pod() -> Result<Self, String> {
        let var = |name: &str| env::var(name).map_err(|_| format!("{name} is not in the environment"));
        let (host, port) = (var("KUBERNETES_SERVICE_HOST")?, var("KUBERNETES_SERVICE_PORT")?);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let dir = Path::new(SERVICE_ACCOUNT);
        let unreadable = |file: &str| {
            let path = dir.join(file).display().to_string();
            move |error: io::Error| format!("{path}: {error}; does the pod mount its service account's token?")
        };
        let text = |file: &str| file::read_text(&dir.join(file), BYTES_MAX).map_err(unreadable(file));
        let pem = file::read(&dir.join("ca.crt"), BYTES_MAX).map_err(unreadable("ca.crt"))?;
        let ca = Certificate::from_pem_bundle(&pem).map_err(|error| format!("the cluster's CA: {error}"))?;
        Ok(Self {
            base: format!("https://{host}:{port}"),
            token: text("token")?.trim().to_owned(),
            namespace: text("namespace")?.trim().to_owned(),
            ca,
            node: env::var("NODE_NAME").unwrap_or_default(),
        })
    }
}

/// Queries the API server for the ingress of a Service or, without one, for the addresses of the Node. Also returns whether a missing address may still appear.
pub(super) async fn look_up(
    access: Result<Access, String>,
    service: Option<&str>,
    allow_private: bool,
    steps: &mut Vec<Step>,
) -> (Public, bool) {
    let access = match access {
        Ok(access) => access,
        Err(missing) => {
            steps.push(Step { asked: MANNERS.name.to_owned(), answer: missing, failed: true });
            return (Public::default(), false);
        }
    };
    let http = inquiry::http(MANNERS.timeout).tls_certs_only(access.ca.iter().cloned());
    let Some(mut inquiry) = Inquiry::over(http, MANNERS, allow_private, steps) else {
        return (Public::default(), false);
    };
    match service {
        None => of_node(&access, &mut inquiry).await,
        Some(name) => of_service(&access, name, &mut inquiry).await,
    }
}

/// Some clouds assign a machine's public address only after it has started.
async fn of_node(access: &Access, inquiry: &mut Inquiry<'_>) -> (Public, bool) {
    let mut public = Public::default();
    if !is_name(&access.node) {
        inquiry.fail("Node", "NODE_NAME is not in the environment: set it from spec.nodeName with the downward API");
        return (public, false);
    }
    let node = match get(access, inquiry, "Node", &format!("/api/v1/nodes/{}", access.node)).await {
        Ok(node) => node,
        Err(may_come) => return (public, may_come),
    };
    let addresses = node["status"]["addresses"].as_array().into_iter().flatten();
    let external = addresses.filter(|address| address["type"] == "ExternalIP");
    let external: Vec<_> = external.filter_map(|address| address["address"].as_str()).collect();
    let may_come = external.is_empty();
    if may_come {
        inquiry.note("Node ExternalIP", "nothing yet: the Node has no such address");
    }
    for text in external {
        public.add(inquiry.address("Node ExternalIP", text));
    }
    (public, may_come)
}

/// A load balancer takes minutes to create, and its name may exist before its addresses.
async fn of_service(access: &Access, name: &str, inquiry: &mut Inquiry<'_>) -> (Public, bool) {
    const WHAT: &str = "Service ingress";
    let (mut public, mut may_come) = (Public::default(), false);
    let path = format!("/api/v1/namespaces/{}/services/{name}", access.namespace);
    let service = match get(access, inquiry, "Service", &path).await {
        Ok(service) => service,
        Err(may_come) => return (public, may_come),
    };
    let ingress: Vec<&Value> = service["status"]["loadBalancer"]["ingress"].as_array().into_iter().flatten().collect();
    if ingress.is_empty() {
        inquiry.note(WHAT, "nothing yet: the load balancer has no address");
        may_come = true;
    }
    for entry in ingress {
        if let Some(ip) = entry["ip"].as_str() {
            public.add(inquiry.address(WHAT, ip));
        } else if let Some(host) = entry["hostname"].as_str() {
            // AWS provides a name instead of addresses.
            let ips = resolve(host, inquiry).await;
            may_come |= ips.is_empty();
            for ip in ips {
                public.add(inquiry.address(&format!("{WHAT} {host}"), &ip.to_string()));
            }
        }
    }
    (public, may_come)
}

/// Resolves a name to its addresses, lowest first: name servers vary the order, and an announced address should be kept
/// while it is among them.
async fn resolve(host: &str, inquiry: &mut Inquiry<'_>) -> Vec<IpAddr> {
    match tokio::time::timeout(MANNERS.timeout, tokio::net::lookup_host((host, 0))).await {
        Ok(Ok(addresses)) => {
            let mut ips: Vec<_> = addresses.map(|address| address.ip()).collect();
            ips.sort_unstable();
            ips
        }
        Ok(Err(error)) => {
            inquiry.fail(host, &error.to_string());
            Vec::new()
        }
        Err(_) => {
            inquiry.fail(host, "the name was not resolved in time");
            Vec::new()
        }
    }
}

/// Fetches the object. The error is whether it may still appear: yes if the API server does not answer, no if it denies
/// access.
async fn get(access: &Access, inquiry: &mut Inquiry<'_>, what: &str, path: &str) -> Result<Value, bool> {
    let bearer = format!("Bearer {}", access.token);
    let url = format!("{}{path}", access.base);
    let answer = inquiry.json(what, &url, &[("Authorization", &bearer), ("Accept", "application/json")]).await;
    match answer {
        Ok(object) => object.ok_or(false),
        Err(Unanswered::Status(status @ (401 | 403))) => {
            inquiry.fail(what, &format!("HTTP {status}: the service account may not read it; grant access with RBAC"));
            Err(false)
        }
        Err(Unanswered::Status(status)) => Err(MANNERS.retry_on.contains(&status)),
        Err(Unanswered::TimedOut | Unanswered::Failed) => Err(true),
    }
}

/// Whether this is a valid object name, and therefore safe in a path.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    !text.is_empty() && text.len() <= 253 && text.bytes().all(plain) && !text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::super::cloud::stand_in::{StandIn, paths};
    use super::*;

    fn access(base: String) -> Access {
        Access {
            base,
            token: "secret".to_owned(),
            namespace: "nym".to_owned(),
            ca: Vec::new(),
            node: "worker-1".to_owned(),
        }
    }

    async fn look_up_at(service: Option<&str>, data: &'static [(&'static str, &'static str)]) -> (Public, Vec<Step>) {
        let access = access(paths(Some(("Authorization", "Bearer secret")), data).url());
        let mut steps = Vec::new();
        let (public, may_come) = look_up(Ok(access), service, true, &mut steps).await;
        let is_awaited = may_come && public == Public::default();
        assert_eq!(is_awaited, steps.iter().any(|step| step.answer.starts_with("nothing yet")), "{steps:?}");
        (public, steps)
    }

    #[tokio::test]
    async fn a_nodes_external_addresses_are_found() {
        let (public, steps) = look_up_at(
            None,
            &[(
                "/api/v1/nodes/worker-1",
                r#"{"kind":"Node","status":{"addresses":[{"type":"InternalIP","address":"10.0.0.4"},
                    {"type":"Hostname","address":"worker-1"},{"type":"ExternalIP","address":"36.68.243.18"},
                    {"type":"ExternalIP","address":"2600::4"}]}}"#,
            )],
        )
        .await;
        assert_eq!(public.v4.expect("an IPv4 address").source, "kubernetes: Node ExternalIP", "{steps:?}");
        assert_eq!(public.v6.expect("an IPv6 address").ip.to_string(), "2600::4", "{steps:?}");
    }

    #[tokio::test]
    async fn a_services_ingress_is_found() {
        let (public, steps) = look_up_at(
            Some("mix-0"),
            &[(
                "/api/v1/namespaces/nym/services/mix-0",
                r#"{"kind":"Service","status":{"loadBalancer":{"ingress":[{"ip":"36.68.243.18"}]}}}"#,
            )],
        )
        .await;
        assert_eq!(public.v4.expect("an IPv4 address").source, "kubernetes: Service ingress", "{steps:?}");
    }

    #[tokio::test]
    async fn a_services_ingress_may_be_a_name_or_not_there_yet() {
        const PATH: &str = "/api/v1/namespaces/nym/services/mix-0";
        const NAMED: &str = r#"{"status":{"loadBalancer":{"ingress":[{"hostname":"localhost"}]}}}"#;
        const NONE_YET: &str = r#"{"status":{"loadBalancer":{}}}"#;
        let (public, steps) = look_up_at(Some("mix-0"), &[(PATH, NAMED)]).await;
        assert_eq!(public.v4.expect("an IPv4 address").source, "kubernetes: Service ingress localhost", "{steps:?}");
        let (public, steps) = look_up_at(Some("mix-0"), &[(PATH, NONE_YET)]).await;
        assert_eq!((public, steps.len()), (Public::default(), 1), "{steps:?}");
    }

    #[tokio::test]
    async fn a_node_without_external_addresses_may_get_some() {
        const INSIDE: &str = r#"{"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.4"}]}}"#;
        let (public, steps) = look_up_at(None, &[("/api/v1/nodes/worker-1", INSIDE)]).await;
        assert_eq!((public, steps.len()), (Public::default(), 1), "{steps:?}");
    }

    #[tokio::test]
    async fn only_an_api_server_without_an_answer_is_awaited() {
        for (status, is_awaited) in [(503, true), (403, false), (400, false)] {
            let server = StandIn::start(move |_| (status, String::new()));
            let mut steps = Vec::new();
            let (_, may_come) = look_up(Ok(access(server.url())), None, true, &mut steps).await;
            assert_eq!(may_come, is_awaited, "{status}: {steps:?}");
            assert!(steps.iter().any(|step| step.failed), "{status}: {steps:?}");
        }
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", nobody.local_addr().unwrap());
        drop(nobody);
        let (_, may_come) = look_up(Ok(access(url)), None, true, &mut Vec::new()).await;
        assert!(may_come);
    }

    #[tokio::test]
    async fn missing_data_is_a_step() {
        let (public, steps) = look_up_at(Some("mix-0"), &[]).await;
        assert_eq!(public, Public::default());
        assert_eq!(steps[0].answer, "not found (404)");
        let mut steps = Vec::new();
        look_up(Err("no token".to_owned()), None, false, &mut steps).await;
        assert!(steps[0].failed);
    }

    #[test]
    fn object_names_are_not_paths() {
        assert!(is_name("mix-0") && is_name("ip-10-0-0-1.ec2.internal"));
        assert!(!is_name("") && !is_name("a/b") && !is_name("..") && !is_name("a?b"));
    }
}
