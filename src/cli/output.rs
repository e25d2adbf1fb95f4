//! What the commands say to people.

use std::fmt;
use std::io::{self, Write};

use url::Url;

use super::{Exit, Failure};
use crate::config::redacted;

/// Writes to `stream` at once. A reader who has gone away is no failure.
pub(super) fn say(mut stream: impl Write, text: impl fmt::Display) -> Result<(), Failure> {
    match writeln!(stream, "{text}").and_then(|()| stream.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::IO, format_args!("the output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// A URL as people write it, without its password.
pub(super) fn without_last_slash(url: &Url) -> String {
    redacted(url).trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_fine_and_a_full_disk_is_not() {
        assert_eq!(say(Broken(io::ErrorKind::BrokenPipe), "x"), Ok(()));
        assert_eq!(say(Broken(io::ErrorKind::StorageFull), "x").unwrap_err().exit, Exit::IO);
    }
}
