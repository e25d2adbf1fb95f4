//! Frames of Sphinx packets on TCP streams, the state of connections that receive them, and the pooled buffers that
//! packets stay in.
//!
//! Every decoder is total: it returns a value or a typed error for any bytes. No I/O and no clock.
//!
//! ```
//! use nym_mixnode_sphinx::PacketSize;
//! use nym_mixnode_wire::{FrameDecoder, FrameHeader, PacketMode};
//!
//! let header = FrameHeader::v0_9(PacketSize::Ack, PacketMode::Mix);
//! let mut stream = Vec::new();
//! header.encode(&mut stream);
//! stream.resize(header.frame_len(), 0);
//!
//! // The stream arrives in two pieces.
//! let (mut decoder, mut frames) = (FrameDecoder::default(), 0);
//! for piece in stream.chunks(300) {
//!     decoder.feed(piece, |decoded, _frame| {
//!         assert_eq!(decoded, header);
//!         frames += 1;
//!     })?;
//! }
//! assert_eq!(frames, 1);
//! # Ok::<_, nym_mixnode_wire::FrameError>(())
//! ```

mod buffer;
mod frame;
mod framing;
mod incoming;
mod shares;

pub use buffer::{BufferPool, PacketBuf, ReadPermit, SizeUnknown};
pub use frame::{FrameDecoder, FrameError, FrameHeader, FrameSink, MAX_FRAME_LEN, PacketMode};
pub use framing::Framing;
pub use incoming::{CloseReason, Deadlines, Incoming, LAST_CALL, NextRead};
pub use shares::Payer;
