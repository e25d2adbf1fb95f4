//! Registered mixes and gateways.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;
use sqlx::SqliteConnection;

use super::{Store, caps, from_json, to_json};
use crate::api::{RegisteredGateway, RegisteredMix, Topology, Validators};
use crate::registry::caps::Full;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Role {
    Mix,
    Gateway,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Mix => "mix",
            Self::Gateway => "gateway",
        }
    }
}

/// A checked registration.
#[derive(Debug)]
pub(in crate::registry) struct NewNode<'a, R> {
    pub(in crate::registry) role: Role,
    pub(in crate::registry) identity: &'a str,
    /// Listed as it is.
    pub(in crate::registry) registration: &'a R,
    /// In one spelling, each once.
    pub(in crate::registry) hosts: Vec<SocketAddr>,
    /// Who may unregister it; `None` when nobody knows who asked.
    pub(in crate::registry) from: Option<IpAddr>,
    pub(in crate::registry) expires_in: Option<Duration>,
}

/// What became of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::registry) enum Registered {
    Done,
    /// There is no place for another entry.
    Full(Full),
    /// Another node has this address.
    HostTaken {
        host: SocketAddr,
        holder: String,
    },
}

/// What became of an unregistration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Unregistered {
    Done,
    Unknown,
    /// The caller is neither the node, nor who registered it, nor on this machine.
    NotAllowed,
}

impl Store {
    /// Lists a node, in place of its earlier registration if there is one; its reputation stays.
    pub(in crate::registry) async fn register<R: Serialize>(
        &self,
        node: &NewNode<'_, R>,
        now: i64,
    ) -> sqlx::Result<Registered> {
        let mut transaction = self.begin_write().await?;
        delete_expired(&mut transaction, now).await?;
        for host in &node.hosts {
            let holder: Option<String> =
                sqlx::query_scalar("SELECT identity FROM host WHERE address = ? AND identity <> ?")
                    .bind(host.to_string())
                    .bind(node.identity)
                    .fetch_optional(&mut *transaction)
                    .await?;
            if let Some(holder) = holder {
                transaction.rollback().await?;
                return Ok(Registered::HostTaken { host: *host, holder });
            }
        }
        if let Err(full) = caps::make_room(&mut transaction, &self.caps, node.identity, node.from).await? {
            transaction.rollback().await?;
            return Ok(Registered::Full(full));
        }
        write_node(&mut transaction, node, now).await?;
        caps::note_source(&mut transaction, node.identity, node.from).await?;
        transaction.commit().await?;
        Ok(Registered::Done)
    }

    /// Forgets a node at the request of `caller`; `None` is nobody. Its reputation stays.
    pub(in crate::registry) async fn unregister(
        &self,
        identity: &str,
        caller: Option<IpAddr>,
        is_privileged: bool,
        now: i64,
    ) -> sqlx::Result<Unregistered> {
        let mut transaction = self.begin_write().await?;
        delete_expired(&mut transaction, now).await?;
        let known: Option<(Option<String>,)> = sqlx::query_as("SELECT registered_from FROM node WHERE identity = ?")
            .bind(identity)
            .fetch_optional(&mut *transaction)
            .await?;
        let Some((registered_from,)) = known else {
            transaction.rollback().await?;
            return Ok(Unregistered::Unknown);
        };
        let hosts: Vec<String> = sqlx::query_scalar("SELECT address FROM host WHERE identity = ?")
            .bind(identity)
            .fetch_all(&mut *transaction)
            .await?;
        let may_unregister =
            is_privileged || caller.is_some_and(|caller| may_unregister(caller, registered_from.as_deref(), &hosts));
        if !may_unregister {
            transaction.rollback().await?;
            return Ok(Unregistered::NotAllowed);
        }
        sqlx::query("DELETE FROM node WHERE identity = ?").bind(identity).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Unregistered::Done)
    }

    /// The nodes with at least this reputation, oldest registration first.
    pub(in crate::registry) async fn topology(&self, reputation_min: i64, now: i64) -> sqlx::Result<Topology> {
        let mut connection = self.read().await?;
        let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
            "SELECT role, registration, registered_at, COALESCE(score, 0) AS reputation
             FROM node LEFT JOIN reputation USING (identity)
             WHERE (expires_at IS NULL OR expires_at > ?) AND reputation >= ?
             ORDER BY registered_at, identity",
        )
        .bind(now)
        .bind(reputation_min)
        .fetch_all(&mut *connection)
        .await?;
        connection.done();
        let mut topology = empty_topology()?;
        for (role, registration, registration_time, reputation) in rows {
            if role == Role::Mix.name() {
                let registration = from_json(&registration)?;
                topology.mix_nodes.push(RegisteredMix { registration, registration_time, reputation });
            } else {
                let registration = from_json(&registration)?;
                topology.gateways.push(RegisteredGateway { registration, registration_time, reputation });
            }
        }
        Ok(topology)
    }

    /// When the first of the entries expires that are listed now.
    pub(in crate::registry) async fn next_expiry(&self, now: i64) -> sqlx::Result<Option<i64>> {
        let mut connection = self.read().await?;
        let query = sqlx::query_scalar("SELECT MIN(expires_at) FROM node WHERE expires_at > ?").bind(now);
        let next = query.fetch_one(&mut *connection).await?;
        connection.done();
        Ok(next)
    }

    pub(super) async fn purge_nodes(&self, now: i64) -> sqlx::Result<()> {
        let mut transaction = self.begin_write().await?;
        // Who reads the list does not see what has expired, so that only the space changes.
        delete_expired(&mut transaction, now).await?;
        transaction.commit_unlisted().await
    }
}

async fn write_node<R: Serialize>(
    connection: &mut SqliteConnection,
    node: &NewNode<'_, R>,
    now: i64,
) -> sqlx::Result<()> {
    let expires_at = node.expires_in.map(|after| {
        let after = i64::try_from(after.as_nanos()).unwrap_or(i64::MAX);
        now.saturating_add(after)
    });
    sqlx::query(
        "INSERT INTO node (identity, role, registration, registered_from, registered_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (identity) DO UPDATE SET role = excluded.role, registration = excluded.registration,
             registered_from = excluded.registered_from, registered_at = excluded.registered_at,
             expires_at = excluded.expires_at",
    )
    .bind(node.identity)
    .bind(node.role.name())
    .bind(to_json(node.registration)?)
    .bind(node.from.map(|ip| ip.to_string()))
    .bind(now)
    .bind(expires_at)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM host WHERE identity = ?").bind(node.identity).execute(&mut *connection).await?;
    for host in &node.hosts {
        sqlx::query("INSERT INTO host (address, identity) VALUES (?, ?)")
            .bind(host.to_string())
            .bind(node.identity)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("INSERT INTO reputation (identity) VALUES (?) ON CONFLICT DO NOTHING")
        .bind(node.identity)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

async fn delete_expired(connection: &mut SqliteConnection, now: i64) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM node WHERE expires_at <= ?").bind(now).execute(&mut *connection).await.map(|_| ())
}

/// The node itself, and who registered it. A proxy on this machine makes strangers look like this machine, so that
/// loopback proves only loopback addresses.
fn may_unregister(caller: IpAddr, registered_from: Option<&str>, hosts: &[String]) -> bool {
    let ips = || hosts.iter().filter_map(|host| host.parse().ok()).map(|host: SocketAddr| host.ip());
    let is_registrar = registered_from.is_some_and(|text| text.parse() == Ok(caller));
    let proves_it = !caller.is_loopback() || ips().all(|ip| ip.is_loopback());
    ips().any(|ip| ip == caller) || (is_registrar && proves_it)
}

fn empty_topology() -> sqlx::Result<Topology> {
    let validators = serde_json::to_value(Validators::default()).map_err(|error| sqlx::Error::Encode(error.into()))?;
    Ok(Topology { validators, ..Topology::default() })
}
