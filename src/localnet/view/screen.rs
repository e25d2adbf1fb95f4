//! Takes over the terminal for the live view, and restores it however the view ends.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use rustix::process::getpgrp;
use rustix::termios::{tcgetpgrp, tcgetwinsize};

/// Whether the view owns the terminal. Changed only with standard error locked, as for writing frames.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Terminal on standard error.
pub(super) type Screen = Terminal<CrosstermBackend<Frames>>;

/// Whether standard error is a terminal that supports drawing and reading keys.
pub(super) fn is_suitable() -> bool {
    let stderr = io::stderr();
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty() && value != "false");
    stderr.is_terminal()
        && can_move_cursor(env::var_os("TERM").as_deref())
        && !is_set("CI")
        // The kernel stops a background process that changes the terminal.
        && tcgetpgrp(&stderr).is_ok_and(|foreground| foreground == getpgrp())
        && tcgetwinsize(&stderr).is_ok_and(|size| size.ws_row > 0 && size.ws_col > 0)
}

fn can_move_cursor(terminal: Option<&OsStr>) -> bool {
    terminal.is_some_and(|kind| !kind.is_empty() && kind != "dumb")
}

/// Takes over the terminal: raw mode and the alternate screen.
pub(super) fn enter() -> io::Result<Screen> {
    leave_before_a_panic_is_reported();
    let entered = take();
    if entered.is_err() {
        leave();
    }
    entered
}

fn take() -> io::Result<Screen> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    execute!(io::stderr(), EnterAlternateScreen, Hide)?;
    Terminal::new(CrosstermBackend::new(Frames::default()))
}

/// Restores the terminal once; later frames are discarded.
pub(super) fn leave() {
    let mut stderr = io::stderr().lock();
    if TAKEN.swap(false, Ordering::SeqCst) {
        // A closed terminal needs no restoring.
        drop(execute!(stderr, LeaveAlternateScreen, Show));
        drop(disable_raw_mode());
    }
}

/// Restores the terminal at a panic, whose message would otherwise vanish with the alternate screen.
fn leave_before_a_panic_is_reported() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            leave();
            report(panic);
        }));
    });
}

/// Buffers a frame and writes it at once, unless the terminal is restored.
#[derive(Debug, Default)]
pub(super) struct Frames(Vec<u8>);

impl Write for Frames {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let frame = std::mem::take(&mut self.0);
        let mut stderr = io::stderr().lock();
        if TAKEN.load(Ordering::SeqCst) { stderr.write_all(&frame).and_then(|()| stderr.flush()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nym_mixnode_testing::pty::Pty;

    #[test]
    #[ignore = "runs on a terminal of the next test's, not by itself"]
    fn panic_on_a_terminal() {
        let _screen = enter().unwrap();
        panic!("this is the message");
    }

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_reported() {
        let name = "localnet::view::screen::tests::panic_on_a_terminal";
        let arguments = ["--exact", name, "--ignored", "--nocapture"];
        let mut terminal = Pty::start(env::current_exe().unwrap(), &arguments, &[], (80, 24));
        assert!(!terminal.wait_for_end().success());
        let text = terminal.text();
        let (view, after) = text.split_once("\u{1b}[?1049l").unwrap();
        assert!(view.contains("\u{1b}[?1049h") && !view.contains("this is the message"), "{text:?}");
        assert!(after.contains("this is the message"), "{text:?}");
        assert!(terminal.is_cooked());
    }

    #[test]
    fn only_a_terminal_with_a_cursor_gets_a_picture() {
        assert!(can_move_cursor(Some("xterm-256color".as_ref())));
        for terminal in [None, Some(""), Some("dumb")] {
            assert!(!can_move_cursor(terminal.map(AsRef::as_ref)), "{terminal:?}");
        }
    }
}
