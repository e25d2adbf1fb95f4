//! Limits on entries: counts them by source.

use std::net::IpAddr;
use std::time::Duration;

use nym_mixnode_api::ACTIVE_REPUTATION;
use sqlx::SqliteConnection;

use crate::caps::{
    Caps, Counts, Decision, Full, GATEWAY_LIFETIME, MIX_LIFETIME, PENDING_LIFETIME, Source, nanoseconds,
};

/// Query over unproved entries; `?1` is the reputation of the active set.
macro_rules! unproved {
    ($select:literal, $rest:literal) => {
        concat!(
            $select,
            " FROM source JOIN node USING (identity) LEFT JOIN reputation USING (identity)
              WHERE COALESCE(score, 0) < ?1 AND packet_proved_at IS NULL AND ",
            $rest
        )
    };
}

/// Ensures that an entry of `identity` fits, or returns the limit that was reached. Existing entries always fit.
pub(super) async fn ensure_capacity(
    connection: &mut SqliteConnection,
    caps: &Caps,
    identity: &str,
    from: Option<IpAddr>,
) -> sqlx::Result<Result<(), Full>> {
    let source = Source::of(from);
    let has_entry: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM node WHERE identity = ?")
        .bind(identity)
        .fetch_one(&mut *connection)
        .await?;
    if has_entry == 0 {
        match caps.decide(&source, &counts(connection, &source).await?) {
            Decision::Admit => {}
            Decision::Evict => evict(connection).await?,
            Decision::Refuse(full) => return Ok(Err(full)),
        }
    }
    Ok(Ok(()))
}

/// Records the source of the entry of `identity`; call it after writing the entry.
pub(super) async fn note_source(
    connection: &mut SqliteConnection,
    identity: &str,
    from: Option<IpAddr>,
) -> sqlx::Result<()> {
    let source = Source::of(from);
    let (subscriber, network) = columns(&source);
    sqlx::query(
        "INSERT INTO source (identity, subscriber, network) VALUES (?, ?, ?)
         ON CONFLICT (identity) DO UPDATE SET subscriber = excluded.subscriber, network = excluded.network",
    )
    .bind(identity)
    .bind(subscriber)
    .bind(network)
    .execute(connection)
    .await
    .map(|_| ())
}

/// Deletes the entries whose lifetime without renewal is over; returns their number.
pub(super) async fn delete_unrenewed(connection: &mut SqliteConnection, now: i64) -> sqlx::Result<u64> {
    let before = |lifetime: Duration| now.saturating_sub(nanoseconds(lifetime));
    let deleted = sqlx::query(
        "DELETE FROM node WHERE renewed_at <= CASE
             WHEN NOT EXISTS (SELECT 1 FROM claim WHERE claim.identity = node.identity AND proved_at IS NOT NULL)
                 THEN ?1
             WHEN role = 'gateway' THEN ?2
             ELSE ?3 END",
    )
    .bind(before(PENDING_LIFETIME))
    .bind(before(GATEWAY_LIFETIME))
    .bind(before(MIX_LIFETIME))
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

async fn counts(connection: &mut SqliteConnection, source: &Source) -> sqlx::Result<Counts> {
    let (subscriber, network) = columns(source);
    let of_subscriber = sqlx::query_scalar(unproved!("SELECT COUNT(*)", "subscriber = ?2"));
    let of_network = sqlx::query_scalar(unproved!("SELECT COUNT(*)", "network = ?2"));
    let unproved = sqlx::query_scalar(unproved!("SELECT COUNT(*)", "TRUE"));
    let total = sqlx::query_scalar("SELECT COUNT(*) FROM node");
    Ok(Counts {
        of_subscriber: count(of_subscriber.bind(ACTIVE_REPUTATION).bind(subscriber).fetch_one(&mut *connection).await?),
        of_network: count(of_network.bind(ACTIVE_REPUTATION).bind(network).fetch_one(&mut *connection).await?),
        unproved: count(unproved.bind(ACTIVE_REPUTATION).fetch_one(&mut *connection).await?),
        total: count(total.fetch_one(&mut *connection).await?),
    })
}

/// Removes the entry with the oldest renewal from the network with the most unproved entries.
async fn evict(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let largest = unproved!("SELECT network", "TRUE GROUP BY network ORDER BY COUNT(*) DESC, network LIMIT 1");
    let largest: Option<String> =
        sqlx::query_scalar(largest).bind(ACTIVE_REPUTATION).fetch_optional(&mut *connection).await?;
    let oldest = unproved!(
        "DELETE FROM node WHERE identity = (SELECT identity",
        "network = ?2 ORDER BY renewed_at, identity LIMIT 1)"
    );
    sqlx::query(oldest).bind(ACTIVE_REPUTATION).bind(largest).execute(connection).await.map(|_| ())
}

/// Private networks and unknown callers form one group each.
fn columns(source: &Source) -> (&str, &str) {
    match source {
        Source::Internet { subscriber, network } => (subscriber, network),
        Source::Private => ("private", "private"),
        Source::Unknown => ("unknown", "unknown"),
    }
}

fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or_default()
}
