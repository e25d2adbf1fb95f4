//! Packets of 0.9.2 clients on their way, and packets that must be theirs byte for byte.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nym_mixnode_sphinx::{
    ClientHeader, Engine, HEADER_LEN, Hop, Outcome, PacketSize, UnwrapError, decode_next_hop, plaintext,
};
use serde_json::Value;

use super::walk::{Nodes, address, nodes, walk};
use super::{Case, Scripted, array, bytes, list, number, sha256, text};
use crate::ack::{AckKey, Acknowledged, ReturnPacket, ReturnPacketError};
use crate::final_hop::{Delivery, delivery};
use crate::reassembly::{Bounds, Progress, Reassembly};
use crate::reply::{ReplyBlock, ReplyKey};
use crate::sealed::{Opened, Pushed, Sealed};

pub(super) fn sphinx_build(case: &Case) {
    let input = &case.input;
    let route: Vec<Hop> = list(&input["route"]).iter().map(hop).collect();
    let delays: Vec<Duration> = list(&input["delays_ns"]).iter().map(|ns| Duration::from_nanos(number(ns))).collect();
    assert_eq!(bytes(&input["identifier"]), [0; 16]);
    let mut rng = Scripted([bytes(&input["secret"]), bytes(&input["random_padding"])].concat());
    let destination = array(&input["destination"]);
    let delays = delays.first_chunk().unwrap();
    let header = ClientHeader::build(route.as_slice().try_into().unwrap(), delays, &destination, &mut rng).unwrap();
    assert!(rng.0.is_empty());
    let size = PacketSize::from_wire(u8::try_from(number(&input["size_type"])).unwrap()).unwrap();
    assert!(header.seal(size, &bytes(&input["plaintext"])).unwrap() == bytes(&case.out["packet"]));
}

fn hop(value: &Value) -> Hop {
    let address = decode_next_hop(&array(&value["address"])).unwrap();
    Hop { address, sphinx_key: array(&value["sphinx_public"]) }
}

/// The sealed message and the return packet in the plaintext of a regular packet.
pub(super) fn received(plaintext: &[u8]) -> (Vec<u8>, ReturnPacket, Sealed) {
    let Ok(Delivery { message, return_packet: Some(packet) }) = delivery(PacketSize::Regular, plaintext) else {
        panic!("no return packet")
    };
    let Ok(Pushed::Message(sealed)) = Pushed::decode(message) else { panic!("no message") };
    assert_eq!(sealed.to_bytes(), message);
    assert_eq!(sealed.with_return_packet(&packet), plaintext);
    (message.to_vec(), packet, sealed)
}

/// The acknowledgement in a return packet.
pub(super) fn acknowledgement(nodes: &Nodes, packet: &ReturnPacket, out: &Value) -> Vec<u8> {
    let walk = walk(nodes, packet.first_hop, packet.packet.to_vec());
    walk.check_final(out);
    let delivered = delivery(PacketSize::Ack, &walk.plaintext).unwrap();
    assert_eq!(delivered.return_packet, None);
    delivered.message.to_vec()
}

fn opened(ack_key: &Value, ack: &[u8]) -> Acknowledged {
    AckKey::from_bytes(&array(ack_key)).open(ack.try_into().unwrap()).unwrap()
}

fn identifier(value: &Value) -> Acknowledged {
    Acknowledged::decode(array(value)).unwrap()
}

pub(super) fn fragment_packet(case: &Case) {
    let (input, nodes) = (&case.input, nodes(&case.input["nodes"]));
    let mut reassembly = Reassembly::new(Bounds::default());
    let mut content = None;
    for out in list(&case.out["packets"]) {
        let walk = walk(&nodes, address(&out["first_hop"]), bytes(&out["packet"]));
        walk.check(out);
        walk.check_at_gateway(&out["packet_at_gateway"]);
        let (message, packet, sealed) = received(&walk.plaintext);
        assert_eq!(message, bytes(&out["pushed_to_client"]));
        assert_eq!(packet.first_hop, address(&out["ack"]["first_hop"]));
        assert_eq!(packet.packet[..], bytes(&out["ack"]["packet"]));
        let ack = acknowledgement(&nodes, &packet, &out["ack"]["final"]);
        assert_eq!(ack, bytes(&out["ack"]["pushed_to_client"]));
        let Ok(Opened::Fragment(fragment)) = sealed.open(&array(&input["recipient"]["encryption_private"])) else {
            panic!("no fragment")
        };
        assert_eq!(fragment.bytes()[..], bytes(&out["fragment"]));
        assert_eq!(opened(&input["sender"]["ack_key"], &ack), Acknowledged::fragment(fragment.header()));
        assert_eq!(identifier(&out["ack"]["fragment_identifier"]), Acknowledged::fragment(fragment.header()));
        if let Progress::Complete(complete) = reassembly.insert(&fragment, Instant::now()).unwrap() {
            content = Some(complete);
        }
    }
    let content = content.unwrap();
    assert_eq!(content.data, bytes(&input["message"]));
    assert_eq!(content.reply_block.is_some(), input["with_reply_surb"] == true);
    if let Some(block) = content.reply_block {
        assert_eq!(**block.to_bytes(), bytes(&case.out["reply_surb"]));
        assert_eq!(*block.key().to_bytes(), array(&case.out["reply_key"]));
    }
}

pub(super) fn reply(case: &Case) {
    let (input, out, nodes) = (&case.input, &case.out, nodes(&case.input["nodes"]));
    let block = ReplyBlock::from_bytes(&array(&input["reply_surb"])).unwrap();
    assert_eq!(*block.to_base58(), text(&out["reply_surb_base58"]));
    assert_eq!(block.key().digest(), array(&out["reply_key_digest"]));
    let header = block.clone().into_header();
    assert_eq!(header.first_hop(), address(&out["surb_with_plaintext"]["first_hop"]));
    let packet = header.seal(PacketSize::Regular, &bytes(&input["plaintext_for_surb"])).unwrap();
    assert!(packet == bytes(&out["surb_with_plaintext"]["packet"]));

    let walk = walk(&nodes, address(&out["first_hop"]), bytes(&out["packet"]));
    walk.check(out);
    walk.check_at_gateway(&out["packet_at_gateway"]);
    let (message, return_packet, sealed) = received(&walk.plaintext);
    assert_eq!(message, bytes(&out["pushed_to_owner"]));
    assert_eq!(*sealed.digest(), array(&out["reply_key_digest"]));
    let key = ReplyKey::from_bytes(&array(&out["reply_key"]));
    assert_eq!(sealed.open_reply(&key), Ok(bytes(&input["message"])));
    check_ack(out, &nodes, &return_packet, &input["replier"]["ack_key"]);

    // The same reply, made here, is the same packet: nothing in it is random.
    let (first_hop, packet) = block.answer(&bytes(&input["message"]), &return_packet).unwrap();
    assert_eq!(first_hop, address(&out["first_hop"]));
    assert!(packet == bytes(&out["packet"]));
}

fn check_ack(out: &Value, nodes: &Nodes, packet: &ReturnPacket, ack_key: &Value) {
    assert_eq!(packet.first_hop, address(&out["ack_first_hop"]));
    assert_eq!(packet.packet[..], bytes(&out["ack_packet"]));
    let ack = acknowledgement(nodes, packet, out.get("ack_final").unwrap_or(&out["final"]));
    assert_eq!(ack, bytes(&out["ack_content"]));
    assert_eq!(opened(ack_key, &ack), identifier(&out["ack_identifier"]));
}

pub(super) fn cover(case: &Case) {
    let (client, out, nodes) = (&case.input["client"], &case.out, nodes(&case.input["nodes"]));
    let walk = walk(&nodes, address(&out["first_hop"]), bytes(&out["packet"]));
    walk.check(out);
    walk.check_at_gateway(&out["packet_at_gateway"]);
    let (message, packet, sealed) = received(&walk.plaintext);
    assert_eq!(message, bytes(&out["pushed_to_client"]));
    assert_eq!(sealed.open(&array(&client["encryption_private"])), Ok(Opened::Cover));
    assert_eq!(crate::sealed::padded(b"The cake is a lie!")[..], bytes(&out["plaintext"]));
    check_ack(out, &nodes, &packet, &client["ack_key"]);
}

pub(super) fn surb_ack(case: &Case) {
    let (input, out, nodes) = (&case.input, &case.out, nodes(&case.input["nodes"]));
    let encoded = bytes(&input["surb_ack"]);
    let (packet, rest) = ReturnPacket::decode(&encoded).unwrap();
    assert_eq!((packet.encode().len() as u64, rest), (number(&out["len"]), &[][..]));
    assert_eq!(packet.encode()[..], encoded);
    let walk = walk(&nodes, packet.first_hop, packet.packet.to_vec());
    walk.check(out);
    assert_eq!(walk.plaintext, bytes(&out["content"]));
    assert_eq!(opened(&input["client"]["ack_key"], &walk.plaintext), identifier(&out["fragment_identifier"]));
}

pub(super) fn final_hop(case: &Case) {
    let frame = bytes(&case.input["frame"]);
    let size = PacketSize::from_wire(frame[0]).unwrap();
    let (mut batch, mut outcomes) = ([frame[2..].to_vec()], Vec::new());
    Engine::new(array(&case.input["gateway_sphinx_private"]))
        .unwrap_batch(&mut batch, &mut outcomes, |_| Ok::<_, UnwrapError>(()));
    let Outcome::Final { destination, .. } = outcomes[0] else { panic!("{:?}", outcomes[0]) };
    let plaintext = plaintext(&batch[0][HEADER_LEN..]).unwrap();
    let delivered = delivery(size, plaintext);
    if case.out["dropped"].is_string() {
        return assert!(matches!(delivered, Err(ReturnPacketError::FirstHop(_))));
    }
    let delivered = delivered.unwrap();
    assert_eq!(destination, array(&case.out["destination"]));
    assert_eq!(delivered.message.len() as u64, number(&case.out["message_len"]));
    assert_eq!(sha256(delivered.message), text(&case.out["message_sha256"]));
    let ack = &case.out["ack"];
    let expected: Option<(SocketAddr, Vec<u8>)> =
        ack.is_object().then(|| (address(&ack["next_hop"]), bytes(&ack["packet"])));
    assert_eq!(delivered.return_packet.map(|packet| (packet.first_hop, packet.packet.to_vec())), expected);
}
