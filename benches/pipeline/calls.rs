//! System calls of a node for each packet, by kind. `perf` counts them without slowing the node down much.

use std::process::{Child, Command, Stdio};

/// The calls that packets and timers make.
const KINDS: [&str; 7] = ["recvfrom", "writev", "epoll_wait", "timerfd_settime", "nanosleep", "clock_gettime", "write"];

/// Starts to count the calls of a process, until it ends.
pub(crate) fn count(process: &Child) -> Child {
    let events = KINDS.map(|kind| format!("syscalls:sys_enter_{kind}")).join(",");
    let pid = process.id().to_string();
    Command::new("perf")
        .args(["stat", "--field-separator", ",", "--log-fd", "1", "-e", &events, "-p", &pid])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("perf, of the package linux-perf")
}

/// Prints what was counted, for each packet. Each line of `perf` begins with a number, a unit and the event.
pub(crate) fn print(counted: &str, packets: usize) {
    let of_kind = |kind: &str| {
        let count = counted.lines().find_map(|line| {
            let mut fields = line.split(',');
            let (count, event) = (fields.next()?, fields.nth(1)?);
            event.ends_with(&format!("_{kind}")).then(|| count.parse::<f64>().expect("perf may count system calls"))
        });
        format!("{kind} {:.2}", count.expect("a line for each event") / packets as f64)
    };
    println!("  system calls per packet: {}", KINDS.map(of_kind).join(", "));
}
