//! A backup of the keys: a tar archive of the key files, encrypted with a passphrase in the age format.
//!
//! `age --decrypt backup.age | tar x` unpacks it without this program.

use std::io::{self, Read, Write};
use std::iter;
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor};
use thiserror::Error;
use zeroize::Zeroizing;

use super::store::{self, KeyPairs, KeySource};
use super::{KEY_LEN, KeyError, KeyFile, KeyPaths, SecretKey};

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
    for text in pairs.texts() {
        append(text.file.format().name, text.as_bytes())?;
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
    let mut texts = Vec::with_capacity(KeyFile::ALL.len());
    for file in KeyFile::ALL {
        texts.push((file, take(file.format().name)?));
    }
    Ok(store::pairs_of(&Unpacked { paths: KeyPaths::in_dir(path), texts })?)
}

/// The key files of a backup; paths begin with the path of the backup.
struct Unpacked {
    paths: KeyPaths,
    texts: Vec<(KeyFile, Zeroizing<Vec<u8>>)>,
}

impl Unpacked {
    fn text(&self, file: KeyFile) -> &[u8] {
        self.texts.iter().find(|(found, _)| *found == file).map_or(&[], |(_, text)| text)
    }
}

impl KeySource for Unpacked {
    fn secret(&self, file: KeyFile) -> Result<SecretKey, KeyError> {
        store::secret_key(self.text(file), &self.paths[file], file)
    }

    fn public(&self, file: KeyFile) -> Result<[u8; KEY_LEN], KeyError> {
        store::public_key(self.text(file), &self.paths[file], file)
    }

    fn paths(&self) -> &KeyPaths {
        &self.paths
    }
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
mod tests;
