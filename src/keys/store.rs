//! The key files: PEM around the raw 32 bytes, as 0.9.2 has them.
//!
//! Private files are for their owner alone, and no file ever replaces another.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pem::{EncodeConfig, LineEnding, Pem};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{IdentityKeyPair, KEY_LEN, KeyGenerationError, NodeKeys, SphinxKeyPair};
use crate::config::staging::{self, StagedDir};
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
}

/// Keys cannot be loaded or created.
#[derive(Debug, Error)]
pub enum KeyError {
    #[error("key file {} does not exist", .0.display())]
    Missing(PathBuf),
    #[error("key file {} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "key file {0} can be read by others (mode {mode:04o}): run `chmod 600 {0}`, and make new keys if others \
         may have read it",
        path.display()
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
        }
    }
}

/// Makes both key pairs and stores them in a new directory: all four files, or none.
///
/// # Errors
/// When the directory exists and isn't empty, or cannot be created.
pub fn create(dir: &Path) -> Result<NodeKeys, KeyError> {
    let identity = IdentityKeyPair::generate()?;
    let sphinx = SphinxKeyPair::generate()?;
    let staged = StagedDir::begin(dir)?;
    let at = |name| staged.path().join(name);
    write_private(&at("private_identity.pem"), PRIVATE_IDENTITY, identity.seed())?;
    write_public(&at("public_identity.pem"), PUBLIC_IDENTITY, identity.public())?;
    write_private(&at("private_sphinx.pem"), PRIVATE_SPHINX, sphinx.private())?;
    write_public(&at("public_sphinx.pem"), PUBLIC_SPHINX, sphinx.public())?;
    staged.commit()?;
    Ok(NodeKeys { identity_public: identity.public_base58(), sphinx })
}

/// Loads both key pairs.
///
/// # Errors
/// When a file is missing, not what its name says, or its private half is open to others; and when two halves don't
/// belong together.
pub fn load(files: &KeyFiles) -> Result<NodeKeys, KeyError> {
    let identity = IdentityKeyPair::from_seed(read_private(&files.private_identity, PRIVATE_IDENTITY)?)?;
    check_public(identity.public(), &files.private_identity, &files.public_identity, PUBLIC_IDENTITY)?;
    let sphinx = SphinxKeyPair::from_private(read_private(&files.private_sphinx, PRIVATE_SPHINX)?)?;
    check_public(sphinx.public(), &files.private_sphinx, &files.public_sphinx, PUBLIC_SPHINX)?;
    Ok(NodeKeys { identity_public: identity.public_base58(), sphinx })
}

/// Base58 of the identity's public key, from its own file.
///
/// # Errors
/// When the file is missing or not what its name says.
pub fn load_identity_public(files: &KeyFiles) -> Result<String, KeyError> {
    let public = read_key(&open(&files.public_identity)?, &files.public_identity, PUBLIC_IDENTITY)?;
    Ok(bs58::encode(*public).into_string())
}

fn write_private(path: &Path, tag: &str, key: &[u8; KEY_LEN]) -> Result<(), CreateError> {
    staging::create_file(path, 0o600, encode(tag, key).as_bytes())
}

fn write_public(path: &Path, tag: &str, key: &[u8; KEY_LEN]) -> Result<(), CreateError> {
    staging::create_file(path, 0o644, encode(tag, key).as_bytes())
}

fn encode(tag: &str, key: &[u8; KEY_LEN]) -> Zeroizing<String> {
    let pem = Pem::new(tag, *key);
    let text = Zeroizing::new(pem::encode_config(&pem, EncodeConfig::new().set_line_ending(LineEnding::LF)));
    drop(Zeroizing::new(pem.into_contents()));
    text
}

fn read_private(path: &Path, tag: &'static str) -> Result<Zeroizing<[u8; KEY_LEN]>, KeyError> {
    let file = open(path)?;
    // Of the open file: its path might name another one by now.
    let mode = file.metadata().map_err(|source| read_error(path, source))?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 && !is_mounted_secret(&file, mode) {
        return Err(KeyError::Loose { path: path.to_owned(), mode });
    }
    read_key(&file, path, tag)
}

/// Whether the file is of a read-only mount and open to its group alone: so Kubernetes hands a secret to a process that
/// isn't root's, and nobody in there could change it.
fn is_mounted_secret(file: &File, mode: u32) -> bool {
    let others = 0o077 & !0o040;
    (mode & others) == 0
        && rustix::fs::fstatvfs(file).is_ok_and(|stat| stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
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
    let pem =
        pem::parse(&*text).map_err(|error| KeyError::NotPem { path: path.to_owned(), problem: error.to_string() })?;
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
