//! Reusable packet buffers under one byte budget.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use nym_mixnode_sphinx::PacketSize;
use tokio::sync::Notify;

use crate::frame::{FrameHeader, HEADROOM_LEN};
use crate::framing::Framing;
use crate::shares::{Charges, Payer};

/// Memory per packet besides its bytes: the frame header and entries in queues and heaps, rounded up.
const OVERHEAD_BYTES: usize = 160;
/// Spare buffers kept for regular packets, about 10 MiB; all other sizes are rare.
const SPARE_REGULAR_MAX: usize = 4096;
const SPARE_OTHER_MAX: usize = 64;

/// Budget that a packet takes. Independent of the frame header, which an attacker on the link can change.
const fn charge(size: PacketSize) -> usize {
    size.packet_len() + OVERHEAD_BYTES
}

/// The buffers of all packets in the node, and the byte budget that bounds them.
///
/// Readers await a [`BufferPool::read_permit`] before each read, so that TCP back-pressure slows down the senders.
pub struct BufferPool {
    budget_bytes: usize,
    used_bytes: AtomicUsize,
    packets: AtomicUsize,
    waiting: AtomicUsize,
    released: Notify,
    spare: [ArrayQueue<Vec<u8>>; PacketSize::ALL.len()],
    charges: Charges,
    over_share: AtomicU64,
}

impl BufferPool {
    /// Creates a pool that grants read permits while its packets use less than `budget_bytes`.
    #[must_use]
    pub fn new(budget_bytes: usize) -> Arc<Self> {
        let spare = PacketSize::ALL.map(|size| match size {
            PacketSize::Regular => ArrayQueue::new(SPARE_REGULAR_MAX),
            _ => ArrayQueue::new(SPARE_OTHER_MAX),
        });
        Arc::new(Self {
            budget_bytes,
            used_bytes: AtomicUsize::new(0),
            packets: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            released: Notify::new(),
            spare,
            charges: Charges::new(),
            over_share: AtomicU64::new(0),
        })
    }

    /// Returns an empty buffer for a packet of this size, reused if possible. It is not charged to the budget yet.
    #[must_use]
    pub fn buffer(&self, size: PacketSize) -> Vec<u8> {
        let mut bytes = self.spare[size as usize - 1].pop().unwrap_or_default();
        bytes.clear();
        bytes
    }

    /// Copies a received frame into a buffer. `frame` includes the header.
    #[must_use]
    pub fn take(self: &Arc<Self>, header: FrameHeader, frame: &[u8]) -> PacketBuf {
        let mut bytes = self.buffer(header.size);
        bytes.reserve_exact(HEADROOM_LEN + header.size.packet_len());
        bytes.extend_from_slice(&[0; HEADROOM_LEN]);
        bytes.extend_from_slice(&frame[header.framing.header_len()..]);
        self.adopt(header.size, bytes)
    }

    /// Makes a packet of a buffer in which a frame was [assembled](crate::FrameSink::assembled).
    ///
    /// Discards the received frame header except for the size. Never fails: readers await a
    /// [`BufferPool::read_permit`] before each read, so each worker exceeds the budget by at most one read.
    #[must_use]
    pub fn adopt(self: &Arc<Self>, size: PacketSize, bytes: Vec<u8>) -> PacketBuf {
        debug_assert_eq!(bytes.len(), HEADROOM_LEN + size.packet_len());
        self.used_bytes.fetch_add(charge(size), Ordering::Relaxed);
        self.packets.fetch_add(1, Ordering::Relaxed);
        let mut packet = PacketBuf { bytes, size, frame_at: 0, pool: Arc::clone(self) };
        packet.write_header(Framing::V0_9);
        packet
    }

    /// Number of packets in the node.
    #[must_use]
    pub fn packets_in_flight(&self) -> usize {
        self.packets.load(Ordering::Relaxed)
    }

    /// Bytes charged for the packets in flight.
    #[must_use]
    pub fn bytes_in_flight(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Where the bytes from a place are charged.
    #[must_use]
    pub fn payer(&self, place: impl Hash) -> Payer {
        self.charges.payer(place)
    }

    /// Charges bytes that were read and the packets that became of them, if the budget is short.
    pub fn charge_read(&self, payer: Payer, bytes: usize, packets: usize, now: impl FnOnce() -> Instant) {
        if self.share().is_some() {
            self.charges.add(payer, bytes + packets * OVERHEAD_BYTES, now());
        }
    }

    /// How long this place has to wait before it looks again, because it has been charged more than its share.
    ///
    /// While less than half of the budget is used there are no shares. Above that, a share is half of what is left: it
    /// shrinks as the budget fills, and places that send most wait first.
    #[must_use]
    pub fn over_share(&self, payer: Payer, now: impl FnOnce() -> Instant) -> Option<Duration> {
        let wait = self.charges.wait(payer, self.share()?, now())?;
        self.over_share.fetch_add(1, Ordering::Relaxed);
        Some(wait)
    }

    /// How often a place had to [wait](Self::over_share).
    #[must_use]
    pub fn times_over_share(&self) -> u64 {
        self.over_share.load(Ordering::Relaxed)
    }

    fn share(&self) -> Option<usize> {
        let used = self.used_bytes.load(Ordering::Relaxed);
        (used >= self.budget_bytes / 2).then(|| self.budget_bytes.saturating_sub(used) / 2)
    }

    /// Waits until the budget allows a read. Permits are granted in the order of the requests.
    ///
    /// Keep the permit for that one read only, and do not await anything while you have it.
    pub async fn read_permit(&self) -> ReadPermit<'_> {
        if self.waiting.load(Ordering::SeqCst) == 0 && self.has_budget() {
            return ReadPermit(self);
        }
        let _waiting = Waiting::begin(&self.waiting);
        loop {
            let notified = self.released.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            // The last packet may have left before this task was queued. In that case wake the task that waits longest.
            self.wake_next();
            notified.await;
            if self.has_budget() {
                return ReadPermit(self);
            }
        }
    }

    /// Wakes one waiting reader if the budget allows. That reader wakes the next one after its read.
    fn wake_next(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 && self.has_budget() {
            self.released.notify_one();
        }
    }

    fn has_budget(&self) -> bool {
        self.used_bytes.load(Ordering::SeqCst) < self.budget_bytes
    }

    fn release(&self, size: PacketSize, bytes: Vec<u8>) {
        // A full spare queue frees the buffer.
        drop(self.spare[size as usize - 1].push(bytes));
        self.used_bytes.fetch_sub(charge(size), Ordering::SeqCst);
        self.packets.fetch_sub(1, Ordering::Relaxed);
        self.wake_next();
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool")
            .field("budget_bytes", &self.budget_bytes)
            .field("bytes_in_flight", &self.bytes_in_flight())
            .field("packets_in_flight", &self.packets_in_flight())
            .finish_non_exhaustive()
    }
}

/// The framing does not support the packet's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the framing of the next hop does not have this packet size")]
pub struct SizeUnknown;

/// The right to read once from the network. Dropping it wakes the next reader.
#[derive(Debug)]
pub struct ReadPermit<'a>(&'a BufferPool);

impl Drop for ReadPermit<'_> {
    fn drop(&mut self) {
        self.0.wake_next();
    }
}

/// Counts a waiting reader until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A packet in its outgoing frame. Dropping it returns the buffer and its share of the budget.
///
/// It does not contain the received frame header, so no part of that can leave the node.
pub struct PacketBuf {
    /// Headroom for the longest frame header, then the packet.
    bytes: Vec<u8>,
    size: PacketSize,
    /// Offset of the frame.
    frame_at: usize,
    pool: Arc<BufferPool>,
}

impl PacketBuf {
    /// The size of the packet.
    #[must_use]
    pub fn size(&self) -> PacketSize {
        self.size
    }

    /// Bytes charged to the budget.
    #[must_use]
    pub fn charged_bytes(&self) -> usize {
        charge(self.size)
    }

    /// Frames the packet for a next hop of this framing. Before the first call, the framing is [`Framing::V0_9`].
    ///
    /// # Errors
    /// When that framing does not have the packet's size.
    pub fn frame_for(&mut self, framing: Framing) -> Result<(), SizeUnknown> {
        if !framing.has(self.size) {
            return Err(SizeUnknown);
        }
        self.write_header(framing);
        Ok(())
    }

    /// The frame to send.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        &self.bytes[self.frame_at..]
    }

    /// The Sphinx packet inside the frame.
    #[must_use]
    pub fn packet(&self) -> &[u8] {
        &self.bytes[HEADROOM_LEN..]
    }

    fn write_header(&mut self, framing: Framing) {
        let header = FrameHeader::outgoing(framing, self.size);
        self.bytes[..HEADROOM_LEN].copy_from_slice(&header.right_aligned());
        self.frame_at = HEADROOM_LEN - framing.header_len();
    }
}

impl AsMut<[u8]> for PacketBuf {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[HEADROOM_LEN..]
    }
}

impl Drop for PacketBuf {
    fn drop(&mut self) {
        self.pool.release(self.size, std::mem::take(&mut self.bytes));
    }
}

/// Prints the size and no bytes.
impl fmt::Debug for PacketBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketBuf").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
