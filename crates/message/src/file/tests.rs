use proptest::prelude::*;

use super::*;

#[test]
fn chunks_of_impossible_places_are_none() {
    let facts = FileFacts { len: 400_001, digest: [3; 32], name: "a".to_owned() };
    let error = |index, data: &[u8]| {
        let chunk = Chunk { transfer: [1; 16], facts: facts.clone(), index, data }.encode();
        Chunk::decode(&chunk).unwrap().err()
    };
    assert_eq!(error(1, b"x"), None);
    for (index, data) in [(0, &b"x"[..]), (1, b""), (1, b"xy"), (2, b"x"), (u32::MAX, b"")] {
        assert!(matches!(error(index, data), Some(ChunkError::Place { .. })), "{index}");
    }
    let huge = FileFacts { len: u64::MAX, ..facts };
    assert_eq!(huge.chunks(), None);
}

#[test]
fn receipts_and_questions_are_themselves_and_nothing_else() {
    let receipt = Receipt { transfer: [1; 16], digest: [2; 32] };
    assert_eq!(Receipt::decode(&receipt.encode()), Some(receipt));
    assert_eq!(asked_about(&question(&[1; 16])), Some([1; 16]));
    assert!(is_about_file(&question(&[1; 16])) && is_about_file(MAGIC) && !is_about_file(&receipt.encode()));
    for bytes in [&receipt.encode()[..55], &question(&[1; 16])[..23], b"", MAGIC] {
        assert_eq!((Receipt::decode(bytes), asked_about(bytes)), (None, None), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn any_message_is_a_chunk_an_error_or_something_else(bytes: Vec<u8>, is_chunk: bool) {
        let message = if is_chunk { [&MAGIC[..], &bytes].concat() } else { bytes };
        if let Some(Ok(chunk)) = Chunk::decode(&message) {
            prop_assert_eq!(chunk.encode(), message);
        }
    }
}
