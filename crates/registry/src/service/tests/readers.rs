//! Readers of the list while it changes all the time.

use std::collections::HashSet;

use tokio::task::JoinSet;

use super::*;

const READERS: usize = 10;

#[tokio::test]
async fn readers_that_ask_together_share_a_list_although_nodes_register_all_the_time() {
    let home = Home::new().await;
    assert_eq!(home.register("a", &["192.0.2.1:1"], NOW).await, Outcome::Done);
    home.service.all(NOW).await.unwrap();
    let writer = home.service.clone();
    let mut writers = JoinSet::new();
    writers.spawn(async move {
        for later in 1.. {
            register(&writer, "b", &["192.0.2.2:1"], NOW + later).await;
        }
    });
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let service = home.service.clone();
        readers.spawn(async move { service.all(NOW).await.unwrap().tag });
    }
    let tags: HashSet<String> = readers.join_all().await.into_iter().collect();
    writers.shutdown().await;
    assert!(tags.len() <= 2, "{tags:?}");
}
