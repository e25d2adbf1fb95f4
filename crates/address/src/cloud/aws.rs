//! Amazon EC2: the instance metadata service, version 2, over IPv4 or IPv6.
//!
//! A session token is fetched first. With a hop limit of 1, the default of many images, the reply to that request does
//! not reach a container with its own network: it is lost without an error.

use reqwest::Method;

use super::LINK_LOCAL;
use crate::inquiry::{Inquiry, Public, Unanswered, shown};

/// URLs of the service. IPv4 is available on every instance, IPv6 only if enabled, so IPv4 comes first.
pub(super) const BASES: [&str; 2] = [LINK_LOCAL, "http://[fd00:ec2::254]"];
const TOKEN: &str = "X-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "X-aws-ec2-metadata-token-ttl-seconds";
const TOKEN_TTL_S: &str = "21600";

/// Queries the service at the first URL that answers.
pub(super) async fn look_up(bases: &[&str], inquiry: &mut Inquiry<'_>, public: &mut Public) {
    for base in bases {
        let mut session = Session { inquiry: &mut *inquiry, base, token: String::new() };
        match session.fetch_token().await {
            Ok(()) => return session.find(public).await.unwrap_or_default(),
            // The service denied access; it would do the same at its other URL.
            Err(Unanswered::Status(_)) => return,
            Err(Unanswered::TimedOut | Unanswered::Failed) => {}
        }
    }
}

struct Session<'s, 'i> {
    inquiry: &'s mut Inquiry<'i>,
    base: &'s str,
    token: String,
}

impl Session<'_, '_> {
    async fn fetch_token(&mut self) -> Result<(), Unanswered> {
        let what = format!("token from {}", self.base);
        let url = format!("{}/latest/api/token", self.base);
        match self.inquiry.ask(&what, Method::PUT, &url, &[(TOKEN_TTL, TOKEN_TTL_S)]).await {
            // The token becomes a header value, so it has to be a valid one.
            Ok(Some(reply)) if reply.body.trim().bytes().all(|byte| byte.is_ascii_graphic()) => {
                self.inquiry.note(&what, "a token");
                reply.body.trim().clone_into(&mut self.token);
                Ok(())
            }
            Ok(_) => {
                self.inquiry.fail(&what, "no token: another server than the metadata service answers there");
                Err(Unanswered::Failed)
            }
            Err(unanswered) => {
                if let Some(cause) = cause(unanswered) {
                    self.inquiry.fail(&what, cause);
                }
                Err(unanswered)
            }
        }
    }

    async fn find(&mut self, public: &mut Public) -> Result<(), Unanswered> {
        if let Some(text) = self.get("local-ipv4", "local-ipv4").await? {
            // Recorded only for --explain: others cannot reach this address, but the node listens on it.
            self.inquiry.note("local-ipv4", &format!("{}, for listening", shown(text.trim())));
        }
        if let Some(text) = self.get("public-ipv4", "public-ipv4").await? {
            public.add(self.inquiry.address("public-ipv4", &text));
        }
        let Some(mac) = self.get("mac", "mac").await? else { return Ok(()) };
        let mac = mac.trim();
        if !mac.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':') {
            self.inquiry.fail("mac", &format!("not a MAC address: {}", shown(mac)));
            return Err(Unanswered::Failed);
        }
        let of_interface = |list: &str| format!("network/interfaces/macs/{mac}/{list}");
        if public.v4.is_none()
            && let Some(text) = self.get("public-ipv4s", &of_interface("public-ipv4s")).await?
        {
            public.add(self.inquiry.first_address("public-ipv4s", text.lines()));
        }
        if let Some(text) = self.get("ipv6s", &of_interface("ipv6s")).await? {
            public.add(self.inquiry.first_address("ipv6s", text.lines()));
        }
        Ok(())
    }

    /// Sends a request with the token; fetches a new token once if it has expired.
    async fn get(&mut self, what: &str, path: &str) -> Result<Option<String>, Unanswered> {
        let url = format!("{}/latest/meta-data/{path}", self.base);
        match self.inquiry.get(what, &url, &[(TOKEN, &self.token)]).await {
            Err(Unanswered::Status(401)) => {
                self.fetch_token().await?;
                self.inquiry.get(what, &url, &[(TOKEN, &self.token)]).await
            }
            answered => answered,
        }
    }
}

/// The usual cause when the first request fails.
fn cause(unanswered: Unanswered) -> Option<&'static str> {
    match unanswered {
        Unanswered::TimedOut => Some(
            "in a container this indicates a hop limit of 1, with which the reply does not reach the container: set the \
             instance's metadata hop limit (HttpPutResponseHopLimit) to 2, or use the host's network",
        ),
        Unanswered::Status(403) => Some("the metadata service is disabled for this instance (HttpEndpoint)"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cloud;
    use super::super::stand_in::{StandIn, answers};
    use super::*;
    use crate::inquiry::Step;

    const MAC: &str = "02:29:96:8f:6a:2d";

    async fn look_up(stand_in: &StandIn) -> (Public, Vec<Step>) {
        let mut steps = Vec::new();
        let public = Cloud::Aws.look_up(Some(&stand_in.url()), false, &mut steps).await;
        (public, steps)
    }

    /// A fake service: `PUT` with a lifetime returns a token, which all other requests must have.
    fn service(data: &'static [(&'static str, &'static str)], token_uses: usize) -> StandIn {
        let mut uses_left = 0;
        let mut tokens = 0;
        StandIn::start(move |request| {
            if request.path == "/latest/api/token" {
                if request.method != "PUT" {
                    return (405, String::new());
                }
                if request.header(TOKEN_TTL).and_then(|ttl| ttl.parse().ok()).is_none_or(|ttl: u32| ttl > 21600) {
                    return (400, String::new());
                }
                uses_left = token_uses;
                tokens += 1;
                return (200, format!("token{tokens}=="));
            }
            if request.header(TOKEN) != Some(&format!("token{tokens}==")) || uses_left == 0 {
                return (401, String::new());
            }
            uses_left -= 1;
            let path = request.path.strip_prefix("/latest/meta-data/").unwrap_or_default();
            let found = data.iter().find(|(name, _)| *name == path);
            found.map_or((404, String::new()), |(_, answer)| (200, (*answer).to_owned()))
        })
    }

    const DUAL: &[(&str, &str)] = &[
        ("local-ipv4", "10.126.5.7"),
        ("public-ipv4", "36.68.243.18"),
        ("mac", MAC),
        ("network/interfaces/macs/02:29:96:8f:6a:2d/ipv6s", "fd00::7\n2600:1f18::7"),
    ];

    #[tokio::test]
    async fn both_families_are_found_with_their_sources() {
        let (public, steps) = look_up(&service(DUAL, 100)).await;
        let found = public.v4.unwrap();
        assert_eq!(
            (found.ip.to_string().as_str(), found.source.as_str()),
            ("36.68.243.18", "aws metadata: public-ipv4")
        );
        let found = public.v6.unwrap();
        assert_eq!((found.ip.to_string().as_str(), found.source.as_str()), ("2600:1f18::7", "aws metadata: ipv6s"));
        assert!(steps.iter().all(|step| !step.failed), "{steps:?}");
        assert!(steps.iter().any(|step| step.answer.starts_with("fd00::7, a private address")), "{steps:?}");
    }

    #[tokio::test]
    async fn an_expired_token_is_replaced() {
        let (public, steps) = look_up(&service(DUAL, 1)).await;
        assert!(public.is_complete(), "{steps:?}");
    }

    #[tokio::test]
    async fn an_instance_without_public_addresses_has_none() {
        let (public, steps) = look_up(&service(&[("local-ipv4", "10.0.0.1"), ("mac", MAC)], 100)).await;
        assert_eq!(public, Public::default());
        assert!(steps.iter().all(|step| !step.failed), "{steps:?}");
    }

    #[tokio::test]
    async fn the_addresses_of_the_interface_are_asked_for_when_the_instance_has_none() {
        let data = &[("mac", MAC), ("network/interfaces/macs/02:29:96:8f:6a:2d/public-ipv4s", "36.68.243.18\n1.1.1.1")];
        let (public, _) = look_up(&service(data, 100)).await;
        assert_eq!(public.v4.unwrap().source, "aws metadata: public-ipv4s");
    }

    #[tokio::test]
    async fn a_disabled_service_is_reported() {
        let (public, steps) = look_up(&answers(&[(403, "")])).await;
        assert_eq!(public, Public::default());
        assert!(steps.iter().any(|step| step.failed && step.answer.contains("disabled")), "{steps:?}");
    }

    #[tokio::test]
    async fn early_in_the_boot_the_service_may_be_busy() {
        let busy_first = answers(&[(503, ""), (503, ""), (503, ""), (200, "token"), (404, ""), (200, "36.68.243.18")]);
        let (public, steps) = look_up(&busy_first).await;
        assert_eq!(public.v4.unwrap().ip.to_string(), "36.68.243.18", "{steps:?}");
    }

    #[tokio::test]
    async fn a_page_of_another_server_is_not_a_token() {
        let (public, steps) = look_up(&answers(&[(200, "<html>Log in to the hotel</html>")])).await;
        assert_eq!(public, Public::default());
        assert!(steps.iter().any(|step| step.failed && step.answer.contains("no token")), "{steps:?}");
    }
}
