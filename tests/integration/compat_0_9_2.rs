//! Packets built by the Sphinx library of nym-mixnode 0.9.2, processed hop by hop.

use nym_mixnode_sphinx::{Engine, EngineKind, HEADER_LEN, Outcome, UnwrapError, encode_next_hop, plaintext};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    packet: Hex,
    hops: Vec<Hop>,
}

#[derive(Deserialize)]
struct Hop {
    private_key: Hex,
    #[serde(flatten)]
    result: HopResult,
}

#[derive(Deserialize)]
#[serde(tag = "result", rename_all = "lowercase")]
enum HopResult {
    Forward { next_address: Hex, delay_ns: String, packet: Hex },
    Final { destination: Hex, identifier: Hex, message: Hex },
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let byte = |at| u8::from_str_radix(&text[at..at + 2], 16);
        (0..text.len()).step_by(2).map(byte).collect::<Result<_, _>>().map(Self)
    }
}

fn vectors() -> Vec<Case> {
    let vectors: Vectors = serde_json::from_str(include_str!("../fixtures/sphinx-0.9.2.json")).unwrap();
    vectors.cases
}

/// One hop of the case with every engine, alone in its batch and with copies of itself; gives the packet for the next.
fn check_hop(packet: &[u8], hop: &Hop, place: &str) -> Vec<u8> {
    let mut next = Vec::new();
    for (kind, copies) in EngineKind::all().into_iter().flat_map(|kind| [(kind, 1), (kind, 9)]) {
        let key: [u8; 32] = hop.private_key.0.as_slice().try_into().unwrap();
        let mut engine = Engine::of_kind(kind, Box::new(key));
        let (mut batch, mut outcomes) = (vec![packet.to_vec(); copies], Vec::new());
        engine.unwrap_batch(&mut batch, &mut outcomes, |_| Ok::<_, UnwrapError>(()));
        for (packet, outcome) in batch.iter().zip(outcomes) {
            check_result(hop, packet, outcome, &format!("{place}, engine {kind}"));
        }
        next = batch.remove(0);
    }
    next
}

fn check_result(hop: &Hop, packet: &[u8], outcome: Outcome<UnwrapError>, place: &str) {
    match (&hop.result, outcome) {
        (HopResult::Forward { next_address, delay_ns, packet: expected }, Outcome::Forward { next_hop, delay }) => {
            assert_eq!(encode_next_hop(next_hop)[..], next_address.0, "next hop of {place}");
            assert_eq!(delay.as_nanos().to_string(), *delay_ns, "delay of {place}");
            assert!(packet == expected.0, "bytes for the next hop of {place}");
        }
        (
            HopResult::Final { destination, identifier, message },
            Outcome::Final { destination: d, identifier: i, .. },
        ) => {
            assert_eq!((d.as_slice(), i.as_slice()), (&destination.0[..], &identifier.0[..]), "{place}");
            assert!(plaintext(&packet[HEADER_LEN..]) == Some(&message.0[..]), "message at {place}");
        }
        (_, outcome) => panic!("{outcome:?} at {place}"),
    }
}

#[test]
fn all_81_cases_of_the_original_library_pass_at_every_hop() {
    let cases = vectors();
    assert_eq!(cases.len(), 81);
    for (number, case) in cases.into_iter().enumerate() {
        let mut packet = case.packet.0;
        for (hop_number, hop) in case.hops.iter().enumerate() {
            packet = check_hop(&packet, hop, &format!("case {number}, hop {hop_number}"));
        }
    }
}

#[test]
fn a_batch_gives_what_its_packets_give_alone_even_beside_damaged_ones() {
    let cases = vectors();
    let key: [u8; 32] = cases[0].hops[0].private_key.0.as_slice().try_into().unwrap();
    let mut engine = Engine::new(key);
    // Packets of all sizes for this key and for others, some damaged, in one batch.
    let mut packets: Vec<Vec<u8>> = cases.into_iter().map(|case| case.packet.0).collect();
    for (number, packet) in packets.iter_mut().enumerate().skip(1).step_by(3) {
        packet[number] ^= 1;
    }
    let mut alone = packets.clone();
    let expected: Vec<_> = alone
        .iter_mut()
        .map(|packet| {
            let mut outcome = Vec::new();
            engine.unwrap_batch(std::slice::from_mut(packet), &mut outcome, |_| Ok::<_, UnwrapError>(()));
            outcome[0]
        })
        .collect();
    let mut outcomes = Vec::new();
    engine.unwrap_batch(&mut packets, &mut outcomes, |_| Ok::<_, UnwrapError>(()));
    assert_eq!(outcomes, expected);
    assert!(packets == alone);
    assert!(outcomes.iter().any(|outcome| !matches!(outcome, Outcome::Drop(_))));
}
