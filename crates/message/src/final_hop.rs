//! The plaintext of a packet at its last hop, which is the recipient's gateway.

use std::fmt;

use nym_mixnode_sphinx::PacketSize;

use crate::ack::{ReturnPacket, ReturnPacketError};
use crate::text::Hidden;

/// What a gateway does with one packet.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// For the client at the destination.
    pub message: &'a [u8],
    /// Sent once the message is safe; acknowledgements have none.
    pub return_packet: Option<ReturnPacket>,
}

/// Prints nothing of the message but its length.
impl fmt::Debug for Delivery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("message", &Hidden(self.message)).finish_non_exhaustive()
    }
}

/// Splits the plaintext of a packet of this size.
///
/// # Errors
/// When a packet that must have a return packet has none. Nothing of it is delivered.
pub fn delivery(size: PacketSize, plaintext: &[u8]) -> Result<Delivery<'_>, ReturnPacketError> {
    if size == PacketSize::Ack {
        return Ok(Delivery { message: plaintext, return_packet: None });
    }
    let (return_packet, message) = ReturnPacket::decode(plaintext)?;
    Ok(Delivery { message, return_packet: Some(return_packet) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ack::RETURN_PACKET_LEN;

    proptest! {
        #[test]
        fn any_plaintext_is_delivered_whole_or_not_at_all(bytes in prop::collection::vec(4_u8..7, 0..500)) {
            for size in PacketSize::ALL {
                match delivery(size, &bytes) {
                    Ok(Delivery { message, return_packet: None }) => {
                        prop_assert!(size == PacketSize::Ack && message == bytes);
                    }
                    Ok(Delivery { message, return_packet: Some(_) }) => {
                        prop_assert!(size != PacketSize::Ack && message == &bytes[RETURN_PACKET_LEN..]);
                    }
                    Err(ReturnPacketError::TooShort) => prop_assert!(bytes.len() < RETURN_PACKET_LEN),
                    Err(ReturnPacketError::FirstHop(_)) => prop_assert_eq!(bytes[0], 5),
                }
            }
        }
    }
}
