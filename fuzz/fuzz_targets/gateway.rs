//! Any text and any content of a binary message give a request that survives the round trip, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nym_mixnode_message::ack::{RETURN_PACKET_LEN, ReturnPacket};
use nym_mixnode_message::final_hop::delivery;
use nym_mixnode_message::gateway::{
    Authentication, ClientText, ForwardRequest, GatewayHandshake, GatewayText, SharedKey,
};
use nym_mixnode_sphinx::PacketSize;

fuzz_target!(|bytes: &[u8]| {
    let key = SharedKey::from_bytes(&[7; 32]);
    assert!(key.open(bytes).is_err());
    assert_eq!(key.open(&key.seal(bytes)).as_deref(), Ok(bytes));
    if let Ok(request) = ForwardRequest::decode(bytes) {
        assert_eq!(request.encode(), bytes);
    }
    if let Some(identity) = GatewayHandshake::identity_in(bytes) {
        assert_eq!(identity[..], bytes[..32]);
    }
    for size in PacketSize::ALL {
        if let Ok(delivery) = delivery(size, bytes) {
            let taken = if delivery.return_packet.is_some() { RETURN_PACKET_LEN } else { 0 };
            assert_eq!(delivery.message, &bytes[taken..]);
        }
    }
    if let Ok((packet, _)) = ReturnPacket::decode(bytes) {
        assert_eq!(ReturnPacket::decode(&packet.encode()), Ok((packet.clone(), &[][..])));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(parsed) = GatewayText::parse(text) {
        assert_eq!(GatewayText::parse(&parsed.to_json()), Ok(parsed));
    }
    if let Ok(parsed) = ClientText::parse(text) {
        if let ClientText::Authenticate { address, enc_address, iv } = &parsed
            && let Ok(authentication) = Authentication::parse(address, enc_address, iv)
        {
            assert_eq!(
                Authentication::parse(address, enc_address, iv).map(|a| a.is_of(&key)),
                Ok(authentication.is_of(&key))
            );
        }
        assert_eq!(ClientText::parse(&parsed.to_json()), Ok(parsed));
    }
});
