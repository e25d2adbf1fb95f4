//! The keys of the terminal, for as long as there is a terminal.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Reads keys. The library that does it never returns from a terminal that has hung up, so that is looked for first.
#[derive(Debug)]
pub(super) struct Keyboard(OwnedFd);

impl Keyboard {
    /// The terminal that the library reads from: standard input, or the process's own.
    pub(super) fn open() -> io::Result<Self> {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Ok(Self(stdin.as_fd().try_clone_to_owned()?));
        }
        Ok(Self(File::open("/dev/tty")?.into()))
    }

    /// The next key, if one is pressed within `limit`.
    ///
    /// # Errors
    /// When the terminal has gone.
    pub(super) fn next(&self, limit: Duration) -> io::Result<Option<KeyEvent>> {
        // The library may have read more keys at once than one.
        for limit in [Duration::ZERO, limit] {
            self.wait(limit)?;
            while event::poll(Duration::ZERO)? {
                match event::read()? {
                    Event::Key(key) if key.kind != KeyEventKind::Release => return Ok(Some(key)),
                    _ => {}
                }
            }
        }
        Ok(None)
    }

    /// Waits until there is something to read, or the limit has passed.
    fn wait(&self, limit: Duration) -> io::Result<()> {
        let mut terminal = [PollFd::new(&self.0, PollFlags::IN)];
        let limit =
            Timespec { tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: limit.subsec_nanos().into() };
        match poll(&mut terminal, Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if terminal[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }
}
