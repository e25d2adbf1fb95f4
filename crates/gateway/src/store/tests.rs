use super::*;
use std::os::unix::fs::PermissionsExt;

const NOW: u64 = 1_800_000_000;

fn client(fill: u8) -> ClientId {
    [fill; 32]
}

fn message(client: ClientId, fill: u8) -> Message {
    Message { client, content: vec![fill; 1643] }
}

fn key(fill: u8) -> SharedKey {
    SharedKey::from_bytes(&[fill; 32])
}

async fn open(dir: &tempfile::TempDir, bounds: StoreBounds) -> Store {
    Store::open(&dir.path().join("gateway.sqlite"), &[7; 32], bounds).await.unwrap()
}

async fn contents(store: &Store, client: &ClientId) -> Vec<u8> {
    store.after(client, 0, 1000).await.unwrap().iter().map(|stored| stored.content[0]).collect()
}

async fn page_len(store: &Store) -> u32 {
    sqlx::query_scalar("PRAGMA page_size").fetch_one(&store.pool).await.unwrap()
}

#[tokio::test]
async fn clients_and_messages_survive_a_restart_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, StoreBounds::default()).await;
    store.register(&client(1), &key(5), NOW).await.unwrap();
    store.register(&client(1), &key(6), NOW).await.unwrap();
    let outcomes = store.append(&[message(client(1), 1), message(client(2), 2), message(client(1), 3)], NOW).await;
    assert_eq!(outcomes.unwrap(), [Outcome::Stored, Outcome::Unknown, Outcome::Stored]);
    drop(store);
    let store = open(&dir, StoreBounds::default()).await;
    assert_eq!(store.key(&client(1)).await.unwrap().unwrap().to_bytes(), key(6).to_bytes());
    assert!(store.key(&client(2)).await.unwrap().is_none());
    assert_eq!((store.messages(), contents(&store, &client(1)).await), (2, vec![1, 3]));
    let first = &store.after(&client(1), 0, 1).await.unwrap()[0];
    store.remove(&client(1), first.number).await.unwrap();
    assert_eq!((store.messages(), contents(&store, &client(1)).await), (1, vec![3]));
    store.append(&[message(client(1), 4)], NOW).await.unwrap();
    assert_eq!(contents(&store, &client(1)).await, [3, 4]);
}

#[tokio::test]
async fn a_file_of_an_older_version_keeps_the_length_of_its_pages() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(dir.path().join("gateway.sqlite")).create_if_missing(true);
    let older = SqlitePool::connect_with(options.page_size(4096).journal_mode(SqliteJournalMode::Wal)).await.unwrap();
    sqlx::raw_sql(SCHEMA).execute(&older).await.unwrap();
    older.close().await;
    let store = open(&dir, StoreBounds::default()).await;
    store.register(&client(1), &key(5), NOW).await.unwrap();
    assert_eq!(store.append(&[message(client(1), 1)], NOW).await.unwrap(), [Outcome::Stored]);
    assert_eq!(contents(&store, &client(1)).await, [1]);
    assert_eq!(page_len(&store).await, 4096);
    let another = tempfile::tempdir().unwrap();
    assert_eq!(page_len(&open(&another, StoreBounds::default()).await).await, FILE_PAGE_LEN);
}

#[tokio::test]
async fn inboxes_and_the_store_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = StoreBounds { clients: 2, messages_per_client: 2, messages: 3, ..StoreBounds::default() };
    let store = open(&dir, bounds).await;
    for fill in 1..=2 {
        store.register(&client(fill), &key(1), NOW).await.unwrap();
    }
    assert!(matches!(store.register(&client(3), &key(1), NOW).await, Err(StoreError::TooManyClients(2))));
    store.register(&client(2), &key(2), NOW).await.unwrap();
    let one = [message(client(1), 1), message(client(1), 1), message(client(1), 1)];
    assert_eq!(store.append(&one, NOW).await.unwrap(), [Outcome::Stored, Outcome::Stored, Outcome::Full]);
    let two = [message(client(2), 1), message(client(2), 1)];
    assert_eq!(store.append(&two, NOW).await.unwrap(), [Outcome::Stored, Outcome::Full]);
    let last = store.after(&client(1), 0, 9).await.unwrap()[1].number;
    store.remove(&client(1), last).await.unwrap();
    assert_eq!(store.append(&two, NOW).await.unwrap(), [Outcome::Stored, Outcome::Full]);
}

#[tokio::test]
async fn old_messages_expire() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = StoreBounds { age: Duration::from_secs(10 * 3600), ..StoreBounds::default() };
    let store = open(&dir, bounds).await;
    store.register(&client(1), &key(1), NOW).await.unwrap();
    store.append(&[message(client(1), 1)], NOW).await.unwrap();
    store.append(&[message(client(1), 2)], NOW + 5 * 3600).await.unwrap();
    assert_eq!(store.expire(NOW + 9 * 3600).await.unwrap(), 0);
    assert_eq!(store.expire(NOW + 12 * 3600).await.unwrap(), 1);
    assert_eq!((store.messages(), contents(&store, &client(1)).await), (1, vec![2]));
}

#[tokio::test]
async fn the_file_tells_neither_clients_nor_contents_and_belongs_to_one_gateway() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, StoreBounds::default()).await;
    store.register(&client(0xa5), &key(0x5a), NOW).await.unwrap();
    store.append(&[message(client(0xa5), 0xc3)], NOW).await.unwrap();
    drop(store);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for fill in [0xa5, 0x5a, 0xc3] {
            assert!(!bytes.windows(16).any(|window| window == [fill; 16]), "{fill:x}");
        }
    }
    let other = Store::open(&dir.path().join("gateway.sqlite"), &[8; 32], StoreBounds::default()).await;
    assert!(matches!(other, Err(StoreError::Undecipherable)));
}

#[tokio::test]
async fn a_full_disk_costs_no_connection() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, StoreBounds::default()).await;
    store.register(&client(1), &key(1), NOW).await.unwrap();
    // Each connection has a limit of its own, and a new one has none.
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut connection = store.pool.acquire().await.unwrap();
        sqlx::query("PRAGMA max_page_count = 1").execute(&mut *connection).await.unwrap();
        connections.push(connection);
    }
    drop(connections);
    let messages = vec![message(client(1), 7); 100];
    let mut failures = 0;
    while let Err(error) = store.append(&messages, NOW).await {
        failures += 1;
        let StoreError::Database(sqlx::Error::Database(error)) = &error else { panic!("{error}") };
        assert_eq!(error.code().as_deref(), Some("13"), "{error}");
        assert!(failures <= CONNECTIONS_MAX);
    }
    assert!(failures > 0);
    assert_eq!(store.messages(), 100);
    assert_eq!(contents(&store, &client(1)).await, [7; 100]);
}

#[tokio::test]
async fn the_log_of_writes_leaves_a_small_disk_to_the_messages() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, StoreBounds::default()).await;
    store.register(&client(1), &key(1), NOW).await.unwrap();
    // Each of these transactions writes several pages.
    for _ in 0..300 {
        store.append(&[message(client(1), 7)], NOW).await.unwrap();
    }
    let log = std::fs::metadata(dir.path().join("gateway.sqlite-wal")).unwrap().len();
    let pages = log / u64::from(FILE_PAGE_LEN);
    assert!(pages < 2 * u64::from(LOG_PAGES_MAX), "{pages} pages");
}

#[tokio::test]
async fn a_copy_of_a_store_in_use_has_its_clients_and_messages() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, StoreBounds::default()).await;
    store.register(&client(1), &key(5), NOW).await.unwrap();
    store.append(&[message(client(1), 1)], NOW).await.unwrap();
    let (original, copy) = (dir.path().join("gateway.sqlite"), dir.path().join("copy/gateway.sqlite"));
    std::fs::create_dir(dir.path().join("copy")).unwrap();
    back_up(&original, &copy).await.unwrap();
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    store.append(&[message(client(1), 2)], NOW).await.unwrap();
    let copied = Store::open(&copy, &[7; 32], StoreBounds::default()).await.unwrap();
    assert_eq!(contents(&copied, &client(1)).await, [1]);
    assert_eq!(copied.key(&client(1)).await.unwrap().unwrap().to_bytes(), key(5).to_bytes());

    let missing = back_up(&dir.path().join("none"), &dir.path().join("new")).await.unwrap_err();
    assert!(matches!(missing, BackupError::Missing(_)) && !dir.path().join("new").exists(), "{missing}");
    let nowhere = back_up(&original, &dir.path().join("none/new")).await.unwrap_err();
    assert!(matches!(nowhere, BackupError::Create { .. }), "{nowhere}");

    // No file is replaced, and a failure leaves none.
    let other = dir.path().join("other");
    let error = back_up(&original, &copy).await.unwrap_err().to_string();
    assert!(error.contains("exists") && error.contains(copy.to_str().unwrap()), "{error}");
    std::fs::write(&other, b"").unwrap();
    let new = dir.path().join("new");
    assert!(back_up(&other, &new).await.unwrap_err().to_string().contains("messages"));
    assert!(back_up(dir.path(), &new).await.is_err() && !new.exists());
}
