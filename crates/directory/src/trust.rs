//! Trust in the TLS certificate of a directory.

use std::error::Error;
use std::io;
use std::path::Path;

use nym_mixnode_base::file;
use reqwest::Certificate;
use rustls::CertificateError;

use crate::DirectoryError;

/// All public authorities together take about 250 KiB.
const CA_BYTES_MAX: u64 = 1 << 20;

/// Reads the certificates of authorities from a file in PEM.
pub(crate) fn read_authorities(path: &Path) -> Result<Vec<Certificate>, DirectoryError> {
    let fail = |reason: String| DirectoryError::CaFile { path: path.to_owned(), reason };
    let pem = file::read(path, CA_BYTES_MAX).map_err(|error| fail(error.to_string()))?;
    let authorities = Certificate::from_pem_bundle(&pem).map_err(|_| fail("it is not in PEM".to_owned()))?;
    if authorities.is_empty() {
        return Err(fail("it contains no certificate in PEM".to_owned()));
    }
    // The client would report an invalid certificate without its file.
    reqwest::Client::builder().tls_certs_only(authorities.clone()).build().map_err(|error| {
        fail(format!("it contains an invalid certificate ({})", nym_mixnode_base::cause::innermost(&error)))
    })?;
    Ok(authorities)
}

/// Why TLS with a directory fails, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TlsProblem {
    pub(crate) reason: String,
    pub(crate) advice: &'static str,
}

/// The problem of TLS among the causes of a failed request, if it has one.
pub(crate) fn tls_problem(error: &(dyn Error + 'static)) -> Option<TlsProblem> {
    of_tls(error).map(describe)
}

fn of_tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    // An I/O error is not the source of what it wraps.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let inner = || wrapped.and_then(|inner| of_tls(inner)).or_else(|| error.source().and_then(of_tls));
    error.downcast_ref::<rustls::Error>().or_else(inner)
}

fn describe(error: &rustls::Error) -> TlsProblem {
    let problem = |reason: &str, advice| TlsProblem { reason: reason.to_owned(), advice };
    let rustls::Error::InvalidCertificate(certificate) = error else {
        return match error {
            rustls::Error::InvalidMessage(_) => problem(
                "the server does not use TLS",
                "use an http:// URL, or ask the operator of the directory for its port with TLS",
            ),
            error => problem(&format!("TLS failed: {error}"), "check that the URL is that of a directory"),
        };
    };
    match certificate {
        // The signature is wrong if a trusted authority has the name of the one that signed.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => problem(
            "its certificate is from an authority that is not trusted here",
            "if the authority is private, name the file with its certificate in --directory-ca-file (directory.ca_file)",
        ),
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => problem(
            &one_line(certificate),
            "check the clock of this machine, or ask the operator of the directory to renew it",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            problem(&one_line(certificate), "use a name of the certificate in the URL")
        }
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => problem(
            "its certificate is that of an authority, not of a server",
            "its operator must use a certificate with basicConstraints CA:FALSE",
        ),
        other => problem(
            &format!("its certificate is not valid: {}", one_line(other)),
            "ask the operator of the directory to replace it",
        ),
    }
}

/// Names in a certificate are untrusted.
fn one_line(certificate: &CertificateError) -> String {
    crate::client::one_line(&certificate.to_string())
}

#[cfg(test)]
mod tests;
