//! The packets that wait for an engine, by the batch.

use nym_mixnode_mix::{Received, ReleaseIntervals};
use tokio::sync::mpsc;

use crate::clock;
use crate::timer::Alarm;

/// The packets of all connections of a worker.
#[derive(Debug)]
pub struct Gatherer {
    received: mpsc::Receiver<Received>,
    intervals: ReleaseIntervals,
    alarm: Alarm,
    batch_max: usize,
}

impl Gatherer {
    /// Gathers at most `batch_max` packets at a time.
    #[must_use]
    pub fn new(
        received: mpsc::Receiver<Received>,
        intervals: ReleaseIntervals,
        alarm: Alarm,
        batch_max: usize,
    ) -> Self {
        Self { received, intervals, alarm, batch_max }
    }

    /// Adds the next packets to an empty batch; `false` when there will be none.
    ///
    /// Packets leave at the end of a release interval, so an incomplete batch waits for more until this interval ends:
    /// engines need less time for each packet of a full batch.
    pub async fn next(&mut self, batch: &mut Vec<Received>) -> bool {
        let is_open = self.received.recv_many(batch, self.batch_max).await > 0;
        if self.intervals.is_off() || !is_open {
            return is_open;
        }
        let end = self.intervals.end_after(clock::now());
        while batch.len() < self.batch_max {
            let rest = self.batch_max - batch.len();
            tokio::select! {
                biased;
                more = self.received.recv_many(batch, rest) => if more == 0 { break },
                () = self.alarm.at(end) => break,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use nym_mixnode_sphinx::PacketSize;
    use nym_mixnode_wire::{BufferPool, FrameHeader, PacketMode};
    use tokio::time::sleep;

    const MAX: usize = 4;
    const LENGTH: Duration = Duration::from_millis(10);

    /// The sizes of the batches in which packets are gathered that arrive after these pauses, and when each was complete.
    async fn gather(length: Duration, pauses: &[Duration]) -> Vec<(usize, Duration)> {
        let (sender, received) = mpsc::channel(64);
        let start = clock::now();
        let mut gatherer = Gatherer::new(received, ReleaseIntervals::new(start, length), Alarm::coarse(), MAX);
        let arrive = async move {
            let pool = BufferPool::new(1 << 20);
            let header = FrameHeader::v0_9(PacketSize::Ack, PacketMode::Mix);
            for pause in pauses {
                sleep(*pause).await;
                let packet = pool.take(header, &vec![0; header.frame_len()]);
                sender.send(Received { packet, at: clock::now() }).await.unwrap();
            }
        };
        let take = async {
            let (mut batches, mut batch) = (Vec::new(), Vec::new());
            while gatherer.next(&mut batch).await {
                batches.push((batch.drain(..).count(), clock::now() - start));
            }
            batches
        };
        tokio::join!(arrive, take).1
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_until_it_is_full_or_the_interval_ends() {
        let pauses: Vec<_> = [3, 0, 0, 0, 0, 2, 7, 20].map(Duration::from_millis).into();
        let batches = gather(LENGTH, &pauses).await;
        // Four at 3 ms, two until 10 ms, one at 12 ms until 20 ms, and the last one, after which there will be none.
        assert_eq!(batches.iter().map(|(count, _)| *count).collect::<Vec<_>>(), [4, 2, 1, 1]);
        for ((_, at), expected) in batches.iter().zip([3, 10, 20]) {
            assert!((expected..=expected + 2).contains(&at.as_millis()), "{batches:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_intervals_a_batch_waits_for_nothing() {
        let pauses = [3, 1, 1].map(Duration::from_millis);
        let batches = gather(Duration::ZERO, &pauses).await;
        assert_eq!(batches.iter().map(|(count, _)| *count).collect::<Vec<_>>(), [1, 1, 1]);
    }
}
