use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::OtherError;

use super::*;
use crate::{Client, ClientLimits};

fn authority() -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap().pem()
}

#[test]
fn several_authorities_are_read_from_one_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("# two\n{}{}", authority(), authority())).unwrap();
    assert_eq!(read_authorities(file.path()).unwrap().len(), 2);
    let url = "https://d.example".parse().unwrap();
    Client::trusting(Some(file.path()), &url, &url, ClientLimits::default()).unwrap();
}

#[test]
fn a_file_without_usable_certificates_is_refused_with_its_path() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let refused = |path: &Path| {
        let error = read_authorities(path).unwrap_err();
        assert!(matches!(error, DirectoryError::CaFile { .. }) && !error.is_transient(), "{error}");
        assert_eq!(error.exit_code().code(), 78);
        let words = error.to_string();
        assert!(words.contains(path.to_str().unwrap()) && !words.contains('\n'), "{words}");
    };
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let key = KeyPair::generate().unwrap().serialize_pem();
    for text in ["", "not PEM", garbage, "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n", &key] {
        std::fs::write(file.path(), text).unwrap();
        refused(file.path());
    }
    for path in ["/nowhere/ca.crt", "/dev/zero", "/"] {
        refused(Path::new(path));
    }
}

/// As `reqwest` wraps it.
fn wrapped(error: rustls::Error) -> io::Error {
    io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error))
}

#[test]
fn each_problem_of_tls_says_what_to_do() {
    let certificate = rustls::Error::InvalidCertificate;
    let other = |text: &'static str| CertificateError::Other(OtherError(Arc::new(io::Error::other(text))));
    for (error, advice) in [
        (certificate(CertificateError::UnknownIssuer), "--directory-ca-file"),
        (certificate(CertificateError::BadSignature), "--directory-ca-file"),
        (certificate(CertificateError::Expired), "clock"),
        (certificate(CertificateError::NotValidYet), "clock"),
        (certificate(CertificateError::NotValidForName), "URL"),
        (certificate(other("CaUsedAsEndEntity")), "CA:FALSE"),
        (certificate(other("PathLenConstraintViolated")), "operator"),
        (rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType), "http://"),
        (rustls::Error::DecryptError, "URL"),
    ] {
        let direct = tls_problem(&error).unwrap();
        assert!(direct.advice.contains(advice), "{error}: {direct:?}");
        assert_eq!(tls_problem(&wrapped(error)), Some(direct));
    }
    assert_eq!(tls_problem(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
}
