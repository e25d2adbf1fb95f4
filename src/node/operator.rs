//! Interfaces for the operator of a running node or gateway: HTTP endpoints and notifications to systemd.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nym_mixnode_config::HttpConfig;
use nym_mixnode_telemetry::http::{BindError, HttpServer, StatusSource};
use nym_mixnode_telemetry::readings::Reading;
use nym_mixnode_telemetry::window::{Published, Sample, Windows, wall_clock};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::vitals::{Vitals, notify_manager, summary};
use crate::systemd::{Notice, ServiceManager};

/// Binds the HTTP address; `None` when HTTP is off.
///
/// The default address may be in use, for example by another node of this machine. The node then runs without HTTP.
pub(super) fn bind(config: &HttpConfig) -> Result<Option<HttpServer>, BindError> {
    let Some(address) = config.listen else { return Ok(None) };
    match HttpServer::bind(address) {
        Ok(server) => Ok(Some(server)),
        Err(error) if config.is_chosen => Err(error),
        Err(error) => {
            warn!("{error}; running without the HTTP endpoints");
            Ok(None)
        }
    }
}

/// What a node or a gateway reports.
pub(super) trait Reports: StatusSource {
    /// The status line when it is ready.
    const WORKING: &'static str;

    fn vitals(&self) -> &Vitals;

    fn windows(&self) -> &Windows;

    /// Exact counts, which the windows round.
    fn count(&self) -> Sample;

    /// Passes a completed window to the log and the exporters.
    fn export(&self, published: &Published);
}

/// Ends windows by the clock `now` while polled.
pub(super) async fn keep_windows(view: &impl Reports, now: impl Fn() -> Duration) -> Infallible {
    view.windows().run(now, || view.count(), |published| view.export(published)).await
}

/// Ends the last window, which includes the counts of the drain.
pub(super) fn end_last_window(view: &impl Reports) {
    if let Some(published) = view.windows().end_last(view.count()) {
        view.export(&published);
    }
}

/// The tasks that serve the operator. Dropping it ends them.
pub(super) struct Operator<V> {
    view: Arc<V>,
    http: Option<SocketAddr>,
    manager: Option<Arc<ServiceManager>>,
    _tasks: JoinSet<()>,
}

impl<V: Reports> Operator<V> {
    pub(super) fn start(view: V, http: Option<HttpServer>, manager: Option<Arc<ServiceManager>>) -> Self {
        let (view, mut tasks) = (Arc::new(view), JoinSet::new());
        let windows = Arc::clone(&view);
        tasks.spawn(async move { match keep_windows(&*windows, wall_clock).await {} });
        let address = http.as_ref().and_then(HttpServer::address);
        if let (Some(server), Some(address)) = (http, address) {
            info!("Serving the status at http://{address}/status");
            tasks.spawn(server.serve(Arc::clone(&view) as Arc<dyn StatusSource>));
        }
        if let Some(manager) = &manager {
            manager.notify(Notice::Ready(&summary(&*view, V::WORKING)));
            tasks.spawn(notify_manager(Arc::clone(manager), Arc::clone(&view), V::WORKING));
        }
        Self { view, http: address, manager, _tasks: tasks }
    }

    /// The bound HTTP address.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Marks the beginning of the drain: the current window ends after it.
    pub(super) fn draining(&self) {
        self.view.windows().begin_last(wall_clock());
    }

    /// Ends the last window after the drain, and returns the final metrics.
    pub(super) fn drained(&self) -> Vec<Reading> {
        end_last_window(&*self.view);
        self.view.readings()
    }

    /// Marks the node as not ready: the first step of the shutdown.
    pub(super) fn stopping(&self) {
        self.view.vitals().stop();
        if let Some(manager) = &self.manager {
            manager.notify(Notice::Stopping(&summary(&*self.view, V::WORKING)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_configured_address_must_be_free() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = Some(taken.local_addr().unwrap());
        assert!(bind(&HttpConfig { listen, is_chosen: true }).is_err());
        assert!(bind(&HttpConfig { listen, is_chosen: false }).unwrap().is_none());
        assert!(bind(&HttpConfig { listen: None, is_chosen: true }).unwrap().is_none());
        let any = "127.0.0.1:0".parse().ok();
        let bound = bind(&HttpConfig { listen: any, is_chosen: true }).unwrap().unwrap();
        assert_ne!(bound.address().unwrap().port(), 0);
    }
}
