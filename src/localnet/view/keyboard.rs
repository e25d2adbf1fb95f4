//! Reads keys from the terminal.
//!
//! Not with crossterm, which never returns from a terminal that has hung up, and which delays a key
//! that arrives with a window resize until the next key.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};

const ESCAPE: u8 = 0x1b;
/// Size of a read; a key has at most about ten bytes.
const READ_BYTES: usize = 64;

/// Key with a function in the live view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Start,
    End,
    /// `q`.
    Quit,
    /// Ctrl-C, for which a terminal in raw mode generates no signal.
    Interrupt,
}

/// Reads keys.
#[derive(Debug)]
pub(super) struct Keyboard {
    terminal: OwnedFd,
    /// Bytes read but not yet parsed.
    bytes: Vec<u8>,
}

impl Keyboard {
    /// Opens standard input, or the controlling terminal.
    pub(super) fn open() -> io::Result<Self> {
        let stdin = io::stdin();
        let terminal =
            if stdin.is_terminal() { stdin.as_fd().try_clone_to_owned()? } else { File::open("/dev/tty")?.into() };
        Ok(Self { terminal, bytes: Vec::new() })
    }

    /// Waits for the next key for at most `limit`.
    ///
    /// # Errors
    /// When the terminal is closed.
    pub(super) fn next(&mut self, limit: Duration) -> io::Result<Option<Key>> {
        if let Some(key) = take(&mut self.bytes) {
            return Ok(Some(key));
        }
        if self.is_readable(limit)? {
            let mut bytes = [0; READ_BYTES];
            match read(&self.terminal, &mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.bytes.extend_from_slice(&bytes[..count]),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(take(&mut self.bytes))
    }

    fn is_readable(&self, limit: Duration) -> io::Result<bool> {
        let mut terminal = [PollFd::new(&self.terminal, PollFlags::IN)];
        let limit =
            Timespec { tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: limit.subsec_nanos().into() };
        match poll(&mut terminal, Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let found = terminal[0].revents();
        if found.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(found.contains(PollFlags::IN))
    }
}

/// Removes everything up to the first known key, and returns the key. Keeps an incomplete sequence.
fn take(bytes: &mut Vec<u8>) -> Option<Key> {
    while !bytes.is_empty() {
        let Some((key, length)) = decode(bytes) else {
            if bytes.len() >= READ_BYTES {
                // No terminal sends such a sequence.
                bytes.clear();
            }
            return None;
        };
        bytes.drain(..length);
        if key.is_some() {
            return key;
        }
    }
    None
}

/// Parses the first key, if known, and its length in bytes; `None` for an incomplete sequence.
fn decode(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    match *bytes {
        [ESCAPE, b'[', ref rest @ ..] => {
            let end = rest.iter().position(|byte| (0x40..=0x7e).contains(byte))?;
            Some((sequence(&rest[..end], rest[end]), end + 3))
        }
        [ESCAPE, b'O', last, ..] => Some((sequence(b"", last), 3)),
        [] | [ESCAPE] | [ESCAPE, b'O'] => None,
        [byte, ..] => Some((single(byte), 1)),
    }
}

const fn sequence(parameters: &[u8], last: u8) -> Option<Key> {
    Some(match (parameters, last) {
        (b"", b'A') => Key::Up,
        (b"", b'B') => Key::Down,
        (b"5", b'~') => Key::PageUp,
        (b"6", b'~') => Key::PageDown,
        (b"", b'H') | (b"1" | b"7", b'~') => Key::Start,
        (b"", b'F') | (b"4" | b"8", b'~') => Key::End,
        _ => return None,
    })
}

const fn single(byte: u8) -> Option<Key> {
    Some(match byte {
        b'k' => Key::Up,
        b'j' => Key::Down,
        b' ' => Key::PageDown,
        b'g' => Key::Start,
        b'G' => Key::End,
        b'q' | b'Q' => Key::Quit,
        0x03 => Key::Interrupt,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(mut bytes: Vec<u8>) -> (Vec<Key>, Vec<u8>) {
        let mut keys = Vec::new();
        while let Some(key) = take(&mut bytes) {
            keys.push(key);
        }
        (keys, bytes)
    }

    #[test]
    fn keys_are_found_among_those_that_mean_nothing() {
        let (found, rest) = keys(b"x\x1b[A\x1b[B\x1bOA\x1b[5~\x1b[6~\x1b[H\x1b[4~\x1b[1;5C\xc3\xa4q\x03".to_vec());
        let expected =
            [Key::Up, Key::Down, Key::Up, Key::PageUp, Key::PageDown, Key::Start, Key::End, Key::Quit, Key::Interrupt];
        assert_eq!((found.as_slice(), rest.as_slice()), (&expected[..], &b""[..]));
    }

    #[test]
    fn the_beginning_of_a_sequence_waits_and_an_escape_alone_is_in_no_way() {
        assert_eq!(keys(b"j\x1b[".to_vec()), (vec![Key::Down], b"\x1b[".to_vec()));
        assert_eq!(keys(b"\x1b[6~".to_vec()), (vec![Key::PageDown], Vec::new()));
        assert_eq!(keys(b"\x1bq".to_vec()), (vec![Key::Quit], Vec::new()));
        assert_eq!(keys([b"\x1b[".to_vec(), vec![b'1'; 100]].concat()), (Vec::new(), Vec::new()));
    }
}
