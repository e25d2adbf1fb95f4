//! Clients that know the key of their server, over pipes in memory.

use std::io;

use nym_mixnode_keys::IdentityKeyPair;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::client::TlsStream;

use crate::client::{ConnectError, connect};
use crate::testing::Folder;
use crate::{KeyHash, Tls};

fn derived() -> Tls {
    Tls::derived(&IdentityKeyPair::generate().unwrap()).unwrap()
}

fn hash(tls: &Tls) -> KeyHash {
    tls.acceptor().key_hash().unwrap()
}

/// Connects to this server, which says hello.
async fn connected(server: &Tls, key: KeyHash) -> Result<TlsStream<DuplexStream>, ConnectError> {
    let (ours, theirs) = duplex(64 << 10);
    let acceptor = server.acceptor();
    tokio::spawn(async move { acceptor.accept(theirs).await?.write_all(b"hello").await });
    connect(ours, "gateway.example", key).await
}

#[tokio::test]
async fn the_key_of_an_identity_is_always_the_same_and_accepted_by_its_hash() {
    let keys = IdentityKeyPair::generate().unwrap();
    let (first, again) = (Tls::derived(&keys).unwrap(), Tls::derived(&keys).unwrap());
    assert_eq!(hash(&first), hash(&again));
    assert_ne!(hash(&first), hash(&derived()));
    let mut stream = connected(&first, hash(&again)).await.unwrap();
    let mut read = [0; 5];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"hello");
    assert_eq!(stream.get_ref().1.protocol_version(), Some(version::TLS13.version));
}

/// Computed with Python's hmac and hashlib and with OpenSSL: a change would lock out clients that know the hash.
#[test]
fn the_key_of_an_identity_never_changes() {
    let seed = nym_mixnode_keys::SecretKey::written_by(|seed| {
        *seed = [7; 32];
        Ok::<_, io::Error>(())
    });
    let tls = Tls::derived(&IdentityKeyPair::from_seed(seed.unwrap()).unwrap()).unwrap();
    assert_eq!(hash(&tls).to_string(), "qFVIzO06NAv2GHpuJH2qLBc+veS7+qg+I8ab+E5TuwM=");
}

#[tokio::test]
async fn another_key_is_refused() {
    let (server, other) = (derived(), derived());
    let refused = connected(&server, hash(&other)).await.unwrap_err();
    assert!(matches!(refused, ConnectError::OtherKey), "{refused}");
}

#[tokio::test]
async fn certificates_in_files_are_accepted_by_the_hash_of_their_key_and_a_renewed_key_has_another() {
    let folder = Folder::default();
    let tls = Tls::load(folder.files()).unwrap();
    let before = hash(&tls);
    connected(&tls, before).await.unwrap();
    folder.renew();
    folder.give_to(&tls.acceptor());
    assert!(matches!(connected(&tls, before).await, Err(ConnectError::OtherKey)));
    connected(&tls, hash(&tls)).await.unwrap();
    // The name and the dates of the certificate do not matter.
    folder.write(folder.issue(2020, 2021));
    folder.give_to(&tls.acceptor());
    connected(&tls, hash(&tls)).await.unwrap();
}

#[tokio::test]
async fn servers_without_tls_1_3_and_without_tls_are_refused() {
    let folder = Folder::default();
    let key = hash(&Tls::load(folder.files()).unwrap());
    let (chain, secret) = (folder.files().certificate, folder.files().key);
    let pem = |path| std::fs::read(path).unwrap();
    let config = ServerConfig::builder_with_provider(std::sync::Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            CertificateDer::pem_slice_iter(&pem(chain)).collect::<Result<_, _>>().unwrap(),
            PrivateKeyDer::from_pem_slice(&pem(secret)).unwrap(),
        )
        .unwrap();
    let (ours, theirs) = duplex(64 << 10);
    let old = TlsAcceptor::from(std::sync::Arc::new(config));
    tokio::spawn(async move { old.accept(theirs).await.map(|_| ()) });
    assert!(matches!(connect(ours, "192.0.2.1", key).await, Err(ConnectError::Io(_))));

    let (ours, mut theirs) = duplex(64 << 10);
    theirs.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    assert!(matches!(connect(ours, "2001:db8::1", key).await, Err(ConnectError::Io(_))));
    let (ours, _theirs) = duplex(64 << 10);
    assert!(matches!(connect(ours, "a b", key).await, Err(ConnectError::Name(_))));
}
