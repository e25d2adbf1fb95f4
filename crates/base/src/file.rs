//! Reading files of other programs, without blocking on pipes and devices.

use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::geteuid;

/// Opens a regular file. Opening a named pipe would block until it has a writer, and reading a device might never end.
///
/// # Errors
/// As [`File::open`], and when `path` is not a regular file; the error includes its type.
pub fn open(path: &Path) -> io::Result<File> {
    // Checked before opening, which has side effects on some devices.
    check(path)?;
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    // Checked again: the path may have been replaced in the meantime.
    require_regular(file.metadata()?.file_type())?;
    Ok(file)
}

/// Checks that `path` is a regular file, for libraries that open it themselves.
///
/// # Errors
/// When there is nothing, or something else; the error includes its type.
pub fn check(path: &Path) -> io::Result<()> {
    require_regular(fs::metadata(path)?.file_type())
}

/// Opens a regular file or a pipe, such as `<(…)` or `/dev/stdin`. Blocks until a pipe has a writer.
///
/// Only for commands that a signal ends at any time.
///
/// # Errors
/// As [`File::open`], and when `path` is neither; the error includes its type.
pub fn open_or_wait(path: &Path) -> io::Result<File> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_fifo() { File::open(path) } else { open(path) }
}

/// Reads a regular file that is no longer than `bytes_max`.
///
/// # Errors
/// As [`open`]; and `FileTooLarge`.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if read as u64 > bytes_max {
        return Err(too_long(bytes_max));
    }
    Ok(bytes)
}

/// As [`read`], for text in UTF-8.
///
/// # Errors
/// As [`read`]; and `InvalidData`.
pub fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    String::from_utf8(read(path, bytes_max)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8"))
}

pub(super) fn too_long(bytes_max: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {} KiB", bytes_max >> 10))
}

fn require_regular(kind: FileType) -> io::Result<()> {
    let found = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory, not a file")),
        _ if kind.is_fifo() => "a pipe",
        _ if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {found}, not a regular file")))
}

/// Advice for an unreadable file, to append to an error message; empty when the error needs none.
pub fn remedy(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("; this is user {}: run it as the owner of the node's files", geteuid().as_raw())
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType as Kind, Mode, mknodat};
    use std::os::unix::net::UnixListener;

    #[test]
    fn special_files_are_rejected_without_blocking() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        mknodat(CWD, at("pipe"), Kind::Fifo, Mode::RUSR, 0).unwrap();
        std::os::unix::fs::symlink(at("pipe"), at("link")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        fs::create_dir(at("dir")).unwrap();
        for (path, problem) in [
            (at("pipe"), "it is a pipe"),
            (at("link"), "it is a pipe"),
            (at("socket"), "it is a socket"),
            (at("dir"), "it is a directory"),
            ("/dev/zero".into(), "it is a device"),
        ] {
            let error = open(&path).unwrap_err().to_string();
            assert!(error.contains(problem), "{}: {error}", path.display());
            let error = check(&path).unwrap_err().to_string();
            assert!(error.contains(problem), "{}: {error}", path.display());
        }
        assert!(open_or_wait(&at("socket")).is_err() && open_or_wait(&at("dir")).is_err());
    }

    #[test]
    fn files_and_symbolic_links_are_read_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("file"), dir.path().join("link"));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        fs::write(&path, "Zürich").unwrap();
        assert_eq!(read_text(&link, 1024).unwrap(), "Zürich");
        fs::write(&path, vec![b'a'; 1025]).unwrap();
        let error = read(&path, 1024).unwrap_err();
        assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::FileTooLarge, "it is longer than 1 KiB".into()));
        assert_eq!(read(&path, 1025).unwrap().len(), 1025);
        assert!(check(&path).is_ok());
        fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_text(&path, 1024).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(open(&dir.path().join("nothing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn open_or_wait_reads_a_pipe() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        mknodat(CWD, &path, Kind::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let writer = std::thread::spawn({
            let path = path.clone();
            move || fs::write(path, "through the pipe").unwrap()
        });
        let mut text = String::new();
        open_or_wait(&path).unwrap().read_to_string(&mut text).unwrap();
        writer.join().unwrap();
        assert_eq!(text, "through the pipe");
    }

    #[test]
    fn the_advice_for_an_unreadable_file_is_to_run_as_its_owner() {
        let advice = remedy(&io::ErrorKind::PermissionDenied.into());
        assert!(advice.contains(&geteuid().as_raw().to_string()) && advice.contains("owner"), "{advice}");
        assert_eq!(remedy(&io::ErrorKind::NotFound.into()), "");
    }
}
