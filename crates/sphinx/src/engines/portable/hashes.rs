//! The stages that hash, on up to four packets side by side.

use std::array::from_fn;

use sphinx_packet::constants::{EXPANDED_SHARED_SECRET_HKDF_INFO, PAYLOAD_KEY_HKDF_INFO, PAYLOAD_KEY_HKDF_SALT};
use subtle::ConstantTimeEq;

use crate::engines::hkdf::{
    ExpansionMessage, HmacKeys, expand, expansion_messages, extract, hmac, hmac_keys, references,
};
use crate::engines::sha256::{Block, INITIAL_STATE, Sha256, digest, last_block, padded};
use crate::engines::{Job, Jobs};
use crate::key_schedule::{EXPANDED_LEN, PAYLOAD_KEY_LEN};
use crate::wiped::Wiped;
use crate::{BETA_LEN, MAC_LEN, header};

/// Packets side by side: as many as the SHA instructions of current CPUs need to be busy.
const LANES: usize = 4;

type SomeJobs<'a> = [Option<Job<'a>>];

/// HKDF's salts as keys, and the messages of its expansions: for shared secrets, without a salt, and for payload keys.
pub(super) struct Hashes {
    sha256: Sha256,
    no_salt: HmacKeys<1>,
    payload_salt: HmacKeys<1>,
    hop_messages: Vec<ExpansionMessage>,
    payload_messages: Vec<ExpansionMessage>,
}

/// Runs a stage on [`LANES`] jobs at a time, or on a smaller number if no more are left.
macro_rules! in_lanes {
    ($self:ident.$stage:ident($jobs:ident)) => {
        for jobs in $jobs.chunks_mut(LANES) {
            match jobs.iter().flatten().count() {
                0 => {}
                1 => $self.$stage::<1>(jobs),
                2 => $self.$stage::<2>(jobs),
                _ => $self.$stage::<LANES>(jobs),
            }
        }
    };
}

impl Hashes {
    pub(super) fn new(sha256: Sha256) -> Self {
        let salt = |salt: &[u8]| hmac_keys(sha256, &[&padded(salt)]);
        Self {
            sha256,
            no_salt: salt(&[]),
            payload_salt: salt(PAYLOAD_KEY_HKDF_SALT),
            hop_messages: expansion_messages(EXPANDED_SHARED_SECRET_HKDF_INFO, EXPANDED_LEN),
            payload_messages: expansion_messages(PAYLOAD_KEY_HKDF_INFO, PAYLOAD_KEY_LEN),
        }
    }

    pub(super) fn key_schedule(&self, jobs: &mut Jobs<'_>) {
        in_lanes!(self.derive_keys(jobs));
    }

    pub(super) fn macs(&self, jobs: &mut Jobs<'_>) {
        in_lanes!(self.verify_macs(jobs));
        in_lanes!(self.make_replay_keys(jobs));
    }

    pub(super) fn payload_keys(&self, jobs: &mut Jobs<'_>) {
        for job in jobs.iter_mut().flatten().filter(|job| !job.work.has_payload_key_seed()) {
            job.work.payload_key = job.work.keys.unexpanded_payload_key();
        }
        in_lanes!(self.expand_payload_keys(jobs));
    }

    fn derive_keys<const N: usize>(&self, jobs: &mut SomeJobs<'_>) {
        let secrets = from_each::<N, 32>(jobs, |job| &job.work.secret);
        let keys = extract(self.sha256, &self.no_salt, &secrets);
        expand(self.sha256, &keys, &self.hop_messages, |lane, at, bytes| {
            if let Some(Some(job)) = jobs.get_mut(lane) {
                job.work.keys.set(at, bytes);
            }
        });
    }

    fn verify_macs<const N: usize>(&self, jobs: &mut SomeJobs<'_>) {
        const WHOLE: usize = BETA_LEN / 64;
        let keys = blocks_of::<N>(jobs, |job| padded(job.work.keys.mac_key()));
        let keys = hmac_keys(self.sha256, &references(&keys));
        let last = blocks_of::<N>(jobs, |job| last_block(&header::beta(job.packet)[64 * WHOLE..], 64 + BETA_LEN));
        let whole =
            (0..WHOLE).map(|number| from_each::<N, 64>(jobs, |job| &header::beta(job.packet).as_chunks().0[number]));
        let macs = hmac(self.sha256, &keys, whole.chain([references(&last)]));
        for (job, mac) in jobs.iter_mut().flatten().zip(&macs) {
            job.work.is_live = mac[..MAC_LEN].ct_eq(header::mac(job.packet)).into();
        }
    }

    fn make_replay_keys<const N: usize>(&self, jobs: &mut SomeJobs<'_>) {
        let blocks = blocks_of::<N>(jobs, |job| {
            let mut message = Wiped::new([0; 32 + MAC_LEN]);
            message[..32].copy_from_slice(job.work.keys.replay_tag());
            message[32..].copy_from_slice(header::mac(job.packet));
            last_block(&*message, message.len())
        });
        let mut states = [INITIAL_STATE; N];
        self.sha256.compress(&mut states, &references(&blocks));
        for (job, state) in jobs.iter_mut().flatten().zip(&states) {
            job.work.replay_key = digest(state);
        }
    }

    fn expand_payload_keys<const N: usize>(&self, jobs: &mut SomeJobs<'_>) {
        if !jobs.iter().flatten().any(|job| job.work.has_payload_key_seed()) {
            return;
        }
        let seeds = from_each::<N, 16>(jobs, |job| job.work.keys.payload_key_seed());
        let keys = extract(self.sha256, &self.payload_salt, &seeds);
        expand(self.sha256, &keys, &self.payload_messages, |lane, at, bytes| {
            let job = jobs.get_mut(lane).and_then(Option::as_mut);
            if let Some(job) = job.filter(|job| job.work.has_payload_key_seed()) {
                job.work.payload_key[at..][..32].copy_from_slice(bytes);
            }
        });
    }
}

/// A part of each job, and zeros for lanes without one.
fn from_each<'a, const N: usize, const LEN: usize>(
    jobs: &'a SomeJobs<'_>,
    part: impl Fn(&'a Job<'_>) -> &'a [u8; LEN],
) -> [&'a [u8; LEN]; N] {
    from_fn(|lane| jobs.get(lane).and_then(Option::as_ref).map_or(&[0; LEN], &part))
}

/// One block for each lane. `fill` makes it of the job.
fn blocks_of<const N: usize>(jobs: &SomeJobs<'_>, fill: impl Fn(&Job<'_>) -> Block) -> [Wiped<64>; N] {
    from_fn(|lane| Wiped::new(jobs.get(lane).and_then(Option::as_ref).map_or([0; 64], &fill)))
}
