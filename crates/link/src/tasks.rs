//! Ends of tasks.

use tokio::task::{JoinError, JoinSet};

/// Waits until all tasks have ended.
pub(crate) async fn join_all(mut tasks: JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        propagate_panic(ended);
    }
}

/// Propagates the panic of a task, which stops the node: it must not run with missing parts.
pub(crate) fn propagate_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
