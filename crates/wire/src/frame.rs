//! Frames on a TCP stream: an unauthenticated header followed by a Sphinx packet.
//!
//! The first byte distinguishes the [three framings](Framing). A relay must not copy any part of a received header
//! into a frame that it sends: an attacker who changes a byte on a link could then recognise the packet behind the mix.

use nym_mixnode_sphinx::{MAX_PACKET_LEN, PacketSize};
use thiserror::Error;

use crate::framing::Framing;

const VERSION_1_1: u8 = 7;
const VERSION_2025_12: u8 = 8;

/// Longest frame header in bytes. In a buffer, the packet begins at this offset in every framing.
pub(super) const HEADROOM_LEN: usize = 4;

/// The longest frame in bytes, header included.
pub const MAX_FRAME_LEN: usize = HEADROOM_LEN + MAX_PACKET_LEN;

/// The mode byte of a frame. Both modes are treated alike: the delay of a packet is in its authenticated header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketMode {
    /// What clients send by default, and the only mode that a node sends.
    Mix = 0,
    /// What 0.9.2 clients send in VPN mode, with a delay of 0 in the Sphinx header.
    Vpn = 1,
}

/// A decoded frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameHeader {
    /// The framing it was written in.
    pub framing: Framing,
    /// The size of the packet that follows.
    pub size: PacketSize,
    /// The received mode byte.
    pub mode: PacketMode,
    /// 0 unknown, 1 odd, 2 even; always 0 in the older framings.
    pub key_rotation: u8,
}

/// An invalid frame header. The connection must be closed, because the next frame boundary is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The first byte is neither a size (1–5) nor a framing version (7, 8).
    #[error("first byte {0} is neither a packet size (1-5) nor a framing version (7, 8)")]
    FirstByte(u8),
    /// The size byte is not one of the five sizes.
    #[error("packet size {0} is not one of 1-5")]
    Size(u8),
    /// The mode byte is neither mix nor VPN.
    #[error("packet mode {0} is neither 0 (mix) nor 1 (VPN)")]
    Mode(u8),
    /// The key rotation byte is not unknown, odd or even.
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

impl FrameHeader {
    /// A header of the primary (0.9) framing.
    #[must_use]
    pub const fn v0_9(size: PacketSize, mode: PacketMode) -> Self {
        Self { framing: Framing::V0_9, size, mode, key_rotation: 0 }
    }

    /// Decodes the header at the start of `bytes`; `None` when more bytes are needed.
    ///
    /// # Errors
    /// At the first byte that no framing allows.
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

    /// The header that a node sends. It depends only on the next hop's framing and the packet's size.
    #[must_use]
    pub const fn outgoing(framing: Framing, size: PacketSize) -> Self {
        Self { framing, size, mode: PacketMode::Mix, key_rotation: 0 }
    }

    /// Appends the header's bytes to `out`.
    pub fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.right_aligned()[HEADROOM_LEN - self.framing.header_len()..]);
    }

    /// The header's bytes, right-aligned in the headroom of a packet and padded with zeros on the left.
    pub(super) const fn right_aligned(self) -> [u8; HEADROOM_LEN] {
        let (size, mode) = (self.size as u8, self.mode as u8);
        match self.framing {
            Framing::V0_9 => [0, 0, size, mode],
            Framing::V1_1 => [0, VERSION_1_1, size, mode],
            Framing::V2025_12 => [VERSION_2025_12, size, mode, self.key_rotation],
        }
    }

    /// Length of the frame in bytes, header included.
    #[must_use]
    pub const fn frame_len(self) -> usize {
        self.framing.header_len() + self.size.packet_len()
    }

    /// Offset of the frame in a buffer.
    const fn offset(self) -> usize {
        HEADROOM_LEN - self.framing.header_len()
    }

    /// Length of a buffer with the frame, in bytes.
    const fn buffer_len(self) -> usize {
        HEADROOM_LEN + self.size.packet_len()
    }
}

/// Receives the frames of a [`FrameDecoder`].
pub trait FrameSink {
    /// An empty buffer for a frame that arrives in pieces; any capacity will do.
    fn buffer(&mut self, header: FrameHeader) -> Vec<u8>;
    /// A frame that is complete in the input, header included.
    fn whole(&mut self, header: FrameHeader, frame: &[u8]);
    /// A frame that arrived in pieces, in the buffer from [`FrameSink::buffer`]. The packet begins at byte 4.
    fn assembled(&mut self, header: FrameHeader, buffer: Vec<u8>);
}

/// A sink that passes each frame to a closure and keeps none.
struct Look<F>(F);

impl<F: FnMut(FrameHeader, &[u8])> FrameSink for Look<F> {
    fn buffer(&mut self, _: FrameHeader) -> Vec<u8> {
        Vec::new()
    }

    fn whole(&mut self, header: FrameHeader, frame: &[u8]) {
        (self.0)(header, frame);
    }

    fn assembled(&mut self, header: FrameHeader, buffer: Vec<u8>) {
        (self.0)(header, &buffer[header.offset()..]);
    }
}

/// Splits a byte stream into frames.
///
/// Buffers at most one incomplete frame, in a buffer of the sink that is passed on with the frame. That buffer grows
/// only as bytes arrive, so a peer that sends nothing after a header costs a few bytes.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    state: State,
}

/// Position of the stream within a frame.
#[derive(Debug, Default)]
enum State {
    #[default]
    Between,
    InHeader {
        bytes: [u8; HEADROOM_LEN],
        len: usize,
    },
    InPacket {
        header: FrameHeader,
        buffer: Vec<u8>,
    },
}

impl FrameDecoder {
    /// Decodes the next bytes of the stream and calls `look` with each complete frame (header and packet), in order.
    ///
    /// # Errors
    /// At a malformed frame header. The frames before it were passed on. Do not use the decoder after an error.
    pub fn feed(&mut self, input: &[u8], look: impl FnMut(FrameHeader, &[u8])) -> Result<(), FrameError> {
        self.feed_into(input, &mut Look(look))
    }

    /// As [`FrameDecoder::feed`], for a sink that keeps frames and provides their buffers.
    ///
    /// # Errors
    /// As [`FrameDecoder::feed`].
    pub fn feed_into(&mut self, mut input: &[u8], sink: &mut impl FrameSink) -> Result<(), FrameError> {
        while !input.is_empty() {
            input = match &mut self.state {
                State::Between => self.begin(input, sink)?,
                State::InHeader { .. } => self.complete_header(input, sink)?,
                State::InPacket { .. } => self.complete_packet(input, sink),
            };
        }
        Ok(())
    }

    /// Whether a frame is incomplete.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        self.unfinished_len() > 0
    }

    /// Bytes of the incomplete frame so far, header included.
    pub(super) fn unfinished_len(&self) -> usize {
        match &self.state {
            State::Between => 0,
            State::InHeader { len, .. } => *len,
            State::InPacket { header, buffer } => buffer.len() - header.offset(),
        }
    }

    /// Passes on the complete frames at the start of `input`, and begins a frame with the rest.
    fn begin<'a>(&mut self, mut input: &'a [u8], sink: &mut impl FrameSink) -> Result<&'a [u8], FrameError> {
        while let Some(header) = FrameHeader::decode(input)? {
            let Some((frame, after)) = input.split_at_checked(header.frame_len()) else {
                return Ok(self.begin_packet(header, input, sink));
            };
            sink.whole(header, frame);
            input = after;
        }
        if !input.is_empty() {
            let mut bytes = [0; HEADROOM_LEN];
            bytes[..input.len()].copy_from_slice(input);
            self.state = State::InHeader { bytes, len: input.len() };
        }
        Ok(&[])
    }

    /// Adds one byte of the header, which may be invalid.
    fn complete_header<'a>(&mut self, input: &'a [u8], sink: &mut impl FrameSink) -> Result<&'a [u8], FrameError> {
        let (State::InHeader { bytes, len }, Some((next, after))) = (&mut self.state, input.split_first()) else {
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

    /// Begins a frame in a new buffer. `input` has the header and the first bytes of the packet.
    fn begin_packet<'a>(&mut self, header: FrameHeader, input: &[u8], sink: &mut impl FrameSink) -> &'a [u8] {
        let mut buffer = sink.buffer(header);
        buffer.clear();
        append(&mut buffer, &header.right_aligned(), header);
        append(&mut buffer, &input[header.framing.header_len()..], header);
        self.state = State::InPacket { header, buffer };
        &[]
    }

    fn complete_packet<'a>(&mut self, input: &'a [u8], sink: &mut impl FrameSink) -> &'a [u8] {
        let State::InPacket { header, buffer } = &mut self.state else { return input };
        let (now, after) = input.split_at(input.len().min(header.buffer_len() - buffer.len()));
        append(buffer, now, *header);
        if buffer.len() == header.buffer_len() {
            sink.assembled(*header, std::mem::take(buffer));
            self.state = State::Between;
        }
        after
    }
}

/// Grows by doubling, as vectors do, but never beyond the length of the frame.
fn append(buffer: &mut Vec<u8>, bytes: &[u8], header: FrameHeader) {
    let len = buffer.len() + bytes.len();
    if len > buffer.capacity() {
        buffer.reserve_exact((2 * len).min(header.buffer_len()) - buffer.len());
    }
    buffer.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests;
