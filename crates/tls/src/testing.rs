//! Certificates in files, for tests.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "for tests alone")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::pair::Pair;
use crate::{Acceptor, TlsFiles};

/// The name in the certificates.
pub const NAME: &str = "registry.example";

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A folder with the files of a server.
pub struct Folder {
    pub dir: TempDir,
    pub ca: CertifiedIssuer<'static, KeyPair>,
}

impl Default for Folder {
    /// With a valid certificate.
    fn default() -> Self {
        let folder = Self { dir: tempfile::tempdir().unwrap(), ca: authority() };
        folder.renew();
        folder
    }
}

impl Folder {
    pub fn files(&self) -> TlsFiles {
        TlsFiles { certificate: self.dir.path().join("tls.crt"), key: self.dir.path().join("tls.key") }
    }

    /// A certificate valid between two years, and its key, in PEM.
    pub fn issue(&self, from: i32, to: i32) -> (String, String) {
        let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.ca).unwrap().pem(), key.serialize_pem())
    }

    pub fn write(&self, (certificate, key): (String, String)) {
        fs::write(self.files().certificate, certificate).unwrap();
        fs::write(self.files().key, key).unwrap();
        self.set_mode(0o600);
    }

    pub fn set_mode(&self, mode: u32) {
        fs::set_permissions(self.files().key, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Writes another certificate and key.
    pub fn renew(&self) {
        self.write(self.issue(2020, 2120));
    }

    /// Lets a server use the certificate at once, without its look at the files.
    pub fn give_to(&self, acceptor: &Acceptor) {
        acceptor.replace(&Pair::read(&self.files()).unwrap());
    }
}
