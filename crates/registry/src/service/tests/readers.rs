//! Readers of the list while it changes.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::*;

const READERS: usize = 10;
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn readers_that_ask_together_share_a_list_although_nodes_register_all_the_time() {
    let home = Home::new().await;
    home.service.all(NOW).await.unwrap();
    change(&home.service).await.unwrap();
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let service = home.service.clone();
        readers.spawn(async move { service.all(NOW).await.unwrap() });
    }
    let mut readers = pin!(readers.join_all());
    let lists: Vec<Listed> = loop {
        tokio::select! {
            lists = &mut readers => break lists,
            changed = change(&home.service) => changed.unwrap(),
        }
    };
    let made: HashSet<*const u8> = lists.iter().map(|listed| listed.json.as_ptr()).collect();
    assert!(made.len() <= 2, "{} lists", made.len());
}

/// Commits a transaction that may have changed the lists.
async fn change(service: &Service) -> sqlx::Result<()> {
    service.store().begin().await?.commit().await
}

#[tokio::test]
async fn readers_that_leave_at_once_do_not_keep_the_list_from_being_made() {
    let home = Home::new().await;
    assert_eq!(home.register("a", &["192.0.2.1:1"], NOW).await, Outcome::Done);
    let read = async {
        loop {
            let mut reader = pin!(home.service.all(NOW));
            if let Poll::Ready(listed) = poll_fn(|context| Poll::Ready(reader.as_mut().poll(context))).await {
                return listed.unwrap();
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    let listed = timeout(DEADLINE, read).await.expect("one of the readers finds the list");
    assert!(String::from_utf8_lossy(&listed.json).contains("192.0.2.1:1"));
}
