//! Tests of transactions on a real database.
//!
//! The kit runs these and the tests of the service a second time, on PostgreSQL.

use std::collections::BTreeSet;
use std::env;

use sqlx::{AssertSqlSafe, Connection};
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::proof::{Admission, Call};

/// Environment variable with the URL of a server for the tests, on which they create schemas.
const SERVER: &str = "NYM_TEST_POSTGRES";

pub(super) const NOW: i64 = 1_600_000_000 * 1_000_000_000;

/// Where a test has its store: a file, or a new schema of the server.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    url: Option<DatabaseUrl>,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match env::var(SERVER) {
            Ok(server) => Some(new_schema(&server, folder.path()).await),
            Err(_) => None,
        };
        Self { folder, url }
    }

    pub(crate) async fn open(&self) -> Store {
        match &self.url {
            Some(url) => Store::connect(url).await.unwrap(),
            None => Store::open(&self.folder.path().join("registry.sqlite")).await.unwrap(),
        }
    }
}

/// Creates a schema with the name of the folder, which no other test has; returns its URL.
async fn new_schema(server: &str, folder: &Path) -> DatabaseUrl {
    sqlx::any::install_default_drivers();
    let digits = folder.file_name().unwrap().as_encoded_bytes().iter().map(|byte| format!("{byte:02x}"));
    let name = format!("test_{}", digits.collect::<String>());
    let mut connection = sqlx::AnyConnection::connect(server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).execute(&mut connection).await.unwrap();
    let mut url: Url = server.parse().unwrap();
    url.query_pairs_mut().append_pair("options[search_path]", &name);
    url.as_str().parse().unwrap()
}

impl Store {
    /// Number of rows of a table.
    pub(crate) async fn rows(&self, table: &str) -> i64 {
        let mut connection = self.read().await.unwrap();
        let count = AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
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
    let place = Place::new().await;
    let store = place.open().await;
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
    let place = Place::new().await;
    let store = place.open().await;
    let before = store.generation();
    store.begin().await.unwrap().commit_unlisted().await.unwrap();
    store.begin().await.unwrap().rollback().await.unwrap();
    assert_eq!(store.generation(), before);
    store.put("a").await;
    assert_ne!(store.generation(), before);
}

/// Table, column, type, whether it is required, and its place in the primary key.
type Column = (String, String, String, i64, i64);

#[tokio::test]
#[ignore = "needs PostgreSQL: `make kit`"]
async fn the_schemas_of_both_databases_have_the_same_columns() {
    const IN_POSTGRESQL: &str = "
        SELECT columns.table_name::TEXT, columns.column_name::TEXT,
            CASE data_type WHEN 'bigint' THEN 'INTEGER' WHEN 'bytea' THEN 'BLOB' ELSE UPPER(data_type) END::TEXT,
            CASE is_nullable WHEN 'NO' THEN 1 ELSE 0 END::BIGINT, COALESCE(keys.ordinal_position, 0)::BIGINT
        FROM information_schema.columns AS columns
        LEFT JOIN information_schema.table_constraints AS primary_keys
            ON primary_keys.table_schema = columns.table_schema AND primary_keys.table_name = columns.table_name
                AND constraint_type = 'PRIMARY KEY'
        LEFT JOIN information_schema.key_column_usage AS keys
            ON keys.constraint_schema = columns.table_schema AND keys.constraint_name = primary_keys.constraint_name
                AND keys.table_name = columns.table_name AND keys.column_name = columns.column_name
        WHERE columns.table_schema = current_schema()";
    // Columns of a primary key are required in PostgreSQL, and are always given in SQLite.
    const IN_FILES: &str = "
        SELECT tables.name, columns.name, columns.type, MAX(columns.\"notnull\", columns.pk > 0), columns.pk
        FROM sqlite_schema AS tables JOIN pragma_table_info(tables.name) AS columns
        WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite%'";
    let place = Place::new().await;
    let server = place.open().await;
    let file = Store::open(&place.folder.path().join("registry.sqlite")).await.unwrap();
    let columns = async |store: &Store, query| {
        let rows: Vec<Column> = store.fetch_all(sqlx::query_as(query)).await.unwrap();
        // The migrations' own table, and the counter that only registries with a common database need.
        rows.into_iter().filter(|(table, ..)| table != "_sqlx_migrations" && table != "change").collect::<BTreeSet<_>>()
    };
    let (in_postgresql, in_files) = (columns(&server, IN_POSTGRESQL).await, columns(&file, IN_FILES).await);
    assert!(in_postgresql.len() > 40, "{in_postgresql:?}");
    let only_in = |one: &BTreeSet<Column>, other| one.difference(other).cloned().collect::<Vec<_>>();
    let differences = (only_in(&in_postgresql, &in_files), only_in(&in_files, &in_postgresql));
    assert_eq!(differences, (Vec::new(), Vec::new()), "only in PostgreSQL, and only in SQLite");
}

#[test]
fn parameters_are_numbered_through_all_rows() {
    assert_eq!(measurements::rows(2, 3), "($1, $2, $3), ($4, $5, $6)");
}
