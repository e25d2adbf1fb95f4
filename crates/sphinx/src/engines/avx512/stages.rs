// The hashes and ciphers of up to 16 packets, as stages of unwrapping.

/// Fewer packets are cheaper four at a time, with the CPU's instructions for SHA-256.
const HASHED_TOGETHER_MIN: usize = 11;
/// Fewer payloads are cheaper four at a time.
const PAYLOADS_TOGETHER_MIN: usize = 5;
/// Shorter payloads are cheaper without the 16 blocks of key stream that one call makes.
const STREAM_TOGETHER_MIN: usize = 512;

/// What the code in vectors does in the stages, and the portable engine for the rest.
pub(super) struct Symmetric {
    /// HMAC keys made of the salts of HKDF: none, and that of payload keys.
    no_salt: HmacKey,
    payload_salt: HmacKey,
    /// The messages of HKDF: for the keys of a hop, and for payload keys.
    hop_messages: Vec<Message>,
    payload_messages: Vec<Message>,
    /// For fewer packets.
    few: portable::Symmetric,
}

vectorized! {
    fn prepare_salts() -> Symmetric {
        let mut salt = [0; 64];
        let no_salt = hmac_key(&shared_block(&salt));
        salt[..PAYLOAD_KEY_HKDF_SALT.len()].copy_from_slice(PAYLOAD_KEY_HKDF_SALT);
        Symmetric {
            no_salt,
            payload_salt: hmac_key(&shared_block(&salt)),
            hop_messages: messages(EXPANDED_SHARED_SECRET_HKDF_INFO, EXPANDED_LEN),
            payload_messages: messages(PAYLOAD_KEY_HKDF_INFO, PAYLOAD_KEY_LEN),
            few: portable::Symmetric::new(),
        }
    }

    /// One block for each job. `fill` makes it.
    fn blocks_for(jobs: &Jobs<'_>, fill: impl Fn(&Job<'_>) -> [u8; 64]) -> [Vector; 16] {
        let mut bytes = Blocks([[0; 64]; LANES]);
        for (block, job) in bytes.0.iter_mut().zip(jobs.iter().flatten()) { *block = fill(job); }
        blocks(&bytes.0.each_ref())
    }

    fn derive_keys(symmetric: &Symmetric, jobs: &mut Jobs<'_>) {
        let secrets = blocks_for(jobs, |job| last_block(&*job.work.secret, 64 + 32));
        let key = hkdf_extract(&symmetric.no_salt, &secrets);
        expand(&key, &symmetric.hop_messages, &mut |lane, at, bytes| {
            if let Some(job) = &mut jobs[lane] { job.work.keys.set(at, bytes); }
        });
    }

    /// All blocks of HKDF-Expand; `take` gets lane, position and bytes.
    fn expand(key: &HmacKey, messages: &[Message], take: &mut dyn FnMut(usize, usize, &[u8; 32])) {
        let mut output = [zero(); 8];
        for (number, message) in messages.iter().enumerate() {
            output = hkdf_expand(key, message, &output);
            digests(&output, &mut |lane, bytes| take(lane, 32 * number, bytes));
        }
    }

    fn verify_macs(jobs: &mut Jobs<'_>) {
        let key = hmac_key(&blocks_for(jobs, |job| padded(job.work.keys.mac_key())));
        let mut inner = key.inner;
        let (whole, rest) = (BETA_LEN / 64, BETA_LEN % 64);
        for number in 0..whole {
            let mut bytes = [&[0; 64]; LANES];
            for (bytes, job) in bytes.iter_mut().zip(jobs.iter().flatten()) {
                *bytes = &header::beta(job.packet).as_chunks().0[number];
            }
            sha256_compress(&mut inner, &blocks(&bytes));
        }
        let last = blocks_for(jobs, |job| {
            last_block(&header::beta(job.packet)[BETA_LEN - rest..], 64 + BETA_LEN)
        });
        sha256_compress(&mut inner, &last);
        digests(&hmac_outer(&key, &inner), &mut |lane, mac| {
            if let Some(job) = &mut jobs[lane] {
                job.work.is_live = mac[..MAC_LEN].ct_eq(header::mac(job.packet)).into();
            }
        });
    }

    fn make_replay_keys(jobs: &mut Jobs<'_>) {
        let block = blocks_for(jobs, |job| {
            let mut message = [0; 32 + MAC_LEN];
            message[..32].copy_from_slice(job.work.keys.replay_tag());
            message[32..].copy_from_slice(header::mac(job.packet));
            last_block(&message, message.len())
        });
        let mut state = initial_state();
        sha256_compress(&mut state, &block);
        digests(&state, &mut |lane, digest| {
            if let Some(job) = &mut jobs[lane] { job.work.replay_key = *digest; }
        });
    }

    /// Of the jobs whose version has a seed for it.
    fn expand_payload_keys(symmetric: &Symmetric, jobs: &mut Jobs<'_>) {
        let seeds = blocks_for(jobs, |job| {
            let seed = job.work.keys.payload_key_seed();
            last_block(seed, 64 + seed.len())
        });
        let key = hkdf_extract(&symmetric.payload_salt, &seeds);
        expand(&key, &symmetric.payload_messages, &mut |lane, at, bytes| {
            if let Some(job) = jobs[lane].as_mut().filter(|job| job.work.has_payload_key_seed()) {
                job.work.payload_key[at..][..32].copy_from_slice(bytes);
            }
        });
    }

    /// `left ^= BLAKE2b(key, right)` of up to eight payloads; the key is at `offset` of each payload key.
    fn hash_round(jobs: &mut [Option<Job<'_>>], offset: usize) {
        let (mut keys, mut messages) = ([&[0; 64]; 8], [&[][..]; 8]);
        for ((key, message), job) in keys.iter_mut().zip(&mut messages).zip(jobs.iter().flatten()) {
            if let Some(found) = job.work.payload_key[offset..].first_chunk() { *key = found; }
            *message = &job.packet[HEADER_LEN + LEFT_LEN..];
        }
        let mut hashes = Blocks([[0; LEFT_LEN]; 8]);
        blake2b(&keys, &messages, &mut hashes.0);
        for (job, hash) in jobs.iter_mut().flatten().zip(&hashes.0) {
            for (byte, hash) in job.packet[HEADER_LEN..].iter_mut().zip(hash) { *byte ^= hash; }
        }
    }

    /// `right ^= ChaCha20(left ^ key)`; the key is at `offset` of each payload key.
    fn stream_round(jobs: &mut [Option<Job<'_>>], offset: usize) {
        for job in jobs.iter_mut().flatten() {
            let (left, right) = job.packet[HEADER_LEN..].split_at_mut(LEFT_LEN);
            let key = stream_key(left, &job.work.payload_key[offset..offset + LEFT_LEN]);
            if right.len() < STREAM_TOGETHER_MIN {
                portable::stream(&key, right);
            } else {
                chacha20(&key, right);
            }
        }
    }

    fn decrypt_payloads(jobs: &mut [Option<Job<'_>>]) {
        // The order of the round keys is stream, hash, stream, hash; decryption uses them in reverse.
        hash_round(jobs, 128);
        stream_round(jobs, 96);
        hash_round(jobs, 32);
        stream_round(jobs, 0);
    }
}

fn count(jobs: &[Option<Job<'_>>]) -> usize {
    jobs.iter().flatten().count()
}

impl Symmetric {
    pub(super) fn new(_units: Units) -> Self {
        dispatch!(prepare_salts())
    }
}

impl engines::Symmetric for Symmetric {
    fn key_schedule(&self, jobs: &mut Jobs<'_>) {
        if count(jobs) < HASHED_TOGETHER_MIN {
            return self.few.key_schedule(jobs);
        }
        dispatch!(derive_keys(self, jobs));
    }

    fn macs(&self, jobs: &mut Jobs<'_>) {
        if count(jobs) < HASHED_TOGETHER_MIN {
            return self.few.macs(jobs);
        }
        dispatch!(verify_macs(jobs));
        dispatch!(make_replay_keys(jobs));
    }

    fn headers(&self, jobs: &mut Jobs<'_>) {
        self.few.headers(jobs);
    }

    fn payload_keys(&self, jobs: &mut Jobs<'_>) {
        if count(jobs) < HASHED_TOGETHER_MIN {
            return self.few.payload_keys(jobs);
        }
        for job in jobs.iter_mut().flatten().filter(|job| !job.work.has_payload_key_seed()) {
            job.work.payload_key = job.work.keys.unexpanded_payload_key();
        }
        if jobs.iter().flatten().any(|job| job.work.has_payload_key_seed()) {
            dispatch!(expand_payload_keys(self, jobs));
        }
    }

    fn payloads(&self, jobs: &mut Jobs<'_>) {
        for eight in jobs.chunks_mut(8) {
            if count(eight) < PAYLOADS_TOGETHER_MIN {
                portable::decrypt_payloads(eight);
            } else {
                dispatch!(decrypt_payloads(eight));
            }
        }
    }
}
