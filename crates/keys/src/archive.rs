//! A backup of the keys: a tar archive of the four files, encrypted with a passphrase in the age format.
//!
//! `age --decrypt backup.age | tar x` unpacks it without this program.

use std::io::{self, Read, Write};
use std::iter;
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor};
use thiserror::Error;
use zeroize::Zeroizing;

use super::store::{self, KeyError, KeyPairs, KeyText};

/// The first file of the archive and its contents: the type of the archive, and the version of its layout.
const FORMAT: (&str, &str) = ("FORMAT", "nym-mixnode-keys 1\n");

/// Capacity for the contents of an archive (6 KiB). A buffer that grows would leave copies of the keys in memory.
const CONTENTS_LEN_MAX: usize = 32 * 1024;

/// Base-2 logarithm of the scrypt work factor, as in age: 256 MiB of memory and about one second.
const WORK_FACTOR: u8 = 18;
/// Files with more than four times that work are rejected.
const WORK_FACTOR_MAX: u8 = WORK_FACTOR + 2;

/// Failed creation or opening of a backup.
#[derive(Debug, Error)]
pub enum ArchiveError {
    #[error("{} is not a file that age has encrypted with a passphrase", .0.display())]
    Foreign(PathBuf),
    #[error("the passphrase is not the one that {} was encrypted with", .0.display())]
    WrongPassphrase(PathBuf),
    #[error("{} asks for too much work (2^{factor}, at most 2^{WORK_FACTOR_MAX}) to try a passphrase", path.display())]
    TooMuchWork { path: PathBuf, factor: u8 },
    #[error("{} is damaged: {problem}", path.display())]
    Damaged { path: PathBuf, problem: String },
    #[error("{} holds no backup of a node's keys: {problem}", path.display())]
    NotKeys { path: PathBuf, problem: String },
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error("cannot encrypt the keys: {0}")]
    Encrypt(io::Error),
}

/// Encrypts the keys with this passphrase.
///
/// # Errors
/// When the system's source of randomness fails.
pub fn seal(pairs: &KeyPairs, passphrase: SecretString) -> Result<Vec<u8>, ArchiveError> {
    let contents = pack(pairs).map_err(ArchiveError::Encrypt)?;
    let mut recipient = age::scrypt::Recipient::new(passphrase);
    recipient.set_work_factor(WORK_FACTOR);
    let encrypt = || {
        let recipient: &dyn age::Recipient = &recipient;
        let encryptor = Encryptor::with_recipients(iter::once(recipient)).map_err(io::Error::other)?;
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed)?;
        writer.write_all(&contents)?;
        writer.finish()?;
        Ok(sealed)
    };
    encrypt().map_err(ArchiveError::Encrypt)
}

/// Decrypts and checks the keys in `sealed`, the contents of the file at `path`.
///
/// # Errors
/// When the file is not a backup or is damaged, or the passphrase is wrong.
pub fn open(sealed: &[u8], path: &Path, passphrase: SecretString) -> Result<KeyPairs, ArchiveError> {
    let problem = |error| explain(error, path);
    let decryptor = Decryptor::new_buffered(sealed).map_err(problem)?;
    if !decryptor.is_scrypt() {
        return Err(ArchiveError::Foreign(path.to_owned()));
    }
    let mut identity = age::scrypt::Identity::new(passphrase);
    identity.set_max_work_factor(WORK_FACTOR_MAX);
    let identity: &dyn age::Identity = &identity;
    let reader = decryptor.decrypt(iter::once(identity)).map_err(problem)?;
    let mut contents = Zeroizing::new(Vec::with_capacity(CONTENTS_LEN_MAX + 1));
    reader
        .take(CONTENTS_LEN_MAX as u64 + 1)
        .read_to_end(&mut contents)
        .map_err(|error| ArchiveError::Damaged { path: path.to_owned(), problem: error.to_string() })?;
    unpack(&contents, path)
}

fn explain(error: DecryptError, path: &Path) -> ArchiveError {
    let path = path.to_owned();
    match error {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => ArchiveError::WrongPassphrase(path),
        DecryptError::ExcessiveWork { required, .. } => ArchiveError::TooMuchWork { path, factor: required },
        DecryptError::InvalidMac => ArchiveError::Damaged { path, problem: "its header was changed".to_owned() },
        DecryptError::Io(error) => ArchiveError::Damaged { path, problem: error.to_string() },
        _ => ArchiveError::Foreign(path),
    }
}

fn pack(pairs: &KeyPairs) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut contents = Zeroizing::new(Vec::with_capacity(CONTENTS_LEN_MAX));
    let mut archive = tar::Builder::new(&mut *contents);
    let mut append = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, name, bytes)
    };
    append(FORMAT.0, FORMAT.1.as_bytes())?;
    for file in KeyText::of_pairs(pairs) {
        append(file.name, file.as_bytes())?;
    }
    archive.finish()?;
    drop(archive);
    Ok(contents)
}

fn unpack(contents: &[u8], path: &Path) -> Result<KeyPairs, ArchiveError> {
    let not_keys = |problem: String| ArchiveError::NotKeys { path: path.to_owned(), problem };
    let mut files = read_tar(contents).map_err(|error| not_keys(error.to_string()))?;
    let mut take = |name: &str| {
        let index = files.iter().position(|(found, _)| found == Path::new(name));
        index.map(|index| files.swap_remove(index).1).ok_or_else(|| not_keys(format!("{name} is not in it")))
    };
    if *take(FORMAT.0)? != FORMAT.1.as_bytes() {
        return Err(not_keys("it is of a version that this program does not support".to_owned()));
    }
    let mut text = |name| take(name).map(|text| (path.join(name), text));
    let texts = [
        text("private_identity.pem")?,
        text("private_sphinx.pem")?,
        text("public_identity.pem")?,
        text("public_sphinx.pem")?,
    ];
    Ok(store::parse_pairs(&texts)?)
}

type TarFiles = Vec<(PathBuf, Zeroizing<Vec<u8>>)>;

fn read_tar(contents: &[u8]) -> io::Result<TarFiles> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(contents).entries()? {
        let entry = entry?;
        let name = entry.path()?.into_owned();
        let mut bytes = Zeroizing::new(Vec::with_capacity(contents.len()));
        entry.take(contents.len() as u64).read_to_end(&mut bytes)?;
        files.push((name, bytes));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
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
        assert!(open_error(b"-----BEGIN CERTIFICATE-----", "correct horse").contains("is not a file that age"));
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
}
