//! Sending on bounded channels.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Sends an item, and waits only while the channel is full; `false` when it is closed.
///
/// Cheaper than `send` alone, which prepares to wait each time.
pub async fn pass<T>(sender: &mpsc::Sender<T>, item: T) -> bool {
    match sender.try_send(item) {
        Ok(()) => true,
        // Nothing overtakes those that wait: a channel gives each free place to the first of them.
        Err(TrySendError::Full(item)) => sender.send(item).await.is_ok(),
        Err(TrySendError::Closed(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn items_wait_for_a_place_in_order_and_a_closed_channel_is_reported() {
        let (sender, mut receiver) = mpsc::channel(1);
        let send = async {
            for item in 0..5 {
                assert!(pass(&sender, item).await);
            }
        };
        let receive = async {
            for item in 0..5 {
                tokio::task::yield_now().await;
                assert_eq!(receiver.recv().await, Some(item));
            }
            receiver.close();
        };
        let both = async { tokio::join!(send, receive) };
        timeout(Duration::from_secs(60), both).await.unwrap();
        assert!(!pass(&sender, 5).await);
    }
}
