//! Ten thousand entries: an identity and a loopback address each, and one Sphinx key, which a single process has.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use nym_mixnode_api::signing::{self, RegistryKey};
use nym_mixnode_api::{BatchMixStatus, IpVersion, MixRegistration, MixStatus, PROTOCOL_VERSION, Topology};
use nym_mixnode_keys::{IdentityKeyPair, SphinxKeyPair};
use tokio::net::{TcpSocket, TcpStream};

/// Below the counter of the first registration of a run.
const COUNTER: u64 = 2_000_000_000;

pub(crate) struct SimulatedNetwork {
    identities: Vec<IdentityKeyPair>,
    pub(crate) sphinx: SphinxKeyPair,
    /// Port of all nodes.
    pub(crate) port: u16,
}

impl SimulatedNetwork {
    pub(crate) fn new(nodes: usize) -> Self {
        let identities = (0..nodes).map(|_| IdentityKeyPair::generate().expect("an identity")).collect();
        let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        Self { identities, sphinx: SphinxKeyPair::generate().expect("a key"), port }
    }

    pub(crate) fn identity(&self, node: usize) -> String {
        self.identities[node].public_base58()
    }

    fn address(&self, node: usize) -> SocketAddr {
        let (high, low) = (node / 250, node % 250 + 1);
        (Ipv4Addr::new(127, 1, high as u8, low as u8), self.port).into()
    }

    /// Signed registration; the counter grows with each one of a node.
    pub(crate) fn registration(&self, node: usize, registry: &RegistryKey, number: u64) -> MixRegistration {
        let entry = MixRegistration {
            mix_host: self.address(node).to_string(),
            mix_hosts: Vec::new(),
            identity_key: self.identity(node),
            sphinx_key: self.sphinx.public_base58(),
            version: PROTOCOL_VERSION.to_owned(),
            location: "Neuchatel, Switzerland".to_owned(),
            incentives_address: "hal1y45xs7qcsmxasdpxnrfmg8f9jf2nkpl6h4dzzj".to_owned(),
            layer: node as u64 % 3 + 1,
            proof: None,
        };
        signing::sign(&entry, &self.identities[node], registry, COUNTER + number, None).expect("a signature")
    }

    /// A connection from each node to the address to which test packets return.
    pub(crate) async fn connect(&self, topology: &Topology) -> Vec<TcpStream> {
        let monitor: SocketAddr = topology.test_addresses[0].parse().expect("an address");
        let mut connections = Vec::with_capacity(self.identities.len());
        for node in 0..self.identities.len() {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind((self.address(node).ip(), 0).into()).expect("an address of this machine");
            connections.push(socket.connect(monitor).await.expect("a connection"));
        }
        connections
    }

    /// A passed measurement of each node over each IP version.
    pub(crate) fn measurements(&self) -> BatchMixStatus {
        let of = |identity: &IdentityKeyPair| {
            let pub_key = identity.public_base58();
            [IpVersion::V4, IpVersion::V6].map(|ip_version| MixStatus {
                pub_key: pub_key.clone(),
                ip_version,
                up: true,
            })
        };
        BatchMixStatus { status: self.identities.iter().flat_map(of).collect() }
    }
}
