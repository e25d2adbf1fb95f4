//! The registry of the network.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use nym_mixnode_monitor::IpFamily;
use nym_mixnode_registry::RegistryEvent;
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Url;

use super::child::{Child, Events};
use super::error::LocalnetError;
use super::network::{READY_LIMIT, STOP_LIMIT};

/// Rounds of the registry's monitor.
const MONITOR_EVERY: &str = "1s";
/// Reputation of the active set: four passed tests, or two rounds over both IP versions.
const ACTIVE_REPUTATION: &str = "12";

/// Starts the registry with its monitor; returns its URL as well.
pub(super) async fn start(
    port: u16,
    layers: u8,
    families: &[IpFamily],
    home: &Path,
    readers: &mut JoinSet<()>,
) -> Result<(Child, Url), LocalnetError> {
    let home = home.join("registry");
    let listen: Vec<_> =
        families.iter().map(|family| SocketAddr::from((family.loopback(), port)).to_string()).collect();
    let arguments: Vec<OsString> = vec![
        "registry".into(),
        "--listen".into(),
        listen.join(",").into(),
        "--data".into(),
        home.join("registry.sqlite").into(),
        "--allow-private".into(),
        "--layers".into(),
        layers.to_string().into(),
        "--with-monitor".into(),
        "--monitor-every".into(),
        MONITOR_EVERY.into(),
        "--reputation-active".into(),
        ACTIVE_REPUTATION.into(),
        "--supervised".into(),
    ];
    let (mut child, mut events) = Child::spawn("registry", &arguments, &home)?;
    let Ok(ready) = timeout(READY_LIMIT, registry_address(&mut events)).await else {
        let words = format!("the registry was not ready within {} s", READY_LIMIT.as_secs());
        return Err(LocalnetError::NotReady(words));
    };
    let Some(address) = ready else {
        // Its output has closed, so it is about to exit.
        let end = child.join(STOP_LIMIT).await.err();
        return Err(LocalnetError::NotReady(end.unwrap_or_else(|| "the registry ended at once".to_owned())));
    };
    readers.spawn(async move { while let Ok(Some(_)) = events.next_line().await {} });
    let url = format!("http://{address}").parse().map_err(|error: url::ParseError| LocalnetError::directory(&error))?;
    Ok((child, url))
}

/// Waits for the registry's address; `None` if it ends first.
async fn registry_address(events: &mut Events) -> Option<SocketAddr> {
    while let Ok(Some(line)) = events.next_line().await {
        if let Ok(RegistryEvent::Ready { addresses }) = serde_json::from_str(&line)
            && let Some(address) = addresses.first()
        {
            return Some(*address);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_says_where_it_listens() {
        let line = r#"{"event":"ready","addresses":["127.0.0.1:4711"]}"#;
        let RegistryEvent::Ready { addresses } = serde_json::from_str(line).unwrap();
        assert_eq!(addresses, ["127.0.0.1:4711".parse().unwrap()]);
        assert!(serde_json::from_str::<RegistryEvent>(r#"{"event":"other"}"#).is_err());
    }
}
