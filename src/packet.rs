//! The vocabulary that the packet rooms share: frames, Sphinx sizes, next-hop addresses, drop reasons.
//!
//! Every decoder here is total: any byte string gives a value or a typed reason, and nothing here does I/O.

mod address;
mod buffer;
mod drop_reason;
mod frame;
mod framing;
mod sphinx;
mod stage;

pub use address::{AddressError, NEXT_HOP_ADDRESS_LEN, decode_next_hop, encode_next_hop};
pub use buffer::{BufferPool, PacketBuf, Room};
pub use drop_reason::{DropCounters, DropReason};
pub use frame::{FrameDecoder, FrameError, FrameHeader, FrameSink, MAX_FRAME_LEN, PacketMode};
pub use framing::Framing;
pub use sphinx::{
    ALPHA_LEN, BETA_LEN, HEADER_LEN, MAC_LEN, MAX_PACKET_LEN, MIN_PACKET_LEN, PAYLOAD_OVERHEAD_LEN, PacketSize,
    PacketSizes, SLOT_LEN, SphinxVersion,
};
pub use stage::{Received, Scheduled};
