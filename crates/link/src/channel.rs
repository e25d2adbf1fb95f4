//! Sending on bounded channels.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Sends an item, and waits only while the channel is full; `false` when it is closed.
///
/// Cheaper than `send` alone, which prepares to wait each time.
async fn pass<T>(sender: &mpsc::Sender<T>, item: T) -> bool {
    match sender.try_send(item) {
        Ok(()) => true,
        // Nothing overtakes those that wait: a channel gives each free place to the first of them.
        Err(TrySendError::Full(item)) => sender.send(item).await.is_ok(),
        Err(TrySendError::Closed(_)) => false,
    }
}

/// Sends all items of a list in order, with one reservation if the channel has room for all of them.
///
/// # Errors
/// When the channel is closed: the number of items that were not sent. The list is empty in any case.
pub async fn pass_all<T>(sender: &mpsc::Sender<T>, items: &mut Vec<T>) -> Result<(), usize> {
    if let Ok(places) = sender.try_reserve_many(items.len()) {
        places.zip(items.drain(..)).for_each(|(place, item)| place.send(item));
        return Ok(());
    }
    let mut rest = items.drain(..);
    while let Some(item) = rest.next() {
        if !pass(sender, item).await {
            return Err(1 + rest.len());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn items_wait_for_a_place_in_order_and_a_closed_channel_is_reported() {
        let (sender, mut receiver) = mpsc::channel(3);
        let send = async {
            // Some lists have room, some wait for it, and one is longer than the channel.
            for list in [vec![0, 1], vec![2, 3], vec![], vec![4, 5, 6, 7, 8], vec![9]] {
                let mut list = list;
                assert_eq!(pass_all(&sender, &mut list).await, Ok(()));
                assert!(list.is_empty());
            }
        };
        let receive = async {
            for item in 0..10 {
                tokio::task::yield_now().await;
                assert_eq!(receiver.recv().await, Some(item));
            }
        };
        let both = async { tokio::join!(send, receive) };
        timeout(Duration::from_secs(60), both).await.unwrap();
        let mut list = vec![10, 11, 12, 13, 14];
        let close = async {
            assert_eq!(receiver.recv().await, Some(10));
            receiver.close();
        };
        let both = async { tokio::join!(pass_all(&sender, &mut list), close) };
        let (passed, ()) = timeout(Duration::from_secs(60), both).await.unwrap();
        assert!(matches!(passed, Err(1..=2)), "{passed:?}");
        assert!(list.is_empty());
        assert_eq!(pass_all(&sender, &mut vec![15, 16]).await, Err(2));
    }
}
