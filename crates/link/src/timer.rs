//! Timers of the packet path: an exact one for releases, and deadlines that cost nothing while they move.

use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Sleep, sleep_until};

use crate::clock;

/// Wakes a task at a time.
///
/// tokio's timers have steps of a millisecond and round up twice, so they fire up to two release intervals late.
#[derive(Debug)]
pub struct Alarm {
    /// `None`: uses tokio's timers.
    exact: Option<AsyncFd<OwnedFd>>,
    /// When the timer is set to fire.
    set_for: Option<Instant>,
}

impl Alarm {
    /// An alarm on a timer of the kernel, or on tokio's if the kernel gives no timer. Call it within a runtime.
    #[must_use]
    #[expect(
        deprecated,
        reason = "the unsafe successor is for types that may close their descriptor early, and an OwnedFd never does"
    )]
    pub fn exact() -> Self {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).ok();
        let exact = timer.and_then(|timer| AsyncFd::try_with_interest(timer, Interest::READABLE).ok());
        Self { exact, set_for: None }
    }

    /// An alarm on tokio's timers, whose clock tests can pause.
    #[must_use]
    pub fn coarse() -> Self {
        Self { exact: None, set_for: None }
    }

    /// Completes at `time` or soon after it, never before. Can be cancelled; waiting again for the same time is cheap.
    pub async fn at(&mut self, time: Instant) {
        if self.wait_exactly(time).await.is_err() {
            sleep_until(time.into()).await;
        }
    }

    async fn wait_exactly(&mut self, time: Instant) -> std::io::Result<()> {
        let timer = self.exact.as_ref().ok_or(std::io::ErrorKind::Unsupported)?;
        loop {
            let rest = time.saturating_duration_since(clock::now());
            if rest.is_zero() {
                return Ok(());
            }
            if self.set_for != Some(time) {
                let spec = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: timespec(rest) };
                timerfd_settime(timer, TimerfdTimerFlags::empty(), &spec)?;
                self.set_for = Some(time);
            }
            // Setting the timer also resets it, so that it need not be read.
            timer.readable().await?.clear_ready();
            self.set_for = None;
        }
    }
}

pub(crate) fn timespec(duration: Duration) -> Timespec {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: duration.subsec_nanos().into() }
}

/// A deadline that usually moves before it passes.
///
/// Its timer is set again only if the deadline moves forward, or if it fires too early because the deadline has moved
/// back. So a deadline that each packet moves back costs no packet a timer.
#[derive(Debug)]
pub(crate) struct Deadline(Pin<Box<Sleep>>);

impl Deadline {
    /// A deadline whose timer first fires at `first`.
    pub(crate) fn new(first: Instant) -> Self {
        Self(Box::pin(sleep_until(first.into())))
    }

    /// Completes at `time`.
    pub(crate) async fn passed(&mut self, time: Instant) {
        poll_fn(|cx| self.poll_passed(time, cx)).await;
    }

    fn poll_passed(&mut self, time: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let mut timer = self.0.as_mut();
        if time < timer.deadline().into_std() {
            timer.as_mut().reset(time.into());
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline().into_std() >= time {
                return Poll::Ready(());
            }
            timer.as_mut().reset(time.into());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{sleep, timeout};

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn an_exact_alarm_never_completes_early_and_can_be_set_to_any_time() {
        let mut alarm = Alarm::exact();
        assert!(alarm.exact.is_some());
        let start = clock::now();
        alarm.at(start).await;
        for micros in [100, 1_500, 1_600, 700, 30_000] {
            // Cancelled; the timer of the second fires while nothing waits for it.
            for earlier in [LONG, Duration::from_micros(200)] {
                drop(timeout(Duration::ZERO, alarm.at(clock::now() + earlier)).await);
            }
            sleep(Duration::from_millis(2)).await;
            let time = clock::now() + Duration::from_micros(micros);
            timeout(LONG, alarm.at(time)).await.expect("it completes");
            assert!(clock::now() >= time);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_coarse_alarm_follows_the_clock_of_tests() {
        let (mut alarm, start) = (Alarm::coarse(), clock::now());
        alarm.at(start + LONG).await;
        assert!(clock::now() >= start + LONG);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_passes_at_its_time_wherever_it_moves() {
        let start = clock::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut deadline = Deadline::new(after(10));
        // Back, forward, and back again; each is cancelled at 5 s or earlier, or passes.
        assert!(timeout(Duration::from_secs(5), deadline.passed(after(20))).await.is_err());
        for (time, expected) in [(6, 6), (30, 30), (31, 31), (20, 31), (50, 50)] {
            deadline.passed(after(time)).await;
            assert_eq!((clock::now() - start).as_secs(), expected);
        }
    }
}
