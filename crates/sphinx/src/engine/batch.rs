//! The stages of unwrapping, each over a whole batch.

use super::{Onward, Outcome, UnwrapError};
use crate::MIN_PACKET_LEN;
use crate::engines::{Arithmetic, Job, Jobs, LANES, Secret, Symmetric, Work};
use crate::header::{self, Hop, Slot};
use crate::x25519::{Bytes32, clamped_equivalent};

/// Kept between batches, so that a batch allocates nothing. Index i of each list belongs to packet i.
#[derive(Default)]
pub(super) struct Memory {
    works: Vec<Work>,
    points: Vec<Bytes32>,
    secrets: Vec<Result<Secret, UnwrapError>>,
    scalars: Vec<Option<Secret>>,
    blinded: Vec<Bytes32>,
}

impl Memory {
    /// Wipes all secrets. The capacity stays.
    pub(super) fn wipe(&mut self) {
        self.works.clear();
        self.secrets.clear();
        self.scalars.clear();
    }
}

/// A batch in progress. Each stage processes the packets that are live.
pub(super) struct Batch<'a, P, R> {
    packets: &'a mut [P],
    memory: &'a mut Memory,
    outcomes: &'a mut Vec<Outcome<R>>,
    arithmetic: &'a mut Arithmetic,
}

impl<'a, P: AsMut<[u8]>, R: From<UnwrapError>> Batch<'a, P, R> {
    pub(super) fn new(
        packets: &'a mut [P],
        memory: &'a mut Memory,
        outcomes: &'a mut Vec<Outcome<R>>,
        arithmetic: &'a mut Arithmetic,
    ) -> Self {
        memory.wipe();
        memory.works.resize_with(packets.len(), Work::new);
        Self { packets, memory, outcomes, arithmetic }
    }

    pub(super) fn shared_secrets(&mut self, private_key: &Bytes32) {
        let Memory { works, points, secrets, .. } = &mut *self.memory;
        points.clear();
        // In place of a point that is missing: one that is refused.
        let point = |packet: &mut P| packet_of(packet).map_or([0; 32], |packet| *header::alpha(packet));
        points.extend(self.packets.iter_mut().map(point));
        secrets.resize_with(points.len(), || Err(UnwrapError::BadMac));
        self.arithmetic.curve.load(points);
        self.arithmetic.curve.multiply_all(private_key, secrets);
        for ((packet, work), secret) in self.packets.iter_mut().zip(works).zip(secrets) {
            let error = match (packet_of(packet), secret) {
                (None, _) => UnwrapError::BadMac,
                (Some(_), Err(error)) => *error,
                (Some(_), Ok(secret)) => {
                    work.secret.copy_from_slice(&**secret);
                    work.is_live = true;
                    UnwrapError::BadMac
                }
            };
            // A later stage replaces it.
            self.outcomes.push(Outcome::Drop(error.into()));
        }
    }

    pub(super) fn key_schedule(&mut self) {
        self.for_all_live(|symmetric, jobs| symmetric.key_schedule(jobs));
    }

    pub(super) fn macs(&mut self) {
        self.for_all_live(|symmetric, jobs| symmetric.macs(jobs));
    }

    pub(super) fn headers(&mut self) {
        self.for_all_live(|symmetric, jobs| symmetric.headers(jobs));
        for (work, outcome) in self.memory.works.iter_mut().zip(&mut *self.outcomes).filter(|(work, _)| work.is_live) {
            match Slot::decode(&work.beta) {
                Ok(slot) => work.slot = Some(slot),
                Err(error) => {
                    work.is_live = false;
                    *outcome = Outcome::Drop(error.into());
                }
            }
        }
    }

    /// The replay keys of the packets that [`admission`](Self::admission) will ask about.
    pub(super) fn candidates(&self) -> impl Iterator<Item = &[u8; 32]> {
        let forwarded = |work: &&Work| work.is_live && matches!(work.slot, Some(Slot { hop: Hop::Forward { .. }, .. }));
        self.memory.works.iter().filter(forwarded).map(|work| &work.replay_key)
    }

    pub(super) fn admission(&mut self, admit: &mut impl FnMut(&Onward) -> Result<(), R>) {
        for ((packet, work), outcome) in self.packets.iter_mut().zip(&mut self.memory.works).zip(&mut *self.outcomes) {
            let Some(Slot { hop, .. }) = work.slot.as_ref().filter(|_| work.is_live) else { continue };
            *outcome = match *hop {
                Hop::Final { destination, identifier } => {
                    Outcome::Final { destination, identifier, replay_key: work.replay_key }
                }
                Hop::Forward { next_hop, delay } => {
                    let packet_len = packet.as_mut().len();
                    match admit(&Onward { packet_len, next_hop, delay, replay_key: work.replay_key }) {
                        Ok(()) => Outcome::Forward { next_hop, delay },
                        Err(reason) => {
                            work.is_live = false;
                            Outcome::Drop(reason)
                        }
                    }
                }
            };
        }
    }

    pub(super) fn blinding(&mut self) {
        let Memory { works, scalars, blinded, .. } = &mut *self.memory;
        scalars.extend(works.iter().map(blinding_scalar));
        blinded.resize(works.len(), [0; 32]);
        self.arithmetic.curve.multiply_each(scalars, blinded);
        for (((packet, work), scalar), alpha) in self.packets.iter_mut().zip(works).zip(scalars).zip(blinded) {
            if let (Some(_), Some(packet)) = (scalar, packet_of(packet)) {
                header::rewrite(packet, alpha, &work.beta);
            }
        }
    }

    pub(super) fn payloads(&mut self) {
        self.for_all_live(|symmetric, jobs| {
            symmetric.payload_keys(jobs);
            symmetric.payloads(jobs);
        });
    }

    /// Runs a stage on all live packets, [`LANES`] at a time.
    fn for_all_live(&mut self, stage: impl Fn(&dyn Symmetric, &mut Jobs<'_>)) {
        let packets = self.packets.iter_mut().zip(&mut self.memory.works);
        let mut live = packets.filter(|(_, work)| work.is_live).filter_map(|(packet, work)| {
            let packet = packet_of(packet)?;
            Some(Job { packet, work })
        });
        loop {
            let mut jobs: Jobs<'_> = std::array::from_fn(|_| live.next());
            if jobs[0].is_none() {
                break;
            }
            stage(&*self.arithmetic.symmetric, &mut jobs);
            if jobs[LANES - 1].is_none() {
                break;
            }
        }
    }
}

/// The clamped scalar for the next hop's α, of a packet that is forwarded.
fn blinding_scalar(work: &Work) -> Option<Secret> {
    let Slot { version, hop: Hop::Forward { .. } } = work.slot.as_ref().filter(|_| work.is_live)? else { return None };
    let blinding = work.keys.blinding();
    Some(if version.blinds_unclamped() { clamped_equivalent(blinding) } else { Secret::new(*blinding) })
}

/// The bytes of a packet, unless it is too short to be one.
fn packet_of<P: AsMut<[u8]>>(packet: &mut P) -> Option<&mut [u8]> {
    Some(packet.as_mut()).filter(|packet| packet.len() >= MIN_PACKET_LEN)
}
