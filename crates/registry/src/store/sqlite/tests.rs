//! Tests of the file: its lock, its mode, its upgrades, crashes and a full disk.

use super::super::tests::NOW;
use super::*;
use crate::store::Store;

struct Home {
    folder: tempfile::TempDir,
    store: Store,
}

impl Home {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("registry.sqlite")).await.unwrap();
        Self { folder, store }
    }
}

async fn execute(store: &Store, statements: &[&'static str]) -> sqlx::Result<()> {
    let mut transaction = store.begin().await?;
    for statement in statements {
        sqlx::query(*statement).execute(transaction.connection()).await?;
    }
    transaction.commit().await
}

#[tokio::test]
async fn acknowledged_registrations_survive_a_kill() {
    let home = Home::new().await;
    for index in 0..20 {
        home.store.put(&format!("node{index:02}")).await;
    }
    // State after a kill: unchanged files, a log that is not checkpointed, no lock.
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(home.folder.path()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let path = copy.path().join("registry.sqlite");
    let survivor = Store::open(&path).await.unwrap();
    assert_eq!(survivor.rows("node").await, 20);
    survivor.put("late").await;
    survivor.close().await;
    assert_eq!(Store::open(&path).await.unwrap().rows("node").await, 21);
}

#[tokio::test]
async fn what_an_earlier_release_listed_counts_as_proven() {
    install_default_drivers();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.sqlite");
    let pool = AnyPoolOptions::new().connect(&url(&path, "rwc")).await.unwrap();
    let mut earlier = sqlx::migrate!("./migrations/sqlite");
    earlier.migrations = earlier.iter().filter(|migration| migration.version == 1).cloned().collect::<Vec<_>>().into();
    earlier.run(&pool).await.unwrap();
    for statement in [
        "INSERT INTO node VALUES ('a', 'mix', '{}', '192.0.2.1', 1, NULL)",
        "INSERT INTO host VALUES ('192.0.2.1:1789', 'a')",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    pool.close().await;
    let listed = Store::open(&path).await.unwrap().listed(0, NOW).await.unwrap();
    assert_eq!((listed.len(), &listed[0].proven[..]), (1, &["192.0.2.1:1789".to_owned()][..]));
}

#[tokio::test]
async fn a_store_of_a_newer_release_is_refused() {
    let home = Home::new().await;
    let future = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                  VALUES (9999, 'from the future', 1, x'00', 0)";
    execute(&home.store, &[future]).await.unwrap();
    home.store.close().await;
    let error = Store::open(&home.folder.path().join("registry.sqlite")).await.unwrap_err();
    assert_eq!(error.exit_code().code(), 65);
    assert!(error.to_string().contains("9999"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("with space, ? and %41.sqlite");
    fs::write(&path, "something else entirely".repeat(100)).unwrap();
    let error = Store::open(&path).await.unwrap_err();
    assert_eq!(error.exit_code().code(), 65, "{error}");
    fs::remove_file(&path).unwrap();
    Store::open(&path).await.unwrap();
    assert!(path.exists(), "every character of a path is taken as it is");
}

#[tokio::test]
async fn a_second_registry_on_the_same_store_is_refused_until_the_first_has_ended() {
    let home = Home::new().await;
    let path = home.folder.path().join("registry.sqlite");
    let error = Store::open(&path).await.unwrap_err();
    assert!(matches!(error, RegistryError::StoreInUse { .. }), "{error}");
    assert_eq!(error.exit_code().code(), 75);
    assert!(error.to_string().contains("registry.sqlite"), "{error}");
    home.store.close().await;
    Store::open(&path).await.unwrap();
}

#[tokio::test]
async fn a_backup_of_a_store_in_use_is_a_whole_store_for_its_owner_only() {
    let home = Home::new().await;
    home.store.put("a").await;
    let (path, copy) = (home.folder.path().join("registry.sqlite"), home.folder.path().join("copy 'of' it"));
    let writer = async {
        for index in 0..50 {
            home.store.put(&format!("node{index}")).await;
        }
    };
    let (backed_up, ()) = tokio::join!(back_up(&path, &copy), writer);
    backed_up.unwrap();
    assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o777, 0o600);
    let error = back_up(&path, &copy).await.unwrap_err();
    assert_eq!((error.exit_code().code(), error.to_string().contains("exists")), (73, true), "{error}");
    let restored = Store::open(&copy).await.unwrap();
    assert_eq!(restored.key().public(), home.store.key().public());
    assert!((1..=51).contains(&restored.rows("node").await));
}

#[tokio::test]
async fn no_copy_is_left_of_what_is_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("other.sqlite"), folder.path().join("copy"));
    for content in [None, Some("nonsense".repeat(1000)), Some(String::new())] {
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        back_up(&path, &copy).await.unwrap_err();
        assert!(!copy.exists());
    }
}

#[tokio::test]
async fn writes_fail_on_a_full_disk_and_reads_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.sqlite");
    Store::open(&path).await.unwrap().close().await;
    // A file that cannot grow.
    let store = open_with(&path, "PRAGMA max_page_count = 1", StoreLock::take(&path).unwrap()).await.unwrap();
    for _ in 0..20 {
        assert!(store.check_writes(NOW).await.is_err());
        let mut transaction = store.begin().await.unwrap();
        transaction.put_reputations(&[("x".repeat(10_000), 1)]).await.unwrap_err();
        drop(transaction);
        assert_eq!(store.node_count().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_failed_commit_closes_only_its_connection() {
    let home = Home::new().await;
    let orphan = "INSERT INTO claim (address, identity) VALUES ('192.0.2.1:1', 'nobody')";
    for _ in 0..20 {
        execute(&home.store, &["PRAGMA defer_foreign_keys = ON", orphan]).await.unwrap_err();
        assert!(home.store.check_writes(NOW).await.is_ok());
        home.store.put("a").await;
    }
}

#[tokio::test]
async fn only_the_owner_can_read_the_store_and_its_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.sqlite");
    // As an earlier release left it.
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let store = Store::open(&path).await.unwrap();
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap()).collect();
    for file in files.iter().filter(|file| file.file_name().to_string_lossy().contains("sqlite")) {
        let metadata = file.metadata().unwrap();
        let of_others = metadata.permissions().mode() & 0o077;
        assert!(of_others == 0 || metadata.len() == 0, "{file:?}: {of_others:o}");
    }
    assert!(files.iter().any(|file| file.file_name() == "registry.sqlite-wal"), "{files:?}");
    drop(store);
}

// The kit tests the same in a container whose file system is read-only.
#[tokio::test]
async fn temporary_data_stays_in_memory() {
    const MEMORY: i64 = 2;
    let home = Home::new().await;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        connections.push(home.store.read().await.unwrap());
    }
    for mut connection in connections {
        let place: i64 = sqlx::query_scalar("PRAGMA temp_store").fetch_one(&mut *connection).await.unwrap();
        assert_eq!(place, MEMORY);
        connection.done();
    }
}
