// BLAKE2b of eight messages at once, with keys of 64 bytes and digests of 32 bytes.

const BLAKE2B_INITIAL_STATE: [u64; 8] = [
    0x6a09_e667_f3bc_c908, 0xbb67_ae85_84ca_a73b, 0x3c6e_f372_fe94_f82b, 0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1, 0x9b05_688c_2b3e_6c1f, 0x1f83_d9ab_fb41_bd6b, 0x5be0_cd19_137e_2179,
];
/// The words of the block in the order of each round; rounds 10 and 11 repeat 0 and 1.
const SCHEDULE: [[u8; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];
/// The parameter word: fan-out and depth 1, a key of 64 bytes, a digest of 32 bytes.
const PARAMETERS: u64 = 0x0101_4020;

/// The bytes of a block of BLAKE2b.
const BLAKE2B_BLOCK: usize = 128;

vectorized! {
    /// Keyed digests of messages of any lengths.
    #[inline(never)] pub(super) fn blake2b(keys: &[&[u8; 64]; 8], messages: &[&[u8]; 8], digests: &mut [[u8; 32]; 8]) {
        let mut state = [zero(); 8];
        for (word, value) in state.iter_mut().zip(BLAKE2B_INITIAL_STATE) { *word = splat(value); }
        state[0] = xor(state[0], splat(PARAMETERS));
        let mut padded = Blocks([[0; BLAKE2B_BLOCK]; 8]);
        for (block, key) in padded.0.iter_mut().zip(keys) { block[..64].copy_from_slice(*key); }
        let ends = messages.map(|message| BLAKE2B_BLOCK + message.len());
        let count = ends.iter().map(|end| end.div_ceil(BLAKE2B_BLOCK)).max().unwrap_or_default();
        for number in 0..count {
            let end = BLAKE2B_BLOCK * (number + 1);
            if number > 0 {
                for (block, message) in padded.0.iter_mut().zip(messages) {
                    // All of a message that has ended; its lane does not change any more.
                    let rest = message.get(end - 2 * BLAKE2B_BLOCK..).unwrap_or_default();
                    if let Some(whole) = rest.first_chunk() {
                        *block = *whole;
                    } else {
                        *block = [0; BLAKE2B_BLOCK];
                        block[..rest.len()].copy_from_slice(rest);
                    }
                }
            }
            let mut hashed = [0; 8];
            let (mut active, mut last) = (0, [0; 8]);
            for lane in 0..8 {
                hashed[lane] = ends[lane].min(end) as u64;
                // A message that ends here; an empty one ends with its key.
                if ends[lane] <= end { last[lane] = u64::MAX; }
                if ends[lane] > end - BLAKE2B_BLOCK { active |= 1 << lane; }
            }
            blake2b_compress(&mut state, &padded.0, active, load(&hashed), load(&last));
        }
        transpose(&mut state);
        let mut words = [0; 8];
        for (digest, state) in digests.iter_mut().zip(state) {
            store(state, &mut words);
            for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(words) { *bytes = word.to_le_bytes(); }
        }
    }

    /// Adds a block to the states of the active lanes, after which each has hashed `hashed` bytes.
    #[inline] fn blake2b_compress(
        state: &mut [Vector; 8],
        block: &[[u8; BLAKE2B_BLOCK]; 8],
        active: Mask,
        hashed: Vector,
        last: Vector,
    ) {
        let mut words = [zero(); 16];
        for half in 0..2 {
            let mut rows = [zero(); 8];
            for (row, bytes) in rows.iter_mut().zip(block) {
                if let Some(bytes) = bytes[64 * half..].first_chunk() { *row = load_bytes(bytes); }
            }
            transpose(&mut rows);
            words[8 * half..][..8].copy_from_slice(&rows);
        }
        let mut v = [zero(); 16];
        v[..8].copy_from_slice(state);
        for (word, value) in v[8..].iter_mut().zip(BLAKE2B_INITIAL_STATE) { *word = splat(value); }
        v[12] = xor(v[12], hashed);
        v[14] = xor(v[14], last);
        macro_rules! mix {
            ($a:literal, $b:literal, $c:literal, $d:literal, $x:expr, $y:expr) => {
                v[$a] = add_wrapping(add_wrapping(v[$a], v[$b]), $x);
                v[$d] = rotate_right_64::<32>(xor(v[$d], v[$a]));
                v[$c] = add_wrapping(v[$c], v[$d]);
                v[$b] = rotate_right_64::<24>(xor(v[$b], v[$c]));
                v[$a] = add_wrapping(add_wrapping(v[$a], v[$b]), $y);
                v[$d] = rotate_right_64::<16>(xor(v[$d], v[$a]));
                v[$c] = add_wrapping(v[$c], v[$d]);
                v[$b] = rotate_right_64::<63>(xor(v[$b], v[$c]));
            };
        }
        for round in 0..12 {
            let order = &SCHEDULE[round % 10];
            let word = |at: usize| words[usize::from(order[at] & 15)];
            mix!(0, 4, 8, 12, word(0), word(1));
            mix!(1, 5, 9, 13, word(2), word(3));
            mix!(2, 6, 10, 14, word(4), word(5));
            mix!(3, 7, 11, 15, word(6), word(7));
            mix!(0, 5, 10, 15, word(8), word(9));
            mix!(1, 6, 11, 12, word(10), word(11));
            mix!(2, 7, 8, 13, word(12), word(13));
            mix!(3, 4, 9, 14, word(14), word(15));
        }
        for i in 0..8 { state[i] = select(active, state[i], xor(state[i], xor(v[i], v[i + 8]))); }
    }
}
