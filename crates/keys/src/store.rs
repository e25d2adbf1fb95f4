//! Key files: PEM around the raw 32 bytes, as in 0.9.2.
//!
//! Only the owner can read private files, and no existing file is ever replaced.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nym_mixnode_base::file::{self, remedy};
use nym_mixnode_base::secret::{SecretPage, wipe_stack};
use nym_mixnode_base::staging::{self, CreateError, StagedDir};
use pem_rfc7468::LineEnding;
use thiserror::Error;
use zeroize::Zeroizing;

use super::access::{KeyUse, PrivateAccess, check_dirs_of, check_file, check_new_dir};
use super::{IdentityKeyPair, KEY_LEN, KeyGenerationError, NodeKeys, SecretKey, SphinxKeyPair};
use crate::KeysConfig;

const PRIVATE_IDENTITY: &str = "ED25519 PRIVATE KEY";
const PUBLIC_IDENTITY: &str = "ED25519 PUBLIC KEY";
const PRIVATE_SPHINX: &str = "X25519 PRIVATE KEY";
const PUBLIC_SPHINX: &str = "X25519 PUBLIC KEY";

/// Maximum length of a key file. Key files have 120 bytes.
const TEXT_LEN_MAX: usize = 256;

/// Paths of a node's four key files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFiles {
    pub private_identity: PathBuf,
    pub public_identity: PathBuf,
    pub private_sphinx: PathBuf,
    pub public_sphinx: PathBuf,
    pub access: PrivateAccess,
    pub key_use: KeyUse,
}

/// Both key pairs with their private halves.
pub struct KeyPairs {
    pub identity: IdentityKeyPair,
    pub sphinx: SphinxKeyPair,
}

/// Failed loading or creation of keys.
#[derive(Debug, Error)]
pub enum KeyError {
    #[error("key file {} does not exist", .0.display())]
    Missing(PathBuf),
    #[error("key file {} cannot be read: {source}{}", path.display(), remedy(source))]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "key file {0} can be read by others (mode {mode:04o}): run `chmod 600 {0}`{group}",
        path.display(), group = group_hint(*mode)
    )]
    Loose { path: PathBuf, mode: u32 },
    #[error(
        "key directory {0} can be written to by others (mode {mode:04o}), who could replace the keys: run \
         `chmod go-w {0}` as its owner, user {owner}, or keep the keys in a directory below it",
        path.display()
    )]
    LooseDir { path: PathBuf, mode: u32, owner: u32 },
    #[error(
        "{0} belongs to user {owner}, who can read and replace the keys, and this is user {user}: run \
         `chown {user} {0}`, or run this as user {owner}",
        path.display()
    )]
    ForeignOwner { path: PathBuf, owner: u32, user: u32 },
    #[error("key file {} is not a PEM file: {problem}", path.display())]
    NotPem { path: PathBuf, problem: String },
    #[error("key file {} contains a {found:?}, expected a {expected:?}", path.display())]
    WrongKind { path: PathBuf, found: String, expected: &'static str },
    #[error("key file {} contains {len} bytes, expected {KEY_LEN}", path.display())]
    WrongLength { path: PathBuf, len: usize },
    #[error(
        "key file {} does not belong to {}: one of the two comes from another node, or is damaged",
        public.display(), private.display()
    )]
    Mismatch { private: PathBuf, public: PathBuf },
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error(transparent)]
    Generate(#[from] KeyGenerationError),
}

impl KeyFiles {
    /// The files of the node in `dir`.
    #[must_use]
    pub fn new(dir: &Path, config: &KeysConfig) -> Self {
        Self {
            private_identity: dir.join(&config.private_identity),
            public_identity: dir.join(&config.public_identity),
            private_sphinx: dir.join(&config.private_sphinx),
            public_sphinx: dir.join(&config.public_sphinx),
            access: if config.allow_group_read { PrivateAccess::Group } else { PrivateAccess::Owner },
            key_use: KeyUse::Run,
        }
    }

    /// The same files, for inspection only.
    #[must_use]
    pub fn for_inspection(self) -> Self {
        Self { key_use: KeyUse::Inspect, ..self }
    }

    /// All four, the private ones first.
    #[must_use]
    pub fn paths(&self) -> [&Path; 4] {
        [&self.private_identity, &self.private_sphinx, &self.public_identity, &self.public_sphinx]
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
    pub fn into_node_keys(self) -> NodeKeys {
        NodeKeys {
            identity_public: self.identity.public_base58(),
            identity: Arc::new(self.identity),
            sphinx: self.sphinx,
        }
    }
}

/// Name of a key file in a new node and in a backup, and its contents.
pub struct KeyText {
    pub name: &'static str,
    mode: u32,
    text: Zeroizing<String>,
}

impl KeyText {
    /// The files of the identity's private and public key.
    pub fn of_identity(pair: &IdentityKeyPair) -> [Self; 2] {
        [
            Self::private("private_identity.pem", PRIVATE_IDENTITY, pair.seed()),
            Self::public("public_identity.pem", PUBLIC_IDENTITY, pair.public()),
        ]
    }

    /// All four, in the order of [`KeyFiles::paths`].
    pub fn of_pairs(pairs: &KeyPairs) -> [Self; 4] {
        let [private_identity, public_identity] = Self::of_identity(&pairs.identity);
        let private_sphinx = Self::private("private_sphinx.pem", PRIVATE_SPHINX, pairs.sphinx.private());
        let public_sphinx = Self::public("public_sphinx.pem", PUBLIC_SPHINX, pairs.sphinx.public());
        [private_identity, private_sphinx, public_identity, public_sphinx]
    }

    fn private(name: &'static str, tag: &str, key: &[u8; KEY_LEN]) -> Self {
        Self { name, mode: 0o600, text: encode(tag, key) }
    }

    fn public(name: &'static str, tag: &str, key: &[u8; KEY_LEN]) -> Self {
        Self { name, mode: 0o644, text: encode(tag, key) }
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Writes the file, which must not exist.
    pub fn create(&self, path: &Path) -> Result<(), CreateError> {
        staging::create_file(path, self.mode, self.as_bytes())
    }
}

/// Generates both key pairs and stores them in a directory, atomically.
///
/// # Errors
/// When one of the files exists, or cannot be created.
pub fn create(dir: &Path) -> Result<NodeKeys, KeyError> {
    let (staged, keys) = stage(dir)?;
    staged.commit()?;
    Ok(keys)
}

/// Generates both key pairs and stages them for `dir`. They are there after the commit.
pub fn stage(dir: &Path) -> Result<(StagedDir, NodeKeys), KeyError> {
    check_new_dir(dir)?;
    let pairs = KeyPairs::generate()?;
    let staged = StagedDir::begin_in(dir)?;
    for file in KeyText::of_pairs(&pairs) {
        file.create(&staged.path().join(file.name))?;
    }
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
    let loaded = load_identity(files).and_then(|identity| {
        check_public(identity.public(), &files.private_identity, &files.public_identity, PUBLIC_IDENTITY)?;
        Ok(KeyPairs { identity, sphinx: load_sphinx(files)? })
    });
    // Functions that have returned had keys in their stack frames.
    wipe_stack();
    loaded
}

/// Loads the identity from its private file only.
pub fn load_identity(files: &KeyFiles) -> Result<IdentityKeyPair, KeyError> {
    Ok(IdentityKeyPair::from_seed(read_private(files, &files.private_identity, PRIVATE_IDENTITY)?)?)
}

/// Loads the key pair that unwraps packets.
pub fn load_sphinx(files: &KeyFiles) -> Result<SphinxKeyPair, KeyError> {
    let sphinx = SphinxKeyPair::from_secret(read_private(files, &files.private_sphinx, PRIVATE_SPHINX)?);
    check_public(sphinx.public(), &files.private_sphinx, &files.public_sphinx, PUBLIC_SPHINX)?;
    Ok(sphinx)
}

/// Parses both pairs from the texts of the four files, and checks that the public halves match.
///
/// `texts` are in the order of [`KeyFiles::paths`], each with its name for error messages.
pub fn parse_pairs(texts: &[(PathBuf, Zeroizing<Vec<u8>>); 4]) -> Result<KeyPairs, KeyError> {
    let [private_identity, private_sphinx, public_identity, public_sphinx] = texts;
    let secret = |(path, text): &(PathBuf, Zeroizing<Vec<u8>>), tag| secret_key(text, path, tag);
    let identity = IdentityKeyPair::from_seed(secret(private_identity, PRIVATE_IDENTITY)?)?;
    let sphinx = SphinxKeyPair::from_secret(secret(private_sphinx, PRIVATE_SPHINX)?);
    let checks = [
        (identity.public(), private_identity, public_identity, PUBLIC_IDENTITY),
        (sphinx.public(), private_sphinx, public_sphinx, PUBLIC_SPHINX),
    ];
    for (derived, private, public, tag) in checks {
        if public_key(&public.1, &public.0, tag)? != *derived {
            return Err(KeyError::Mismatch { private: private.0.clone(), public: public.0.clone() });
        }
    }
    Ok(KeyPairs { identity, sphinx })
}

/// Loads the base58 form of the identity's public key from its own file.
///
/// # Errors
/// When the file is missing or has other contents than expected.
pub fn load_identity_public(files: &KeyFiles) -> Result<String, KeyError> {
    load_public(&files.public_identity, PUBLIC_IDENTITY)
}

/// Loads the base58 form of the Sphinx public key from its own file.
///
/// # Errors
/// When the file is missing or has other contents than expected.
pub fn load_sphinx_public(files: &KeyFiles) -> Result<String, KeyError> {
    load_public(&files.public_sphinx, PUBLIC_SPHINX)
}

fn load_public(path: &Path, tag: &'static str) -> Result<String, KeyError> {
    Ok(bs58::encode(read_public(path, tag)?).into_string())
}

fn encode(tag: &str, key: &[u8; KEY_LEN]) -> Zeroizing<String> {
    let mut buffer = Zeroizing::new([0; TEXT_LEN_MAX]);
    // Fails only for invalid tags and for a buffer that is too short; the tests encode each kind.
    let text = pem_rfc7468::encode(tag, LineEnding::LF, key, buffer.as_mut()).unwrap_or_default();
    Zeroizing::new(text.to_owned())
}

fn read_private(files: &KeyFiles, path: &Path, tag: &'static str) -> Result<SecretKey, KeyError> {
    let file = open(path)?;
    check_file(&file, path, files.access, files.key_use)?;
    check_dirs_of([&files.private_identity, &files.private_sphinx], files.access, files.key_use)?;
    let mut page = SecretPage::new().map_err(|source| read_error(path, source))?;
    let text = read_text(file, path, page.bytes())?;
    secret_key(text, path, tag)
}

/// Additional advice for a file that its group can read.
fn group_hint(mode: u32) -> &'static str {
    let more_than_group_read = mode & 0o037 != 0;
    if more_than_group_read {
        return "";
    }
    " (if its group must be able to read it, set keys.allow_group_read: true instead)"
}

fn check_public(
    derived: &[u8; KEY_LEN],
    private_path: &Path,
    public_path: &Path,
    tag: &'static str,
) -> Result<(), KeyError> {
    if read_public(public_path, tag)? == *derived {
        return Ok(());
    }
    Err(KeyError::Mismatch { private: private_path.to_owned(), public: public_path.to_owned() })
}

fn read_public(path: &Path, tag: &'static str) -> Result<[u8; KEY_LEN], KeyError> {
    let mut buffer = [0; TEXT_LEN_MAX];
    public_key(read_text(open(path)?, path, &mut buffer)?, path, tag)
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

fn secret_key(text: &[u8], path: &Path, tag: &'static str) -> Result<SecretKey, KeyError> {
    let mut page = SecretPage::new().map_err(|source| read_error(path, source))?;
    decode(text, path, tag, page.bytes())?;
    Ok(SecretKey::in_page(page))
}

fn public_key(text: &[u8], path: &Path, tag: &'static str) -> Result<[u8; KEY_LEN], KeyError> {
    let mut decoded = [0; TEXT_LEN_MAX];
    decode(text, path, tag, &mut decoded).copied()
}

/// Decodes a key into `buffer` without another copy.
fn decode<'a>(
    text: &[u8],
    path: &Path,
    tag: &'static str,
    buffer: &'a mut [u8],
) -> Result<&'a [u8; KEY_LEN], KeyError> {
    let decoded = pem_rfc7468::decode(text, buffer);
    let (found, bytes) =
        decoded.map_err(|error| KeyError::NotPem { path: path.to_owned(), problem: error.to_string() })?;
    if found != tag {
        return Err(KeyError::WrongKind { path: path.to_owned(), found: found.to_owned(), expected: tag });
    }
    bytes.try_into().map_err(|_| KeyError::WrongLength { path: path.to_owned(), len: bytes.len() })
}

fn open(path: &Path) -> Result<File, KeyError> {
    file::open(path).map_err(|source| read_error(path, source))
}

pub(super) fn read_error(path: &Path, source: io::Error) -> KeyError {
    match source.kind() {
        io::ErrorKind::NotFound => KeyError::Missing(path.to_owned()),
        _ => KeyError::Read { path: path.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use pem::Pem;

    /// Creates a node's directory with keys.
    fn node_with_keys() -> (tempfile::TempDir, KeyFiles, NodeKeys) {
        let dir = tempfile::tempdir().unwrap();
        let keys = create(&dir.path().join("data")).unwrap();
        let files = KeyFiles::new(dir.path(), &KeysConfig::default());
        (dir, files, keys)
    }

    fn load_error(files: &KeyFiles) -> KeyError {
        load(files).err().expect("the keys must not load")
    }

    #[test]
    fn created_keys_load_again() {
        let (_dir, files, created) = node_with_keys();
        let loaded = load(&files).unwrap();
        assert_eq!(loaded.identity_public, created.identity_public);
        assert_eq!(loaded.sphinx.private(), created.sphinx.private());
        assert_eq!(loaded.sphinx.public_base58(), created.sphinx.public_base58());
        assert_eq!(load_identity_public(&files).unwrap(), created.identity_public);
    }

    #[test]
    fn files_have_the_format_of_0_9_2() {
        let (_dir, files, keys) = node_with_keys();
        let text = fs::read_to_string(&files.public_sphinx).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(lines[0], "-----BEGIN X25519 PUBLIC KEY-----");
        assert_eq!(lines[1].len(), 44);
        assert_eq!(lines[2], "-----END X25519 PUBLIC KEY-----");
        assert_eq!(pem::parse(&text).unwrap().contents(), keys.sphinx.public());
        // The original writes CR LF.
        fs::write(&files.public_sphinx, text.replace('\n', "\r\n")).unwrap();
        load(&files).unwrap();
    }

    #[test]
    fn private_files_are_private_and_public_ones_public() {
        let (_dir, files, _) = node_with_keys();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!([mode(&files.private_identity), mode(&files.private_sphinx)], [0o600; 2]);
        assert_eq!([mode(&files.public_identity), mode(&files.public_sphinx)], [0o644; 2]);
    }

    #[test]
    fn existing_keys_stay() {
        let (dir, files, _) = node_with_keys();
        let before = fs::read(&files.private_identity).unwrap();
        assert!(matches!(create(&dir.path().join("data")), Err(KeyError::Create(CreateError::Exists(_)))));
        assert_eq!(fs::read(&files.private_identity).unwrap(), before);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_private_file_that_others_can_read_is_rejected_with_advice() {
        for mode in [0o604, 0o644, 0o666, 0o601, 0o664] {
            let (_dir, files, _) = node_with_keys();
            set_mode(&files.private_sphinx, mode);
            let message = load_error(&files).to_string();
            let remedy = format!("chmod 600 {}", files.private_sphinx.display());
            assert!(message.contains(&remedy) && !message.contains("new keys"), "{message}");
            assert_eq!(mode_of(&files.private_sphinx), mode);
        }
    }

    #[test]
    fn a_file_of_its_own_that_a_group_can_read_is_closed() {
        let (_dir, mut files, _) = node_with_keys();
        for (mode, closed) in [(0o660, 0o600), (0o640, 0o600), (0o440, 0o400), (0o400, 0o400), (0o610, 0o600)] {
            set_mode(&files.private_identity, mode);
            files.key_use = KeyUse::Inspect;
            load(&files).unwrap();
            assert_eq!(mode_of(&files.private_identity), mode, "an inspection changes nothing");
            files.key_use = KeyUse::Run;
            load(&files).unwrap();
            assert_eq!(mode_of(&files.private_identity), closed);
        }
    }

    #[test]
    fn a_group_may_read_if_allowed_and_others_never() {
        let (_dir, mut files, _) = node_with_keys();
        files.access = PrivateAccess::Group;
        for (mode, closed) in [(0o400, 0o400), (0o440, 0o440), (0o640, 0o640), (0o660, 0o640), (0o450, 0o440)] {
            set_mode(&files.private_identity, mode);
            load(&files).unwrap();
            assert_eq!(mode_of(&files.private_identity), closed);
        }
        for mode in [0o444, 0o644, 0o641] {
            set_mode(&files.private_identity, mode);
            let message = load_error(&files).to_string();
            assert!(message.contains("chmod 600") && !message.contains("allow_group_read"), "{message}");
        }
    }

    #[test]
    fn a_directory_in_which_others_can_replace_keys_is_rejected_with_advice() {
        let (dir, files, _) = node_with_keys();
        let data = dir.path().join("data");
        for mode in [0o777, 0o2777, 0o702] {
            set_mode(&data, mode);
            let message = load_error(&files).to_string();
            assert!(message.contains(&format!("chmod go-w {}", data.display())), "{message}");
            let message = create(&data.join("../data")).err().unwrap().to_string();
            assert!(message.contains("chmod go-w"), "key generation is rejected there too: {message}");
        }
        // Modes of a volume with fsGroup, and of a mounted secret.
        for mode in [0o2770, 0o1777] {
            set_mode(&data, mode);
            load(&files).unwrap();
        }
        // Symbolic links are resolved.
        set_mode(&data, 0o700);
        let elsewhere = dir.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        fs::rename(&files.private_sphinx, elsewhere.join("key")).unwrap();
        std::os::unix::fs::symlink(elsewhere.join("key"), &files.private_sphinx).unwrap();
        load(&files).unwrap();
        set_mode(&elsewhere, 0o777);
        assert!(matches!(load_error(&files), KeyError::LooseDir { path, .. } if path.ends_with("elsewhere")));
    }

    #[test]
    fn halves_of_different_pairs_are_refused() {
        let (_dir, files, _) = node_with_keys();
        let (_other_dir, other, _) = node_with_keys();
        fs::copy(&other.public_identity, &files.public_identity).unwrap();
        assert!(matches!(load_error(&files), KeyError::Mismatch { public, .. } if public == files.public_identity));
        let (_dir, files, _) = node_with_keys();
        fs::copy(&other.public_sphinx, &files.public_sphinx).unwrap();
        assert!(matches!(load_error(&files), KeyError::Mismatch { public, .. } if public == files.public_sphinx));
    }

    #[test]
    fn errors_for_damaged_files_have_the_file_and_the_cause() {
        let spoil = |contents: &[u8]| {
            let (_dir, files, _) = node_with_keys();
            fs::write(&files.public_identity, contents).unwrap();
            load_error(&files)
        };
        assert!(matches!(spoil(b""), KeyError::NotPem { .. }));
        assert!(matches!(spoil(b"-----BEGIN ED25519 PUBLIC KEY-----\nAAAA\n"), KeyError::NotPem { .. }));
        assert!(matches!(spoil(&vec![b'a'; 100_000]), KeyError::NotPem { .. }));
        assert!(matches!(spoil(encode(PUBLIC_SPHINX, &[1; 32]).as_bytes()), KeyError::WrongKind { .. }));
        for len in [31, 33] {
            let other = pem::encode(&Pem::new(PUBLIC_IDENTITY, vec![1; len]));
            assert!(matches!(spoil(other.as_bytes()), KeyError::WrongLength { len: found, .. } if found == len));
        }
        let (_dir, files, _) = node_with_keys();
        fs::remove_file(&files.private_identity).unwrap();
        assert!(matches!(load_error(&files), KeyError::Missing(path) if path == files.private_identity));
    }
}
