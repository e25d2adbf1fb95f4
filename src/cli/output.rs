//! Output of the commands: text for the operator, JSON lines for a supervising program.

use std::fs::File;
use std::io::{self, StdoutLock, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use nym_mixnode_base::redact::redacted;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use url::Url;

use super::{Exit, Failure};

/// Deadline of a best-effort write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// Capacity of the queue of lines for a supervisor: about one minute.
const WAITING_MAX: usize = 64;

/// Writes a line to `stream` and flushes it. A closed pipe is not an error.
pub(super) fn print_to(mut stream: impl Write, text: impl fmt::Display) -> Result<(), Failure> {
    let line = format!("{text}\n");
    unless_closed(stream.write_all(line.as_bytes()).and_then(|()| stream.flush()))
        .map_err(|error| Failure::new(Exit::IO, format_args!("the output cannot be written: {error}")))
}

/// Writes to standard output and flushes it. A closed pipe is not an error: the exit code still reports the result.
pub(super) fn write_stdout(write: impl FnOnce(&mut StdoutLock<'_>) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    unless_closed(write(&mut out).and_then(|()| out.flush()))
}

/// Writes a document in several lines.
pub(super) fn write_json(out: &mut impl Write, document: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, document)?;
    writeln!(out)
}

fn unless_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Formats a URL without its password and trailing slash.
pub(super) fn without_last_slash(url: &Url) -> String {
    redacted(url).trim_end_matches('/').to_owned()
}

/// Stream for output that must not block or fail a start: text not written within a second is dropped.
///
/// It then logs a warning. The stream may be full (a disk, an unread pipe), stopped (ctrl-S on a terminal) or broken.
pub(super) struct BestEffortOutput {
    stream: io::Result<File>,
    limit: Duration,
    given_up: bool,
}

impl BestEffortOutput {
    pub(super) fn stdout() -> Self {
        Self::to(io::stdout())
    }

    pub(super) fn stderr() -> Self {
        Self::to(io::stderr())
    }

    fn to(stream: impl AsFd) -> Self {
        // Bypass the standard library's buffer, whose flush at exit would block again.
        let stream = stream.as_fd().try_clone_to_owned().map(File::from);
        Self { stream, limit: WRITE_TIMEOUT, given_up: false }
    }

    fn offer(&self, text: &[u8]) -> io::Result<()> {
        let stream = match &self.stream {
            Ok(stream) => stream.try_clone()?,
            Err(error) => return Err(error.kind().into()),
        };
        let (text, limit) = (text.to_vec(), self.limit);
        let (done, written) = mpsc::sync_channel(1);
        // A blocking write has no timeout, so it runs on a thread, which ends with the process at the latest.
        thread::Builder::new().name("stdout".to_owned()).spawn(move || {
            done.send(write_within(&stream, &text, limit)).ok();
        })?;
        written.recv_timeout(limit).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Write for BestEffortOutput {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if !self.given_up
            && let Err(error) = self.offer(text)
        {
            self.given_up = true;
            if error.kind() != io::ErrorKind::BrokenPipe {
                tracing::warn!(%error, "cannot write to standard output, continuing without it");
            }
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes all of `text`; waits if a non-blocking stream is full.
fn write_within(mut stream: &File, mut text: &[u8], limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    while !text.is_empty() {
        match stream.write(text) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => text = &text[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_until_writable(stream, deadline)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait_until_writable(stream: &File, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
    let has_room = poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&left))? > 0;
    if has_room { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
}

/// JSON lines on standard output for a supervising program. A thread writes them, so a slow reader never blocks the
/// command; lines are dropped when the queue is full.
pub(super) struct EventLines {
    lines: SyncSender<Vec<u8>>,
    written: mpsc::Receiver<()>,
}

/// Sender of [`EventLines`].
#[derive(Clone)]
pub(super) struct EventSender(SyncSender<Vec<u8>>);

impl EventLines {
    /// Starts the thread.
    ///
    /// # Errors
    /// When no thread can be started or no file descriptor is left.
    pub(super) fn on_stdout() -> io::Result<Self> {
        Self::on(io::stdout().as_fd().try_clone_to_owned()?)
    }

    fn on(stream: OwnedFd) -> io::Result<Self> {
        let mut stream = File::from(stream);
        let (lines, waiting) = mpsc::sync_channel::<Vec<u8>>(WAITING_MAX);
        let (done, written) = mpsc::sync_channel(1);
        thread::Builder::new().name("events".to_owned()).spawn(move || {
            for line in waiting {
                // The supervisor is gone; its end also closes standard input, which stops the command.
                stream.write_all(&line).ok();
            }
            done.send(()).ok();
        })?;
        Ok(Self { lines, written })
    }

    pub(super) fn sender(&self) -> EventSender {
        EventSender(self.lines.clone())
    }

    /// Waits briefly until the last lines are written, after all senders are dropped.
    pub(super) fn finish(self) {
        drop(self.lines);
        if self.written.recv_timeout(WRITE_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            tracing::debug!("the supervisor has not read the last events");
        }
    }
}

impl EventSender {
    /// Sends one event as a line of JSON.
    pub(super) fn send(&self, event: &impl Serialize) {
        if let Ok(mut line) = serde_json::to_vec(event) {
            line.push(b'\n');
            self.0.try_send(line).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

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
        assert_eq!(print_to(Broken(io::ErrorKind::BrokenPipe), "x"), Ok(()));
        assert_eq!(print_to(Broken(io::ErrorKind::StorageFull), "x").unwrap_err().exit, Exit::IO);
    }

    /// A pipe that is full; the reader must stay open.
    fn full_pipe(flags: OFlags) -> (io::PipeReader, File) {
        let (reader, writer) = io::pipe().unwrap();
        let writer = File::from(OwnedFd::from(writer));
        let before = fcntl_getfl(&writer).unwrap();
        fcntl_setfl(&writer, before | OFlags::NONBLOCK).unwrap();
        while (&writer).write(&[b'x'; 4096]).is_ok() {}
        fcntl_setfl(&writer, before | flags).unwrap();
        (reader, writer)
    }

    fn best_effort(stream: File, limit: Duration) -> BestEffortOutput {
        BestEffortOutput { stream: Ok(stream), limit, given_up: false }
    }

    #[test]
    fn a_courtesy_never_fails_and_waits_but_once() {
        let full_disk = File::options().write(true).open("/dev/full").unwrap();
        let (_blocking, blocking) = full_pipe(OFlags::empty());
        let (_open, non_blocking) = full_pipe(OFlags::NONBLOCK);
        for stream in [full_disk, blocking, non_blocking] {
            let mut out = best_effort(stream, Duration::from_millis(1));
            assert_eq!(print_to(&mut out, "hello"), Ok(()));
            assert!(out.given_up);
            out.limit = Duration::from_hours(1);
            assert_eq!(print_to(&mut out, "not tried"), Ok(()));
        }
    }

    #[test]
    fn a_courtesy_arrives_once_there_is_room() {
        let (mut reader, writer) = full_pipe(OFlags::NONBLOCK);
        let mut out = best_effort(writer, Duration::from_secs(60));
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        print_to(&mut out, "hello").unwrap();
        assert!(!out.given_up);
        drop(out);
        assert!(reading.join().unwrap().ends_with(b"xhello\n"));
    }

    #[test]
    fn events_arrive_in_order_and_wait_for_nobody() {
        let (reader, writer) = io::pipe().unwrap();
        let events = EventLines::on(writer.into()).unwrap();
        let sender = events.sender();
        sender.send(&1);
        sender.send(&2);
        drop(sender);
        events.finish();
        assert_eq!(io::read_to_string(reader).unwrap(), "1\n2\n");

        let (_reader, writer) = full_pipe(OFlags::empty());
        let events = EventLines::on(writer.into()).unwrap();
        for event in 0..10 * WAITING_MAX {
            events.sender().send(&event);
        }
        events.finish();
    }
}
