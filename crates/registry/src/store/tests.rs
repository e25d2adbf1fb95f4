//! Tests of transactions on a real database.

use super::*;
use crate::proof::{Admission, Call};

pub(super) const NOW: i64 = 1_600_000_000 * 1_000_000_000;

impl Store {
    /// Number of rows of a table.
    pub(crate) async fn rows(&self, table: &str) -> i64 {
        let mut connection = self.read().await.unwrap();
        let count = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let rows = sqlx::query_scalar(count).fetch_one(&mut *connection).await.unwrap();
        connection.done();
        rows
    }

    /// Stores an entry.
    pub(super) async fn put(&self, identity: &str) {
        let mut transaction = self.begin().await.unwrap();
        put(&mut transaction, identity).await;
        transaction.commit().await.unwrap();
    }
}

pub(super) async fn put(transaction: &mut Transaction, identity: &str) {
    let call = Call { signed: None, admission: Admission::Open, from: None, now: NOW };
    let node = NodeRow { identity, role: Role::Mix, layer: 1, registration: "{}".into(), expires_at: None };
    transaction.put_node(&node, &call).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_transaction_is_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("registry.sqlite")).await.unwrap();
    for round in 0..20 {
        let mut transaction = store.begin().await.unwrap();
        put(&mut transaction, "given up").await;
        match round % 2 {
            0 => drop(transaction),
            _ => transaction.rollback().await.unwrap(),
        }
        store.put("kept").await;
    }
    assert_eq!(store.rows("node").await, 1);
}

#[tokio::test]
async fn the_generation_changes_only_with_commits_that_change_the_lists() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("registry.sqlite")).await.unwrap();
    let before = store.generation();
    store.begin().await.unwrap().commit_unlisted().await.unwrap();
    store.begin().await.unwrap().rollback().await.unwrap();
    assert_eq!(store.generation(), before);
    store.put("a").await;
    assert_ne!(store.generation(), before);
}

#[test]
fn parameters_are_numbered_through_all_rows() {
    assert_eq!(measurements::rows(2, 3), "($1, $2, $3), ($4, $5, $6)");
}
