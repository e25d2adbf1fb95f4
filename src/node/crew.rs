//! The workers' threads: started together, watched, and joined.

use std::io;
use std::thread::{Builder, JoinHandle};

use tokio::sync::mpsc;

use super::worker::Worker;

/// The threads of all workers.
pub(super) struct Crew {
    threads: Vec<JoinHandle<io::Result<()>>>,
    ends: mpsc::Receiver<usize>,
    ended: usize,
}

impl Crew {
    pub(super) fn start(workers: Vec<Worker>) -> io::Result<Self> {
        let (announce, ends) = mpsc::channel(workers.len().max(1));
        let threads = workers
            .into_iter()
            .map(|worker| {
                let end = EndNotice { number: worker.number, announce: announce.clone() };
                Builder::new().name(format!("mix-worker-{}", worker.number)).spawn(move || {
                    let _notice_when_this_thread_ends = end;
                    worker.run()
                })
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { threads, ends, ended: 0 })
    }

    /// The number of the next worker that ends, for whatever reason.
    pub(super) async fn next_end(&mut self) -> usize {
        match self.ends.recv().await {
            Some(number) => {
                self.ended += 1;
                number
            }
            None => std::future::pending().await,
        }
    }

    /// Completes when every worker has ended.
    pub(super) async fn all_ended(&mut self) {
        while self.ended < self.threads.len() {
            self.next_end().await;
        }
    }

    /// Joins the threads, which have all ended.
    ///
    /// # Errors
    /// The number of a worker that panicked or had no runtime.
    pub(super) fn join(self) -> Result<(), usize> {
        let mut result = Ok(());
        for (number, thread) in self.threads.into_iter().enumerate() {
            if !matches!(thread.join(), Ok(Ok(()))) {
                result = Err(number);
            }
        }
        result
    }
}

/// Tells the crew when it is dropped, also by a panic.
struct EndNotice {
    number: usize,
    announce: mpsc::Sender<usize>,
}

impl Drop for EndNotice {
    fn drop(&mut self) {
        // The channel has room for every worker; the crew may be gone, and then nobody listens.
        self.announce.try_send(self.number).ok();
    }
}
