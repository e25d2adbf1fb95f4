// SHA-256, HMAC and HKDF of 16 messages at once. Vectors are word-major: vector i has word i of all 16 messages.

/// Word-major hash states of 16 messages.
type HashState = [Vector; 8];

/// The states of HMAC after the key: of the inner hash and of the outer one.
#[derive(Clone, Copy)]
struct HmacKey { inner: HashState, outer: HashState }

/// Rounds of SHA-256, with names for the state's words that rotate. `$word` gives a round's word with its constant.
macro_rules! sixteen_rounds {
    ($state:ident, $word:ident) => {{
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = $state;
        macro_rules! round {
            ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $i:literal) => {
                let keyed = add_32($h, $word!($i));
                let sigma = xor_3(rotate_right_32::<6>($e), rotate_right_32::<11>($e), rotate_right_32::<25>($e));
                let first = add_32(add_32(keyed, choose($e, $f, $g)), sigma);
                let sigma = xor_3(rotate_right_32::<2>($a), rotate_right_32::<13>($a), rotate_right_32::<22>($a));
                let second = add_32(majority($a, $b, $c), sigma);
                $d = add_32($d, first);
                $h = add_32(first, second);
            };
        }
        round!(a b c d e f g h, 0);
        round!(h a b c d e f g, 1);
        round!(g h a b c d e f, 2);
        round!(f g h a b c d e, 3);
        round!(e f g h a b c d, 4);
        round!(d e f g h a b c, 5);
        round!(c d e f g h a b, 6);
        round!(b c d e f g h a, 7);
        round!(a b c d e f g h, 8);
        round!(h a b c d e f g, 9);
        round!(g h a b c d e f, 10);
        round!(f g h a b c d e, 11);
        round!(e f g h a b c d, 12);
        round!(d e f g h a b c, 13);
        round!(c d e f g h a b, 14);
        round!(b c d e f g h a, 15);
        $state = [a, b, c, d, e, f, g, h];
    }};
}

vectorized! {
    #[inline] fn initial_state() -> HashState {
        let mut state = [zero(); 8];
        for (word, value) in state.iter_mut().zip(INITIAL_STATE) { *word = splat_32(value); }
        state
    }

    /// Adds one block of 64 bytes to each of the 16 states.
    #[inline(never)] fn sha256_compress(state: &mut HashState, block: &[Vector; 16]) {
        let (mut words, mut changed) = (*block, *state);
        macro_rules! word {
            ($i:literal) => { add_32(words[$i], splat_32(ROUND_CONSTANTS[$i])) };
        }
        sixteen_rounds!(changed, word);
        for constants in &ROUND_CONSTANTS.as_chunks::<16>().0[1..] {
            macro_rules! word {
                ($i:literal) => {{
                    let (x, y) = (words[($i + 1) % 16], words[($i + 14) % 16]);
                    let x = xor_3(rotate_right_32::<7>(x), rotate_right_32::<18>(x), shift_right_32::<3>(x));
                    let y = xor_3(rotate_right_32::<17>(y), rotate_right_32::<19>(y), shift_right_32::<10>(y));
                    words[$i] = add_32(add_32(words[$i], words[($i + 9) % 16]), add_32(x, y));
                    add_32(words[$i], splat_32(constants[$i]))
                }};
            }
            sixteen_rounds!(changed, word);
        }
        add_states(state, &changed);
    }

    /// Adds a block that is the same for all messages.
    #[inline(never)] fn sha256_compress_public(state: &mut HashState, schedule: &Schedule) {
        let mut changed = *state;
        for words in schedule.as_chunks::<16>().0 {
            macro_rules! word {
                ($i:literal) => { splat_32(words[$i]) };
            }
            sixteen_rounds!(changed, word);
        }
        add_states(state, &changed);
    }

    #[inline] fn add_states(state: &mut HashState, changed: &HashState) {
        for (word, changed) in state.iter_mut().zip(changed) { *word = add_32(*word, *changed); }
    }

    /// A block that all messages share.
    #[inline] fn shared_block(bytes: &[u8; 64]) -> [Vector; 16] {
        let mut block = [zero(); 16];
        for (word, bytes) in block.iter_mut().zip(bytes.as_chunks().0) { *word = splat_32(u32::from_be_bytes(*bytes)); }
        block
    }

    /// The blocks of 16 messages, word-major.
    #[inline] fn blocks(bytes: &[&[u8; 64]; 16]) -> [Vector; 16] {
        let mut rows = [zero(); 16];
        for (row, bytes) in rows.iter_mut().zip(bytes) { *row = swap_bytes_32(load_bytes(bytes)); }
        transpose_32(&mut rows);
        rows
    }

    /// Swaps words and vectors: word j of vector i goes to word i of vector j.
    #[inline] fn transpose_32(rows: &mut [Vector; 16]) {
        let mut pairs = *rows;
        for i in 0..8 {
            pairs[2 * i] = interleave_low_32(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = interleave_high_32(rows[2 * i], rows[2 * i + 1]);
        }
        let mut fours = pairs;
        for i in 0..4 {
            for half in 0..2 {
                fours[4 * i + 2 * half] = interleave_even(pairs[4 * i + half], pairs[4 * i + 2 + half]);
                fours[4 * i + 2 * half + 1] = interleave_odd(pairs[4 * i + half], pairs[4 * i + 2 + half]);
            }
        }
        for word in 0..4 {
            let upper_even = even_pairs(fours[word], fours[4 + word]);
            let upper_odd = odd_pairs(fours[word], fours[4 + word]);
            let lower_even = even_pairs(fours[8 + word], fours[12 + word]);
            let lower_odd = odd_pairs(fours[8 + word], fours[12 + word]);
            rows[word] = even_pairs(upper_even, lower_even);
            rows[4 + word] = even_pairs(upper_odd, lower_odd);
            rows[8 + word] = odd_pairs(upper_even, lower_even);
            rows[12 + word] = odd_pairs(upper_odd, lower_odd);
        }
    }

    /// Prepares HMAC with keys of 64 bytes, padded with zeros and word-major.
    #[inline(never)] fn hmac_key(key: &[Vector; 16]) -> HmacKey {
        let mut prepared = HmacKey { inner: initial_state(), outer: initial_state() };
        for (state, pad) in [(&mut prepared.inner, 0x3636_3636), (&mut prepared.outer, 0x5c5c_5c5c)] {
            let mut block = *key;
            for word in &mut block { *word = xor(*word, splat_32(pad)); }
            sha256_compress(state, &block);
        }
        prepared
    }

    /// The MAC whose inner hash is complete.
    #[inline] fn hmac_outer(key: &HmacKey, inner: &HashState) -> HashState {
        // 64 bytes of key and 32 of the inner hash.
        let mut block = shared_block(&last_block(&[], 96));
        block[..8].copy_from_slice(inner);
        block[8] = splat_32(1 << 31);
        let mut state = key.outer;
        sha256_compress(&mut state, &block);
        state
    }

    /// HKDF-Extract of secrets of up to 55 bytes, in padded blocks, and preparation of the result as a key.
    #[inline] fn hkdf_extract(salt: &HmacKey, secret: &[Vector; 16]) -> HmacKey {
        let mut inner = salt.inner;
        sha256_compress(&mut inner, secret);
        let mut key = [zero(); 16];
        key[..8].copy_from_slice(&hmac_outer(salt, &inner));
        hmac_key(&key)
    }

    /// HKDF-Expand: the block of output for this message, which follows `previous` unless it is the first.
    #[inline] fn hkdf_expand(key: &HmacKey, message: &Message, previous: &HashState) -> HashState {
        let mut inner = key.inner;
        if let Some(words) = &message.after_previous {
            let mut block = [zero(); 16];
            block[..8].copy_from_slice(previous);
            for (word, value) in block[8..].iter_mut().zip(words) { *word = splat_32(*value); }
            sha256_compress(&mut inner, &block);
        }
        for schedule in &message.public { sha256_compress_public(&mut inner, schedule); }
        hmac_outer(key, &inner)
    }

    /// Writes the 32 bytes of each state.
    #[inline] fn digests(state: &HashState, take: &mut dyn FnMut(usize, &[u8; 32])) {
        let mut rows = [zero(); 16];
        rows[..8].copy_from_slice(state);
        transpose_32(&mut rows);
        let mut bytes = Zeroizing::new([0; 64]);
        for (lane, row) in rows.iter().enumerate() {
            store_bytes(swap_bytes_32(*row), &mut bytes);
            if let Some(digest) = bytes.first_chunk() { take(lane, digest); }
        }
    }
}
