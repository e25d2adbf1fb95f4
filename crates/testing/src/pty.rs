//! A terminal for tests: its screen, its keys and its state.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// Deadline of each step, generous for a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Sets the title of the terminal's window, which changes nothing on its screen.
const END_MARK: &str = "\u{1b}]0;end\u{7}";

/// Both ends of a terminal, and the program on it.
pub struct Pty {
    ours: File,
    theirs: File,
    written: Arc<Mutex<Written>>,
    program: Child,
}

/// All bytes so far, and the screen that they produce.
struct Written {
    bytes: Vec<u8>,
    terminal: vt100::Parser,
}

impl Pty {
    /// Starts a program on a new terminal.
    pub fn start(
        program: impl AsRef<OsStr>,
        arguments: &[&str],
        variables: &[(&str, &str)],
        (columns, rows): (u16, u16),
    ) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let (ours, theirs) = (File::from(ours), File::from(theirs));
        resize(&ours, columns, rows);
        // The tools make this the program's controlling terminal, then execute the program.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "env", "--default-signal=HUP"]).arg(program.as_ref()).args(arguments);
        command.env_remove("CI").env_remove("NO_COLOR").env("TERM", "xterm-256color").envs(variables.iter().copied());
        command.stdin(theirs.try_clone().unwrap());
        command.stdout(theirs.try_clone().unwrap()).stderr(theirs.try_clone().unwrap());
        let program = command.spawn().unwrap();
        let terminal = vt100::Parser::new(size(rows), size(columns), 0);
        let written = Arc::new(Mutex::new(Written { bytes: Vec::new(), terminal }));
        collect(ours.try_clone().unwrap(), Arc::clone(&written));
        Self { ours, theirs, written, program }
    }

    pub fn pid(&self) -> u32 {
        self.program.id()
    }

    /// Output of the program so far.
    pub fn text(&self) -> String {
        let text = self.written_text();
        text.strip_suffix(END_MARK).map(str::to_owned).unwrap_or(text)
    }

    fn written_text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap().bytes).into_owned()
    }

    /// The lines on the screen now.
    pub fn screen(&self) -> Vec<String> {
        let written = self.written.lock().unwrap();
        written.terminal.screen().contents().lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// The screen itself, with its colours.
    pub fn with_screen<T>(&self, look: impl Fn(&vt100::Screen) -> T) -> T {
        look(self.written.lock().unwrap().terminal.screen())
    }

    /// Waits until the screen is as wanted.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&[String]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(&self.screen()) {
            assert!(Instant::now() < deadline, "not {what}: {:#?}", self.screen());
            pause();
        }
    }

    pub fn press(&self, keys: &str) {
        (&self.ours).write_all(keys.as_bytes()).unwrap();
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        // Later output may still be for the old size, as on any terminal.
        self.written.lock().unwrap().terminal.set_size(size(rows), size(columns));
        resize(&self.ours, columns, rows);
    }

    /// Whether the alternate screen is active, and whether the cursor is hidden.
    pub fn modes(&self) -> (bool, bool) {
        let written = self.written.lock().unwrap();
        let screen = written.terminal.screen();
        (screen.alternate_screen(), screen.hide_cursor())
    }

    /// Whether it echoes keys and is in line mode, as a shell expects.
    pub fn is_cooked(&self) -> bool {
        let cooked = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcgetattr(&self.theirs).unwrap().local_modes.contains(cooked)
    }

    /// Waits until the program has ended and all its output is read.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.program.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "still running: {:?}", self.text());
            pause();
        };
        // A terminal preserves the order of writes, so this arrives last.
        (&self.theirs).write_all(END_MARK.as_bytes()).unwrap();
        while !self.written_text().ends_with(END_MARK) {
            assert!(Instant::now() < deadline, "not read to the end: {:?}", self.text());
            pause();
        }
        status
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        self.program.kill().ok();
        self.program.wait().ok();
    }
}

#[expect(clippy::disallowed_methods, reason = "the caller is a thread of its own; no runtime is blocked")]
fn pause() {
    thread::sleep(Duration::from_millis(20));
}

fn size(length: u16) -> NonZeroU16 {
    NonZeroU16::new(length).unwrap()
}

fn resize(terminal: &File, columns: u16, rows: u16) {
    tcsetwinsize(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

/// Reads until the terminal is closed.
fn collect(mut terminal: File, written: Arc<Mutex<Written>>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = terminal.read(&mut buffer) {
            let mut written = written.lock().unwrap();
            written.bytes.extend_from_slice(&buffer[..count]);
            written.terminal.process(&buffer[..count]);
        }
    });
}
