use super::*;
use crate::{Engine, Outcome, UnwrapError, plaintext};

const KEYS: [Bytes32; CLIENT_HOPS] = [[1; 32], [2; 32], [3; 32], [4; 32]];
const DELAYS: [Duration; 3] = [Duration::from_nanos(1), Duration::from_millis(2), Duration::from_secs(3)];

fn route() -> [Hop; CLIENT_HOPS] {
    let mut port = 0;
    KEYS.map(|key| {
        port += 1;
        Hop { address: ([192, 0, 2, 1], port).into(), sphinx_key: public_key(&key) }
    })
}

/// The outcome at each hop, and the message.
fn walk(mut packet: Vec<u8>) -> (Vec<Outcome<UnwrapError>>, Vec<u8>) {
    let mut seen = Vec::new();
    for key in KEYS {
        let (mut batch, mut outcomes) = ([packet], Vec::new());
        Engine::new(key).unwrap_batch(&mut batch, &mut outcomes, |_| Ok::<_, UnwrapError>(()));
        [packet] = batch;
        seen.append(&mut outcomes);
    }
    (seen, plaintext(&packet[HEADER_LEN..]).unwrap().to_vec())
}

#[test]
fn every_size_reaches_its_destination_along_the_route() {
    for size in PacketSize::ALL {
        let message = vec![size as u8; size.plaintext_len()];
        let header = ClientHeader::build(&route(), &DELAYS, &[7; 32], &mut rand::rng()).unwrap();
        let (seen, delivered) = walk(header.seal(size, &message).unwrap());
        for (outcome, (hop, delay)) in seen.iter().zip(route()[1..].iter().zip(DELAYS)) {
            assert_eq!(*outcome, Outcome::Forward { next_hop: hop.address, delay });
        }
        let Outcome::Final { destination, identifier, .. } = seen[3] else { panic!("{:?}", seen[3]) };
        assert_eq!((destination, identifier), ([7; 32], [0; 16]));
        assert_eq!(delivered, message);
    }
}

#[test]
fn an_encoded_header_makes_the_same_packet() {
    let header = ClientHeader::build(&route(), &DELAYS, &[7; 32], &mut rand::rng()).unwrap();
    let bytes: [u8; CLIENT_HEADER_LEN] = header.to_bytes().as_slice().try_into().unwrap();
    let decoded = ClientHeader::from_bytes(&bytes).unwrap();
    assert_eq!(decoded.first_hop(), route()[0].address);
    assert_eq!(decoded.seal(PacketSize::Ack, b"x"), header.seal(PacketSize::Ack, b"x"));
}

#[test]
fn weak_keys_long_messages_and_unknown_addresses_are_errors() {
    let mut weak = route();
    weak[2].sphinx_key = [0; 32];
    let error = ClientHeader::build(&weak, &DELAYS, &[7; 32], &mut rand::rng()).err();
    assert_eq!(error, Some(ClientHeaderError::WeakKey(weak[2].address)));
    let header = ClientHeader::build(&route(), &DELAYS, &[7; 32], &mut rand::rng()).unwrap();
    let mut bytes: [u8; CLIENT_HEADER_LEN] = header.to_bytes().as_slice().try_into().unwrap();
    assert_eq!(header.seal(PacketSize::Ack, &[0; 22]), Err(ClientHeaderError::TooLong { len: 22, max: 21 }));
    bytes[HEADER_LEN] = 9;
    assert_eq!(ClientHeader::from_bytes(&bytes).err(), Some(ClientHeaderError::FirstHop(AddressError(9))));
}
