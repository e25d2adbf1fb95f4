//! CPU time and memory of a process, from /proc.

use std::fs;

/// Kernel ticks per second, the unit of CPU time in /proc.
const TICKS_PER_SECOND: f64 = 100.0;

/// Usage of a process since its start.
pub(crate) struct Usage {
    /// In the kernel and outside.
    pub(crate) cpu_micros: f64,
    /// In the kernel.
    pub(crate) kernel_micros: f64,
    pub(crate) resident_mib: f64,
    pub(crate) resident_peak_mib: f64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        let micros = |field: usize| fields[field].parse::<f64>().expect("ticks") / TICKS_PER_SECOND * 1e6;
        let (user, kernel) = (micros(11), micros(12));
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
        let mib = |field: &str| {
            let line = status.lines().find(|line| line.starts_with(field)).expect("a field");
            line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("a number") / 1024.0
        };
        Self {
            cpu_micros: user + kernel,
            kernel_micros: kernel,
            resident_mib: mib("VmRSS"),
            resident_peak_mib: mib("VmHWM"),
        }
    }

    pub(crate) fn since(self, before: &Self) -> Self {
        Self {
            cpu_micros: self.cpu_micros - before.cpu_micros,
            kernel_micros: self.kernel_micros - before.kernel_micros,
            ..self
        }
    }
}
