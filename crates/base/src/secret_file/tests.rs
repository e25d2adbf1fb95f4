//! Tests of reading files with secrets.

use std::fs::{self, Permissions, set_permissions};
use std::thread;

use rustix::fs::{CWD, FileType as Kind, Mode, mknodat};

use super::*;

const MAX: usize = 1024;

#[test]
fn a_private_file_is_read_unless_other_users_can_access_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    fs::write(&path, "secret").unwrap();
    for (mode, is_private) in [(0o600, true), (0o440, true), (0o644, false), (0o604, false), (0o601, false)] {
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        match read_private(&path, MAX) {
            Ok(secret) => assert!(is_private && secret.as_slice() == b"secret", "{mode:o}"),
            Err(error) => {
                assert!(matches!(error, PrivateFileError::Readable { mode: of } if of == mode && !is_private));
            }
        }
        assert_eq!(*read(&path, MAX).unwrap(), b"secret", "{mode:o}");
        assert_eq!(*read_or_wait(&path, MAX).unwrap(), b"secret", "{mode:o}");
    }
}

#[test]
fn a_secret_is_read_up_to_the_limit_into_memory_that_does_not_grow() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    fs::write(&path, [b'a'; MAX]).unwrap();
    set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    for secret in [read(&path, MAX).unwrap(), read_or_wait(&path, MAX).unwrap(), read_private(&path, MAX).unwrap()] {
        assert_eq!((secret.len(), secret.capacity()), (MAX, MAX + 1));
    }
    let too_large = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    too_large(read(&path, MAX - 1).unwrap_err());
    too_large(read_or_wait(&path, MAX - 1).unwrap_err());
    match read_private(&path, MAX - 1).unwrap_err() {
        PrivateFileError::Io(error) => too_large(error),
        error @ PrivateFileError::Readable { .. } => panic!("{error}"),
    }
}

#[test]
fn only_a_command_that_waits_reads_a_secret_from_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    mknodat(CWD, &path, Kind::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert_eq!(read(&path, MAX).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert!(matches!(read_private(&path, MAX).unwrap_err(), PrivateFileError::Io(_)));
    let writer = thread::spawn({
        let path = path.clone();
        move || fs::write(path, "through the pipe").unwrap()
    });
    assert_eq!(*read_or_wait(&path, MAX).unwrap(), b"through the pipe");
    writer.join().unwrap();
}
