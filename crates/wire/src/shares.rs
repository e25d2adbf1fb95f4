//! Shares of the byte budget by place of origin, while the budget is short.
//!
//! What a place has sent is charged when it is read, and the charge decays by the clock. It does not depend on what
//! becomes of the packets, so that the times at which a link is read do not tell.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time in which a charge halves.
const HALF_LIFE: Duration = Duration::from_secs(1);
/// Charges per row. Two places rarely have the same charge in both rows.
const ROW_LEN: usize = 2048;
/// Bounds of a wait for the charge to decay.
const WAIT: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// Charges of all places, of which there may be any number, in a fixed amount of memory.
pub(crate) struct Charges {
    rows: [Box<[Mutex<Charge>]>; 2],
    hashers: [RandomState; 2],
}

/// Where the bytes of a connection are charged.
#[derive(Debug, Clone, Copy)]
pub struct Payer([usize; 2]);

#[derive(Debug, Clone, Copy, Default)]
struct Charge {
    bytes: f64,
    /// When it was that much.
    at: Option<Instant>,
}

impl Charges {
    pub(crate) fn new() -> Self {
        let row = || (0..ROW_LEN).map(|_| Mutex::default()).collect();
        Self { rows: [row(), row()], hashers: [RandomState::new(), RandomState::new()] }
    }

    /// The payer for a place; a second call for the place returns the same.
    pub(crate) fn payer(&self, place: impl Hash) -> Payer {
        let at = |hasher: &RandomState| usize::try_from(hasher.hash_one(&place) % ROW_LEN as u64).unwrap_or_default();
        Payer([at(&self.hashers[0]), at(&self.hashers[1])])
    }

    pub(crate) fn add(&self, payer: Payer, bytes: usize, now: Instant) {
        for charge in self.of(payer) {
            let mut charge = charge.lock().unwrap_or_else(PoisonError::into_inner);
            #[expect(clippy::cast_precision_loss, reason = "one read is far below 2^52 bytes")]
            let more = bytes as f64;
            *charge = Charge { bytes: charge.at(now) + more, at: Some(now) };
        }
    }

    /// How long to wait until the place has been charged at most `share` bytes; `None` if it has not been charged more.
    pub(crate) fn wait(&self, payer: Payer, share: usize, now: Instant) -> Option<Duration> {
        let charged = self.of(payer).map(|charge| charge.lock().unwrap_or_else(PoisonError::into_inner).at(now));
        let charged = charged[0].min(charged[1]);
        #[expect(clippy::cast_precision_loss, reason = "a budget is far below 2^52 bytes")]
        let share = share.max(1) as f64;
        let half_lives = (charged / share).log2();
        (half_lives > 0.0).then(|| HALF_LIFE.mul_f64(half_lives).clamp(WAIT.0, WAIT.1))
    }

    fn of(&self, Payer([first, second]): Payer) -> [&Mutex<Charge>; 2] {
        [&self.rows[0][first], &self.rows[1][second]]
    }
}

impl Charge {
    fn at(self, now: Instant) -> f64 {
        let Some(at) = self.at else { return 0.0 };
        let passed = now.saturating_duration_since(at).as_secs_f64();
        self.bytes * (-passed / HALF_LIFE.as_secs_f64()).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    #[test]
    fn a_charge_halves_each_second_and_the_wait_ends_when_it_is_within_the_share() {
        let (charges, start) = (Charges::new(), Instant::now());
        let payer = charges.payer("a");
        assert_eq!(charges.wait(payer, 0, start), None);
        charges.add(payer, 64 * KIB, start);
        assert_eq!(charges.wait(payer, 64 * KIB, start), None);
        assert_eq!(charges.wait(payer, KIB, start), Some(WAIT.1), "looks again, because the share may grow");
        let wait = charges.wait(payer, 60 * KIB, start).unwrap();
        assert!(Duration::from_millis(90) < wait && wait < Duration::from_millis(95), "{wait:?}");
        assert_eq!(charges.wait(payer, 60 * KIB, start + wait + WAIT.0), None);
        charges.add(payer, 32 * KIB, start + HALF_LIFE);
        assert!(charges.wait(payer, 63 * KIB, start + HALF_LIFE).is_some());
        assert_eq!(charges.wait(payer, 65 * KIB, start + HALF_LIFE), None);
    }

    #[test]
    fn places_do_not_pay_for_each_other() {
        let (charges, now) = (Charges::new(), Instant::now());
        for place in 0..16 {
            charges.add(charges.payer(place), 1 << 30, now);
        }
        let innocent = (16..10_016).filter(|place| charges.wait(charges.payer(place), KIB, now).is_some()).count();
        assert!(innocent <= 10, "{innocent} of 10000 places pay for 16 others");
    }
}
