//! Key files: PEM around the raw 32 bytes, as in 0.9.2.
//!
//! Only the owner can read private files, and no existing file is ever replaced.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use nym_mixnode_base::file;
use nym_mixnode_base::secret::{SecretPage, wipe_stack};
use nym_mixnode_base::staging::{self, CreateError, StagedDir};
use pem_rfc7468::LineEnding;
use zeroize::Zeroizing;

use super::access::{KeyUse, PrivateAccess, check_dirs_of, check_file, check_new_dir};
use super::error::read_error;
use super::{
    IdentityKeyPair, KEY_LEN, KeyError, KeyFile, KeyGenerationError, KeyPaths, KeysConfig, NodeKeys, SecretKey,
    SphinxKeyPair,
};

/// Maximum length of a key file. Key files have 120 bytes.
const TEXT_LEN_MAX: usize = 256;

/// The key files of a node, and how to access them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFiles {
    pub paths: KeyPaths,
    access: PrivateAccess,
    key_use: KeyUse,
}

/// Both key pairs with their private halves.
pub struct KeyPairs {
    pub identity: IdentityKeyPair,
    pub sphinx: SphinxKeyPair,
}

impl KeyFiles {
    /// The files of the node in `dir`.
    #[must_use]
    pub fn new(dir: &Path, config: &KeysConfig) -> Self {
        Self {
            paths: config.paths.below(dir),
            access: if config.allow_group_read { PrivateAccess::Group } else { PrivateAccess::Owner },
            key_use: KeyUse::Run,
        }
    }

    /// The directory of the identity's private key.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.paths[KeyFile::PrivateIdentity].parent().unwrap_or(Path::new(""))
    }

    /// The same files, whatever their modes and owners: for `upgrade`, which then corrects the modes.
    #[must_use]
    pub fn with_any_access(self) -> Self {
        Self { access: PrivateAccess::Anybody, ..self }
    }

    /// The same files, for inspection only.
    #[must_use]
    pub fn for_inspection(self) -> Self {
        Self { key_use: KeyUse::Inspect, ..self }
    }
}

impl KeyPairs {
    /// Generates both pairs.
    ///
    /// # Errors
    /// When the system's source of randomness fails.
    pub fn generate() -> Result<Self, KeyGenerationError> {
        Ok(Self { identity: IdentityKeyPair::generate()?, sphinx: SphinxKeyPair::generate()? })
    }

    /// The parts that a running node needs.
    #[must_use]
    pub(super) fn into_node_keys(self) -> NodeKeys {
        NodeKeys {
            identity_public: self.identity.public_base58(),
            identity: Arc::new(self.identity),
            sphinx: self.sphinx,
        }
    }

    /// The texts of all files, in the order of [`KeyFile::ALL`].
    pub(super) fn texts(&self) -> [KeyText; KeyFile::ALL.len()] {
        KeyFile::ALL.map(|file| {
            let key = match file {
                KeyFile::PrivateIdentity => self.identity.seed(),
                KeyFile::PrivateSphinx => self.sphinx.private(),
                KeyFile::PublicIdentity => self.identity.public(),
                KeyFile::PublicSphinx => self.sphinx.public(),
            };
            KeyText::new(file, key)
        })
    }
}

/// The contents of a key file.
pub(super) struct KeyText {
    pub(super) file: KeyFile,
    text: Zeroizing<String>,
}

impl KeyText {
    pub(super) fn new(file: KeyFile, key: &[u8; KEY_LEN]) -> Self {
        let mut buffer = Zeroizing::new([0; TEXT_LEN_MAX]);
        // Fails only for invalid labels and for a buffer that is too short; the tests encode each kind.
        let encoded = pem_rfc7468::encode(file.format().label, LineEnding::LF, key, buffer.as_mut());
        Self { file, text: Zeroizing::new(encoded.unwrap_or_default().to_owned()) }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Writes the file, which must not exist.
    pub(super) fn create(&self, path: &Path) -> Result<(), CreateError> {
        staging::create_file(path, self.file.format().mode, self.as_bytes())
    }
}

/// Generates both key pairs and stages them for `dir`. They are there after the commit.
pub fn stage(dir: &Path) -> Result<(StagedDir, NodeKeys), KeyError> {
    check_new_dir(dir)?;
    let pairs = KeyPairs::generate()?;
    let staged = StagedDir::begin_in(dir)?;
    let paths = KeyPaths::in_dir(staged.path());
    pairs.texts().iter().try_for_each(|text| text.create(&paths[text.file]))?;
    Ok((staged, pairs.into_node_keys()))
}

/// Loads both key pairs, as a running node needs them.
///
/// # Errors
/// As [`load_pairs`].
pub fn load(files: &KeyFiles) -> Result<NodeKeys, KeyError> {
    load_pairs(files).map(KeyPairs::into_node_keys)
}

/// Loads both key pairs.
///
/// # Errors
/// When a file is missing or has other contents than expected, when others can read a private half, and when two
/// halves do not match.
pub fn load_pairs(files: &KeyFiles) -> Result<KeyPairs, KeyError> {
    let loaded = pairs_of(files);
    // Functions that have returned had keys in their stack frames.
    wipe_stack();
    loaded
}

/// Loads the identity from its private file only.
pub(super) fn load_identity(files: &KeyFiles) -> Result<IdentityKeyPair, KeyError> {
    Ok(IdentityKeyPair::from_seed(files.secret(KeyFile::PrivateIdentity)?)?)
}

/// Loads the key pair that unwraps packets.
pub fn load_sphinx(files: &KeyFiles) -> Result<SphinxKeyPair, KeyError> {
    sphinx_of(files)
}

/// The keys of a node in files or in a backup.
pub(super) trait KeySource {
    /// The key in a private file.
    fn secret(&self, file: KeyFile) -> Result<SecretKey, KeyError>;
    /// The key in a public file.
    fn public(&self, file: KeyFile) -> Result<[u8; KEY_LEN], KeyError>;
    /// Paths for error messages.
    fn paths(&self) -> &KeyPaths;
}

impl KeySource for KeyFiles {
    fn secret(&self, file: KeyFile) -> Result<SecretKey, KeyError> {
        let path = &self.paths[file];
        let open = open(path)?;
        check_file(&open, path, self.access, self.key_use)?;
        check_dirs_of(KeyFile::PRIVATE.map(|file| &self.paths[file]), self.access, self.key_use)?;
        let mut page = SecretPage::new().map_err(|source| read_error(path, source))?;
        let text = read_text(open, path, page.bytes())?;
        secret_key(text, path, file)
    }

    fn public(&self, file: KeyFile) -> Result<[u8; KEY_LEN], KeyError> {
        let (path, mut buffer) = (&self.paths[file], [0; TEXT_LEN_MAX]);
        public_key(read_text(open(path)?, path, &mut buffer)?, path, file)
    }

    fn paths(&self) -> &KeyPaths {
        &self.paths
    }
}

/// Both key pairs; their public halves must match.
pub(super) fn pairs_of(source: &impl KeySource) -> Result<KeyPairs, KeyError> {
    let identity = IdentityKeyPair::from_seed(source.secret(KeyFile::PrivateIdentity)?)?;
    check_public(source, identity.public(), KeyFile::PrivateIdentity, KeyFile::PublicIdentity)?;
    Ok(KeyPairs { identity, sphinx: sphinx_of(source)? })
}

fn sphinx_of(source: &impl KeySource) -> Result<SphinxKeyPair, KeyError> {
    let sphinx = SphinxKeyPair::from_secret(source.secret(KeyFile::PrivateSphinx)?);
    check_public(source, sphinx.public(), KeyFile::PrivateSphinx, KeyFile::PublicSphinx)?;
    Ok(sphinx)
}

fn check_public(
    source: &impl KeySource,
    derived: &[u8; KEY_LEN],
    private: KeyFile,
    public: KeyFile,
) -> Result<(), KeyError> {
    if source.public(public)? == *derived {
        return Ok(());
    }
    let [private, public] = [private, public].map(|file| source.paths()[file].to_owned());
    Err(KeyError::Mismatch { private, public })
}

/// Loads the base58 form of a public key from its own file.
///
/// # Errors
/// When the file is missing or has other contents than expected.
pub fn load_public(files: &KeyFiles, file: KeyFile) -> Result<String, KeyError> {
    Ok(bs58::encode(files.public(file)?).into_string())
}

/// Reads `file` up to the length of `buffer`. A longer text is not a key, and does not parse.
fn read_text<'a>(mut file: File, path: &Path, buffer: &'a mut [u8]) -> Result<&'a [u8], KeyError> {
    let mut len = 0;
    while len < buffer.len() {
        match file.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(read_error(path, source)),
        }
    }
    Ok(&buffer[..len])
}

/// Decodes the text of a private file.
pub(super) fn secret_key(text: &[u8], path: &Path, file: KeyFile) -> Result<SecretKey, KeyError> {
    let mut page = SecretPage::new().map_err(|source| read_error(path, source))?;
    decode(text, path, file, page.bytes())?;
    Ok(SecretKey::in_page(page))
}

/// Decodes the text of a public file.
pub(super) fn public_key(text: &[u8], path: &Path, file: KeyFile) -> Result<[u8; KEY_LEN], KeyError> {
    let mut decoded = [0; TEXT_LEN_MAX];
    decode(text, path, file, &mut decoded).copied()
}

/// Decodes a key into `buffer` without another copy.
fn decode<'a>(text: &[u8], path: &Path, file: KeyFile, buffer: &'a mut [u8]) -> Result<&'a [u8; KEY_LEN], KeyError> {
    let (path, expected) = (|| path.to_owned(), file.format().label);
    let (found, bytes) = pem_rfc7468::decode(text, buffer)
        .map_err(|error| KeyError::NotPem { path: path(), problem: error.to_string() })?;
    if found != expected {
        return Err(KeyError::WrongKind { path: path(), found: found.to_owned(), expected });
    }
    bytes.try_into().map_err(|_| KeyError::WrongLength { path: path(), len: bytes.len() })
}

fn open(path: &Path) -> Result<File, KeyError> {
    file::open(path).map_err(|source| read_error(path, source))
}

#[cfg(test)]
mod tests;
