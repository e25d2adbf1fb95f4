//! Registered mixes and gateways.

use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode_api::signing::Entry;
use nym_mixnode_api::{
    Announced, GatewayRegistration, MixRegistration, PendingAddress, RegisteredGateway, RegisteredMix, Release,
    Topology, Validators,
};
use serde::Serialize;
use sqlx::{FromRow, SqliteConnection};

use super::claims::{self, Claimed};
use super::{Store, caps, from_json, signers, to_json};
use crate::caps::Full;
use crate::proof::{self, Call, Refusal};

/// Role of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
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

/// Validated registration.
#[derive(Debug)]
pub(crate) struct NewNode<'a, R> {
    pub(crate) role: Role,
    pub(crate) identity: &'a str,
    pub(crate) sphinx_key: &'a str,
    /// Registration as listed.
    pub(crate) registration: &'a R,
    /// Addresses, deduplicated and in canonical form.
    pub(crate) hosts: Vec<SocketAddr>,
    pub(crate) call: Call,
    pub(crate) expires_in: Option<Duration>,
}

/// Result of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Registered {
    /// Stored, and listed with those of its addresses that are not pending.
    Done {
        pending: Vec<PendingAddress>,
    },
    Refused(Refusal),
    /// The limit on entries is reached.
    Full(Full),
}

/// State of an identity after its removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// An identity that has signed must also sign the next call.
    Unregister,
    /// The next call needs no signature.
    Release,
}

/// Result of an unregistration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unregistered {
    Done,
    Unknown,
    Refused(Refusal),
}

/// Row of the topology.
#[derive(Debug, FromRow)]
struct Row {
    role: String,
    registration: String,
    registered_at: i64,
    reputation: i64,
    /// Proven addresses, separated by commas.
    proven: String,
    claims: i64,
    /// The registry's signature, if the identity was released after the counter.
    release: Option<String>,
    counter: Option<i64>,
}

impl Store {
    /// Stores a registration in place of the identity's earlier one, if the call may; keeps its reputation.
    pub(crate) async fn register<R: Serialize>(&self, node: &NewNode<'_, R>) -> sqlx::Result<Registered> {
        let mut transaction = self.begin_write().await?;
        delete_expired(&mut transaction, node.call.now).await?;
        let known = signers::known(&mut transaction, node.identity).await?;
        if let Err(refusal) = proof::registration(&known, &node.call, &node.hosts) {
            transaction.rollback().await?;
            return Ok(Registered::Refused(refusal));
        }
        let from = node.call.from;
        if let Err(full) = caps::ensure_capacity(&mut transaction, &self.caps, node.identity, from).await? {
            transaction.rollback().await?;
            return Ok(Registered::Full(full));
        }
        write_node(&mut transaction, node).await?;
        caps::note_source(&mut transaction, node.identity, from).await?;
        let Claimed { pending, is_packet_proved } =
            claims::replace(&mut transaction, node.identity, node.sphinx_key, &node.hosts, &node.call).await?;
        if is_packet_proved {
            sqlx::query("UPDATE node SET packet_proved_at = COALESCE(packet_proved_at, ?) WHERE identity = ?")
                .bind(node.call.now)
                .bind(node.identity)
                .execute(&mut *transaction)
                .await?;
        }
        signers::remember(&mut transaction, node.identity, &node.call, false).await?;
        transaction.commit().await?;
        Ok(Registered::Done { pending })
    }

    /// Removes a node, if the call may or the caller is privileged. Keeps its reputation.
    pub(crate) async fn unregister(
        &self,
        identity: &str,
        call: &Call,
        is_privileged: bool,
        removal: Removal,
    ) -> sqlx::Result<Unregistered> {
        let mut transaction = self.begin_write().await?;
        delete_expired(&mut transaction, call.now).await?;
        let known = signers::known(&mut transaction, identity).await?;
        if known.entry.is_none() && known.signed.is_none() {
            transaction.rollback().await?;
            return Ok(Unregistered::Unknown);
        }
        let proven = claims::proven(&mut transaction, identity).await?;
        if !is_privileged && let Err(refusal) = proof::unregistration(&known, call, &proven) {
            transaction.rollback().await?;
            return Ok(Unregistered::Refused(refusal));
        }
        sqlx::query("DELETE FROM node WHERE identity = ?").bind(identity).execute(&mut *transaction).await?;
        signers::remember(&mut transaction, identity, call, true).await?;
        if removal == Removal::Release {
            signers::release(&mut transaction, &self.key, identity, call).await?;
        }
        transaction.commit().await?;
        let is_done = known.entry.is_some() || removal == Removal::Release;
        Ok(if is_done { Unregistered::Done } else { Unregistered::Unknown })
    }

    /// Nodes with at least this reputation and a proven address, oldest registration first.
    pub(crate) async fn topology(&self, reputation_min: i64, now: i64) -> sqlx::Result<Topology> {
        let query = sqlx::query_as(
            "SELECT role, registration, registered_at, COALESCE(score, 0) AS reputation,
                    group_concat(address) FILTER (WHERE proved_at IS NOT NULL) AS proven, COUNT(*) AS claims,
                    release, counter
             FROM node JOIN claim USING (identity) LEFT JOIN reputation USING (identity)
                 LEFT JOIN signer USING (identity)
             WHERE expires_at IS NULL OR expires_at > ?
             GROUP BY node.identity
             HAVING COUNT(proved_at) > 0 AND reputation >= ?
             ORDER BY registered_at, node.identity",
        )
        .bind(now)
        .bind(reputation_min);
        let rows: Vec<Row> = self.fetch_all(query).await?;
        let mut topology = empty_topology()?;
        topology.registry_key = Some(self.key().public_base58());
        topology.test_addresses = self.test_addresses.get().cloned().unwrap_or_default();
        for row in rows {
            row.list_in(&mut topology)?;
        }
        Ok(topology)
    }

    /// Earliest expiry among the entries that are listed now.
    pub(crate) async fn next_expiry(&self, now: i64) -> sqlx::Result<Option<i64>> {
        let mut connection = self.read().await?;
        let query = sqlx::query_scalar("SELECT MIN(expires_at) FROM node WHERE expires_at > ?").bind(now);
        let next = query.fetch_one(&mut *connection).await?;
        connection.done();
        Ok(next)
    }

    pub(super) async fn purge_nodes(&self, now: i64) -> sqlx::Result<()> {
        let mut transaction = self.begin_write().await?;
        delete_expired(&mut transaction, now).await?;
        match caps::delete_unrenewed(&mut transaction, now).await? {
            // Readers skip expired rows already, so this frees space without changing the lists.
            0 => transaction.commit_unlisted().await,
            _ => transaction.commit().await,
        }
    }
}

impl Row {
    fn list_in(self, topology: &mut Topology) -> sqlx::Result<()> {
        let (registration_time, reputation) = (self.registered_at, self.reputation);
        if self.role == Role::Mix.name() {
            let mut registration: MixRegistration = from_json(&self.registration)?;
            let announced = (registration.mix_host.clone(), registration.mix_hosts.clone());
            self.keep_proven(&mut registration, announced);
            topology.releases.extend(self.release_of(&registration.identity_key));
            topology.mix_nodes.push(RegisteredMix { registration, registration_time, reputation });
        } else {
            let mut registration: GatewayRegistration = from_json(&self.registration)?;
            let announced = (registration.mix_host.clone(), registration.mix_hosts.clone());
            self.keep_proven(&mut registration, announced);
            topology.releases.extend(self.release_of(&registration.identity_key));
            topology.gateways.push(RegisteredGateway { registration, registration_time, reputation });
        }
        Ok(())
    }

    fn release_of(&self, identity: &str) -> Option<Release> {
        let (signature, counter) = self.release.clone().zip(self.counter)?;
        Some(Release { identity_key: identity.to_owned(), counter: counter.cast_unsigned(), signature })
    }

    /// Keeps only the proven addresses. The signed addresses are added to the proof.
    fn keep_proven<E: Entry>(&self, entry: &mut E, (mix_host, mix_hosts): (String, Vec<String>)) {
        let proven: Vec<&str> = self.proven.split(',').collect();
        if i64::try_from(proven.len()) == Ok(self.claims) {
            return;
        }
        let is_proven =
            |host: &String| host.parse().is_ok_and(|host: SocketAddr| proven.contains(&canonical(host).as_str()));
        let kept: Vec<String> =
            std::iter::once(&mix_host).chain(&mix_hosts).filter(|host| is_proven(host)).cloned().collect();
        let mut hosts: Vec<String> = Vec::new();
        for host in kept {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        let first = hosts.first().cloned().unwrap_or_default();
        entry.set_addresses(Announced { mix_host: first, mix_hosts: if hosts.len() > 1 { hosts } else { Vec::new() } });
        let proof = entry.proof().cloned();
        entry.set_proof(proof.map(|proof| proof.with_announced(Announced { mix_host, mix_hosts })));
    }
}

fn canonical(address: SocketAddr) -> String {
    SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
}

async fn write_node<R: Serialize>(connection: &mut SqliteConnection, node: &NewNode<'_, R>) -> sqlx::Result<()> {
    let now = node.call.now;
    let expires_at = node.expires_in.map(|after| {
        let after = i64::try_from(after.as_nanos()).unwrap_or(i64::MAX);
        now.saturating_add(after)
    });
    sqlx::query(
        "INSERT INTO node (identity, role, registration, registered_from, registered_at, expires_at, renewed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?5)
         ON CONFLICT (identity) DO UPDATE SET role = excluded.role, registration = excluded.registration,
             registered_from = excluded.registered_from, registered_at = excluded.registered_at,
             expires_at = excluded.expires_at, renewed_at = excluded.renewed_at",
    )
    .bind(node.identity)
    .bind(node.role.name())
    .bind(to_json(node.registration)?)
    .bind(node.call.from.map(|ip| ip.to_string()))
    .bind(now)
    .bind(expires_at)
    .execute(&mut *connection)
    .await?;
    sqlx::query("INSERT INTO reputation (identity) VALUES (?) ON CONFLICT DO NOTHING")
        .bind(node.identity)
        .execute(&mut *connection)
        .await?;
    Ok(())
}

async fn delete_expired(connection: &mut SqliteConnection, now: i64) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM node WHERE expires_at <= ?").bind(now).execute(connection).await.map(|_| ())
}

fn empty_topology() -> sqlx::Result<Topology> {
    let validators = serde_json::to_value(Validators::default()).map_err(|error| sqlx::Error::Encode(error.into()))?;
    Ok(Topology { validators, ..Topology::default() })
}
