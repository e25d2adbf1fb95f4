use proptest::prelude::*;

use super::*;

fn address() -> ClientAddress {
    let point = |seed| curve25519_dalek::EdwardsPoint::mul_base_clamped([seed; 32]).compress().to_bytes();
    ClientAddress::new(point(1), [9; 32], point(2)).unwrap()
}

#[test]
fn texts_of_another_form_are_errors() {
    let text = address().to_string();
    assert_eq!(text.parse(), Ok(address()));
    for wrong in ["", "a", "a.b", "a@b", "a@b.c", &format!("{text}@x"), &format!("x.{text}"), &text.replace('@', ".")] {
        assert_eq!(wrong.parse::<ClientAddress>(), Err(AddressError::Form), "{wrong}");
    }
    let long = "1".repeat(1 << 20);
    assert_eq!(text.replace('.', &format!(".{long}")).parse::<ClientAddress>(), Err(AddressError::EncryptionKey));
    assert_eq!(format!("0{text}").parse::<ClientAddress>(), Err(AddressError::Identity));
    assert_eq!(format!("{text}0").parse::<ClientAddress>(), Err(AddressError::Gateway));
}

proptest! {
    #[test]
    fn any_bytes_give_an_address_that_survives_or_an_error(keys: [[u8; 32]; 3]) {
        let bytes: [u8; ADDRESS_LEN] = keys.concat().try_into().unwrap();
        match ClientAddress::from_bytes(&bytes) {
            Ok(address) => {
                prop_assert_eq!(address.to_bytes(), bytes);
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
            Err(error) => prop_assert!(matches!(error, AddressError::Identity | AddressError::Gateway)),
        }
    }

    #[test]
    fn any_text_is_parsed(text in "[1-9A-Z.@]{0,140}") {
        if let Ok(address) = text.parse::<ClientAddress>() {
            prop_assert_eq!(address.to_string(), text);
        }
    }
}
