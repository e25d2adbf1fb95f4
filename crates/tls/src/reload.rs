//! Reading the certificate again after its files have changed.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use tokio::time::sleep;
use tracing::{error, info, warn};

use crate::pair::{CERTIFICATE, Pair, unusable};
use crate::validity::Validity;
use crate::{Acceptor, TlsError, TlsFiles};

/// Interval of looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Fingerprints of both files.
type Stamps = [Option<Stamp>; 2];

/// Fingerprint of a file version. It also differs after a change of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// `None` while the file is missing.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Some(Self { device: metadata.dev(), inode: metadata.ino(), len: metadata.len(), changed })
    }
}

fn stamps(files: &TlsFiles) -> Stamps {
    [Stamp::of(&files.certificate), Stamp::of(&files.key)]
}

/// Result of a look at the files.
pub(crate) enum Look {
    Unchanged,
    /// The files changed and have another pair.
    Renewed(Pair),
    /// The files changed and have no valid pair, for the second time: writing two files takes a moment.
    Rejected(TlsError),
}

/// The files, and what is known of them.
#[derive(Debug)]
pub(crate) struct Reload {
    files: TlsFiles,
    chain: Vec<CertificateDer<'static>>,
    validity: Validity,
    /// Whether the present certificate was reported as invalid.
    is_reported: bool,
    /// Versions of the files that were read or rejected.
    settled: Stamps,
    /// Versions of the files that were unusable at the last look.
    suspect: Option<Stamps>,
}

impl Reload {
    pub(crate) fn load(files: TlsFiles) -> Result<(Self, Pair), TlsError> {
        // Taken before the content is read, so that a change in between causes another read.
        let settled = stamps(&files);
        let pair = Pair::read(&files)?;
        let (chain, validity) = (pair.certified.cert.clone(), pair.validity);
        let mut reload = Self { files, chain, validity, is_reported: false, settled, suspect: None };
        info!(expires = %date(reload.validity.not_after), "loaded the TLS certificate");
        reload.report_invalid();
        Ok((reload, pair))
    }

    /// Error of a certificate that the TLS library does not accept.
    pub(crate) fn unusable(&self, error: &rustls::Error) -> TlsError {
        unusable(CERTIFICATE, &self.files.certificate, error.to_string())
    }

    /// Replaces the certificate of the acceptor whenever the files have another one, and then calls `renewed`.
    pub(crate) async fn follow(mut self, acceptor: Acceptor, renewed: impl Fn()) -> Infallible {
        loop {
            sleep(LOOK_EVERY).await;
            match self.look() {
                Look::Unchanged => {}
                Look::Renewed(pair) => {
                    acceptor.replace(&pair);
                    info!(expires = %date(self.validity.not_after), "reloaded the TLS certificate");
                    renewed();
                }
                Look::Rejected(error) => error!(%error, "keeping the earlier TLS certificate"),
            }
            self.report_invalid();
        }
    }

    pub(crate) fn look(&mut self) -> Look {
        let found = stamps(&self.files);
        if found == self.settled {
            return Look::Unchanged;
        }
        match Pair::read(&self.files) {
            Ok(pair) => {
                (self.settled, self.suspect) = (found, None);
                if pair.is_same(&self.chain) {
                    return Look::Unchanged;
                }
                (self.chain, self.validity) = (pair.certified.cert.clone(), pair.validity);
                self.is_reported = false;
                Look::Renewed(pair)
            }
            Err(error) if self.suspect == Some(found) => {
                (self.settled, self.suspect) = (found, None);
                Look::Rejected(error)
            }
            Err(_) => {
                self.suspect = Some(found);
                Look::Unchanged
            }
        }
    }

    /// Warns once if the present certificate is invalid at this time.
    fn report_invalid(&mut self) {
        if let Some(problem) = self.validity.problem(wall_clock()).filter(|_| !self.is_reported) {
            warn!(not_before = %date(self.validity.not_before), expires = %date(self.validity.not_after), "{problem}");
            self.is_reported = true;
        }
    }
}

fn date(time: SystemTime) -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_seconds(time)
}

#[expect(clippy::disallowed_methods, reason = "certificates are valid between two dates")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}
