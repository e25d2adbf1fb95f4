//! Waiting for something that may not exist.

use std::future::pending;

/// Waits for the future; without one, waits forever.
pub async fn if_some<T>(future: Option<impl Future<Output = T>>) -> T {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}
