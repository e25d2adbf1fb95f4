//! The directory server: the REST API of the 0.9.2 validator.
//!
//! `http` has the API's paths, `service` the rules of the network, `store` what is read and written in the database.
//!
//! For private networks and for test networks on one machine. Unlike the old validator it compares hosts exactly, lets
//! a node replace its own registration, and does not limit request rates.
//!
//! The caller's address is that of its connection or, behind a proxy that the operator trusts, the one in
//! `X-Forwarded-For`. It is unknown behind other proxies. Privileged calls (reputation, measurements, removing other
//! nodes) require the token that the registry writes to a file beside its store: an address gives no privileges.

mod access;
mod address_check;
mod admission;
mod caps;
mod check;
mod database;
mod error;
mod gateway_check;
mod http;
mod majority;
mod monitor_lease;
mod own_monitor;
mod proof;
mod reputation;
mod service;
mod store;
mod task;
mod web;

use std::fs;
use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nym_mixnode_directory::{MonitorToken, MonitorTokenError, NamedTokens};
use nym_mixnode_http::{HostNames, Limits, ListenError, PlaceLimits, Server};
use nym_mixnode_monitor::rounds::RoundSettings;
use nym_mixnode_net::Reach;
use nym_mixnode_tls::Tls;
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};
use tracing::error;

use access::Access;
use address_check::AddressCheck;
use admission::Gate;
use check::Rules;
use http::App;
use monitor_lease::MonitorLease;
use own_monitor::OwnNetwork;
use service::Service;
use store::Store;

pub use admission::AdmissionError;
pub use caps::Caps;
pub use database::DatabaseUrl;
pub use error::RegistryError;
pub use ipnet::IpNet;
pub use nym_mixnode_tls::TlsFiles;
pub use reputation::ReputationRules;

/// How often expired gateways and old measurements are deleted.
const PURGE_INTERVAL: Duration = Duration::from_mins(1);

/// The registry has many clients and nodes, some of them slow.
const LIMITS: Limits = Limits {
    // All nodes behind a reverse proxy or a NAT share one address.
    places: PlaceLimits { total: 1024, per_network: 512, per_subscriber: 256 },
    head_timeout: Duration::from_secs(10),
    write_timeout: Duration::from_secs(10),
    lifetime: Duration::from_mins(2),
    grace: Duration::from_secs(5),
};

/// Default number of layers.
pub const LAYERS_DEFAULT: u64 = 3;

/// File name of the monitors' token, beside the store.
pub const TOKEN_FILE: &str = "monitor.token";

/// Settings of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// Addresses to listen on; port 0 takes any free one.
    pub listen: Vec<SocketAddr>,
    /// Certificate and key for HTTPS; `None` serves HTTP.
    pub tls: Option<TlsFiles>,
    /// Path of the store; the file and its folder are created when missing.
    pub store: PathBuf,
    /// Database that is used instead of the file, for several registries; the path still determines the default place of
    /// the monitors' token.
    pub database: Option<DatabaseUrl>,
    /// Whether nodes may announce addresses that are unreachable from the internet. Loopback addresses are allowed only
    /// when the registry listens only on loopback.
    pub allow_private: bool,
    /// Number of layers; mixes of other layers are refused.
    pub layers: u64,
    /// Limits on entries.
    pub caps: Caps,
    /// Effect of measurements.
    pub reputation: ReputationRules,
    /// Rounds of the registry's own monitor; `None` runs none.
    pub monitor: Option<RoundSettings>,
    /// File with the monitors' token, created when missing; `None` is `monitor.token` beside the store.
    pub monitor_token_file: Option<PathBuf>,
    /// File with the tokens of further monitors, one `NAME TOKEN` per line.
    pub named_tokens_file: Option<PathBuf>,
    /// Addresses that may report measurements without the token.
    pub monitors: Vec<IpAddr>,
    /// Whether programs on this machine may report measurements without the token, for 0.9.2's own monitor.
    pub legacy_loopback_monitor: bool,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Host names accepted over loopback and with the token, besides addresses and `localhost`.
    pub host_names: Vec<String>,
    /// File with the identities that may register, one per line; `None` disables the list.
    pub admit: Option<PathBuf>,
    /// File with a token that admits every caller that knows it.
    pub join_token_file: Option<PathBuf>,
    /// Addresses to which test packets return; if empty, the registry's listen addresses.
    pub test_addresses: Vec<SocketAddr>,
    /// Port for returning test packets on the registry's listen addresses; 0 takes any free one.
    pub test_port: u16,
}

impl RegistrySettings {
    /// Settings of a registry for a public network.
    #[must_use]
    pub fn new(listen: Vec<SocketAddr>, store: PathBuf) -> Self {
        Self {
            listen,
            tls: None,
            store,
            database: None,
            allow_private: false,
            layers: LAYERS_DEFAULT,
            caps: Caps::default(),
            reputation: ReputationRules::default(),
            monitor: None,
            monitor_token_file: None,
            named_tokens_file: None,
            monitors: Vec::new(),
            legacy_loopback_monitor: false,
            trusted_proxies: Vec::new(),
            host_names: Vec::new(),
            admit: None,
            join_token_file: None,
            test_addresses: Vec::new(),
            test_port: 0,
        }
    }

    fn rules(&self) -> Rules {
        let reach = Reach::new(self.allow_private, self.listen.iter().map(SocketAddr::ip));
        Rules { reach, layers: self.layers }
    }

    async fn open_store(&self) -> Result<Store, RegistryError> {
        if self.database.is_none() || self.monitor_token_file.is_none() {
            create_folder_of(&self.store)?;
        }
        match &self.database {
            Some(url) => Store::connect(url).await,
            None => Store::open(&self.store).await,
        }
    }

    fn token_file(&self) -> PathBuf {
        self.monitor_token_file.clone().unwrap_or_else(|| self.store.with_file_name(TOKEN_FILE))
    }

    fn access(&self) -> Result<Access, MonitorTokenError> {
        let token = MonitorToken::read_or_create(&self.token_file())?;
        let named = self.named_tokens_file.as_deref().map(|file| NamedTokens::read(file, &token)).transpose()?;
        Ok(Access {
            token: Some(token),
            named_tokens: named.unwrap_or_default(),
            names: HostNames::new(&self.host_names),
            trusted_proxies: self.trusted_proxies.clone(),
            monitors: self.monitors.clone(),
            legacy_loopback_monitor: self.legacy_loopback_monitor,
        })
    }
}

/// Event of a registry with `--supervised`: one line of JSON on standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RegistryEvent {
    /// Bound and serving.
    Ready {
        /// Bound addresses, with the actual ports in place of port 0.
        addresses: Vec<SocketAddr>,
    },
}

/// A bound registry with an open store, ready to serve.
#[derive(Debug)]
pub struct Registry {
    server: Server,
    service: Service,
    reach: Reach,
    access: Access,
    /// `None` when no test packet can return.
    address_check: Option<AddressCheck>,
    /// `None` without a monitor.
    monitor_lease: Option<MonitorLease>,
}

impl Registry {
    /// Binds the addresses and opens the store.
    ///
    /// # Errors
    /// When an address is taken or not this machine's, a file of TLS cannot be used, or the file is not a store.
    pub async fn bind(settings: &RegistrySettings) -> Result<Self, RegistryError> {
        if settings.listen.is_empty() {
            return Err(RegistryError::NoListenAddress);
        }
        let gate = Gate::open(settings.admit.as_deref(), settings.join_token_file.as_deref(), settings.allow_private)?;
        let tls = settings.tls.clone().map(Tls::load).transpose()?;
        let server = Server::bind(&settings.listen, LIMITS)
            .map_err(|ListenError { address, source }| RegistryError::Listen { address, source })?;
        let store = settings.open_store().await?;
        let server = server.with_names(HostNames::new(&settings.host_names)).with_tls(tls);
        let (tests, port) = (&settings.test_addresses, settings.test_port);
        let mut address_check = AddressCheck::bind(server.local_addrs(), tests, port);
        let test_addresses = address_check.as_ref().map(AddressCheck::addresses).unwrap_or_default();
        let (rules, access) = (settings.rules(), settings.access()?);
        let service = Service::new(store, rules, gate, settings.caps, settings.reputation, test_addresses);
        let monitored = address_check.as_mut().zip(settings.monitor);
        let monitor_lease = monitored.map(|(check, rounds)| {
            let network = OwnNetwork::new(service.clone(), rules.reach);
            check.run_monitor(&service, network, rounds)
        });
        Ok(Self { server, service, reach: rules.reach, access, address_check, monitor_lease })
    }

    /// The bound addresses, in the order of the settings, with the ports that port 0 became.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        self.server.local_addrs()
    }

    /// Serves until `stop` completes, then finishes running requests within a few seconds.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let router = http::router(App::new(self.service.clone()), self.access);
        let check_addresses = async {
            match self.address_check {
                Some(check) => check.run(&self.service).await,
                None => pending().await,
            }
        };
        let keep_lease = Box::pin(async {
            match &self.monitor_lease {
                Some(lease) => lease.keep().await,
                None => pending().await,
            }
        });
        tokio::select! {
            () = self.server.serve(router, stop) => {}
            () = purge_regularly(&self.service, self.reach) => {}
            never = check_addresses => match never {},
            never = self.service.follow_changes() => match never {},
            never = keep_lease => match never {},
        }
        if let Some(lease) = &self.monitor_lease {
            Box::pin(lease.end()).await;
        }
        self.service.close().await;
    }
}

/// Binds and serves until `stop` completes.
///
/// # Errors
/// As [`Registry::bind`].
pub async fn serve(settings: &RegistrySettings, stop: impl Future<Output = ()>) -> Result<(), RegistryError> {
    Registry::bind(settings).await?.serve(stop).await;
    Ok(())
}

/// Copies the store in a file to a new file, also while a registry uses it.
///
/// # Errors
/// When the store cannot be read or the copy exists or cannot be written.
pub async fn backup(store: &Path, copy: &Path) -> Result<(), RegistryError> {
    store::back_up(store, copy).await
}

async fn purge_regularly(service: &Service, reach: Reach) {
    let mut ticks = interval(PURGE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = gateway_check::renew_silent(service, reach, now_ns()).await {
            error!(%error, "cannot renew gateways; trying again in a minute");
        }
        if let Err(error) = service.purge(now_ns()).await {
            error!(%error, "cannot delete expired entries; trying again in a minute");
        }
    }
}

fn create_folder_of(store: &Path) -> Result<(), RegistryError> {
    match store.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| RegistryError::Folder { path: folder.to_owned(), source }),
        _ => Ok(()),
    }
}

/// Nanoseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "the protocol dates registrations and measurements")]
fn now_ns() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(listen: &[&str], store: &Path) -> RegistrySettings {
        let listen = listen.iter().map(|a| a.parse().unwrap()).collect();
        RegistrySettings::new(listen, store.to_owned())
    }

    #[tokio::test]
    async fn the_error_for_an_occupied_address_says_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        let store = home.path().join("registry.sqlite");
        let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap().to_string();
        let error = Registry::bind(&settings(&[&address], &store)).await.unwrap_err();
        let message = error.to_string();
        assert!(message.contains(&address) && message.contains("--listen"), "{message}");
        assert_eq!(error.exit_code().code(), 69);
        assert!(!store.exists(), "the store is created only after the address is bound");
    }

    #[tokio::test]
    async fn bad_settings_give_their_exit_codes() {
        let home = tempfile::tempdir().unwrap();
        let good = home.path().join("registry.sqlite");
        let foreign = home.path().join("foreign.sqlite");
        fs::write(&foreign, "this is no database, it is a letter ".repeat(100)).unwrap();
        let below_a_file = foreign.join("registry.sqlite");
        let cases: [(&[&str], &Path, u8); 5] = [
            (&[], &good, 64),
            (&["192.0.2.1:0"], &good, 78),
            (&["127.0.0.1:0"], &foreign, 65),
            (&["127.0.0.1:0"], &below_a_file, 73),
            (&["127.0.0.1:0"], home.path(), 74),
        ];
        for (listen, store, exit_code) in cases {
            let error = Registry::bind(&settings(listen, store)).await.unwrap_err();
            assert_eq!(error.exit_code().code(), exit_code, "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }

    #[tokio::test]
    async fn several_addresses_are_bound_in_order_and_stop_ends_serving() {
        let home = tempfile::tempdir().unwrap();
        let settings = settings(&["127.0.0.1:0", "127.0.0.1:0"], &home.path().join("deep/er/registry.sqlite"));
        let registry = Registry::bind(&settings).await.unwrap();
        let addresses = registry.local_addrs().to_vec();
        assert_eq!(addresses.len(), 2);
        assert!(addresses.iter().all(|address| address.port() != 0));
        assert_ne!(addresses[0], addresses[1]);
        registry.serve(std::future::ready(())).await;
    }
}
