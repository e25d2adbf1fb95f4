//! Writes log lines to standard error without ever blocking the code that logs.
//!
//! A bounded queue holds the lines, and a dedicated thread writes them. When standard error blocks (an unread pipe, a
//! stopped terminal), the queue fills up; further lines are then dropped and counted.

use nym_mixnode_base::count::counted;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{Level, Metadata};

use super::record::{Form, Record};
use super::repeats::Repeats;

/// Size limit of all queued lines together, in bytes.
const WAITING_BYTES_MAX: usize = 256 << 10;

/// Pause between two attempts to write to a full non-blocking stream.
const FULL_STREAM_PAUSE: Duration = Duration::from_millis(20);

/// Moves to the start of a terminal's line, and clears it.
const CLEAR_LINE: &str = "\r\x1b[2K";

/// The queued lines, and counters for those before.
#[derive(Debug)]
pub(super) struct Output {
    form: Arc<Form>,
    state: Mutex<State>,
    changed: Condvar,
    lost: AtomicU64,
    clears_line: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<String>,
    bytes: usize,
    /// Lines dropped since the last line that was queued.
    lost: u64,
    /// Whether the thread is writing lines it took from the queue.
    writing: bool,
    /// Until then, lines stay in the queue even if standard error is writable.
    held_until: Option<Instant>,
    repeats: Repeats,
}

impl Output {
    /// Starts the writer thread.
    pub(super) fn start(form: Arc<Form>, stream: impl Write + Send + 'static) -> io::Result<Arc<Self>> {
        let output = Arc::new(Self {
            form,
            state: Mutex::default(),
            changed: Condvar::new(),
            lost: AtomicU64::new(0),
            clears_line: AtomicBool::new(false),
        });
        let writer = Arc::clone(&output);
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_all(stream))?;
        Ok(output)
    }

    /// Queues a record. At INFO and above, repeats of a recent record from the same place are only counted.
    pub(super) fn take(&self, metadata: &'static Metadata<'static>, record: &Record) {
        if *metadata.level() <= Level::INFO {
            let text = record.text();
            if !self.state().repeats.admit(metadata, &text, Instant::now()) {
                return;
            }
        }
        self.push(self.form.line(record));
    }

    /// Queues a complete line.
    pub(super) fn push(&self, line: String) {
        let mut state = self.state();
        if state.bytes + line.len() > WAITING_BYTES_MAX {
            state.lost += 1;
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if state.lost > 0 {
            let notice = format!("… {} lost here: standard error was blocked", counted(state.lost, "line", "lines"));
            let notice = self.form.line(&Record::new(Level::WARN, super::TARGET, notice));
            state.lost = 0;
            state.add(notice);
        }
        state.add(line);
        drop(state);
        self.changed.notify_all();
    }

    /// Keeps lines in the queue until [`Output::release`], but for no longer than `limit`.
    pub(super) fn hold(&self, limit: Duration) {
        self.state().held_until = Some(Instant::now() + limit);
    }

    /// Ends [`Output::hold`].
    pub(super) fn release(&self) {
        self.state().held_until = None;
        self.changed.notify_all();
    }

    /// Whether the line of the terminal on which log lines begin is cleared before.
    pub(super) fn clear_line(&self, is_wanted: bool) {
        self.clears_line.store(is_wanted, Ordering::Relaxed);
    }

    /// Number of lines dropped since the start.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written, but for no longer than `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let on_their_way = |state: &mut State| state.writing || !state.lines.is_empty();
        // The result does not matter: there is nothing else to do after the timeout.
        drop(self.changed.wait_timeout_while(self.state(), limit, on_their_way));
    }

    fn write_all(&self, mut stream: impl Write) {
        loop {
            let lines = self.next_lines();
            let mut text = String::new();
            if self.clears_line.load(Ordering::Relaxed) {
                text.push_str(CLEAR_LINE);
            }
            for line in &lines {
                text.push_str(line);
                text.push('\n');
            }
            match write_patiently(&mut stream, text.as_bytes()) {
                // Count repeats even if standard error has been closed.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => self.lose(lines.len() as u64),
                _ => {}
            }
        }
    }

    /// Counts lines that the stream rejected, as with a full disk.
    fn lose(&self, lines: u64) {
        self.state().lost += lines;
        self.lost.fetch_add(lines, Ordering::Relaxed);
    }

    /// Takes all queued lines, waiting until there are any.
    fn next_lines(&self) -> VecDeque<String> {
        let mut state = self.state();
        state.writing = false;
        self.changed.notify_all();
        loop {
            let now = Instant::now();
            state.held_until = state.held_until.filter(|until| *until > now);
            let mut wake_at = state.held_until;
            if wake_at.is_none() {
                for record in state.repeats.over(now) {
                    state.add(self.form.line(&record));
                }
                if !state.lines.is_empty() {
                    state.bytes = 0;
                    state.writing = true;
                    return std::mem::take(&mut state.lines);
                }
                wake_at = state.repeats.next();
            }
            // An hour stands for no limit: the loop waits again.
            let limit = wake_at.map_or(Duration::from_hours(1), |at| at.saturating_duration_since(now));
            state = self.changed.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Poisoning can be ignored: no code between lock and unlock leaves the state half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all bytes, also to a non-blocking stream: another process that shares it may have changed its mode.
fn write_patiently(stream: &mut impl Write, mut text: &[u8]) -> io::Result<()> {
    while !text.is_empty() {
        match stream.write(text) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => text = &text[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::park_timeout(FULL_STREAM_PAUSE),
            Err(error) => return Err(error),
        }
    }
    stream.flush()
}

impl State {
    fn add(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, pipe};
    use std::time::UNIX_EPOCH;

    fn start(stream: impl Write + Send + 'static) -> Arc<Output> {
        Output::start(Arc::new(Form::new(false, || UNIX_EPOCH)), stream).unwrap()
    }

    #[test]
    fn logging_does_not_block_on_an_unread_pipe_and_lost_lines_are_reported() {
        let (reader, writer) = pipe().unwrap();
        let output = start(writer);
        let line = "x".repeat(1000);
        let written = 2000;
        for _ in 0..written {
            // Would block for ever if this needed the pipe to be read.
            output.push(line.clone());
        }
        let lost = output.lost();
        assert!(lost > 0 && lost < written, "{lost}");
        output.flush(Duration::from_millis(1));

        let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
        for _ in 0..written - lost {
            assert_eq!(lines.next().unwrap(), line);
        }
        output.push("again".to_owned());
        let notice = lines.next().unwrap();
        assert!(notice.contains(&format!("WARN  nym_mixnode::log > … {lost} lines lost here")), "{notice}");
        assert_eq!(lines.next().unwrap(), "again");
    }

    #[test]
    fn a_flush_waits_for_the_lines() {
        let (reader, writer) = pipe().unwrap();
        let output = start(writer);
        output.push("one".to_owned());
        output.push("two".to_owned());
        output.flush(Duration::from_secs(60));
        let lines: Vec<_> = BufReader::new(reader).lines().take(2).map(Result::unwrap).collect();
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn held_lines_come_after_the_release_and_in_order() {
        let (reader, writer) = pipe().unwrap();
        let output = start(writer.try_clone().unwrap());
        output.hold(Duration::from_secs(3600));
        output.push("first".to_owned());
        output.push("second".to_owned());
        // Without the hold, this would return as soon as both lines are written.
        output.flush(Duration::from_millis(50));
        (&writer).write_all(b"banner\n").unwrap();
        output.release();
        output.flush(Duration::from_secs(60));
        let lines: Vec<_> = BufReader::new(reader).lines().take(3).map(Result::unwrap).collect();
        assert_eq!(lines, ["banner", "first", "second"]);
    }

    #[test]
    fn lines_take_the_place_of_shown_progress() {
        let (mut reader, writer) = pipe().unwrap();
        let output = start(writer);
        output.clear_line(true);
        output.push("one".to_owned());
        output.flush(Duration::from_secs(60));
        output.clear_line(false);
        output.push("two".to_owned());
        let mut written = vec![0; "\r\x1b[2Kone\ntwo\n".len()];
        reader.read_exact(&mut written).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), "\r\x1b[2Kone\ntwo\n");
    }

    #[test]
    fn a_hold_ends_after_its_limit() {
        let (reader, writer) = pipe().unwrap();
        let output = start(writer);
        output.hold(Duration::from_millis(10));
        output.push("late".to_owned());
        assert_eq!(BufReader::new(reader).lines().next().unwrap().unwrap(), "late");
    }

    #[test]
    fn a_closed_pipe_does_not_stop_the_log() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = start(writer);
        for _ in 0..10 {
            output.push("anybody?".to_owned());
            output.flush(Duration::from_secs(60));
        }
        assert_eq!(output.lost(), 0);
    }

    /// Fails its first write, as a full disk does.
    struct FullAtFirst {
        writer: io::PipeWriter,
        refused: Option<io::ErrorKind>,
    }

    impl Write for FullAtFirst {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.refused.take().map_or_else(|| self.writer.write(text), |kind| Err(kind.into()))
        }

        fn flush(&mut self) -> io::Result<()> {
            self.writer.flush()
        }
    }

    #[test]
    fn lines_that_a_full_disk_refuses_are_counted_and_those_of_a_full_moment_wait() {
        for (kind, lost) in [(io::ErrorKind::StorageFull, 1), (io::ErrorKind::WouldBlock, 0)] {
            let (reader, writer) = pipe().unwrap();
            let output = start(FullAtFirst { writer, refused: Some(kind) });
            for line in ["one", "two"] {
                output.push(line.to_owned());
                output.flush(Duration::from_secs(60));
            }
            assert_eq!(output.lost(), lost);
            let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
            let first = lines.next().unwrap();
            assert!(if lost == 1 { first.contains("… 1 line lost here") } else { first == "one" }, "{first}");
            assert_eq!(lines.next().unwrap(), "two");
        }
    }
}
