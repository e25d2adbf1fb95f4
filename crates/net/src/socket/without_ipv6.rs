//! Threads for which seccomp denies parts of IPv6, for tests. Child processes inherit the filter.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "for tests alone")]

use std::collections::BTreeMap;
use std::thread;

use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// A system call, the index and value of the argument that makes it fail, and the error.
pub type Denied = (i64, u8, u64, Errno);

pub const NO_FAMILY: Denied = (libc::SYS_socket, 0, 10, Errno::AFNOSUPPORT);
/// As long as an IPv6 address is.
pub const NO_ADDRESS: Denied = (libc::SYS_bind, 2, 28, Errno::ADDRNOTAVAIL);
pub const NO_OPTION: Denied = (libc::SYS_setsockopt, 1, 41, Errno::NOPROTOOPT);

/// Runs `work` on such a thread.
pub fn run<T: Send>(denied: Denied, work: impl FnOnce() -> T + Send) -> T {
    let on_thread = || {
        deny(denied);
        work()
    };
    thread::scope(|scope| scope.spawn(on_thread).join().unwrap())
}

fn deny((call, argument, value, errno): Denied) {
    let is = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value).unwrap();
    let rules = BTreeMap::from([(call, vec![SeccompRule::new(vec![is]).unwrap()])]);
    let error = SeccompAction::Errno(errno.raw_os_error().unsigned_abs());
    let here = std::env::consts::ARCH.try_into().unwrap();
    let filter: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, error, here).unwrap().try_into().unwrap();
    seccompiler::apply_filter(&filter).unwrap();
}
