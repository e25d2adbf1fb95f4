//! The protocol between client and gateway.

use nym_mixnode_keys::{IdentityKeyPair, KeyGenerationError, SecretKey};
use serde_json::Value;

use super::{Case, Scripted, array, bytes, list, number, sha256, text};
use crate::gateway::{
    ACCEPTED, Authentication, ClientHandshake, ClientText, ForwardRequest, GatewayHandshake, GatewayText,
    HandshakeError, Mode, Refusal, SharedKey,
};

fn identity(seed: &Value) -> IdentityKeyPair {
    let seed = SecretKey::written_by(|key| {
        *key = array(seed);
        Ok::<_, KeyGenerationError>(())
    });
    IdentityKeyPair::from_seed(seed.unwrap()).unwrap()
}

/// What a message of a handshake carries.
fn data(message: &Value) -> Vec<u8> {
    match (&message["from"], text(&message["text"])) {
        (from, text) if from == "client" => match ClientText::parse(text).unwrap() {
            ClientText::HandshakePayload { data } => data,
            other => panic!("{other:?}"),
        },
        (_, text) => match GatewayText::parse(text).unwrap() {
            GatewayText::HandshakePayload { data } => data,
            other => panic!("{other:?}"),
        },
    }
}

pub(super) fn handshake(case: &Case) {
    let messages = list(&case.out["messages"]);
    let message = |at: usize| text(&messages[at]["text"]);
    if let Some(first) = case.input["init"].as_str() {
        let gateway = IdentityKeyPair::generate().unwrap();
        let error = GatewayHandshake::begin(&gateway, &super::hex(first), &mut rand::rng()).err().unwrap();
        assert_eq!(GatewayText::HandshakeError { message: error.to_string() }.to_json(), message(0));
        return assert_eq!(error.to_string(), text(&case.out["gateway"]["error"]));
    }
    let (client, gateway) =
        (identity(&case.input["client_identity_seed"]), identity(&case.input["gateway_identity_seed"]));
    assert_eq!(gateway.public(), &array(&case.input["gateway_identity"]));
    let random = |name: &str| Scripted(bytes(&case.input[name]));
    let (state, first) = ClientHandshake::begin(&client, *gateway.public(), &mut random("client_ephemeral_bytes"));
    assert_eq!(ClientText::HandshakePayload { data: first.to_vec() }.to_json(), message(0));
    let (server, second) = GatewayHandshake::begin(&gateway, &first, &mut random("gateway_ephemeral_bytes")).unwrap();
    let recorded = data(&messages[1]);
    match state.answer(&recorded) {
        Err(error) => {
            assert_ne!(second[..], recorded);
            assert_eq!(ClientText::HandshakeError { message: error.to_string() }.to_json(), message(2));
            check_error(case, "client", "gateway", &error);
        }
        Ok((state, third)) => {
            assert_eq!(second[..], recorded);
            let recorded = data(&messages[2]);
            match server.finish(&recorded) {
                Err(error) => {
                    assert_ne!(third[..], recorded);
                    assert_eq!(GatewayText::HandshakeError { message: error.to_string() }.to_json(), message(3));
                    check_error(case, "gateway", "client", &error);
                }
                Ok(key) => {
                    assert_eq!(third[..], recorded);
                    assert_eq!(data(&messages[3]), ACCEPTED);
                    check_key(&case.out["gateway"], &key);
                    check_key(&case.out["client"], &state.finish(&data(&messages[3])).unwrap());
                }
            }
        }
    }
}

/// The side that found a fault, and the other one.
fn check_error(case: &Case, side: &str, other: &str, error: &HandshakeError) {
    assert_eq!(error.to_string(), text(&case.out[side]["error"]));
    assert_eq!(HandshakeError::Remote(error.to_string()).to_string(), text(&case.out[other]["error"]));
}

fn check_key(out: &Value, key: &SharedKey) {
    assert_eq!(*key.to_bytes(), array(&out["shared_key"]));
    assert_eq!(*key.to_base58(), text(&out["shared_key_base58"]));
}

fn shared_key(case: &Case) -> SharedKey {
    SharedKey::from_bytes(&array(&case.input["shared_key"]))
}

pub(super) fn authenticate(case: &Case) {
    let mut iv = Scripted(bytes(&case.input["iv"]));
    let made = Authentication::new(array(&case.input["identity"]), &shared_key(case), &mut iv);
    assert_eq!(made.to_text().to_json(), text(&case.out["request"]));
    let request = ClientText::parse(text(&case.out["request"])).unwrap();
    let ClientText::Authenticate { address, enc_address, iv } = request else { panic!("another message") };
    assert_eq!(bs58::decode(&enc_address).into_vec().unwrap(), bytes(&case.out["encrypted_address"]));
    let parsed = Authentication::parse(&address, &enc_address, &iv).unwrap();
    assert_eq!(case.out["accepted"], parsed.is_of(&shared_key(case)));
}

pub(super) fn gateway_response_text(case: &Case) {
    let expected = match case.name.as_str() {
        "authenticate refused" => GatewayText::Authenticate { status: false },
        "register ok" => GatewayText::Register { status: true },
        name => panic!("{name}"),
    };
    assert_eq!(expected.to_json(), text(&case.out["text"]));
    assert_eq!(GatewayText::parse(text(&case.out["text"])), Ok(expected));
}

/// Compares a binary message with the one in `out`, which has only the hash of a long one.
fn check_binary(message: &[u8], out: &Value, name: &str) {
    assert_eq!(message.len() as u64, number(&out[format!("{name}_len")]));
    assert_eq!(sha256(message), text(&out[format!("{name}_sha256")]));
}

pub(super) fn forward_request(case: &Case) {
    let mode = if number(&case.input["mode"]) == 1 { Mode::Vpn } else { Mode::Mix };
    let next_hop = text(&case.input["next_hop"]).parse().unwrap();
    let request = ForwardRequest { mode, next_hop, packet: bytes(&case.input["sphinx_packet"]) };
    check_binary(&request.encode(), &case.out, "plain");
    let message = shared_key(case).seal(&request.encode());
    check_binary(&message, &case.out, "message");
    assert_eq!(ForwardRequest::decode(&shared_key(case).open(&message).unwrap()), Ok(request));
}

pub(super) fn forward_request_error(case: &Case) {
    let refusal = match shared_key(case).open(&bytes(&case.input["message"])) {
        Err(error) => Refusal::from(error),
        Ok(content) => Refusal::from(ForwardRequest::decode(&content).unwrap_err()),
    };
    assert_eq!(GatewayText::from(&refusal).to_json(), text(&case.out["reply"]));
}

pub(super) fn pushed_message(case: &Case) {
    let message = bytes(&case.input["message"]);
    let sealed = shared_key(case).seal(&message);
    check_binary(&sealed, &case.out, "ws_binary");
    assert_eq!(shared_key(case).open(&sealed), Ok(message));
}
