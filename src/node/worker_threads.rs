//! The workers' threads: started together, watched, and joined.

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
    /// Gives each worker's work a thread.
    pub(super) fn start<W>(works: Vec<W>) -> io::Result<Self>
    where
        W: FnOnce() -> io::Result<()> + Send + 'static,
    {
        let (announce, ends) = mpsc::channel(works.len().max(1));
        let threads = works
            .into_iter()
            .enumerate()
            .map(|(number, work)| {
                let end = EndNotice(announce.clone());
                Builder::new().name(format!("mix-worker-{number}")).spawn(move || {
                    let _notice_when_this_thread_ends = end;
                    work()
                })
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { threads, ends, ended: 0 })
    }

    /// Completes when one more worker has ended, for whatever reason.
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

    /// Joins the threads, which have all ended; `false` when one of them panicked or had no runtime.
    pub(super) fn join(self) -> bool {
        let results: Vec<_> = self.threads.into_iter().map(JoinHandle::join).collect();
        results.iter().all(|result| matches!(result, Ok(Ok(()))))
    }
}

/// Notifies [`WorkerThreads`] when it is dropped, also by a panic.
struct EndNotice(mpsc::Sender<()>);

impl Drop for EndNotice {
    fn drop(&mut self) {
        // The channel has room for every worker; the worker_threads may be gone, and then nobody listens.
        self.0.try_send(()).ok();
    }
}
