//! The key files: PEM around the raw 32 bytes, as 0.9.2 has them.
//!
//! Private files are for their owner alone, and no file ever replaces another.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pem::{EncodeConfig, LineEnding, Pem};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{IdentityKeyPair, KEY_LEN, KeyGenerationError, NodeKeys, SphinxKeyPair};
use crate::config::staging::{self, StagedDir};
use crate::config::text::remedy;
use crate::config::{CreateError, KeysConfig};

const PRIVATE_IDENTITY: &str = "ED25519 PRIVATE KEY";
const PUBLIC_IDENTITY: &str = "ED25519 PUBLIC KEY";
const PRIVATE_SPHINX: &str = "X25519 PRIVATE KEY";
const PUBLIC_SPHINX: &str = "X25519 PUBLIC KEY";

/// A key file takes 120 bytes; what is far longer is none, and is not read into memory.
const FILE_LEN_MAX: usize = 4096;

/// Where a node's four key files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFiles {
    pub private_identity: PathBuf,
    pub public_identity: PathBuf,
    pub private_sphinx: PathBuf,
    pub public_sphinx: PathBuf,
    pub access: PrivateAccess,
}

/// Who may be able to read a private key file for it to be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivateAccess {
    /// Its owner alone.
    Owner,
    /// Its group as well, as a Kubernetes secret has no other way to its pod's user.
    Group,
    /// Anybody: for `upgrade`, which closes the files next.
    Anybody,
}

/// Both key pairs with their private halves.
pub struct KeyPairs {
    pub identity: IdentityKeyPair,
    pub sphinx: SphinxKeyPair,
}

/// Keys cannot be loaded or created.
#[derive(Debug, Error)]
pub enum KeyError {
    #[error("key file {} does not exist", .0.display())]
    Missing(PathBuf),
    #[error("key file {} cannot be read: {source}{}", path.display(), remedy(source))]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "key file {0} can be read by others (mode {mode:04o}): run `chmod 600 {0}`, and make new keys if others \
         may have read it{group}",
        path.display(), group = group_hint(*mode)
    )]
    Loose { path: PathBuf, mode: u32 },
    #[error("key file {} is not a PEM file: {problem}", path.display())]
    NotPem { path: PathBuf, problem: String },
    #[error("key file {} holds a {found:?} where a {expected:?} has to be", path.display())]
    WrongKind { path: PathBuf, found: String, expected: &'static str },
    #[error("key file {} holds {len} bytes where {KEY_LEN} have to be", path.display())]
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
        }
    }

    /// All four, the private ones first.
    #[must_use]
    pub fn paths(&self) -> [&Path; 4] {
        [&self.private_identity, &self.private_sphinx, &self.public_identity, &self.public_sphinx]
    }
}

impl KeyPairs {
    /// New pairs.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub fn generate() -> Result<Self, KeyGenerationError> {
        Ok(Self { identity: IdentityKeyPair::generate()?, sphinx: SphinxKeyPair::generate()? })
    }

    /// What a running node needs of them.
    #[must_use]
    pub fn into_node_keys(self) -> NodeKeys {
        NodeKeys {
            identity_public: self.identity.public_base58(),
            identity: Arc::new(self.identity),
            sphinx: self.sphinx,
        }
    }
}

/// What one key file is called in a new node and in a backup, and what it holds.
pub(crate) struct KeyText {
    pub(crate) name: &'static str,
    mode: u32,
    text: Zeroizing<String>,
}

impl KeyText {
    /// The file of the identity's private key, and that of its public one.
    pub(crate) fn of_identity(pair: &IdentityKeyPair) -> [Self; 2] {
        [
            Self::private("private_identity.pem", PRIVATE_IDENTITY, pair.seed()),
            Self::public("public_identity.pem", PUBLIC_IDENTITY, pair.public()),
        ]
    }

    /// All four, in the order of [`KeyFiles::paths`].
    pub(crate) fn of_pairs(pairs: &KeyPairs) -> [Self; 4] {
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

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Writes the file, which must not exist.
    pub(crate) fn create(&self, path: &Path) -> Result<(), CreateError> {
        staging::create_file(path, self.mode, self.as_bytes())
    }
}

/// Makes both key pairs and stores them in a directory: all four files, or none.
///
/// # Errors
/// When one of the files exists, or cannot be created.
pub fn create(dir: &Path) -> Result<NodeKeys, KeyError> {
    let (staged, keys) = stage(dir)?;
    staged.commit()?;
    Ok(keys)
}

/// Makes both key pairs for `dir`, where they are once that is committed.
pub(crate) fn stage(dir: &Path) -> Result<(StagedDir, NodeKeys), KeyError> {
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
/// When a file is missing, not what its name says, or its private half is open to others; and when two halves don't
/// belong together.
pub fn load_pairs(files: &KeyFiles) -> Result<KeyPairs, KeyError> {
    let identity = load_identity(files)?;
    check_public(identity.public(), &files.private_identity, &files.public_identity, PUBLIC_IDENTITY)?;
    Ok(KeyPairs { identity, sphinx: load_sphinx(files)? })
}

/// Loads the identity from its private file alone.
pub(crate) fn load_identity(files: &KeyFiles) -> Result<IdentityKeyPair, KeyError> {
    Ok(IdentityKeyPair::from_seed(read_private(&files.private_identity, PRIVATE_IDENTITY, files.access)?)?)
}

/// Loads the key pair that opens packets.
pub(crate) fn load_sphinx(files: &KeyFiles) -> Result<SphinxKeyPair, KeyError> {
    let private = read_private(&files.private_sphinx, PRIVATE_SPHINX, files.access)?;
    let sphinx = SphinxKeyPair::from_private(private)?;
    check_public(sphinx.public(), &files.private_sphinx, &files.public_sphinx, PUBLIC_SPHINX)?;
    Ok(sphinx)
}

/// Both pairs out of the texts of two private files, whose halves the others have to be.
///
/// `texts` are in the order of [`KeyFiles::paths`], each with the name that errors call it by.
pub(crate) fn parse_pairs(texts: &[(PathBuf, Zeroizing<Vec<u8>>); 4]) -> Result<KeyPairs, KeyError> {
    let [private_identity, private_sphinx, public_identity, public_sphinx] = texts;
    let parse = |(path, text): &(PathBuf, Zeroizing<Vec<u8>>), tag| parse_key(text, path, tag);
    let identity = IdentityKeyPair::from_seed(parse(private_identity, PRIVATE_IDENTITY)?)?;
    let sphinx = SphinxKeyPair::from_private(parse(private_sphinx, PRIVATE_SPHINX)?)?;
    let checks = [
        (identity.public(), private_identity, public_identity, PUBLIC_IDENTITY),
        (sphinx.public(), private_sphinx, public_sphinx, PUBLIC_SPHINX),
    ];
    for (derived, private, public, tag) in checks {
        if *parse(public, tag)? != *derived {
            return Err(KeyError::Mismatch { private: private.0.clone(), public: public.0.clone() });
        }
    }
    Ok(KeyPairs { identity, sphinx })
}

/// Base58 of the identity's public key, from its own file.
///
/// # Errors
/// When the file is missing or not what its name says.
pub fn load_identity_public(files: &KeyFiles) -> Result<String, KeyError> {
    load_public(&files.public_identity, PUBLIC_IDENTITY)
}

/// Base58 of the public key that packets are made for, from its own file.
///
/// # Errors
/// When the file is missing or not what its name says.
pub fn load_sphinx_public(files: &KeyFiles) -> Result<String, KeyError> {
    load_public(&files.public_sphinx, PUBLIC_SPHINX)
}

fn load_public(path: &Path, tag: &'static str) -> Result<String, KeyError> {
    let public = read_key(&open(path)?, path, tag)?;
    Ok(bs58::encode(*public).into_string())
}

fn encode(tag: &str, key: &[u8; KEY_LEN]) -> Zeroizing<String> {
    let pem = Pem::new(tag, *key);
    let text = Zeroizing::new(pem::encode_config(&pem, EncodeConfig::new().set_line_ending(LineEnding::LF)));
    drop(Zeroizing::new(pem.into_contents()));
    text
}

fn read_private(path: &Path, tag: &'static str, access: PrivateAccess) -> Result<Zeroizing<[u8; KEY_LEN]>, KeyError> {
    let file = open(path)?;
    // Of the open file: its path might name another one by now.
    let mode = file.metadata().map_err(|source| read_error(path, source))?.permissions().mode() & 0o7777;
    let forbidden = match access {
        PrivateAccess::Owner => 0o077,
        PrivateAccess::Group => 0o037,
        PrivateAccess::Anybody => 0,
    };
    if mode & forbidden != 0 {
        return Err(KeyError::Loose { path: path.to_owned(), mode });
    }
    read_key(&file, path, tag)
}

/// What else there is to do about a file that only its group can read too.
fn group_hint(mode: u32) -> &'static str {
    let more_than_group_read = mode & 0o037 != 0;
    if more_than_group_read {
        return "";
    }
    " (a Kubernetes secret with fsGroup needs keys.allow_group_read: true instead)"
}

fn check_public(
    derived: &[u8; KEY_LEN],
    private_path: &Path,
    public_path: &Path,
    tag: &'static str,
) -> Result<(), KeyError> {
    let public = read_key(&open(public_path)?, public_path, tag)?;
    if *public == *derived {
        return Ok(());
    }
    Err(KeyError::Mismatch { private: private_path.to_owned(), public: public_path.to_owned() })
}

fn read_key(file: &File, path: &Path, tag: &'static str) -> Result<Zeroizing<[u8; KEY_LEN]>, KeyError> {
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_LEN_MAX));
    file.take(FILE_LEN_MAX as u64).read_to_end(&mut text).map_err(|source| read_error(path, source))?;
    parse_key(&text, path, tag)
}

fn parse_key(text: &[u8], path: &Path, tag: &'static str) -> Result<Zeroizing<[u8; KEY_LEN]>, KeyError> {
    let pem =
        pem::parse(text).map_err(|error| KeyError::NotPem { path: path.to_owned(), problem: error.to_string() })?;
    if pem.tag() != tag {
        return Err(KeyError::WrongKind { path: path.to_owned(), found: pem.tag().to_owned(), expected: tag });
    }
    let contents = Zeroizing::new(pem.into_contents());
    match contents.as_slice().try_into() {
        Ok(key) => Ok(Zeroizing::new(key)),
        Err(_) => Err(KeyError::WrongLength { path: path.to_owned(), len: contents.len() }),
    }
}

fn open(path: &Path) -> Result<File, KeyError> {
    File::open(path).map_err(|source| read_error(path, source))
}

fn read_error(path: &Path, source: io::Error) -> KeyError {
    match source.kind() {
        io::ErrorKind::NotFound => KeyError::Missing(path.to_owned()),
        _ => KeyError::Read { path: path.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A node's directory with keys in it.
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
    fn files_have_the_form_of_0_9_2() {
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

    #[test]
    fn a_private_file_that_others_can_read_is_refused_with_the_remedy() {
        for mode in [0o640, 0o604, 0o644, 0o660, 0o666, 0o610] {
            let (_dir, files, _) = node_with_keys();
            fs::set_permissions(&files.private_sphinx, PermissionsExt::from_mode(mode)).unwrap();
            let message = load_error(&files).to_string();
            assert!(message.contains(&format!("chmod 600 {}", files.private_sphinx.display())), "{message}");
        }
        let (_dir, files, _) = node_with_keys();
        fs::set_permissions(&files.private_sphinx, PermissionsExt::from_mode(0o400)).unwrap();
        load(&files).unwrap();
    }

    #[test]
    fn a_group_may_read_where_it_is_allowed_and_others_never() {
        let (_dir, mut files, _) = node_with_keys();
        let set = |mode| fs::set_permissions(&files.private_identity, PermissionsExt::from_mode(mode)).unwrap();
        set(0o440);
        assert!(load_error(&files).to_string().contains("keys.allow_group_read"));
        files.access = PrivateAccess::Group;
        for mode in [0o400, 0o440, 0o640] {
            fs::set_permissions(&files.private_identity, PermissionsExt::from_mode(mode)).unwrap();
            load(&files).unwrap();
        }
        for mode in [0o444, 0o644, 0o660, 0o450, 0o641] {
            fs::set_permissions(&files.private_identity, PermissionsExt::from_mode(mode)).unwrap();
            let message = load_error(&files).to_string();
            assert!(message.contains("chmod 600") && !message.contains("allow_group_read"), "{message}");
        }
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
    fn damaged_files_are_named_with_what_is_wrong() {
        let spoil = |contents: &[u8]| {
            let (_dir, files, _) = node_with_keys();
            fs::write(&files.public_identity, contents).unwrap();
            load_error(&files)
        };
        assert!(matches!(spoil(b""), KeyError::NotPem { .. }));
        assert!(matches!(spoil(b"-----BEGIN ED25519 PUBLIC KEY-----\nAAAA\n"), KeyError::NotPem { .. }));
        assert!(matches!(spoil(&vec![b'a'; 100_000]), KeyError::NotPem { .. }));
        assert!(matches!(spoil(encode(PUBLIC_SPHINX, &[1; 32]).as_bytes()), KeyError::WrongKind { .. }));
        let short = pem::encode(&Pem::new(PUBLIC_IDENTITY, [1; 31]));
        assert!(matches!(spoil(short.as_bytes()), KeyError::WrongLength { len: 31, .. }));
        let (_dir, files, _) = node_with_keys();
        fs::remove_file(&files.private_identity).unwrap();
        assert!(matches!(load_error(&files), KeyError::Missing(path) if path == files.private_identity));
    }
}
