//! Google Compute Engine: the metadata server, which marks its replies with a header.

use std::net::{Ipv4Addr, SocketAddr};

use reqwest::{ClientBuilder, Method};

use crate::inquiry;
use crate::inquiry::{Inquiry, Public, Unanswered};

pub(super) const BASE: &str = "http://metadata.google.internal";
/// The documented address of that name; using it avoids depending on a name server.
const HOST: &str = "metadata.google.internal";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const FLAVOR: &str = "Metadata-Flavor";
const GOOGLE: &str = "Google";

/// Resolves the service's name to its documented address.
pub(super) fn with_address(http: ClientBuilder) -> ClientBuilder {
    http.resolve(HOST, SocketAddr::from((ADDRESS, 80)))
}

/// An error of a request ends the queries; addresses found before are kept.
pub(super) async fn look_up(base: &str, inquiry: &mut Inquiry<'_>, public: &mut Public) -> Result<(), Unanswered> {
    match get(base, inquiry, "ip").await? {
        Some(text) => {
            inquiry.note("ip", &format!("{}, for listening", inquiry::shown(text.trim())));
        }
        None => inquiry.note(
            "network-interfaces",
            "not listed: not available to a pod with GKE workload identity; use hostNetwork, or set announce.source to \
             kubernetes-node",
        ),
    }
    if let Some(text) = get(base, inquiry, "access-configs/0/external-ip").await? {
        public.add(inquiry.address("external-ip", &text));
    }
    if let Some(text) = get(base, inquiry, "ipv6s").await? {
        public.add(inquiry.first_address("ipv6s", text.lines()));
    }
    Ok(())
}

async fn get(base: &str, inquiry: &mut Inquiry<'_>, path: &str) -> Result<Option<String>, Unanswered> {
    let what = path.rsplit('/').next().unwrap_or(path);
    let url = format!("{base}/computeMetadata/v1/instance/network-interfaces/0/{path}");
    let Some(reply) = inquiry.ask(what, Method::GET, &url, &[(FLAVOR, GOOGLE)]).await? else { return Ok(None) };
    if reply.headers.get(FLAVOR).is_none_or(|flavor| flavor != GOOGLE) {
        inquiry
            .fail(what, "the reply lacks \"Metadata-Flavor: Google\": another server than the metadata server answers");
        return Err(Unanswered::Failed);
    }
    Ok(Some(reply.body))
}

#[cfg(test)]
mod tests {
    use super::super::Cloud;
    use super::super::stand_in::StandIn;
    use super::*;
    use crate::inquiry::Step;

    fn service(data: &'static [(&'static str, &'static str)], flavor: &'static str) -> StandIn {
        StandIn::start(move |request| {
            if request.header(FLAVOR) != Some(GOOGLE) {
                return (403, String::new());
            }
            let path =
                request.path.strip_prefix("/computeMetadata/v1/instance/network-interfaces/0/").unwrap_or_default();
            let found = data.iter().find(|(name, _)| *name == path);
            found.map_or((404, String::new()), |(_, answer)| (200, format!("{flavor}\0{answer}")))
        })
    }

    const DUAL: &[(&str, &str)] =
        &[("ip", "10.126.5.7"), ("access-configs/0/external-ip", "36.68.243.18"), ("ipv6s", "2600:1900::7\n")];

    async fn look_up(stand_in: &StandIn) -> (Public, Vec<Step>) {
        let mut steps = Vec::new();
        let public = Cloud::Gcp.look_up(Some(&stand_in.url()), false, &mut steps).await;
        (public, steps)
    }

    #[tokio::test]
    async fn both_families_are_found_with_their_sources() {
        let (public, steps) = look_up(&service(DUAL, "Metadata-Flavor: Google\r\n")).await;
        assert!(steps.iter().all(|step| !step.failed), "{steps:?}");
        let found = public.v4.unwrap();
        assert_eq!(
            (found.ip.to_string().as_str(), found.source.as_str()),
            ("36.68.243.18", "gcp metadata: external-ip")
        );
        let found = public.v6.unwrap();
        assert_eq!((found.ip.to_string().as_str(), found.source.as_str()), ("2600:1900::7", "gcp metadata: ipv6s"));
    }

    #[tokio::test]
    async fn a_reply_without_the_header_is_rejected() {
        let (public, steps) = look_up(&service(DUAL, "")).await;
        assert_eq!(public, Public::default());
        assert!(steps.iter().any(|step| step.failed && step.answer.contains("Metadata-Flavor")), "{steps:?}");
    }

    #[tokio::test]
    async fn a_pod_without_interfaces_gets_advice() {
        let (public, steps) = look_up(&service(&[], "Metadata-Flavor: Google\r\n")).await;
        assert_eq!(public, Public::default());
        assert!(steps.iter().any(|step| step.answer.contains("hostNetwork")), "{steps:?}");
    }
}
