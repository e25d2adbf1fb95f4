use proptest::prelude::*;

use nym_mixnode_sphinx::public_key;

use super::*;
use crate::ack::{ACK_LEN, RETURN_PACKET_LEN};

fn route() -> [Hop; CLIENT_HOPS] {
    [1, 2, 3, 4].map(|n| Hop { address: ([192, 0, 2, n], 1789).into(), sphinx_key: public_key(&[n; 32]) })
}

fn block() -> ReplyBlock {
    ReplyBlock::build(&route(), &[Duration::ZERO; 3], &[7; 32], &mut rand::rng()).unwrap()
}

fn return_packet() -> ReturnPacket {
    ReturnPacket::build(&route(), &[Duration::ZERO; 3], &[8; 32], &[9; ACK_LEN], &mut rand::rng()).unwrap()
}

#[test]
fn a_reply_has_at_most_1610_bytes() {
    let (first_hop, packet) = block().answer(&[1; REPLY_LEN_MAX], &return_packet()).unwrap();
    assert_eq!((first_hop, packet.len()), (route()[0].address, PacketSize::Regular.packet_len()));
    let error = block().answer(&[1; REPLY_LEN_MAX + 1], &return_packet()).unwrap_err();
    assert_eq!(error, ReplyTooLong(1611));
    assert!(error.to_string().ends_with("Received: 1611 bytes and maximum is 1610 bytes"));
}

#[test]
fn a_block_survives_bytes_and_text() {
    let block = block();
    let copies = [
        ReplyBlock::from_bytes(block.to_bytes().as_slice().try_into().unwrap()).unwrap(),
        block.to_base58().parse().unwrap(),
    ];
    for copy in copies {
        assert_eq!(copy.to_bytes(), block.to_bytes());
    }
    let mut damaged: [u8; REPLY_BLOCK_LEN] = block.to_bytes().as_slice().try_into().unwrap();
    damaged[KEY_LEN + 348] = 9;
    assert!(matches!(ReplyBlock::from_bytes(&damaged), Err(ReplyBlockError::Header(_))));
    for wrong in ["", "0", &"z".repeat(1 << 20), &block.to_base58()[..1500]] {
        assert_eq!(wrong.parse::<ReplyBlock>().err(), Some(ReplyBlockError::Form));
    }
}

#[test]
fn a_return_packet_precedes_the_reply() {
    let packet = return_packet();
    let sealed = Sealed::reply([3; 32], padded(b"x"));
    let plaintext = sealed.with_return_packet(&packet);
    assert_eq!(ReturnPacket::decode(&plaintext), Ok((packet, &sealed.to_bytes()[..])));
    assert_eq!(plaintext[..RETURN_PACKET_LEN].len() + sealed.to_bytes().len(), 2048);
}

proptest! {
    #[test]
    fn any_reply_is_opened_by_its_key_or_an_error(key: [u8; 16], fill: u8, end: u16) {
        let mut body = Box::new([fill; FRAGMENT_LEN]);
        body[usize::from(end) % FRAGMENT_LEN..].fill(0);
        if let Ok(reply) = ReplyKey::from_bytes(&key).open(body) {
            prop_assert!(reply.len() <= REPLY_LEN_MAX);
        }
    }
}
