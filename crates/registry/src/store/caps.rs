//! Places for entries: counting them by where they were registered from.

use std::net::IpAddr;
use std::time::Duration;

use nym_mixnode_api::ACTIVE_REPUTATION;
use sqlx::SqliteConnection;

use crate::caps::{
    Caps, Counts, Decision, Full, GATEWAY_LIFETIME, MIX_LIFETIME, PENDING_LIFETIME, Source, nanoseconds,
};

/// Of entries that nothing has proved; `?1` is the reputation of the active set.
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

/// Makes a place for an entry of `identity`, or says which places are taken. An identity that has an entry keeps it.
pub(super) async fn make_room(
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

/// Notes where the entry of `identity` was registered from; to be called once it is written.
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

/// Deletes the entries that were not renewed for as long as each may be; how many.
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

/// Removes the entry that was renewed least recently of the network with the most unproved ones.
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

/// Callers of private networks and unknown ones have a group each.
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
