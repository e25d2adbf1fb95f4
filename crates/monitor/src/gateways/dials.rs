//! Limits on the connections of a run.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use super::clients_host::look_up;

/// Maximum number of connections at a time.
const CONNECTIONS_MAX: usize = 64;

/// Maximum number of ports for clients per IP address and run: an entry may name the address of a stranger.
const CLIENTS_PORTS_MAX: usize = 32;

/// Places for connections, which several runs share.
#[derive(Debug, Clone)]
pub(super) struct Permits(Arc<Semaphore>);

impl Default for Permits {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CONNECTIONS_MAX)))
    }
}

/// Connections of one run: one per port.
#[derive(Debug)]
pub(super) struct Dials {
    permits: Permits,
    /// Limit on a connection, and on the look-up of a name.
    deadline: Duration,
    answers: Mutex<HashMap<SocketAddr, Arc<OnceCell<bool>>>>,
    clients_ports: Mutex<HashMap<IpAddr, HashSet<u16>>>,
}

impl Dials {
    pub(super) fn new(permits: Permits, deadline: Duration) -> Self {
        Self { permits, deadline, answers: Mutex::default(), clients_ports: Mutex::default() }
    }

    /// Addresses of a host for clients, none if the entry names none; `None` if the look-up fails.
    pub(super) async fn resolve(&self, clients_host: &str) -> Option<Vec<SocketAddr>> {
        let _permit = self.permits.0.acquire().await.ok()?;
        timeout(self.deadline, look_up(clients_host)).await.ok()?
    }

    /// Whether a port accepts a connection. All callers share one attempt.
    pub(super) async fn answers(&self, address: SocketAddr) -> bool {
        let answer = {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(answers.entry(address).or_default())
        };
        *answer.get_or_init(|| self.dial(address)).await
    }

    /// Like [`Self::answers`] for a port for clients; `None` if too many of this IP address are tested.
    pub(super) async fn clients_port_answers(&self, address: SocketAddr) -> Option<bool> {
        let is_permitted = {
            let mut ports = self.clients_ports.lock().unwrap_or_else(PoisonError::into_inner);
            let of_ip = ports.entry(address.ip()).or_default();
            of_ip.contains(&address.port()) || of_ip.len() < CLIENTS_PORTS_MAX && of_ip.insert(address.port())
        };
        if is_permitted { Some(self.answers(address).await) } else { None }
    }

    async fn dial(&self, address: SocketAddr) -> bool {
        let Ok(_permit) = self.permits.0.acquire().await else { return false };
        matches!(timeout(self.deadline, TcpStream::connect(address)).await, Ok(Ok(_)))
    }
}
