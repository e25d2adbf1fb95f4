//! A priority queue by due time. Callers pass the current time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use std::time::Instant;

/// Items ordered by due time; O(log n) insertion and removal. Items with equal due times leave in insertion order.
///
/// The heap orders small entries; the items themselves stay in their slots, which are reused.
#[derive(Debug)]
pub struct DelayQueue<T> {
    heap: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    slots: Vec<Option<T>>,
    free: Vec<usize>,
    inserted: u64,
}

impl<T> Default for DelayQueue<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), inserted: 0 }
    }
}

impl<T> DelayQueue<T> {
    /// Adds an item that becomes due at `due`.
    pub fn insert(&mut self, due: Instant, item: T) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(item);
        self.heap.push(Reverse((due, self.inserted, slot)));
        self.inserted += 1;
    }

    /// Removes and returns the item with the earliest due time, if it is due at `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        let Reverse((due, _, slot)) = *self.heap.peek()?;
        if due > now {
            return None;
        }
        self.heap.pop();
        self.free.push(slot);
        self.slots[slot].take()
    }

    /// The earliest due time.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((due, _, _))| *due)
    }

    /// Removes all items, due or not, in no particular order.
    pub fn drain(&mut self) -> impl Iterator<Item = T> {
        self.heap.clear();
        self.free.clear();
        self.slots.drain(..).flatten()
    }

    /// Number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether the queue has no items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        /// Any mix of insertions and of steps of the clock, against a sorted list.
        #[test]
        fn all_items_leave_in_due_order_and_not_early(
            steps in proptest::collection::vec((0u64..50, proptest::option::of(0u64..200)), 1..300)
        ) {
            let start = Instant::now();
            let mut now = start;
            let mut queue = DelayQueue::default();
            let mut model: Vec<(Instant, usize)> = Vec::new();
            for (id, (step, delay)) in steps.into_iter().enumerate() {
                now += Duration::from_millis(step);
                if let Some(delay) = delay {
                    let due = now + Duration::from_millis(delay);
                    queue.insert(due, (due, id));
                    model.push((due, id));
                    model.sort_unstable();
                }
                let due_now = model.partition_point(|(due, _)| *due <= now);
                let expected: Vec<_> = model.drain(..due_now).collect();
                let popped: Vec<_> = std::iter::from_fn(|| queue.pop_due(now)).collect();
                prop_assert_eq!(popped, expected);
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.next_due(), model.first().map(|(due, _)| *due));
            }
            prop_assert_eq!(queue.drain().count(), model.len());
            prop_assert!(queue.is_empty());
        }
    }

    #[test]
    fn slots_are_reused() {
        let mut queue = DelayQueue::default();
        let now = Instant::now();
        for round in 0..1000 {
            queue.insert(now, round);
            assert_eq!(queue.pop_due(now), Some(round));
        }
        assert_eq!(queue.slots.len(), 1);
    }
}
