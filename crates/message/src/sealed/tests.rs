use proptest::prelude::*;

use super::*;
use crate::content::Content;
use crate::fragment::Fragments;

fn fragment() -> Fragment {
    Fragments::of(Content { data: vec![5; 100], reply_block: None }, &mut rand::rng()).get(0).unwrap()
}

#[test]
fn only_the_recipient_opens_a_message() {
    let sealed = Sealed::fragment(&fragment(), &public_key(&[1; 32]), &mut rand::rng()).unwrap();
    let sealed_again = Sealed::fragment(&fragment(), &public_key(&[1; 32]), &mut rand::rng()).unwrap();
    assert_ne!(sealed, sealed_again);
    let Ok(Pushed::Message(received)) = Pushed::decode(&sealed.to_bytes()) else { panic!() };
    let Ok(Opened::Fragment(opened)) = received.open(&[1; 32]) else { panic!() };
    assert_eq!(opened.payload(), [&[0][..], &[5; 100], &[1], &[0; 1502]].concat());
    assert_ne!(sealed.open(&[2; 32]), Ok(Opened::Fragment(opened)));
}

#[test]
fn cover_has_the_length_of_a_message() {
    let cover = Sealed::cover(&public_key(&[1; 32]), &mut rand::rng()).unwrap();
    assert_eq!(cover.to_bytes().len(), SEALED_LEN);
    assert_eq!(cover.open(&[1; 32]), Ok(Opened::Cover));
}

#[test]
fn keys_of_low_order_are_errors() {
    assert_eq!(Sealed::cover(&[0; 32], &mut rand::rng()), Err(WeakKey));
    let Ok(Pushed::Message(message)) = Pushed::decode(&[0; SEALED_LEN]) else { panic!() };
    assert_eq!(message.open(&[1; 32]), Err(OpenError::WeakKey));
}

proptest! {
    #[test]
    fn any_bytes_are_an_acknowledgement_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..1700)) {
        match Pushed::decode(&bytes) {
            Ok(Pushed::Ack(ack)) => prop_assert_eq!(&ack[..], &bytes),
            Ok(Pushed::Message(message)) => prop_assert_eq!(message.to_bytes(), bytes),
            Err(error) => prop_assert_eq!(error, OpenError::Length(bytes.len())),
        }
    }

    #[test]
    fn any_message_is_opened_or_an_error(prefix: [u8; 32], fill: u8) {
        let bytes = [&prefix[..], &[fill; FRAGMENT_LEN]].concat();
        let Ok(Pushed::Message(message)) = Pushed::decode(&bytes) else { panic!() };
        if let Ok(Opened::Fragment(fragment)) = message.open(&[1; 32]) {
            prop_assert!(fragment.header().current().get() <= fragment.header().total());
        }
    }
}
