//! Every engine, and the models of those that this CPU may lack, against the portable engine.

#[cfg(target_arch = "x86_64")]
mod constant_time;
#[cfg(target_arch = "x86_64")]
mod counted;
mod forge;
#[cfg(target_arch = "x86_64")]
mod instructions;
mod models;
#[cfg(target_arch = "x86_64")]
pub(crate) mod valgrind;

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use curve25519_dalek::MontgomeryPoint;
use curve25519_dalek::constants::EIGHT_TORSION;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::engines::{Curve, EngineKind, Secret};
use crate::x25519::Bytes32;
use crate::{Engine, Outcome, UnwrapError};
use forge::forge;

/// The engines to compare with the portable one. Written past the capture of output, so that CI shows which have run.
fn others() -> Vec<EngineKind> {
    let others: Vec<_> =
        EngineKind::all_and_models().into_iter().filter(|kind| *kind != EngineKind::PORTABLE).collect();
    writeln!(io::stderr(), "engines compared with portable on this CPU: {others:?}").unwrap();
    others
}

/// What a batch becomes: outcomes, and the bytes of packets that are not dropped.
fn unwrap(engine: &mut Engine, packets: &[Vec<u8>]) -> Vec<(Outcome<UnwrapError>, Vec<u8>)> {
    let (mut batch, mut outcomes) = (packets.to_vec(), Vec::new());
    engine.unwrap_batch(&mut batch, &mut outcomes, |_| Ok(()));
    let kept = |outcome: &Outcome<_>, packet| if matches!(outcome, Outcome::Drop(_)) { Vec::new() } else { packet };
    outcomes.into_iter().zip(batch).map(|(outcome, packet)| (outcome, kept(&outcome, packet))).collect()
}

fn compare_batches(kinds: &[EngineKind], mut rng: StdRng, lengths: impl Iterator<Item = usize>) {
    let key: Bytes32 = rng.random();
    let mut portable = Engine::new(key);
    let mut engines: Vec<_> = kinds.iter().map(|kind| (kind, Engine::of_kind(*kind, Box::new(key)))).collect();
    for len in lengths {
        let packets: Vec<_> = (0..len).map(|_| forge(&mut rng, &key)).collect();
        let expected = unwrap(&mut portable, &packets);
        for (kind, engine) in &mut engines {
            let found = unwrap(engine, &packets);
            for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert!(found == expected, "{kind}, packet {number} of {len}: {:?} is not {:?}", found.0, expected.0);
            }
            assert_eq!(found.len(), len);
        }
    }
}

/// Prints a line for each million that is done, by all threads together.
struct Progress {
    what: String,
    done: AtomicUsize,
}

impl Progress {
    const STEP: usize = 1_000_000;

    fn new(what: String) -> Self {
        Self { what, done: AtomicUsize::new(0) }
    }

    fn add(&self, count: usize) {
        let before = self.done.fetch_add(count, Ordering::Relaxed);
        if before / Self::STEP != (before + count) / Self::STEP {
            println!("{}: {} million", self.what, (before + count) / Self::STEP);
        }
    }
}

#[test]
fn engines_agree_on_batches_of_every_length_with_bad_packets_anywhere() {
    compare_batches(&others(), StdRng::seed_from_u64(1), 1..=65);
}

#[test]
fn exactly_the_packets_that_are_asked_about_are_foreseen() {
    let (mut rng, key) = (StdRng::seed_from_u64(9), [7; 32]);
    let packets: Vec<_> = (0..200).map(|_| forge(&mut rng, &key)).collect();
    let (mut foreseen, mut asked, mut outcomes) = (Vec::new(), Vec::new(), Vec::<Outcome<UnwrapError>>::new());
    let foresee = |keys: &mut dyn Iterator<Item = &Bytes32>| foreseen.extend(keys.copied());
    Engine::new(key).unwrap_foreseen(&mut packets.clone(), &mut outcomes, foresee, |onward| {
        asked.push(onward.replay_key);
        Err(UnwrapError::BadMac)
    });
    assert_eq!(foreseen, asked);
    assert!((1..packets.len()).contains(&asked.len()), "{} of {}", asked.len(), packets.len());
}

/// A batch of packets that all are dropped, between batches that are not: nothing of it may remain.
#[test]
fn a_batch_without_live_packets_is_dropped_and_leaves_nothing() {
    let (mut rng, key) = (StdRng::seed_from_u64(2), [7; 32]);
    for kind in EngineKind::all_and_models() {
        let mut engine = Engine::of_kind(kind, Box::new(key));
        let good: Vec<_> = (0..20).map(|_| forge::valid(&mut rng, &key)).collect();
        let expected = unwrap(&mut Engine::new(key), &good);
        let bad = vec![vec![0; 400]; 20];
        for _ in 0..2 {
            assert!(unwrap(&mut engine, &good) == expected, "{kind}");
            assert!(
                unwrap(&mut engine, &bad)
                    .iter()
                    .all(|(outcome, _)| { *outcome == Outcome::Drop(UnwrapError::LowOrderPoint) })
            );
            assert!(unwrap(&mut engine, &[]).is_empty());
        }
    }
}

/// α that senders can choose: on the curve with and without a part of low order, on its twist, of low order, and in
/// forms that are not canonical.
fn any_alpha(rng: &mut StdRng) -> Bytes32 {
    match rng.random_range(0..8) {
        0 => EIGHT_TORSION[rng.random_range(0..8)].to_montgomery().to_bytes(),
        1 => {
            let point = curve25519_dalek::EdwardsPoint::mul_base_clamped(rng.random());
            (point + EIGHT_TORSION[rng.random_range(0..8)]).to_montgomery().to_bytes()
        }
        // p − 20 to p + 18, and the like above bit 255.
        2 => {
            let mut alpha = [0xff; 32];
            alpha[0] = rng.random_range(0xd9..=0xff);
            alpha[31] = if rng.random() { 0x7f } else { 0xff };
            alpha
        }
        3 => {
            let mut alpha = [0; 32];
            alpha[0] = rng.random_range(0..20);
            alpha[31] = if rng.random() { 0 } else { 0x80 };
            alpha
        }
        _ => rng.random(),
    }
}

fn any_scalar(rng: &mut StdRng) -> Bytes32 {
    match rng.random_range(0..8) {
        0 => [0; 32],
        1 => [0xff; 32],
        2 => {
            let mut scalar = [0; 32];
            scalar[rng.random_range(0..32)] = 1 << rng.random_range(0..8);
            scalar
        }
        _ => rng.random(),
    }
}

/// Compares both multiplications of one batch with those of dalek.
fn compare_products(kind: EngineKind, curve: &mut dyn Curve, rng: &mut StdRng, len: usize) {
    let alphas: Vec<_> = (0..len).map(|_| any_alpha(rng)).collect();
    let scalar = any_scalar(rng);
    let mut products: Vec<_> = (0..len).map(|_| Ok(Secret::default())).collect();
    curve.load(&alphas);
    curve.multiply_all(&scalar, &mut products);
    let mut scalars = Vec::new();
    for (alpha, product) in alphas.iter().zip(&products) {
        let expected = MontgomeryPoint(*alpha).mul_clamped(scalar).to_bytes();
        let is_good = match product {
            Ok(product) => **product == expected && expected != [0; 32],
            Err(error) => *error == UnwrapError::LowOrderPoint && expected == [0; 32],
        };
        assert!(is_good, "{kind}: {alpha:02x?} · {scalar:02x?} is {expected:02x?}, not {product:02x?}");
        let is_wanted = product.is_ok() && rng.random_range(0..4) > 0;
        scalars.push(is_wanted.then(|| Secret::new(any_scalar(rng))));
    }
    let untouched = [0x5a; 32];
    let mut products = vec![untouched; len];
    curve.multiply_each(&scalars, &mut products);
    for ((alpha, scalar), product) in alphas.iter().zip(&scalars).zip(products) {
        let multiply = |scalar: &Secret| MontgomeryPoint(*alpha).mul_clamped(**scalar).to_bytes();
        assert_eq!(product, scalar.as_ref().map_or(untouched, multiply), "{kind}: {scalar:02x?} · {alpha:02x?}");
    }
}

#[test]
fn products_are_those_of_dalek_for_every_kind_of_point_and_scalar() {
    for kind in EngineKind::all_and_models() {
        let (mut curve, mut rng) = (kind.arithmetic().curve, StdRng::seed_from_u64(3));
        for len in (0..=33).chain([64, 65]) {
            compare_products(kind, &mut *curve, &mut rng, len);
        }
    }
}

/// `make engines` runs it.
#[test]
#[ignore = "takes minutes"]
fn a_million_points_give_the_products_of_dalek() {
    for kind in EngineKind::all().into_iter().filter(|kind| *kind != EngineKind::PORTABLE) {
        let (mut curve, mut rng) = (kind.arithmetic().curve, StdRng::from_rng(&mut rand::rng()));
        let progress = Progress::new(format!("points whose products {kind} and dalek agree on"));
        for _ in 0..1_000_000 / 64 {
            compare_products(kind, &mut *curve, &mut rng, 64);
            progress.add(64);
        }
    }
}

/// `make engines` runs it.
#[test]
#[ignore = "takes minutes"]
fn engines_agree_on_ten_million_packets() {
    const THREADS: usize = 2;
    let kinds: Vec<_> = EngineKind::all().into_iter().filter(|kind| *kind != EngineKind::PORTABLE).collect();
    let progress = Progress::new(format!("packets that {kinds:?} and portable unwrap alike"));
    let run = || {
        let mut rng = StdRng::from_rng(&mut rand::rng());
        let (mut left, mut last) = (10_000_000 / THREADS, 0);
        let lengths = std::iter::from_fn(|| {
            // It is asked for the next batch after the last one has been compared.
            progress.add(last);
            last = rng.random_range(1..=65).min(left);
            left -= last;
            (last > 0).then_some(last)
        });
        compare_batches(&kinds, StdRng::from_rng(&mut rand::rng()), lengths);
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(run);
        }
    });
}
