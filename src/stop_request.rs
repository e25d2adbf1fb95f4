//! Who may ask a process to stop: a signal, or the supervisor that holds its standard input.

use std::io;
use std::thread;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::oneshot;

/// A signal that asks for a stop; both ask for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::upper_case_acronyms, reason = "the signals' names, as they are logged")]
pub enum StopSignal {
    /// Ctrl-C.
    SIGINT,
    /// What `kill`, systemd, docker and Kubernetes send.
    SIGTERM,
}

/// SIGINT and SIGTERM from the moment this exists; before that moment the process simply ends.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl StopSignals {
    /// Takes over both signals.
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

/// SIGHUP, which a terminal sends at its end, from the moment this exists.
///
/// What was started to outlive its terminal, as with `nohup`, ignores the signal already, and goes on to.
#[derive(Debug)]
pub struct Hangup(Option<unix::Signal>);

impl Hangup {
    /// Takes over the signal, unless it is ignored.
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
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// Whether a process ignores a signal, by what `/proc/PID/status` says of it.
fn is_ignored(status: &str, signal: Signal) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal.as_raw() - 1) & 1 == 1
}

/// Completes at the end of standard input, which a supervisor holds open as long as it lives.
///
/// A thread of its own reads and is left behind: a runtime would wait at its end for a read that never comes back.
#[must_use]
pub fn end_of_standard_input() -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    thread::spawn(move || {
        io::copy(&mut io::stdin().lock(), &mut io::sink()).ok();
        // Nobody may be waiting any more.
        ended.send(()).ok();
    });
    end
}

/// Has the kernel kill this process when the thread that started it ends: also a killed supervisor takes it along.
///
/// # Errors
/// When the kernel refuses, or the parent has ended already.
pub fn die_with_parent() -> io::Result<()> {
    let parent = getppid();
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The signal comes only for a death from now on.
    if getppid() == parent { Ok(()) } else { Err(io::Error::other("the supervisor ended while this process started")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_which_signals_are_ignored() {
        let status = "Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert!(is_ignored(status, Signal::HUP) && is_ignored(status, Signal::PIPE));
        assert!(!is_ignored(status, Signal::INT) && !is_ignored("", Signal::HUP));
    }
}
