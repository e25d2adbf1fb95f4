//! A client and a gateway of 0.9.2: a registration, then cover, a message to itself and a reply, with all keys.

use std::collections::HashMap;

use nym_mixnode_keys::{IdentityKeyPair, KeyGenerationError, SecretKey};
use serde_json::Value;

use super::packets::received;
use super::walk::{Nodes, address, walk};
use super::{Case, array, bytes, list, number, sha256, text};
use crate::ack::{AckKey, Acknowledged};
use crate::application::{Request, Response};
use crate::content::unpadded;
use crate::fragment::Fragment;
use crate::gateway::{
    ACCEPTED, Authentication, ClientText, ForwardRequest, GatewayHandshake, GatewayText, Mode, SharedKey,
};
use crate::key_file::ClientKeyFile;
use crate::reply::{ReplyDigest, ReplyKey};
use crate::sealed::{Opened, Pushed, Sealed};

/// The client's keys, and those of all nodes.
struct Keys {
    identity: IdentityKeyPair,
    encryption: [u8; 32],
    shared: SharedKey,
    ack: AckKey,
    nodes: Nodes,
    replies: HashMap<ReplyDigest, ReplyKey>,
}

impl Keys {
    fn of(case: &Case) -> Self {
        let key = |file: ClientKeyFile| {
            file.decode(text(&case.input["client_pem"][file.name()]).as_bytes()).unwrap().to_vec()
        };
        let seed = SecretKey::written_by(|seed| {
            *seed = key(ClientKeyFile::PrivateIdentity).try_into().unwrap();
            Ok::<_, KeyGenerationError>(())
        });
        let identity = IdentityKeyPair::from_seed(seed.unwrap()).unwrap();
        assert_eq!(identity.public()[..], key(ClientKeyFile::PublicIdentity));
        let nodes = case.input["sphinx_private"].as_object().unwrap();
        Self {
            identity,
            encryption: key(ClientKeyFile::PrivateEncryption).try_into().unwrap(),
            shared: SharedKey::from_bytes(&key(ClientKeyFile::GatewayShared).try_into().unwrap()),
            ack: AckKey::from_bytes(&key(ClientKeyFile::Ack).try_into().unwrap()),
            nodes: nodes.iter().map(|(address, key)| (address.parse().unwrap(), array(key))).collect(),
            replies: HashMap::new(),
        }
    }
}

pub(super) fn capture(case: &Case) {
    let mut keys = Keys::of(case);
    learn_replies(case, &mut keys);
    let messages = list(&case.input["messages"]);
    check_first(&keys, messages);
    let mut kinds = HashMap::<&str, usize>::new();
    for (message, decoded) in messages.iter().zip(list(&case.out["decoded"])) {
        let (sender, content) = (text(&message[1]), text(&message[3]));
        match (text(&message[2]), sender) {
            ("text", "client") => check_client_text(content, decoded, &keys),
            ("text", _) => check_gateway_text(content, decoded),
            (_, "client") => check_forwarded(&keys, &bytes(&message[3]), decoded),
            _ => check_pushed(&keys, &bytes(&message[3]), decoded),
        }
        *kinds.entry(decoded["is"].as_str().unwrap_or("text")).or_default() += 1;
    }
    for kind in ["cover", "fragment", "reply", "ack of a cover packet", "ack of a fragment", "ack of a reply", "text"] {
        assert!(kinds.contains_key(kind), "{kind}");
    }
    assert_eq!(messages.len(), list(&case.out["decoded"]).len());
}

/// The application has answered the message that it had sent to itself.
fn learn_replies(case: &Case, keys: &mut Keys) {
    for exchanged in list(&case.out["local_socket"]) {
        match text(&exchanged[0]) {
            "application" => match Request::from_json(text(&exchanged[1])).unwrap() {
                Request::Send { recipient, with_reply_block, .. } => {
                    assert_eq!(recipient.to_string(), text(&case.out["address"]));
                    assert!(with_reply_block);
                }
                Request::Reply { reply_block, .. } => {
                    keys.replies.insert(reply_block.key().digest(), reply_block.key().clone());
                }
                Request::SelfAddress => panic!("not recorded"),
            },
            _ => assert!(matches!(Response::from_json(text(&exchanged[1])), Ok(Response::Received { .. }))),
        }
    }
    assert_eq!(keys.replies.len(), 1);
}

/// The first message of the registration is the client's, and the gateway of today accepts it.
fn check_first(keys: &Keys, messages: &[Value]) {
    let Ok(ClientText::HandshakePayload { data }) = ClientText::parse(text(&messages[0][3])) else { panic!() };
    let gateway = IdentityKeyPair::generate().unwrap();
    let (state, _) = GatewayHandshake::begin(&gateway, &data, &mut rand::rng()).unwrap();
    assert_eq!(state.client(), keys.identity.public());
    let Ok(GatewayText::HandshakePayload { data }) = GatewayText::parse(text(&messages[3][3])) else { panic!() };
    assert_eq!(data, ACCEPTED);
}

fn check_client_text(content: &str, decoded: &Value, keys: &Keys) {
    let parsed = ClientText::parse(content).unwrap();
    assert_eq!(parsed.to_json(), content);
    match parsed {
        ClientText::HandshakePayload { .. } => assert_eq!(decoded["json"], "handshakePayload"),
        ClientText::Authenticate { address, enc_address, iv } => {
            assert_eq!(decoded["json"], "authenticate");
            let authentication = Authentication::parse(&address, &enc_address, &iv).unwrap();
            assert_eq!(authentication.identity(), keys.identity.public());
            assert!(authentication.is_of(&keys.shared));
        }
        other => panic!("{other:?}"),
    }
}

fn check_gateway_text(content: &str, decoded: &Value) {
    let parsed = GatewayText::parse(content).unwrap();
    assert_eq!(parsed.to_json(), content);
    let kind = match parsed {
        GatewayText::HandshakePayload { .. } => "handshakePayload",
        GatewayText::Register { status: true } => "register",
        GatewayText::Authenticate { status: true } => "authenticate",
        GatewayText::Send { status: true } => "send",
        other => panic!("{other:?}"),
    };
    assert_eq!(decoded["json"], kind);
}

fn check_forwarded(keys: &Keys, message: &[u8], decoded: &Value) {
    let request = ForwardRequest::decode(&keys.shared.open(message).unwrap()).unwrap();
    assert_eq!(request.mode, Mode::Mix);
    assert_eq!(request.next_hop, address(&decoded["first_hop"]));
    assert_eq!(request.packet.len() as u64, number(&decoded["sphinx_len"]));
    let walk = walk(&keys.nodes, request.next_hop, request.packet);
    let route: Vec<_> = list(&decoded["route"]).iter().map(address).collect();
    assert_eq!(walk.nodes, route);
    assert_eq!(&walk.destination, keys.identity.public());
    let (_, return_packet, sealed) = received(&walk.plaintext);
    assert_eq!(return_packet.first_hop, address(&decoded["ack_first_hop"]));
    check_sealed(keys, sealed, decoded);
}

fn check_pushed(keys: &Keys, message: &[u8], decoded: &Value) {
    match Pushed::decode(&keys.shared.open(message).unwrap()).unwrap() {
        Pushed::Message(sealed) => check_sealed(keys, sealed, decoded),
        Pushed::Ack(ack) => {
            let acknowledged = keys.ack.open(&ack).unwrap();
            let kind = match acknowledged {
                Acknowledged::Cover => "ack of a cover packet",
                Acknowledged::Fragment(..) => "ack of a fragment",
                Acknowledged::Reply(_) => "ack of a reply",
            };
            assert_eq!(decoded["is"], kind);
            assert_eq!(acknowledged.encode(), array(&decoded["fragment_identifier"]));
        }
    }
}

fn check_sealed(keys: &Keys, sealed: Sealed, decoded: &Value) {
    if let Some(key) = keys.replies.get(sealed.digest()) {
        assert_eq!(decoded["is"], "reply");
        return assert_eq!(sealed.open_reply(key), Ok(bytes(&decoded["message"])));
    }
    match sealed.open(&keys.encryption).unwrap() {
        Opened::Cover => assert_eq!(decoded["is"], "cover"),
        Opened::Fragment(fragment) => {
            assert_eq!(decoded["is"], "fragment");
            check_fragment(&fragment, decoded);
        }
    }
}

fn check_fragment(fragment: &Fragment, decoded: &Value) {
    let header = fragment.header();
    assert_eq!(u64::from(header.set().get()), number(&decoded["set"]));
    let place = (u64::from(header.current().get()), u64::from(header.total()));
    assert_eq!(place, (number(&decoded["current"]), number(&decoded["total"])));
    let payload = sha256(fragment.payload());
    assert_eq!(payload, text(&decoded["payload_sha256"]));
    assert_eq!(unpadded(fragment.payload()).unwrap()[0], 1);
}
