//! Resource usage of the process, read from the kernel.

use std::fs;
use std::time::Duration;

use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// CPU time, memory, descriptors and threads of this process. Unreadable values are 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu: Duration,
    pub memory: u64,
    pub memory_virtual: u64,
    pub descriptors: u64,
    pub threads: u64,
}

impl Usage {
    /// Asks the kernel.
    #[must_use]
    pub fn now() -> Self {
        let (memory_virtual, memory) = memory().unwrap_or_default();
        Self {
            cpu: cpu_of(ClockId::ProcessCPUTime),
            memory,
            memory_virtual,
            descriptors: descriptors(),
            threads: threads(),
        }
    }
}

/// CPU time of the calling thread.
#[must_use]
pub fn cpu_of_thread() -> Duration {
    cpu_of(ClockId::ThreadCPUTime)
}

/// Limit on open files of this process; `None` is unlimited.
#[must_use]
pub fn descriptors_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

fn cpu_of(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

/// Virtual and resident memory, in bytes.
fn memory() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split_ascii_whitespace().map_while(|word| word.parse::<u64>().ok());
    let page = page_size() as u64;
    Some((pages.next()? * page, pages.next()? * page))
}

/// Excludes the descriptor that is open for the counting.
fn descriptors() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| (entries.count() as u64).saturating_sub(1))
}

fn threads() -> u64 {
    fs::read_dir("/proc/self/task").map_or(0, |entries| entries.count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_this_process() {
        let before = Usage::now();
        let _open = fs::File::open("/proc/self/statm").unwrap();
        let after = Usage::now();
        assert!(before.threads >= 1 && before.memory > 1 << 20 && before.memory_virtual >= before.memory);
        assert!(after.cpu >= before.cpu && after.cpu > Duration::ZERO);
        // Other tests open and close files at the same time.
        assert!(after.descriptors >= 3, "{after:?}");
    }
}
