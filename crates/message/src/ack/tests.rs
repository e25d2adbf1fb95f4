use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn acknowledgements_survive_the_round_trip(set in 1_u32..1 << 31, fragment: u8, key: [u8; 16]) {
        let set = SetId::new(set).unwrap();
        let kind = NonZeroU8::new(fragment).map_or(Acknowledged::Reply(set), |n| Acknowledged::Fragment(set, n));
        let key = AckKey::from_bytes(&key);
        for acknowledged in [kind, Acknowledged::Cover] {
            prop_assert_eq!(key.open(&key.seal(acknowledged, &mut rand::rng())), Ok(acknowledged));
        }
    }

    #[test]
    fn any_number_is_an_acknowledgement_or_an_error(bytes: [u8; IDENTIFIER_LEN]) {
        match Acknowledged::decode(bytes) {
            Ok(acknowledged) => prop_assert_eq!(acknowledged.encode(), bytes),
            Err(AckError) => prop_assert!(bytes[0] >= 0x80 || (bytes[..4] == [0; 4] && bytes[4] != 0)),
        }
    }

    #[test]
    fn any_bytes_are_a_return_packet_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..500), kind in 0_u8..8) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        match ReturnPacket::decode(&bytes) {
            Ok((packet, rest)) => {
                prop_assert_eq!(rest, &bytes[RETURN_PACKET_LEN..]);
                let encoded = packet.encode();
                let decoded = ReturnPacket::decode(&encoded);
                prop_assert_eq!(decoded, Ok((packet, &[][..])));
            }
            Err(ReturnPacketError::TooShort) => prop_assert!(bytes.len() < RETURN_PACKET_LEN),
            Err(ReturnPacketError::FirstHop(AddressError(found))) => prop_assert!(found == kind && kind != 4 && kind != 6),
        }
    }
}

#[test]
fn fragment_numbers_without_a_set_are_errors() {
    assert_eq!(Acknowledged::decode([0, 0, 0, 0, 1]), Err(AckError));
    assert_eq!(Acknowledged::decode([0x80, 0, 0, 0, 0]), Err(AckError));
}
