//! Text files that people write: read whole, up to a length that none of them has.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::process::geteuid;

/// A configuration has some kilobytes.
pub(super) const CONFIG_BYTES_MAX: u64 = 1 << 20;

pub(super) fn read(path: &Path, bytes_max: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if read as u64 > bytes_max {
        let words = format!("it is longer than {} KiB", bytes_max >> 10);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, words));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8"))
}

/// What to do about a file that cannot be read, where the error does not say it: to stand behind it.
pub(crate) fn remedy(error: &io::Error) -> String {
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
    use std::fs;

    #[test]
    fn what_is_too_long_or_no_text_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text");
        let read = |contents: &[u8]| {
            fs::write(&path, contents).unwrap();
            read(&path, 1024).map_err(|error| (error.kind(), error.to_string()))
        };
        assert_eq!(read("Zürich".as_bytes()).unwrap(), "Zürich");
        assert_eq!(read(&[b'a'; 1024]).unwrap().len(), 1024);
        assert_eq!(read(&[b'a'; 1025]), Err((io::ErrorKind::FileTooLarge, "it is longer than 1 KiB".to_owned())));
        assert_eq!(read(b"\xff"), Err((io::ErrorKind::InvalidData, "it is not text in UTF-8".to_owned())));
    }

    #[test]
    fn a_file_of_somebody_else_is_for_its_owner() {
        let told = remedy(&io::ErrorKind::PermissionDenied.into());
        assert!(told.contains(&geteuid().as_raw().to_string()) && told.contains("owner"), "{told}");
        assert_eq!(remedy(&io::ErrorKind::NotFound.into()), "");
    }
}
