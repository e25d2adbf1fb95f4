//! Starting, watching and joining the threads of the workers.

use std::io;
use std::thread::{Builder, JoinHandle};

use tokio::sync::mpsc;

/// The threads of all workers.
pub(super) struct WorkerThreads {
    threads: Vec<JoinHandle<io::Result<()>>>,
    ends: mpsc::Receiver<()>,
    ended: usize,
}

impl WorkerThreads {
    /// Starts a thread for each worker.
    pub(super) fn start<W>(workers: Vec<W>) -> io::Result<Self>
    where
        W: FnOnce() -> io::Result<()> + Send + 'static,
    {
        let (announce, ends) = mpsc::channel(workers.len().max(1));
        let threads = workers
            .into_iter()
            .enumerate()
            .map(|(number, worker)| {
                let end = EndNotice(announce.clone());
                Builder::new().name(format!("mix-worker-{number}")).spawn(move || {
                    let _notice_when_this_thread_ends = end;
                    worker()
                })
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { threads, ends, ended: 0 })
    }

    /// Completes when one more worker has ended, for any reason.
    pub(super) async fn next_end(&mut self) {
        match self.ends.recv().await {
            Some(()) => self.ended += 1,
            None => std::future::pending().await,
        }
    }

    /// Completes when every worker has ended.
    pub(super) async fn all_ended(&mut self) {
        while self.ended < self.threads.len() {
            self.next_end().await;
        }
    }

    /// Joins the threads, which have all ended; `false` when one panicked or could not create its runtime.
    pub(super) fn join(self) -> bool {
        let results: Vec<_> = self.threads.into_iter().map(JoinHandle::join).collect();
        results.iter().all(|result| matches!(result, Ok(Ok(()))))
    }
}

/// Notifies [`WorkerThreads`] on drop, including on a panic.
struct EndNotice(mpsc::Sender<()>);

impl Drop for EndNotice {
    fn drop(&mut self) {
        // The channel has capacity for every worker. The receiver may be dropped, which is no error.
        self.0.try_send(()).ok();
    }
}
