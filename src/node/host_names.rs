//! Cached resolution of the host names in a directory, bounded in number and time.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Maximum number of names; further names of a directory are skipped.
const NAMES_MAX: usize = 1000;

/// Maximum number of concurrent look-ups.
const LOOKUPS_MAX: usize = 8;

/// Maximum number of addresses used per name.
const ADDRESSES_MAX: usize = 8;

/// Longest DNS name with a port.
const NAME_BYTES_MAX: usize = 253 + ":65535".len();

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Time until a name is resolved again after a success.
const KEPT: Duration = Duration::from_mins(10);
const RETRIED_AFTER: Duration = Duration::from_mins(1);

/// Result of a look-up of `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Known(Vec<SocketAddr>),
    /// A name that is not resolved yet.
    Pending,
    /// Why it has no address. The text is a predicate that follows the name in messages.
    Failed(String),
}

/// Resolved names.
#[derive(Debug, Default)]
pub(super) struct HostNames(Mutex<HashMap<String, Resolved>>);

#[derive(Debug, Clone)]
struct Resolved {
    outcome: Result<Vec<SocketAddr>, String>,
    /// When to resolve again.
    until: Instant,
}

impl HostNames {
    /// Returns the cached result.
    pub(super) fn lookup(&self, host: &str) -> Address {
        if let Ok(address) = host.parse() {
            return Address::Known(vec![address]);
        }
        if !is_name_with_port(host) {
            return Address::Failed("is neither ip:port nor name:port".to_owned());
        }
        match self.lock().get(host).map(|resolved| resolved.outcome.clone()) {
            None => Address::Pending,
            Some(Ok(addresses)) => Address::Known(addresses),
            Some(Err(reason)) => Address::Failed(reason),
        }
    }

    /// Resolves the names among `hosts` that are due, and forgets all other names. Returns when the next name is due.
    pub(super) async fn resolve<'a>(&self, hosts: impl Iterator<Item = &'a str>) -> Option<Instant> {
        let now = Instant::now();
        let due = self.retain(hosts, now);
        let mut due = due.into_iter();
        let mut lookups: JoinSet<_> = due.by_ref().take(LOOKUPS_MAX).map(look_up).collect();
        while let Some(looked_up) = lookups.join_next().await {
            // The tasks neither panic nor are aborted.
            if let Ok((name, outcome)) = looked_up {
                let until = Instant::now() + if outcome.is_ok() { KEPT } else { RETRIED_AFTER };
                self.lock().insert(name, Resolved { outcome, until });
            }
            lookups.extend(due.next().map(look_up));
        }
        self.lock().values().map(|resolved| resolved.until).min()
    }

    /// Keeps only `hosts`, and returns those to resolve.
    fn retain<'a>(&self, hosts: impl Iterator<Item = &'a str>, now: Instant) -> Vec<String> {
        let is_name = |host: &&str| host.parse::<SocketAddr>().is_err() && is_name_with_port(host);
        let mut known = self.lock();
        let mut kept = HashMap::new();
        let mut due = Vec::new();
        for name in hosts.filter(is_name) {
            if kept.len() == NAMES_MAX || kept.contains_key(name) {
                continue;
            }
            let before = known.remove(name);
            if before.as_ref().is_none_or(|resolved| resolved.until <= now) {
                due.push(name.to_owned());
            }
            let pending = || Resolved { outcome: Err("is not resolved yet".to_owned()), until: now };
            kept.insert(name.to_owned(), before.unwrap_or_else(pending));
        }
        *known = kept;
        due
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Resolved>> {
        // The map is consistent even after a panic: each change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_name_with_port(host: &str) -> bool {
    let Some((name, port)) = host.rsplit_once(':') else { return false };
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    host.len() <= NAME_BYTES_MAX && !name.is_empty() && name.bytes().all(is_name_byte) && port.parse::<u16>().is_ok()
}

async fn look_up(host: String) -> (String, Result<Vec<SocketAddr>, String>) {
    let outcome = match timeout(LOOKUP_TIMEOUT, lookup_host(&host)).await {
        Ok(Ok(addresses)) => Ok(addresses.take(ADDRESSES_MAX).collect()),
        Ok(Err(error)) => Err(format!("does not resolve: {error}")),
        Err(_) => Err(format!("does not resolve within {} s", LOOKUP_TIMEOUT.as_secs())),
    };
    (host, outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_names_or_invalid() {
        let names = HostNames::default();
        for (host, expected) in [
            ("192.0.2.1:1789", Some(Address::Known(vec!["192.0.2.1:1789".parse().unwrap()]))),
            ("[2001:db8::1]:1789", Some(Address::Known(vec!["[2001:db8::1]:1789".parse().unwrap()]))),
            ("mix.example:1789", Some(Address::Pending)),
            ("mix.example", None),
            ("mix.example:99999", None),
            (":1789", None),
            ("2001:db8::1:1789", None),
            ("mix example:1789", None),
            ("mix\u{202e}.example:1789", None),
            (&format!("{}:1789", "a.".repeat(200)), None),
        ] {
            match expected {
                Some(expected) => assert_eq!(names.lookup(host), expected, "{host}"),
                None => assert!(matches!(names.lookup(host), Address::Failed(_)), "{host}"),
            }
        }
    }

    #[tokio::test]
    async fn names_are_resolved_once_and_forgotten_when_no_longer_listed() {
        let names = HostNames::default();
        let again_at = names.resolve(["localhost:1789", "localhost:1789", "192.0.2.1:1"].into_iter()).await.unwrap();
        assert!(again_at > Instant::now() + RETRIED_AFTER);
        let Address::Known(addresses) = names.lookup("localhost:1789") else { panic!("localhost does not resolve") };
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 1789));
        let due = names.retain(["localhost:1789", "other.example:1"].into_iter(), Instant::now());
        assert_eq!(due, ["other.example:1"]);
        assert_eq!(names.resolve(std::iter::empty()).await, None);
        assert_eq!(names.lookup("localhost:1789"), Address::Pending);
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let names = HostNames::default();
        let listed: Vec<String> = (0..3 * NAMES_MAX).map(|number| format!("mix{number}.example:1789")).collect();
        assert_eq!(names.retain(listed.iter().map(String::as_str), Instant::now()).len(), NAMES_MAX);
    }
}
