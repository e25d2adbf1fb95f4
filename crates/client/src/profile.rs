//! The files of a client: its keys and its configuration, laid out as in 0.9.2.

mod config;

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nym_mixnode_base::staging::{self, CreateError, StagedDir};
use nym_mixnode_keys::{IdentityKeyPair, KeyGenerationError, SecretKey, SphinxKeyPair};
use nym_mixnode_message::ack::AckKey;
use nym_mixnode_message::address::{AddressError, ClientAddress};
use nym_mixnode_message::gateway::SharedKey;
use nym_mixnode_message::key_file::{ClientKeyFile, ClientKeyFileError};
use thiserror::Error;
use zeroize::Zeroizing;

pub use config::{ConfigError, DURATIONS, ProfileConfig};

const CONFIG_FILE: &str = "config/config.toml";

/// Why the files of a client cannot be used.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// There is no such client.
    #[error("{0} does not exist: create the client with `nym-mixnode client init`")]
    Missing(PathBuf),
    /// There is one already.
    #[error("{0} exists, and init never replaces keys: choose another --id, or move it away")]
    Exists(PathBuf),
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error("{path}: {source}")]
    Config { path: PathBuf, source: ConfigError },
    #[error("{path}: {source}; restore the file from your backup")]
    Key { path: PathBuf, source: ClientKeyFileError },
    /// Other users can read a private key.
    #[error("{0} can be read by other users: run `chmod 600` on it")]
    Loose(PathBuf),
    #[error("cannot use the client's keys: {0}")]
    Generate(#[from] KeyGenerationError),
    #[error("cannot use the client's keys: {0}")]
    Address(#[from] AddressError),
    /// Another process of this client.
    #[error("{0} is in use by another command of this client; wait for its end, or stop it")]
    InUse(PathBuf),
}

/// The keys of a client.
pub struct ProfileKeys {
    pub identity: IdentityKeyPair,
    pub encryption: SphinxKeyPair,
    pub ack: AckKey,
    /// Shared with the gateway.
    pub shared: SharedKey,
}

/// The directory of a client.
#[derive(Debug, Clone)]
pub struct Profile {
    dir: PathBuf,
}

/// Keeps other commands of the client out until it is dropped.
#[derive(Debug)]
pub struct ProfileLock(#[expect(dead_code, reason = "holds the lock")] File);

impl Profile {
    /// The client `id` below this directory of all clients and nodes, which is usually `~/.nym`.
    #[must_use]
    pub fn new(root: &Path, id: &str) -> Self {
        Self { dir: root.join("clients").join(id) }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where received files are kept until they are taken.
    #[must_use]
    pub fn received_dir(&self) -> PathBuf {
        self.dir.join("received")
    }

    /// Where the progress of files on their way is kept.
    #[must_use]
    pub fn sending_dir(&self) -> PathBuf {
        self.dir.join("sending")
    }

    /// The socket of the running client for other commands.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.dir.join(crate::control::SOCKET)
    }

    /// Fails when the client exists.
    ///
    /// # Errors
    /// [`ProfileError::Exists`].
    pub fn refuse_existing(&self) -> Result<(), ProfileError> {
        let file = self.dir.join(CONFIG_FILE);
        if file.exists() || self.key_path(ClientKeyFile::PrivateIdentity).exists() {
            return Err(ProfileError::Exists(self.dir.clone()));
        }
        Ok(())
    }

    /// Writes all files, or none.
    ///
    /// # Errors
    /// When they exist, or cannot be written.
    pub fn create(&self, config: &ProfileConfig, keys: &ProfileKeys) -> Result<(), ProfileError> {
        self.refuse_existing()?;
        let staged = StagedDir::begin(&self.dir)?;
        for dir in ["config", "data"] {
            staging::create_private_dirs(&staged.path().join(dir))?;
        }
        staging::create_file(&staged.path().join(CONFIG_FILE), 0o600, config.to_toml().as_bytes())?;
        for file in ClientKeyFile::ALL {
            let text = file.encode(&keys.bytes(file));
            let path = staged.path().join("data").join(file.name());
            staging::create_file(&path, 0o600, text.as_bytes())?;
        }
        staged.commit()?;
        Ok(())
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// When the file is missing or invalid.
    pub fn config(&self) -> Result<ProfileConfig, ProfileError> {
        let path = self.dir.join(CONFIG_FILE);
        let text = fs::read_to_string(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ProfileError::Missing(path.clone()),
            _ => ProfileError::Read { path: path.clone(), source },
        })?;
        ProfileConfig::from_toml(&text).map_err(|source| ProfileError::Config { path, source })
    }

    /// Reads the keys.
    ///
    /// # Errors
    /// When one is missing, damaged or readable by other users.
    pub fn keys(&self) -> Result<ProfileKeys, ProfileError> {
        let secret = |file| {
            let key = self.key(file)?;
            SecretKey::written_by(|secret| {
                secret.copy_from_slice(&key);
                Ok::<_, KeyGenerationError>(())
            })
            .map_err(ProfileError::from)
        };
        let identity = IdentityKeyPair::from_seed(secret(ClientKeyFile::PrivateIdentity)?)?;
        let encryption = SphinxKeyPair::from_private(&*secret(ClientKeyFile::PrivateEncryption)?)?;
        let (ack, shared) = (self.key(ClientKeyFile::Ack)?, self.key(ClientKeyFile::GatewayShared)?);
        let (mut ack_key, mut shared_key) = (Zeroizing::new([0; 16]), Zeroizing::new([0; 32]));
        // `decode` has checked the lengths.
        ack_key.copy_from_slice(&ack);
        shared_key.copy_from_slice(&shared);
        Ok(ProfileKeys {
            identity,
            encryption,
            ack: AckKey::from_bytes(&ack_key),
            shared: SharedKey::from_bytes(&shared_key),
        })
    }

    /// Claims the client for this process.
    ///
    /// # Errors
    /// When another process has it.
    pub fn lock(&self) -> Result<ProfileLock, ProfileError> {
        let read = |source| ProfileError::Read { path: self.dir.clone(), source };
        let dir = File::open(&self.dir).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ProfileError::Missing(self.dir.clone()),
            _ => read(source),
        })?;
        match dir.try_lock() {
            Ok(()) => Ok(ProfileLock(dir)),
            Err(TryLockError::WouldBlock) => Err(ProfileError::InUse(self.dir.clone())),
            Err(TryLockError::Error(source)) => Err(read(source)),
        }
    }

    fn key_path(&self, file: ClientKeyFile) -> PathBuf {
        self.dir.join("data").join(file.name())
    }

    fn key(&self, file: ClientKeyFile) -> Result<Zeroizing<Vec<u8>>, ProfileError> {
        let path = self.key_path(file);
        let read = |source| ProfileError::Read { path: path.clone(), source };
        let mode = fs::metadata(&path).map_err(read)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(ProfileError::Loose(path));
        }
        let text = Zeroizing::new(fs::read(&path).map_err(read)?);
        file.decode(&text).map_err(|source| ProfileError::Key { path, source })
    }
}

impl ProfileKeys {
    /// The address of the client with these keys.
    ///
    /// # Errors
    /// When the gateway's identity is no key.
    pub fn address(&self, gateway: [u8; 32]) -> Result<ClientAddress, AddressError> {
        ClientAddress::new(*self.identity.public(), *self.encryption.public(), gateway)
    }

    fn bytes(&self, file: ClientKeyFile) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(match file {
            ClientKeyFile::PrivateIdentity => self.identity.seed().to_vec(),
            ClientKeyFile::PublicIdentity => self.identity.public().to_vec(),
            ClientKeyFile::PrivateEncryption => self.encryption.private().to_vec(),
            ClientKeyFile::PublicEncryption => self.encryption.public().to_vec(),
            ClientKeyFile::GatewayShared => self.shared.to_bytes().to_vec(),
            ClientKeyFile::Ack => self.ack.to_bytes().to_vec(),
        })
    }
}

#[cfg(test)]
mod tests;
