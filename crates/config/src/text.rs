//! Reads text files with a size limit.

use std::io;
use std::path::Path;

use nym_mixnode_base::file;

/// Size limit in bytes; a configuration takes a few kilobytes.
pub(super) const CONFIG_BYTES_MAX: u64 = 1 << 20;

pub(super) fn read(path: &Path, bytes_max: u64) -> io::Result<String> {
    file::read_text(path, bytes_max)
}
