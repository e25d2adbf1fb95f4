//! Frames of all framings, whole and in pieces.

use super::*;
use proptest::prelude::*;

fn header_strategy() -> impl Strategy<Value = FrameHeader> {
    let framing = prop_oneof![Just(Framing::V0_9), Just(Framing::V1_1), Just(Framing::V2025_12)];
    let mode = prop_oneof![Just(PacketMode::Mix), Just(PacketMode::Vpn)];
    (framing, 0..PacketSize::ALL.len(), mode, 0u8..3).prop_map(|(framing, size, mode, rotation)| FrameHeader {
        framing,
        size: PacketSize::ALL[size],
        mode,
        key_rotation: if framing == Framing::V2025_12 { rotation } else { 0 },
    })
}

fn frame(header: FrameHeader, fill: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    bytes.resize(header.frame_len(), fill);
    bytes
}

proptest! {
    #[test]
    fn frames_are_complete_for_any_pieces(
        headers in proptest::collection::vec(header_strategy(), 1..6),
        cuts in proptest::collection::vec(1usize..5000, 1..40),
    ) {
        let frames: Vec<_> = headers.iter().zip(0u8..).map(|(h, fill)| (*h, frame(*h, fill))).collect();
        let stream: Vec<u8> = frames.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        let mut decoder = FrameDecoder::default();
        let mut got = Vec::new();
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            decoder.feed(now, |header, bytes| got.push((header, bytes.to_vec()))).unwrap();
            rest = later;
            if rest.is_empty() { break; }
        }
        prop_assert_eq!(got, frames);
        prop_assert!(!decoder.is_mid_frame());
    }

    #[test]
    fn pieces_do_not_affect_the_result_for_any_bytes(
        bytes in proptest::collection::vec(prop_oneof![4 => 0u8..10, 1 => any::<u8>()], 0..2000),
        cuts in proptest::collection::vec(1usize..50, 1..40),
    ) {
        let mut whole = Vec::new();
        let at_once = FrameDecoder::default().feed(&bytes, |h, _| whole.push(h));
        let mut pieces = Vec::new();
        let mut decoder = FrameDecoder::default();
        let mut result = Ok(());
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            result = decoder.feed(now, |h, _| pieces.push(h));
            rest = later;
            if rest.is_empty() || result.is_err() { break; }
        }
        prop_assert_eq!(result, at_once);
        prop_assert_eq!(pieces, whole);
    }
}

/// A sink that keeps frames and reuses returned buffers.
#[derive(Default)]
struct Keeper {
    spare: Vec<Vec<u8>>,
    given: usize,
    assembled: Vec<Vec<u8>>,
    whole: usize,
}

impl FrameSink for Keeper {
    fn buffer(&mut self, _: FrameHeader) -> Vec<u8> {
        self.given += 1;
        self.spare.pop().unwrap_or_default()
    }

    fn whole(&mut self, _: FrameHeader, _: &[u8]) {
        self.whole += 1;
    }

    fn assembled(&mut self, _: FrameHeader, frame: Vec<u8>) {
        self.assembled.push(frame);
    }
}

#[test]
fn a_split_frame_is_assembled_in_a_buffer_of_the_sink() {
    let header = FrameHeader::v0_9(PacketSize::Regular, PacketMode::Mix);
    let (mut decoder, mut sink) = (FrameDecoder::default(), Keeper::default());
    let old = Vec::with_capacity(header.buffer_len());
    let place = old.as_ptr();
    sink.spare.push(old);
    let bytes = frame(header, 5);
    let cut = [frame(header, 3), bytes[..1].to_vec()].concat();
    decoder.feed_into(&cut, &mut sink).unwrap();
    assert_eq!((sink.whole, sink.given), (1, 0), "a byte of a header needs no buffer");
    for piece in bytes[1..].chunks(700) {
        assert!(decoder.is_mid_frame());
        decoder.feed_into(piece, &mut sink).unwrap();
    }
    assert!(!decoder.is_mid_frame());
    assert_eq!((sink.whole, sink.given, sink.assembled.len()), (1, 1, 1));
    assert_eq!(sink.assembled[0][header.offset()..], bytes);
    assert_eq!(sink.assembled[0].as_ptr(), place, "neither copied nor allocated anew");
}

#[test]
fn a_buffer_grows_with_the_received_bytes_up_to_its_frame() {
    let header = FrameHeader::v0_9(PacketSize::Extended32, PacketMode::Mix);
    let (mut decoder, mut sink) = (FrameDecoder::default(), Keeper::default());
    for (fed, piece) in (1..).zip(frame(header, 0).chunks(100)) {
        decoder.feed_into(piece, &mut sink).unwrap();
        if let State::InPacket { buffer, .. } = &decoder.state {
            assert!(buffer.capacity() <= 2 * (HEADROOM_LEN + 100 * fed), "{} for {fed} pieces", buffer.capacity());
        }
    }
    assert_eq!(sink.assembled[0].capacity(), header.buffer_len());
}

#[test]
fn every_first_byte_is_a_framing_or_an_error() {
    for first in 0..=u8::MAX {
        let decoded = FrameHeader::decode(&[first, 1, 1, 1]);
        match first {
            1..=5 | 7 | 8 => assert!(decoded.unwrap().is_some(), "{first}"),
            other => assert_eq!(decoded, Err(FrameError::FirstByte(other))),
        }
    }
}

#[test]
fn a_malformed_byte_is_rejected_at_once() {
    assert_eq!(FrameHeader::decode(&[7, 9]), Err(FrameError::Size(9)));
    assert_eq!(FrameHeader::decode(&[1, 2]), Err(FrameError::Mode(2)));
    assert_eq!(FrameHeader::decode(&[8, 1, 0, 3]), Err(FrameError::KeyRotation(3)));
    assert_eq!(FrameHeader::decode(&[8, 1, 0]), Ok(None));
}

#[test]
fn an_outgoing_header_has_no_mode_and_no_key_rotation() {
    let encoded = |framing, size| {
        let mut bytes = Vec::new();
        FrameHeader::outgoing(framing, size).encode(&mut bytes);
        bytes
    };
    assert_eq!(encoded(Framing::V0_9, PacketSize::Regular), [1, 0]);
    assert_eq!(encoded(Framing::V1_1, PacketSize::Ack), [7, 2, 0]);
    assert_eq!(encoded(Framing::V2025_12, PacketSize::Extended16), [8, 5, 0, 0]);
}
