//! What the node tells its operator. It reads the other rooms' counters; the data path never waits for it.

pub mod log;
