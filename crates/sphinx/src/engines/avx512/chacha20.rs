// ChaCha20 with a zero nonce, 16 blocks of one stream at once.

/// Bytes that one call of [`key_stream`] gives.
const KEY_STREAM_LEN: usize = 16 * 64;
const SIGMA: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

vectorized! {
    /// `bytes` ^= the key stream, from its start.
    #[inline(never)] pub(super) fn chacha20(key: &[u8; 32], bytes: &mut [u8]) {
        let mut initial = [zero(); 16];
        for (word, value) in initial.iter_mut().zip(SIGMA) { *word = splat_32(value); }
        for (word, bytes) in initial[4..].iter_mut().zip(key.as_chunks().0) {
            *word = splat_32(u32::from_le_bytes(*bytes));
        }
        // Counters 0 to 15: pairs of lanes of 32 bits.
        let mut counters = [0; 8];
        for (pair, counter) in counters.iter_mut().zip((0..16).step_by(2)) { *pair = counter | (counter + 1) << 32; }
        initial[12] = load(&counters);
        for piece in bytes.chunks_mut(KEY_STREAM_LEN) {
            let rows = key_stream(&initial);
            let (blocks, rest) = piece.as_chunks_mut();
            for (block, row) in blocks.iter_mut().zip(&rows) { store_bytes(xor(load_bytes(block), *row), block); }
            if !rest.is_empty() {
                let mut last = Zeroizing::new([0; 64]);
                store_bytes(rows[blocks.len()], &mut last);
                for (byte, key) in rest.iter_mut().zip(last.iter()) { *byte ^= key; }
            }
            initial[12] = add_32(initial[12], splat_32(16));
        }
    }

    /// 16 blocks of 64 bytes.
    #[inline] fn key_stream(initial: &[Vector; 16]) -> [Vector; 16] {
        let mut s = *initial;
        macro_rules! quarter_round {
            ($a:literal, $b:literal, $c:literal, $d:literal) => {
                s[$a] = add_32(s[$a], s[$b]);
                s[$d] = rotate_right_32::<16>(xor(s[$d], s[$a]));
                s[$c] = add_32(s[$c], s[$d]);
                s[$b] = rotate_right_32::<20>(xor(s[$b], s[$c]));
                s[$a] = add_32(s[$a], s[$b]);
                s[$d] = rotate_right_32::<24>(xor(s[$d], s[$a]));
                s[$c] = add_32(s[$c], s[$d]);
                s[$b] = rotate_right_32::<25>(xor(s[$b], s[$c]));
            };
        }
        for _ in 0..10 {
            quarter_round!(0, 4, 8, 12);
            quarter_round!(1, 5, 9, 13);
            quarter_round!(2, 6, 10, 14);
            quarter_round!(3, 7, 11, 15);
            quarter_round!(0, 5, 10, 15);
            quarter_round!(1, 6, 11, 12);
            quarter_round!(2, 7, 8, 13);
            quarter_round!(3, 4, 9, 14);
        }
        for (word, initial) in s.iter_mut().zip(initial) { *word = add_32(*word, *initial); }
        transpose_32(&mut s);
        s
    }
}
