//! Limits that senders can reach.

/// Limits that senders can reach, each of which is counted and warned of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Incoming connections in total.
    Connections,
    /// Incoming connections of one address.
    ConnectionsPerAddress,
    /// Next hops with a queue.
    NextHops,
    /// Connection attempts to next hops.
    Dials,
    /// The share of an address in the byte budget.
    Memory,
    /// Connections of a gateway's clients in total.
    Clients,
    /// Connections of a gateway's clients from one address.
    ClientsPerAddress,
}

impl Limit {
    pub const ALL: [Self; 7] = [
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::NextHops,
        Self::Dials,
        Self::Memory,
        Self::Clients,
        Self::ClientsPerAddress,
    ];
    /// Those of a mix.
    pub const OF_MIX: [Self; 5] =
        [Self::Connections, Self::ConnectionsPerAddress, Self::NextHops, Self::Dials, Self::Memory];
    /// Those of a gateway that are counted.
    pub const OF_GATEWAY: [Self; 4] =
        [Self::Connections, Self::ConnectionsPerAddress, Self::Clients, Self::ClientsPerAddress];

    /// The metric label, stable across releases.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::NextHops => "next_hops",
            Self::Dials => "dials",
            Self::Memory => "memory",
            Self::Clients => "clients",
            Self::ClientsPerAddress => "clients_per_address",
        }
    }

    /// What it means that the limit was reached, and what to do.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Connections => {
                "all incoming connections are in use: new ones took the place of connections that had sent no packet, \
                 or were refused; if the traffic is wanted, raise connections.total_max and the limit on open files"
            }
            Self::ConnectionsPerAddress => {
                "one address has as many incoming connections as it may: further ones were refused; if the traffic is \
                 wanted, raise connections.per_address_max"
            }
            Self::NextHops => {
                "all places for next hops are in use: new ones took the place of unreachable and idle ones, or their \
                 packets were dropped; if the traffic is wanted, raise forward.next_hops_max and the limit on open files"
            }
            Self::Dials => {
                "more connections to next hops were due than the node may begin at a time, so that some waited: \
                 probably many next hops are unreachable"
            }
            Self::Memory => {
                "more than half of mix.memory is in use, and an address that had sent more than its share of the rest \
                 had to wait; if the traffic is wanted, raise mix.memory"
            }
            Self::Clients => {
                "all connections of clients are in use: new ones took the place of connections that had not authenticated, \
                 or were refused; if the clients are wanted, raise gateway.connections_max and the limit on open files"
            }
            Self::ClientsPerAddress => {
                "one address has as many connections of clients as it may: further ones were refused; if the clients are \
                 wanted, raise gateway.connections_per_address_max"
            }
        }
    }
}
