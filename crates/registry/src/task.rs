//! Work that continues when the request that began it ends.

use std::future::pending;
use std::panic::resume_unwind;

use tokio::task::JoinHandle;

/// Waits for the output of a task. A panic of the task continues here. The output of a task that the runtime has ended
/// never comes.
pub(crate) async fn output_of<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(output) => output,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => pending().await,
        },
    }
}
