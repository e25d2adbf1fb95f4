//! Decoding any byte stream in any pieces gives the same frames and the same error as in one piece.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nym_mixnode_wire::{FrameDecoder, FrameError, FrameHeader};

fn frames(pieces: &[&[u8]]) -> (Vec<(FrameHeader, Vec<u8>)>, Result<(), FrameError>) {
    let mut decoder = FrameDecoder::default();
    let mut frames = Vec::new();
    for piece in pieces {
        let result = decoder.feed(piece, |header, frame| frames.push((header, frame.to_vec())));
        if result.is_err() {
            return (frames, result);
        }
    }
    (frames, Ok(()))
}

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let whole = frames(&[bytes]);
    assert_eq!(frames(&[first, second]), whole);
    for (header, frame) in &whole.0 {
        assert_eq!(frame.len(), header.frame_len());
        assert_eq!(FrameHeader::decode(frame), Ok(Some(*header)));
    }
});
