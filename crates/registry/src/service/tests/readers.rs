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
    assert_eq!(home.register("a", &["192.0.2.1:1"], NOW).await, Outcome::Done);
    let outdated = home.service.all(NOW).await.unwrap().tag;
    assert_eq!(home.register("b", &["192.0.2.1:2"], NOW).await, Outcome::Done);
    let writer = home.service.clone();
    let mut writers = JoinSet::new();
    writers.spawn(async move {
        for port in 1_u16.. {
            register(&writer, &format!("node {port}"), &[&format!("192.0.2.2:{port}")], NOW).await;
        }
    });
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let service = home.service.clone();
        readers.spawn(async move { service.all(NOW).await.unwrap().tag });
    }
    let tags: HashSet<String> = readers.join_all().await.into_iter().collect();
    writers.shutdown().await;
    assert!(tags.len() <= 2 && !tags.contains(&outdated), "{tags:?}");
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
