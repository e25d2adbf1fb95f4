//! The parts of HKDF's messages that are the same for all packets, prepared for SHA-256 in vectors.

use super::prelude::{last_block, padded};

pub(super) const ROUND_CONSTANTS: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// The words of the 64 rounds of one block, each with its round constant added.
pub(super) type Schedule = [u32; 64];

/// The message of one block of HKDF-Expand's output: the output before it, except for the first one, then these.
pub(super) struct Message {
    /// The words that fill the block of the previous output.
    pub after_previous: Option<[u32; 8]>,
    /// The blocks without a secret.
    pub public: Vec<Schedule>,
}

/// The messages of HKDF-Expand for `len` bytes of output.
pub(super) fn messages(info: &[u8], len: usize) -> Vec<Message> {
    (0..len.div_ceil(32)).zip(1..).map(|(before, number)| message(info, number, before > 0)).collect()
}

fn message(info: &[u8], number: u8, has_previous: bool) -> Message {
    let mut bytes = if has_previous { vec![0; 32] } else { Vec::new() };
    bytes.extend(info);
    bytes.push(number);
    let (whole, rest) = bytes.as_chunks();
    // The key fills a block before the message.
    let mut blocks = whole.to_vec();
    if rest.len() > 55 {
        let mut block = padded(rest);
        block[rest.len()] = 0x80;
        blocks.push(block);
        let mut end = last_block(&[], 64 + bytes.len());
        end[0] = 0;
        blocks.push(end);
    } else {
        blocks.push(last_block(rest, 64 + bytes.len()));
    }
    let mut blocks = blocks.iter();
    let words = if has_previous { blocks.next().map(words_of_block) } else { None };
    let after_previous = words.and_then(|words| words.last_chunk().copied());
    Message { after_previous, public: blocks.map(schedule).collect() }
}

fn words_of_block(block: &[u8; 64]) -> [u32; 16] {
    let mut words = [0; 16];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

fn schedule(block: &[u8; 64]) -> Schedule {
    let mut words = [0_u32; 64];
    words[..16].copy_from_slice(&words_of_block(block));
    for i in 16..64 {
        let (x, y) = (words[i - 15], words[i - 2]);
        let x = x.rotate_right(7) ^ x.rotate_right(18) ^ x >> 3;
        let y = y.rotate_right(17) ^ y.rotate_right(19) ^ y >> 10;
        words[i] = words[i - 16].wrapping_add(x).wrapping_add(words[i - 7]).wrapping_add(y);
    }
    for (word, constant) in words.iter_mut().zip(ROUND_CONSTANTS) {
        *word = word.wrapping_add(constant);
    }
    words
}
