//! Announced addresses and their proofs.

use std::net::{IpAddr, SocketAddr};

use nym_mixnode_api::{PendingAddress, PendingEntry, signing};
use sqlx::{FromRow, SqliteConnection};

use super::Store;
use crate::proof::{self, Call, Holder, ProvedBy, Verdict};

/// Minimum interval between two renewals of a node: each one is a write.
const RENEW_EVERY: i64 = 30 * 1_000_000_000;

/// Delay before the first test packet: a registered node must first learn the return addresses from the topology.
const FIRST_TRY_AFTER: i64 = 500 * 1_000_000;

/// Interval between the first and the second test packet; it doubles this many times.
const TRY_AFTER: i64 = 2 * 1_000_000_000;
const TRIES_DOUBLING: i64 = 7;

const DISPLACED: &str =
    "another node has proved this address since; only a test packet that returns through it can prove it again";

/// Stored claim.
#[derive(Debug, Clone, FromRow)]
struct Claim {
    address: String,
    proved_at: Option<i64>,
    proved_by: Option<String>,
    proved_key: Option<String>,
    called_at: Option<i64>,
    tries: i64,
    try_at: i64,
}

/// Result of a registration for its addresses.
#[derive(Debug, Default)]
pub(super) struct Claimed {
    pub(super) pending: Vec<PendingAddress>,
    /// Whether a test packet or an admission has proved one of them.
    pub(super) is_packet_proved: bool,
}

/// Replaces the claims of an identity that has a node row. Other nodes lose the addresses that it proves.
pub(super) async fn replace(
    connection: &mut SqliteConnection,
    identity: &str,
    sphinx_key: &str,
    hosts: &[SocketAddr],
    call: &Call,
) -> sqlx::Result<Claimed> {
    let earlier: Vec<Claim> =
        sqlx::query_as("SELECT * FROM claim WHERE identity = ?").bind(identity).fetch_all(&mut *connection).await?;
    sqlx::query("DELETE FROM claim WHERE identity = ?").bind(identity).execute(&mut *connection).await?;
    let mut claimed = Claimed::default();
    for host in hosts {
        let earlier = earlier.iter().find(|claim| claim.address == host.to_string());
        let own = earlier.and_then(|claim| own_proof(claim, sphinx_key));
        let holder = holder(connection, identity, *host).await?;
        let verdict = proof::address(*host, call, own, holder.as_ref());
        let claim = renewed(*host, sphinx_key, earlier, verdict, call);
        if let Verdict::Pending(reason) = verdict {
            claimed.pending.push(PendingAddress { address: host.to_string(), reason: reason.to_string() });
        }
        claimed.is_packet_proved |= matches!(claim.proved_by.as_deref(), Some("packet" | "admission"));
        if claim.proved_at.is_some() {
            displace(connection, identity, *host).await?;
        }
        let reason = if let Verdict::Pending(reason) = verdict { Some(reason.to_string()) } else { None };
        insert(connection, identity, &claim, reason).await?;
    }
    Ok(claimed)
}

/// Proof of the address for its own identity, with this Sphinx key.
fn own_proof(claim: &Claim, sphinx_key: &str) -> Option<ProvedBy> {
    let proved_by = by_name(claim.proved_by.as_deref()?)?;
    let is_of_key = proved_by != ProvedBy::Packet || claim.proved_key.as_deref() == Some(sphinx_key);
    is_of_key.then_some(proved_by)
}

fn renewed(host: SocketAddr, sphinx_key: &str, earlier: Option<&Claim>, verdict: Verdict, call: &Call) -> Claim {
    let called_now = proof::comes_from(call, host.ip()).then_some(call.now);
    let called_at = called_now.or_else(|| earlier.and_then(|claim| claim.called_at));
    let (proved_at, proved_by) = match verdict {
        Verdict::Kept => (earlier.and_then(|claim| claim.proved_at), earlier.and_then(|claim| claim.proved_by.clone())),
        Verdict::Proved(by) => (Some(call.now), Some(name(by).to_owned())),
        Verdict::Pending(_) => (None, None),
    };
    Claim {
        address: host.to_string(),
        proved_at,
        proved_by,
        proved_key: Some(sphinx_key.to_owned()),
        called_at,
        // Repeated registrations must not cause additional test packets.
        tries: earlier.map_or(0, |claim| claim.tries),
        try_at: earlier.map_or(call.now.saturating_add(FIRST_TRY_AFTER), |claim| claim.try_at),
    }
}

async fn insert(
    connection: &mut SqliteConnection,
    identity: &str,
    claim: &Claim,
    reason: Option<String>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO claim (identity, address, proved_at, proved_by, proved_key, called_at, reason, tries, try_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(identity)
    .bind(&claim.address)
    .bind(claim.proved_at)
    .bind(&claim.proved_by)
    .bind(&claim.proved_key)
    .bind(claim.called_at)
    .bind(reason)
    .bind(claim.tries)
    .bind(claim.try_at)
    .execute(connection)
    .await
    .map(|_| ())
}

/// Other identity with a proof for the address.
async fn holder(connection: &mut SqliteConnection, identity: &str, host: SocketAddr) -> sqlx::Result<Option<Holder>> {
    let row: Option<(String, Option<i64>, i64)> = sqlx::query_as(
        "SELECT proved_by, called_at, renewed_at FROM claim JOIN node USING (identity)
         WHERE address = ? AND identity <> ? AND proved_at IS NOT NULL",
    )
    .bind(host.to_string())
    .bind(identity)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(proved_by, called_at, renewed_at)| Holder {
        proved_by: by_name(&proved_by).unwrap_or(ProvedBy::Earlier),
        called_at,
        renewed_at,
    }))
}

/// Removes the address from every other identity.
async fn displace(connection: &mut SqliteConnection, identity: &str, host: SocketAddr) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE claim SET proved_at = NULL, proved_by = NULL, reason = ?, tries = 0, try_at = 0
         WHERE address = ? AND identity <> ? AND proved_at IS NOT NULL",
    )
    .bind(DISPLACED)
    .bind(host.to_string())
    .bind(identity)
    .execute(connection)
    .await
    .map(|_| ())
}

/// Proven addresses of an identity.
pub(super) async fn proven(connection: &mut SqliteConnection, identity: &str) -> sqlx::Result<Vec<SocketAddr>> {
    let addresses: Vec<String> =
        sqlx::query_scalar("SELECT address FROM claim WHERE identity = ? AND proved_at IS NOT NULL")
            .bind(identity)
            .fetch_all(connection)
            .await?;
    Ok(addresses.iter().filter_map(|address| address.parse().ok()).collect())
}

impl Store {
    /// Records a call of this identity from this address. Only calls from its registration address and its proven
    /// addresses renew the entry.
    pub(crate) async fn renew(&self, identity: &str, from: Option<IpAddr>, now: i64) -> sqlx::Result<()> {
        let Some(from) = from else { return Ok(()) };
        let mut transaction = self.begin_write().await?;
        let entry: Option<(Option<String>, i64)> =
            sqlx::query_as("SELECT registered_from, renewed_at FROM node WHERE identity = ?")
                .bind(identity)
                .fetch_optional(&mut *transaction)
                .await?;
        let is_due = entry.as_ref().is_some_and(|(_, renewed_at)| now.saturating_sub(*renewed_at) >= RENEW_EVERY);
        let is_registrar = entry.is_some_and(|(registrar, _)| registrar.is_some_and(|ip| ip.parse() == Ok(from)));
        if !is_due {
            return transaction.rollback().await;
        }
        let mut is_node = false;
        for address in proven(&mut transaction, identity).await? {
            if address.ip() == from {
                is_node = true;
                sqlx::query("UPDATE claim SET called_at = ? WHERE identity = ? AND address = ?")
                    .bind(now)
                    .bind(identity)
                    .bind(address.to_string())
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        if is_registrar || is_node {
            renew_tested(&mut transaction, identity, now).await?;
        }
        transaction.commit_unlisted().await
    }

    /// All unproven claims, oldest first.
    pub(crate) async fn pending(&self) -> sqlx::Result<Vec<PendingEntry>> {
        let query = sqlx::query_as(
            "SELECT identity, address, COALESCE(reason, '') FROM claim WHERE proved_at IS NULL ORDER BY rowid",
        );
        let rows: Vec<(String, String, String)> = self.fetch_all(query).await?;
        let entry = |(identity_key, address, reason)| PendingEntry {
            identity_key,
            pending: PendingAddress { address, reason },
        };
        Ok(rows.into_iter().map(entry).collect())
    }
}

/// Claim that is due for a test packet.
#[derive(Debug, Clone)]
pub(crate) struct DueClaim {
    pub(crate) identity: String,
    pub(crate) address: SocketAddr,
    pub(crate) sphinx_key: [u8; 32],
}

impl Store {
    /// Claims that are due for a test packet, oldest first. The interval between two packets for a claim grows.
    pub(crate) async fn due_claims(&self, count: i64, now: i64) -> sqlx::Result<Vec<DueClaim>> {
        let query = sqlx::query_as(
            "SELECT identity, address, COALESCE(proved_key, ''), tries FROM claim
             WHERE proved_at IS NULL AND try_at <= ? ORDER BY try_at LIMIT ?",
        )
        .bind(now)
        .bind(count);
        let rows: Vec<(String, String, String, i64)> = self.fetch_all(query).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut due = Vec::with_capacity(rows.len());
        let mut transaction = self.begin_write().await?;
        for (identity, address, key, tries) in rows {
            let wait = TRY_AFTER.saturating_mul(1 << tries.clamp(0, TRIES_DOUBLING));
            sqlx::query("UPDATE claim SET tries = tries + 1, try_at = ? WHERE identity = ? AND address = ?")
                .bind(now.saturating_add(wait))
                .bind(&identity)
                .bind(&address)
                .execute(&mut *transaction)
                .await?;
            if let (Ok(address), Some(sphinx_key)) = (address.parse(), signing::decode(&key)) {
                due.push(DueClaim { identity, address, sphinx_key });
            }
        }
        transaction.commit_unlisted().await?;
        Ok(due)
    }

    /// Records the return of a test packet; false when the claim is gone or has another Sphinx key.
    pub(crate) async fn prove_by_packet(&self, claim: &DueClaim, now: i64) -> sqlx::Result<bool> {
        let mut transaction = self.begin_write().await?;
        let key = bs58::encode(claim.sphinx_key).into_string();
        let is_there: Option<i64> = sqlx::query_scalar(
            "SELECT 1 FROM claim WHERE identity = ? AND address = ? AND proved_key = ? AND proved_at IS NULL",
        )
        .bind(&claim.identity)
        .bind(claim.address.to_string())
        .bind(&key)
        .fetch_optional(&mut *transaction)
        .await?;
        if is_there.is_none() {
            transaction.rollback().await?;
            return Ok(false);
        }
        displace(&mut transaction, &claim.identity, claim.address).await?;
        sqlx::query(
            "UPDATE claim SET proved_at = ?1, proved_by = 'packet', reason = NULL WHERE identity = ?2 AND address = ?3",
        )
        .bind(now)
        .bind(&claim.identity)
        .bind(claim.address.to_string())
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "UPDATE node SET renewed_at = ?1, packet_proved_at = COALESCE(packet_proved_at, ?1) WHERE identity = ?2",
        )
        .bind(now)
        .bind(&claim.identity)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// Records that the node is alive, for example after a passed test; at most once per [`RENEW_EVERY`].
pub(super) async fn renew_tested(connection: &mut SqliteConnection, identity: &str, now: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE node SET renewed_at = ? WHERE identity = ? AND renewed_at <= ?")
        .bind(now)
        .bind(identity)
        .bind(now.saturating_sub(RENEW_EVERY))
        .execute(connection)
        .await
        .map(|_| ())
}

fn name(by: ProvedBy) -> &'static str {
    match by {
        ProvedBy::Call => "call",
        ProvedBy::Packet => "packet",
        ProvedBy::Admission => "admission",
        ProvedBy::Earlier => "earlier",
    }
}

fn by_name(name: &str) -> Option<ProvedBy> {
    [ProvedBy::Call, ProvedBy::Packet, ProvedBy::Admission, ProvedBy::Earlier]
        .into_iter()
        .find(|by| self::name(*by) == name)
}
