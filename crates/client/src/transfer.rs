//! Files as messages: chunks that say which file they belong to, and what the whole file must be.
//!
//! Chunks may arrive in any order, and more than once. `nym_mixnode_message::file` has their form.

mod receipt;
mod receiving;
mod sending;
mod sent;

pub use nym_mixnode_message::file::{Receipt, is_about_file};
pub use receipt::wait_for;
pub use receiving::{Arrived, Receiver, ReceiverBounds, Rejected};
pub use sending::{SendFileError, Sending, SourceFile};

/// Capacity of a channel for the acknowledgements of one file.
pub const ACKNOWLEDGED_MAX: usize = sending::IN_FLIGHT_MAX;
/// Transfers as names of files.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests;
