use super::*;

fn passphrase(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

/// Encrypts any contents as the age program does, with a low work factor.
fn encrypted(contents: &[u8]) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(passphrase("correct horse"));
    recipient.set_work_factor(2);
    age::encrypt(&recipient, contents).unwrap()
}

fn open_error(sealed: &[u8], with: &str) -> String {
    open(sealed, Path::new("keys.age"), passphrase(with)).err().expect("it must not open").to_string()
}

#[test]
fn sealed_keys_open_again() {
    let pairs = KeyPairs::generate().unwrap();
    let sealed = seal(&pairs, passphrase("correct horse")).unwrap();
    let opened = open(&sealed, Path::new("keys.age"), passphrase("correct horse")).unwrap();
    assert_eq!(opened.identity.seed(), pairs.identity.seed());
    assert_eq!(opened.sphinx.private(), pairs.sphinx.private());
    let contents = age::decrypt(&age::scrypt::Identity::new(passphrase("correct horse")), &sealed).unwrap();
    assert!(contents.len() < CONTENTS_LEN_MAX && contents.windows(18).any(|part| part == b"nym-mixnode-keys 1"));
}

#[test]
fn a_wrong_passphrase_a_damaged_and_a_foreign_file_have_different_errors() {
    let pairs = KeyPairs::generate().unwrap();
    let sealed = encrypted(&pack(&pairs).unwrap());
    assert!(open(&sealed, Path::new("keys.age"), passphrase("correct horse")).is_ok());
    assert!(open_error(&sealed, "wrong").contains("the passphrase is not the one"));
    let mut damaged = sealed.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(open_error(&damaged, "correct horse").contains("is damaged"));
    assert!(open_error(&sealed[..sealed.len() - 100], "correct horse").contains("is damaged"));
    assert!(open_error(b"-----BEGIN CERTIFICATE-----", "correct horse").contains("age"));
    assert!(open_error(b"", "correct horse").contains("keys.age"));
    assert!(open_error(&encrypted(b"my diary"), "correct horse").contains("holds no backup"));
}

#[test]
fn truncated_or_changed_headers_do_not_panic() {
    let sealed = encrypted(b"short");
    for end in 0..sealed.len() {
        assert!(open(&sealed[..end], Path::new("keys.age"), passphrase("correct horse")).is_err());
    }
}

#[test]
fn an_archive_of_a_later_version_or_without_a_file_is_rejected() {
    let pairs = KeyPairs::generate().unwrap();
    let contents = pack(&pairs).unwrap();
    let at = contents.windows(18).position(|part| part == b"nym-mixnode-keys 1").unwrap();
    let mut later = contents.clone();
    later[at + 17] = b'2';
    let error = unpack(&later, Path::new("keys.age")).err().unwrap().to_string();
    assert!(error.contains("of a version that"), "{error}");
    let error = unpack(&contents[..2048], Path::new("keys.age")).err().unwrap().to_string();
    assert!(error.contains("is not in it"), "{error}");
}
