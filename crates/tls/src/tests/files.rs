//! Reading the files, and reading them again.

use std::path::Path;
use std::time::{Duration, SystemTime};

use nym_mixnode_base::exit::Exit;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use std::fs;

use rcgen::{CertificateParams, KeyPair};

use crate::reload::{Look, Reload};
use crate::testing::{Folder, NAME};
use crate::validity::Validity;
use crate::{Tls, TlsError, TlsFiles};

fn error_of(files: TlsFiles) -> TlsError {
    Tls::load(files).unwrap_err()
}

#[test]
fn a_pair_is_read_with_keys_of_each_kind_and_of_a_group() {
    let folder = Folder::default();
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = CertificateParams::new([NAME.to_owned()]).unwrap();
        let own = params.signed_by(&key, &folder.ca).unwrap().pem();
        folder.write((own + &folder.ca.pem(), key.serialize_pem()));
        Tls::load(folder.files()).unwrap();
    }
    folder.set_mode(0o440);
    Tls::load(folder.files()).unwrap();
}

#[test]
fn a_file_that_is_missing_or_special_is_refused_with_its_path() {
    let folder = Folder::default();
    let pipe = folder.dir.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let missing = folder.dir.path().join("missing");
    for path in [&missing, &pipe, Path::new("/dev/zero"), folder.dir.path()] {
        for files in [
            TlsFiles { certificate: path.to_owned(), ..folder.files() },
            TlsFiles { key: path.to_owned(), ..folder.files() },
        ] {
            let error = error_of(files);
            assert!(matches!(&error, TlsError::Unreadable { path: named, .. } if named == path), "{error}");
            assert_eq!(error.exit_code(), Exit::CONFIG, "{error}");
        }
    }
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_command_that_corrects_it() {
    let folder = Folder::default();
    folder.set_mode(0o644);
    let error = error_of(folder.files());
    assert!(matches!(error, TlsError::Readable { mode: 0o644, .. }), "{error}");
    assert!(error.to_string().contains(&format!("chmod 600 {}", folder.files().key.display())), "{error}");
    assert_eq!(error.exit_code(), Exit::PERMISSION);
}

#[test]
fn files_with_other_content_are_refused() {
    let folder = Folder::default();
    let (certificate, key) = folder.issue(2020, 2120);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let broken = "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n";
    let (not_a_key, long) = ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "x".repeat(300 << 10));
    for (certificate, key, content, hint) in [
        ("", key.as_str(), "certificate", "no certificate"),
        (&key, &key, "certificate", "no certificate"),
        (garbage, &key, "certificate", "X.509"),
        (broken, &key, "certificate", "PEM"),
        (&certificate, "", "key", "PRIVATE KEY"),
        (&certificate, &certificate, "key", "PRIVATE KEY"),
        (&certificate, encrypted, "key", "openssl pkey"),
        (&certificate, not_a_key, "key", "RSA"),
        (&long, &key, "certificate", "longer"),
        (&certificate, &long, "key", "longer"),
    ] {
        folder.write((certificate.to_owned(), key.to_owned()));
        let error = error_of(folder.files());
        let words = error.to_string();
        assert!(words.contains(hint) && words.contains(content) && !words.contains('\n'), "{words}");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let folder = Folder::default();
    let (certificate, _) = folder.issue(2020, 2120);
    let (_, key) = folder.issue(2020, 2120);
    folder.write((certificate.clone(), key));
    assert!(matches!(error_of(folder.files()), TlsError::Mismatch { .. }));
    let (own, key) = folder.issue(2020, 2120);
    folder.write((folder.ca.pem() + &own, key));
    assert!(matches!(error_of(folder.files()), TlsError::Mismatch { .. }), "the wrong order");
}

#[test]
fn a_certificate_is_valid_between_its_dates_in_both_notations() {
    let folder = Folder::default();
    let at = |year: u64| SystemTime::UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_556_952);
    // Dates from 2050 have another notation.
    for (from, to, is_early, is_late) in
        [(2020, 2021, false, true), (2020, 2100, false, false), (2060, 2100, true, false), (1960, 1980, false, true)]
    {
        folder.write(folder.issue(from, to));
        let (_, pair) = Reload::load(folder.files()).unwrap();
        let problem = pair.validity.problem(at(2026));
        assert_eq!(problem.is_some(), is_early || is_late, "{from}-{to}");
        assert_eq!(problem.is_some_and(|problem| problem.contains("expired")), is_late, "{from}-{to}");
    }
    assert!(Validity::of(b"").is_err() && Validity::of(&[0x30, 0]).is_err() && Validity::of(&[0x30, 0x80]).is_err());
}

#[test]
fn a_changed_pair_is_used_once_and_a_bad_one_is_reported_once() {
    let folder = Folder::default();
    let (mut reload, first) = Reload::load(folder.files()).unwrap();
    assert!(matches!(reload.look(), Look::Unchanged));
    folder.renew();
    let Look::Renewed(second) = reload.look() else { panic!("the files have changed") };
    assert_ne!(first.certified.cert, second.certified.cert);
    assert!(matches!(reload.look(), Look::Unchanged));

    let (certificate, key) = folder.issue(2020, 2120);
    folder.write((certificate, fs::read_to_string(folder.files().key).unwrap()));
    assert!(matches!(reload.look(), Look::Unchanged), "the key may follow");
    assert!(matches!(reload.look(), Look::Rejected(TlsError::Mismatch { .. })));
    assert!(matches!(reload.look(), Look::Unchanged), "reported once");
    fs::write(folder.files().key, key).unwrap();
    assert!(matches!(reload.look(), Look::Renewed(_)));

    folder.set_mode(0o604);
    assert!(matches!(reload.look(), Look::Unchanged));
    assert!(matches!(reload.look(), Look::Rejected(TlsError::Readable { .. })));
    folder.set_mode(0o600);
    assert!(matches!(reload.look(), Look::Unchanged), "the pair in use");
    fs::remove_file(folder.files().certificate).unwrap();
    assert!(matches!(reload.look(), Look::Unchanged));
    assert!(matches!(reload.look(), Look::Rejected(TlsError::Unreadable { .. })));
    folder.renew();
    assert!(matches!(reload.look(), Look::Renewed(_)));
}

#[test]
fn a_secret_that_is_replaced_by_a_link_is_noticed() {
    let folder = Folder::default();
    let other = Folder::default();
    for (name, to) in [("tls.crt", other.files().certificate), ("tls.key", other.files().key)] {
        let path = folder.dir.path().join(name);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(to, path).unwrap();
    }
    let (mut reload, _) = Reload::load(folder.files()).unwrap();
    let third = Folder::default();
    let next = folder.dir.path().join("next");
    for (name, to) in [("tls.crt", third.files().certificate), ("tls.key", third.files().key)] {
        std::os::unix::fs::symlink(to, &next).unwrap();
        fs::rename(&next, folder.dir.path().join(name)).unwrap();
    }
    assert!(matches!(reload.look(), Look::Renewed(_)));
}

#[test]
fn nothing_prints_the_key() {
    let folder = Folder::default();
    let tls = Tls::load(folder.files()).unwrap();
    let key = fs::read_to_string(folder.files().key).unwrap();
    let line = key.lines().nth(1).unwrap();
    assert!(!format!("{tls:?}").contains(line));
    assert!(format!("{:?}", tls.acceptor()).len() < 20);
}
