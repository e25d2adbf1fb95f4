//! Stop requests: signals, and the end of the supervisor that keeps standard input open.

use std::io;
use std::thread;

use nym_mixnode_base::optional::if_some;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::oneshot;

/// A signal that requests a stop. Both have the same effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::upper_case_acronyms, reason = "the signals' names, as they are logged")]
pub enum StopSignal {
    /// Ctrl-C.
    SIGINT,
    /// What `kill`, systemd, docker and Kubernetes send.
    SIGTERM,
}

/// Handler for SIGINT and SIGTERM, which end the process at once before it exists.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl StopSignals {
    /// Installs handlers for both signals.
    ///
    /// # Errors
    /// When the system grants no handler.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
        })
    }

    /// Completes at the next signal. Cancel-safe.
    pub async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.interrupt.recv() => StopSignal::SIGINT,
            _ = self.terminate.recv() => StopSignal::SIGTERM,
        }
    }
}

/// Handler for SIGHUP, which a terminal sends when it closes.
///
/// A process started with `nohup` ignores the signal already, and continues to do so.
#[derive(Debug)]
pub struct Hangup(Option<unix::Signal>);

impl Hangup {
    /// Installs a handler for the signal, unless it is ignored.
    ///
    /// # Errors
    /// When the system grants no handler.
    pub fn new() -> io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let is_ignored = is_ignored(&status, Signal::HUP);
        Ok(Self(if is_ignored { None } else { Some(unix::signal(SignalKind::hangup())?) }))
    }

    /// Completes at the next signal. Cancel-safe.
    pub async fn next(&mut self) {
        if_some(self.0.as_mut().map(unix::Signal::recv)).await;
    }
}

/// Whether a process ignores a signal, from the text of its `/proc/PID/status`.
fn is_ignored(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal.as_raw() - 1) & 1 == 1
}

/// Completes at the end of standard input, which a supervisor keeps open while it runs.
///
/// Reads on a detached thread, because a runtime would wait at its shutdown for a read that never returns.
#[must_use]
pub fn end_of_standard_input() -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    thread::spawn(move || {
        io::copy(&mut io::stdin().lock(), &mut io::sink()).ok();
        // The receiver may be dropped.
        ended.send(()).ok();
    });
    end
}

/// Lets the kernel kill this process when its parent thread ends, even if the supervisor is killed.
///
/// # Errors
/// When the kernel refuses, or the parent has ended already.
pub fn die_with_parent() -> io::Result<()> {
    let parent = getppid();
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // No signal is sent if the parent ended before this point.
    if getppid() == parent { Ok(()) } else { Err(io::Error::other("the supervisor ended while this process started")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_process_status() {
        let status = "Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert!(is_ignored(status, Signal::HUP) && is_ignored(status, Signal::PIPE));
        assert!(!is_ignored(status, Signal::INT) && !is_ignored("", Signal::HUP));
    }
}
