//! Text files that people write: read whole, up to a length that none of them has.

use std::io;
use std::path::Path;

use rustix::process::geteuid;

use crate::file;

/// A configuration has some kilobytes.
pub(super) const CONFIG_BYTES_MAX: u64 = 1 << 20;

pub(super) fn read(path: &Path, bytes_max: u64) -> io::Result<String> {
    file::read_text(path, bytes_max)
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

    #[test]
    fn a_file_of_somebody_else_is_for_its_owner() {
        let told = remedy(&io::ErrorKind::PermissionDenied.into());
        assert!(told.contains(&geteuid().as_raw().to_string()) && told.contains("owner"), "{told}");
        assert_eq!(remedy(&io::ErrorKind::NotFound.into()), "");
    }
}
