use nym_mixnode_keys::IdentityKeyPair;
use nym_mixnode_sphinx::PacketSize;
use proptest::prelude::*;

use super::*;

fn key(fill: u8) -> SharedKey {
    SharedKey::from_bytes(&[fill; 32])
}

/// Both ends of a handshake after its third message.
fn handshake(signer: &IdentityKeyPair, gateway: &IdentityKeyPair) -> Result<(SharedKey, SharedKey), HandshakeError> {
    let rng = &mut rand::rng();
    let (client, first) = ClientHandshake::begin(signer, *gateway.public(), rng);
    let (server, second) = GatewayHandshake::begin(gateway, &first, rng)?;
    assert_eq!(server.client(), signer.public());
    let (client, third) = client.answer(&second)?;
    let registered = server.finish(&third)?;
    Ok((client.finish(&ACCEPTED)?, registered))
}

#[test]
fn a_handshake_gives_both_sides_one_key_and_each_time_another() {
    let (client, gateway) = (IdentityKeyPair::generate().unwrap(), IdentityKeyPair::generate().unwrap());
    let (one, same) = handshake(&client, &gateway).unwrap();
    let (other, _) = handshake(&client, &gateway).unwrap();
    assert_eq!(one.to_bytes(), same.to_bytes());
    assert_ne!(one.to_bytes(), other.to_bytes());
}

#[test]
fn messages_of_a_handshake_that_do_not_fit_are_errors() {
    let (client, gateway) = (IdentityKeyPair::generate().unwrap(), IdentityKeyPair::generate().unwrap());
    let rng = &mut rand::rng();
    let begin = |first: &[u8]| GatewayHandshake::begin(&gateway, first, &mut rand::rng()).err();
    let (state, first) = ClientHandshake::begin(&client, *gateway.public(), rng);
    assert_eq!(begin(&first[..63]), Some(HandshakeError::MalformedRequest));
    assert_eq!(begin(&[&first[..], &[0]].concat()), Some(HandshakeError::MalformedRequest));
    let low_order = [&first[..32], &[0; 32]].concat();
    assert_eq!(begin(&low_order), Some(HandshakeError::Unknown));
    let (server, second) = GatewayHandshake::begin(&gateway, &first, rng).unwrap();
    assert_eq!(server.finish(&second).err(), Some(HandshakeError::SignatureLength(96)));
    assert_eq!(state.answer(&second[..95]).err(), Some(HandshakeError::SignatureLength(63)));
    let (state, _) = ClientHandshake::begin(&client, *gateway.public(), rng);
    assert_eq!(state.answer(&second[..31]).err(), Some(HandshakeError::MalformedResponse));
    let (state, _) = ClientHandshake::begin(&client, *gateway.public(), rng);
    assert_eq!(state.answer(&second).err(), Some(HandshakeError::Signature));
}

#[test]
fn a_gateway_with_another_identity_is_rejected() {
    let [client, gateway, other] = [(); 3].map(|()| IdentityKeyPair::generate().unwrap());
    let rng = &mut rand::rng();
    let (state, first) = ClientHandshake::begin(&client, *other.public(), rng);
    let (_, second) = GatewayHandshake::begin(&gateway, &first, rng).unwrap();
    assert_eq!(state.answer(&second).err(), Some(HandshakeError::Signature));
}

#[test]
fn only_one_byte_accepts_a_client() {
    let (client, gateway) = (IdentityKeyPair::generate().unwrap(), IdentityKeyPair::generate().unwrap());
    for (last, expected) in [
        (&REFUSED[..], HandshakeError::Unknown),
        (&[2][..], HandshakeError::MalformedResponse),
        (&[][..], HandshakeError::MalformedResponse),
        (&[1, 1][..], HandshakeError::MalformedResponse),
    ] {
        let rng = &mut rand::rng();
        let (state, first) = ClientHandshake::begin(&client, *gateway.public(), rng);
        let (_, second) = GatewayHandshake::begin(&gateway, &first, rng).unwrap();
        let (state, _) = state.answer(&second).unwrap();
        assert_eq!(state.finish(last).err(), Some(expected));
    }
}

#[test]
fn a_proof_is_valid_for_its_client_and_its_key() {
    let proof = Authentication::new([5; 32], &key(1), &mut rand::rng());
    assert!(proof.is_of(&key(1)) && !proof.is_of(&key(2)));
    let ClientText::Authenticate { address, enc_address, iv } = proof.to_text() else { panic!() };
    assert_eq!(Authentication::parse(&address, &enc_address, &iv), Ok(proof));
    let other = bs58::encode([6; 32]).into_string();
    assert!(!Authentication::parse(&other, &enc_address, &iv).unwrap().is_of(&key(1)));
    let long = "1".repeat(1 << 20);
    for wrong in ["", "0", "abc", long.as_str()] {
        assert_eq!(Authentication::parse(wrong, &enc_address, &iv), Err(Refusal::DestinationAddress));
        assert_eq!(Authentication::parse(&address, wrong, &iv), Err(Refusal::EncryptedAddress));
        assert_eq!(Authentication::parse(&address, &enc_address, wrong), Err(Refusal::Iv));
    }
}

#[test]
fn texts_outside_the_protocol_are_errors() {
    let known = ClientText::parse(r#" {"data":[1,255],"more":0,"type":"registerHandshakeInitRequest"}"#);
    assert_eq!(known, Ok(ClientText::RegisterHandshakeInitRequest { data: vec![1, 255] }));
    let long = format!(r#"{{"type":"handshakePayload","data":[{}0]}}"#, "0,".repeat(TEXT_LEN_MAX));
    for text in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"type":"send"}"#,
        r#"{"type":"handshakePayload"}"#,
        r#"{"type":"handshakePayload","data":[256]}"#,
        r#"{"type":"authenticate","address":"a","encAddress":"b","iv":"c"}"#,
        &long,
    ] {
        assert_eq!(ClientText::parse(text), Err(TextError), "{text:.80}");
    }
}

#[test]
fn packets_of_another_size_or_mode_are_errors() {
    let request = ForwardRequest {
        mode: Mode::Vpn,
        next_hop: "[2001:db8::1]:1789".parse().unwrap(),
        packet: vec![7; PacketSize::Extended32.packet_len()],
    };
    let content = request.encode();
    assert_eq!(content.len(), FORWARD_LEN_MAX);
    assert_eq!(ForwardRequest::decode(&content), Ok(request));
    assert_eq!(ForwardRequest::decode(&[]), Err(ForwardError::Mode));
    assert_eq!(ForwardRequest::decode(&[2, 4]), Err(ForwardError::Mode));
    assert_eq!(ForwardRequest::decode(&[0]), Err(ForwardError::Address));
    assert_eq!(ForwardRequest::decode(&[0, 4, 1, 1, 1, 1, 1]), Err(ForwardError::Address));
    assert_eq!(ForwardRequest::decode(&[0, 4, 1, 1, 1, 1, 1, 1]), Err(ForwardError::Size(0)));
    let of_1_1 = [&[0, 4, 1, 1, 1, 1, 1, 1][..], &[0; PacketSize::Extended8.packet_len()]].concat();
    assert!(matches!(ForwardRequest::decode(&of_1_1), Err(ForwardError::Size(8557))));
}

proptest! {
    #[test]
    fn sealed_messages_survive_and_damaged_ones_do_not(content: Vec<u8>, fill: u8, at: usize, mask in 1_u8..) {
        let mut message = key(fill).seal(&content);
        prop_assert_eq!(key(fill).open(&message), Ok(content));
        let at = at % message.len();
        message[at] ^= mask;
        prop_assert_eq!(key(fill).open(&message), Err(SharedKeyError::Tag));
    }

    #[test]
    fn any_content_is_a_request_that_survives_or_an_error(content in prop::collection::vec(0_u8..8, 0..500)) {
        if let Ok(request) = ForwardRequest::decode(&content) {
            prop_assert_eq!(request.encode(), content);
        }
    }

    #[test]
    fn any_text_is_parsed(text: String) {
        prop_assert_eq!(ClientText::parse(&text), Err(TextError));
        prop_assert_eq!(GatewayText::parse(&text), Err(TextError));
        let error = GatewayText::Error { message: text };
        prop_assert_eq!(GatewayText::parse(&error.to_json()), Ok(error));
    }
}
