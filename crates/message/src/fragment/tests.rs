use proptest::prelude::*;

use super::*;

fn fragments(len: usize) -> Fragments {
    Fragments::of(Content { data: vec![7; len], reply_block: None }, &mut rand::rng())
}

/// What the fragments carry, joined.
fn joined(fragments: &Fragments) -> Vec<u8> {
    fragments.iter().flat_map(|fragment| fragment.payload().to_vec()).collect()
}

#[test]
fn sets_have_the_lengths_of_0_9_2_at_their_limits() {
    // Flag and 01 are two bytes more.
    for (len, sets, count) in [
        (0, 1, 1),
        (1602, 1, 1),
        (1603, 1, 2),
        (409_018, 1, 255),
        (409_019, 2, 256),
        (818_032, 2, 510),
        (818_033, 3, 511),
        (818_032 + 409_014, 3, 765),
        (818_032 + 409_015, 4, 766),
    ] {
        let fragments = fragments(len);
        assert_eq!((fragments.sets().len(), fragments.count()), (sets, count), "{len} bytes");
        assert_eq!(fragments.iter().count(), count);
        assert_eq!(fragments.get(count), None);
        let joined = joined(&fragments);
        assert_eq!(&joined[..=len], &[&[0][..], &vec![7; len]].concat());
        assert_eq!(joined[len + 1], 1);
        assert!(joined[len + 2..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn headers_that_no_fragment_has_are_errors() {
    let decode = |bytes: &[u8]| FragmentHeader::decode(bytes).map(|(header, _)| header).unwrap_err();
    assert_eq!(decode(&[]), FragmentError::TooShort);
    assert_eq!(decode(&[0x80, 0, 0, 1, 1, 1]), FragmentError::TooShort);
    assert_eq!(decode(&[0, 0, 0, 1, 1, 1, 0]), FragmentError::SetId);
    assert_eq!(decode(&[0x80, 0, 0, 0, 1, 1, 0]), FragmentError::SetId);
    assert_eq!(decode(&[0x80, 0, 0, 1, 0, 0, 0]), FragmentError::Number { current: 0, total: 0 });
    assert_eq!(decode(&[0x80, 0, 0, 1, 2, 3, 0]), FragmentError::Number { current: 3, total: 2 });
    assert_eq!(decode(&[0x80, 0, 0, 1, 2, 0, 0]), FragmentError::Number { current: 0, total: 2 });
    assert_eq!(decode(&[0x80, 0, 0, 1, 2, 1, 0x80, 0, 0, 1]), FragmentError::Link);
    assert_eq!(decode(&[0x80, 0, 0, 1, 2, 2, 0x80, 0, 0, 9]), FragmentError::Link);
    assert_eq!(decode(&[0x80, 0, 0, 1, 2, 1, 0x70, 0, 0, 9]), FragmentError::SetId);
    let whole = [0x80, 0, 0, 1, 1, 1, 0, 9];
    assert_eq!(Fragment::decode(&whole).unwrap_err(), FragmentError::Length(8));
}

proptest! {
    #[test]
    fn any_bytes_give_a_header_that_survives_or_an_error(bytes: Vec<u8>, is_plausible: bool) {
        let mut bytes = bytes;
        if let [first, ..] = bytes.as_mut_slice() && is_plausible {
            *first |= 0x80;
        }
        if let Ok((header, rest)) = FragmentHeader::decode(&bytes) {
            prop_assert_eq!([&header.encode(), rest].concat(), bytes);
            prop_assert!(header.current().get() <= header.total());
        }
    }

    #[test]
    fn every_fragment_survives_the_round_trip(len in 0..20_000_usize) {
        for fragment in fragments(len).iter() {
            prop_assert_eq!(&Fragment::decode(fragment.bytes()).unwrap(), &fragment);
        }
    }
}
