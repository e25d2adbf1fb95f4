//! Frames on a TCP stream: the three framings of the network, told apart by their first byte.
//!
//! | framing | header | releases |
//! |---|---|---|
//! | 0.9 | `size, mode` | 0.9.0 – 1.0.x |
//! | 1.1 | `7, size, mode` | 1.1.0 – 2025.11 |
//! | 2025.12 | `8, size, mode, key rotation` | 2025.12 on |

use thiserror::Error;

use super::sphinx::{MAX_PACKET_LEN, PacketSize};

const VERSION_1_1: u8 = 7;
const VERSION_2025_12: u8 = 8;
const MAX_HEADER_LEN: usize = 4;

/// The longest frame in bytes, header included.
pub const MAX_FRAME_LEN: usize = MAX_HEADER_LEN + MAX_PACKET_LEN;

/// Which of the network's framings a packet came in; it leaves in the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// `size, mode`.
    V0_9,
    /// `7, size, mode`.
    V1_1,
    /// `8, size, mode, key rotation`.
    V2025_12,
}

/// What the frame asks of the mix, beyond the Sphinx header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketMode {
    /// Held for the delay in the Sphinx header.
    Mix = 0,
    /// Forwarded without delay.
    Vpn = 1,
}

/// A decoded frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameHeader {
    /// The framing it was written in.
    pub framing: Framing,
    /// The size of the packet behind it.
    pub size: PacketSize,
    /// With or without delay.
    pub mode: PacketMode,
    /// 0 unknown, 1 odd, 2 even; always 0 in the older framings.
    pub key_rotation: u8,
}

/// A frame header that closes the connection: what follows it cannot be told apart any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The first byte is neither a size (1–5) nor a framing version (7, 8).
    #[error("first byte {0} is neither a packet size (1-5) nor a framing version (7, 8)")]
    FirstByte(u8),
    /// The size byte is none of the five sizes.
    #[error("packet size {0} is not one of 1-5")]
    Size(u8),
    /// The mode byte is neither mix nor VPN.
    #[error("packet mode {0} is neither 0 (mix) nor 1 (VPN)")]
    Mode(u8),
    /// The key rotation byte is none of unknown, odd and even.
    #[error("key rotation {0} is not one of 0-2")]
    KeyRotation(u8),
}

impl FrameError {
    /// Number of kinds, for counters.
    pub const KINDS: usize = 4;
    /// The metric labels, in the order of [`FrameError::kind`].
    pub const LABELS: [&str; Self::KINDS] = ["bad_first_byte", "bad_size", "bad_mode", "bad_key_rotation"];

    /// Index of this kind into [`FrameError::LABELS`].
    #[must_use]
    pub const fn kind(self) -> usize {
        match self {
            Self::FirstByte(_) => 0,
            Self::Size(_) => 1,
            Self::Mode(_) => 2,
            Self::KeyRotation(_) => 3,
        }
    }
}

impl Framing {
    /// Bytes of the frame header.
    #[must_use]
    pub const fn header_len(self) -> usize {
        match self {
            Self::V0_9 => 2,
            Self::V1_1 => 3,
            Self::V2025_12 => 4,
        }
    }
}

impl FrameHeader {
    /// A header of the primary (0.9) framing.
    #[must_use]
    pub const fn v0_9(size: PacketSize, mode: PacketMode) -> Self {
        Self { framing: Framing::V0_9, size, mode, key_rotation: 0 }
    }

    /// Decodes the header at the start of `bytes`; `None` when more bytes are needed to tell.
    ///
    /// # Errors
    /// As soon as a byte is seen that no framing allows.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let (framing, fields) = match first {
            VERSION_1_1 => (Framing::V1_1, &bytes[1..]),
            VERSION_2025_12 => (Framing::V2025_12, &bytes[1..]),
            1..=5 => (Framing::V0_9, bytes),
            other => return Err(FrameError::FirstByte(other)),
        };
        let Some(&size_byte) = fields.first() else { return Ok(None) };
        let size = PacketSize::from_wire(size_byte).ok_or(FrameError::Size(size_byte))?;
        let mode = match fields.get(1) {
            None => return Ok(None),
            Some(0) => PacketMode::Mix,
            Some(1) => PacketMode::Vpn,
            Some(&other) => return Err(FrameError::Mode(other)),
        };
        let key_rotation = match (framing, fields.get(2)) {
            (Framing::V0_9 | Framing::V1_1, _) => 0,
            (Framing::V2025_12, None) => return Ok(None),
            (Framing::V2025_12, Some(&rotation @ 0..=2)) => rotation,
            (Framing::V2025_12, Some(&other)) => return Err(FrameError::KeyRotation(other)),
        };
        Ok(Some(Self { framing, size, mode, key_rotation }))
    }

    /// Appends the header's bytes to `out`.
    pub fn encode(self, out: &mut Vec<u8>) {
        match self.framing {
            Framing::V0_9 => out.extend_from_slice(&[self.size as u8, self.mode as u8]),
            Framing::V1_1 => out.extend_from_slice(&[VERSION_1_1, self.size as u8, self.mode as u8]),
            Framing::V2025_12 => {
                out.extend_from_slice(&[VERSION_2025_12, self.size as u8, self.mode as u8, self.key_rotation]);
            }
        }
    }

    /// Bytes of the whole frame, header included.
    #[must_use]
    pub const fn frame_len(self) -> usize {
        self.framing.header_len() + self.size.packet_len()
    }
}

/// Takes the frames that a [`FrameDecoder`] cuts.
pub trait FrameSink {
    /// An empty buffer for a frame that comes in pieces; any capacity will do.
    fn buffer(&mut self, header: FrameHeader) -> Vec<u8>;
    /// A frame that lies whole in what was fed.
    fn whole(&mut self, header: FrameHeader, frame: &[u8]);
    /// A frame that came in pieces, in the buffer that was given for it.
    fn assembled(&mut self, header: FrameHeader, frame: Vec<u8>);
}

/// A sink that looks at each frame and keeps none.
struct Look<F>(F);

impl<F: FnMut(FrameHeader, &[u8])> FrameSink for Look<F> {
    fn buffer(&mut self, _: FrameHeader) -> Vec<u8> {
        Vec::new()
    }

    fn whole(&mut self, header: FrameHeader, frame: &[u8]) {
        (self.0)(header, frame);
    }

    fn assembled(&mut self, header: FrameHeader, frame: Vec<u8>) {
        (self.0)(header, &frame);
    }
}

/// Cuts a byte stream into frames, whatever the pieces it arrives in.
///
/// Holds at most one unfinished frame, in a buffer of the sink's that leaves with the frame: between two frames it has
/// none. That buffer grows only as bytes arrive, so a peer that sends a header and then nothing costs a few bytes.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    stand: Stand,
}

/// Where in a frame the stream stands.
#[derive(Debug, Default)]
enum Stand {
    #[default]
    Between,
    InHeader {
        bytes: [u8; MAX_HEADER_LEN],
        len: usize,
    },
    InPacket {
        header: FrameHeader,
        frame: Vec<u8>,
    },
}

impl FrameDecoder {
    /// Takes the next bytes of the stream and shows each completed frame (header and packet) to `look`, in order.
    ///
    /// # Errors
    /// At a bad frame header. The frames before it have been handed over; the decoder is of no further use.
    pub fn feed(&mut self, input: &[u8], look: impl FnMut(FrameHeader, &[u8])) -> Result<(), FrameError> {
        self.feed_into(input, &mut Look(look))
    }

    /// The same for a sink that keeps frames, and gives buffers for them.
    ///
    /// # Errors
    /// As [`FrameDecoder::feed`].
    pub fn feed_into(&mut self, mut input: &[u8], sink: &mut impl FrameSink) -> Result<(), FrameError> {
        while !input.is_empty() {
            input = match &mut self.stand {
                Stand::Between => self.begin(input, sink)?,
                Stand::InHeader { .. } => self.complete_header(input, sink)?,
                Stand::InPacket { .. } => self.complete_packet(input, sink),
            };
        }
        Ok(())
    }

    /// Whether the stream stands in the middle of a frame.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        !matches!(self.stand, Stand::Between)
    }

    /// Takes whole frames as they lie there, and what is left as the beginning of one.
    fn begin<'a>(&mut self, mut input: &'a [u8], sink: &mut impl FrameSink) -> Result<&'a [u8], FrameError> {
        while let Some(header) = FrameHeader::decode(input)? {
            let Some((frame, after)) = input.split_at_checked(header.frame_len()) else {
                return Ok(self.begin_packet(header, input, sink));
            };
            sink.whole(header, frame);
            input = after;
        }
        if !input.is_empty() {
            let mut bytes = [0; MAX_HEADER_LEN];
            bytes[..input.len()].copy_from_slice(input);
            self.stand = Stand::InHeader { bytes, len: input.len() };
        }
        Ok(&[])
    }

    /// Adds one byte, which may be a bad one.
    fn complete_header<'a>(&mut self, input: &'a [u8], sink: &mut impl FrameSink) -> Result<&'a [u8], FrameError> {
        let (Stand::InHeader { bytes, len }, Some((next, after))) = (&mut self.stand, input.split_first()) else {
            return Ok(input);
        };
        bytes[*len] = *next;
        *len += 1;
        let (bytes, len) = (*bytes, *len);
        if let Some(header) = FrameHeader::decode(&bytes[..len])? {
            self.begin_packet(header, &bytes[..len], sink);
        }
        Ok(after)
    }

    fn begin_packet<'a>(&mut self, header: FrameHeader, input: &[u8], sink: &mut impl FrameSink) -> &'a [u8] {
        let mut frame = sink.buffer(header);
        frame.clear();
        append(&mut frame, input, header);
        self.stand = Stand::InPacket { header, frame };
        &[]
    }

    fn complete_packet<'a>(&mut self, input: &'a [u8], sink: &mut impl FrameSink) -> &'a [u8] {
        let Stand::InPacket { header, frame } = &mut self.stand else { return input };
        let (now, after) = input.split_at(input.len().min(header.frame_len() - frame.len()));
        append(frame, now, *header);
        if frame.len() == header.frame_len() {
            sink.assembled(*header, std::mem::take(frame));
            self.stand = Stand::Between;
        }
        after
    }
}

/// Grows by doubling, as vectors do, but never beyond the frame.
fn append(frame: &mut Vec<u8>, bytes: &[u8], header: FrameHeader) {
    let len = frame.len() + bytes.len();
    if len > frame.capacity() {
        frame.reserve_exact((2 * len).min(header.frame_len()) - frame.len());
    }
    frame.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
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
        fn frames_come_out_whole_whatever_the_cuts(
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
        fn the_cuts_never_change_what_any_bytes_give(
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

    /// Keeps frames, and gives each buffer that comes back out again.
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
    fn a_split_frame_lies_in_a_buffer_of_the_sink_and_takes_it_along() {
        let header = FrameHeader::v0_9(PacketSize::Regular, PacketMode::Mix);
        let (mut decoder, mut sink) = (FrameDecoder::default(), Keeper::default());
        let old = Vec::with_capacity(header.frame_len());
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
        assert_eq!(sink.assembled[0], bytes);
        assert_eq!(sink.assembled[0].as_ptr(), place, "neither copied nor allocated anew");
    }

    #[test]
    fn a_buffer_grows_with_what_arrives_and_never_beyond_its_frame() {
        let header = FrameHeader::v0_9(PacketSize::Extended32, PacketMode::Mix);
        let (mut decoder, mut sink) = (FrameDecoder::default(), Keeper::default());
        for (fed, piece) in (1..).zip(frame(header, 0).chunks(100)) {
            decoder.feed_into(piece, &mut sink).unwrap();
            if let Stand::InPacket { frame, .. } = &decoder.stand {
                assert!(frame.capacity() <= 2 * 100 * fed, "{} for {fed} pieces", frame.capacity());
            }
        }
        assert_eq!(sink.assembled[0].capacity(), header.frame_len());
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
    fn a_bad_byte_is_refused_as_soon_as_it_is_seen() {
        assert_eq!(FrameHeader::decode(&[7, 9]), Err(FrameError::Size(9)));
        assert_eq!(FrameHeader::decode(&[1, 2]), Err(FrameError::Mode(2)));
        assert_eq!(FrameHeader::decode(&[8, 1, 0, 3]), Err(FrameError::KeyRotation(3)));
        assert_eq!(FrameHeader::decode(&[8, 1, 0]), Ok(None));
    }
}
