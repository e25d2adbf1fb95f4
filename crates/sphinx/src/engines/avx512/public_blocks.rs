//! The parts of HKDF's messages that are the same for all packets, prepared for SHA-256 in vectors.

use crate::engines::hkdf::expansion_messages;
use crate::engines::sha256::{Block, ROUND_CONSTANTS};

/// The words of the 64 rounds of one block, each with its round constant added.
pub(super) type Schedule = [u32; 64];

/// What HKDF-Expand hashes for 32 bytes of output.
pub(super) struct Message {
    /// The words that follow the previous output in the first block. The first output follows none.
    pub after_previous: Option<[u32; 8]>,
    /// The blocks without a secret.
    pub public: Vec<Schedule>,
}

/// The messages for `len` bytes of output.
pub(super) fn messages(info: &[u8], len: usize) -> Vec<Message> {
    expansion_messages(info, len).iter().enumerate().map(|(at, blocks)| message(blocks, at > 0)).collect()
}

fn message(blocks: &[Block], has_previous: bool) -> Message {
    let mut blocks = blocks.iter();
    let first = if has_previous { blocks.next() } else { None };
    let after_previous = first.and_then(|block| words(block).last_chunk().copied());
    Message { after_previous, public: blocks.map(schedule).collect() }
}

fn words(block: &Block) -> [u32; 16] {
    let mut words = [0; 16];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

fn schedule(block: &Block) -> Schedule {
    let mut schedule = [0_u32; 64];
    schedule[..16].copy_from_slice(&words(block));
    for i in 16..64 {
        let (x, y) = (schedule[i - 15], schedule[i - 2]);
        let x = x.rotate_right(7) ^ x.rotate_right(18) ^ x >> 3;
        let y = y.rotate_right(17) ^ y.rotate_right(19) ^ y >> 10;
        schedule[i] = schedule[i - 16].wrapping_add(x).wrapping_add(schedule[i - 7]).wrapping_add(y);
    }
    for (word, constant) in schedule.iter_mut().zip(ROUND_CONSTANTS) {
        *word = word.wrapping_add(constant);
    }
    schedule
}
