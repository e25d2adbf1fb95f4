//! Any messages in place of those of a registration give an error on either side, or the key that both sides have.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nym_mixnode_keys::IdentityKeyPair;
use nym_mixnode_message::gateway::{ClientHandshake, GatewayHandshake};

static CLIENT: LazyLock<IdentityKeyPair> = LazyLock::new(|| IdentityKeyPair::generate().expect("randomness"));
static GATEWAY: LazyLock<IdentityKeyPair> = LazyLock::new(|| IdentityKeyPair::generate().expect("randomness"));

/// The message, or other bytes with this change: where, and which bits.
fn changed(message: &[u8], change: &Option<(u16, u8)>, instead: &[u8]) -> Vec<u8> {
    let Some((at, mask)) = change else { return instead.to_vec() };
    let mut message = message.to_vec();
    let len = message.len();
    message[usize::from(*at) % len] ^= mask;
    message
}

fuzz_target!(|input: ([Option<(u16, u8)>; 4], &[u8])| {
    let (changes, instead) = input;
    let is_genuine = |number: usize| matches!(changes[number], Some((_, 0)));
    let (client, first) = ClientHandshake::begin(&CLIENT, *GATEWAY.public(), &mut rand::rng());
    let begun = GatewayHandshake::begin(&GATEWAY, &changed(&first, &changes[0], instead), &mut rand::rng());
    let Ok((gateway, second)) = begun else {
        assert!(!is_genuine(0));
        return;
    };
    let Ok((verdict, third)) = client.answer(&changed(&second, &changes[1], instead)) else {
        assert!(!is_genuine(0) || !is_genuine(1));
        return;
    };
    let at_gateway = gateway.finish(&changed(&third, &changes[2], instead));
    let at_client = verdict.finish(&changed(&[1], &changes[3], instead));
    assert!(at_gateway.is_ok() || !(0..3).all(is_genuine));
    if let (Ok(at_gateway), Ok(at_client)) = (at_gateway, at_client) {
        assert_eq!(*at_gateway.to_bytes(), *at_client.to_bytes());
    }
});
