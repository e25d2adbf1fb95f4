//! A certificate authority, and a certificate for this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::part::part;

/// Paths of PEM files.
pub(crate) struct Certificates {
    /// Certificate of the authority.
    pub(crate) authority: PathBuf,
    /// Certificate that is signed by the authority.
    pub(crate) certificate: PathBuf,
    /// Key of that certificate.
    pub(crate) key: PathBuf,
}

const NEW_KEY: [&str; 6] = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

impl Certificates {
    /// Creates them for `localhost` in `folder`, in files whose names start with `name`.
    pub(crate) fn make(folder: &Path, name: &str) -> Self {
        Self::make_for(folder, name, "DNS:localhost,IP:127.0.0.1")
    }

    /// Creates them for these alternative names of the subject, in the notation of OpenSSL.
    pub(crate) fn make_for(folder: &Path, name: &str, names: &str) -> Self {
        let file = |ending: &str| folder.join(format!("{name}{ending}"));
        let of = |path: &PathBuf| path.to_str().unwrap().to_owned();
        let (authority, authority_key) = (file("-ca.pem"), file("-ca.key"));
        let (certificate, key, request, extensions) = (file(".pem"), file(".key"), file(".csr"), file(".ext"));
        let subject = format!("/CN={name} authority");
        let days = ["-days", "2"];
        let out = ["-x509", "-keyout", &of(&authority_key), "-out", &of(&authority), "-subj", &subject];
        openssl(&[&NEW_KEY[..], &out, &days].concat());
        openssl(&[&NEW_KEY[..], &["-keyout", &of(&key), "-out", &of(&request), "-subj", "/CN=server"]].concat());
        fs::write(&extensions, format!("subjectAltName={names}\n")).unwrap();
        let signer = ["-CA", &of(&authority), "-CAkey", &of(&authority_key), "-CAcreateserial"];
        let asked = ["x509", "-req", "-in", &of(&request), "-out", &of(&certificate), "-extfile", &of(&extensions)];
        openssl(&[&asked[..], &signer, &days].concat());
        Self { authority, certificate, key }
    }
}

fn openssl(arguments: &[&str]) {
    let output = Command::new(part("openssl")).args(arguments).output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
