//! Notifications to systemd: datagrams to the socket in `NOTIFY_SOCKET`, see `sd_notify(3)`.
//!
//! The sd-notify crate does not support abstract sockets, and may block when the socket is full.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tracing::warn;

/// The service manager that started this process and expects notifications.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
    watchdog: Option<Duration>,
}

/// Notifications to the service manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice<'a> {
    /// The program has started, with a line for `systemctl status`.
    Ready(&'a str),
    /// A new line for `systemctl status`.
    Status(&'a str),
    /// The program stops, with a line for `systemctl status`.
    Stopping(&'a str),
    /// The node still works.
    Watchdog,
}

impl ServiceManager {
    /// Connects to the service manager of the environment. `None` without `NOTIFY_SOCKET`, and after a failure, which
    /// is logged: the node also runs without a service manager.
    pub fn from_environment() -> Option<Self> {
        let name = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
        let number = |variable| env::var(variable).ok().and_then(|text| text.parse::<u64>().ok());
        // The variables may be for a parent process; WATCHDOG_PID then differs from this process's id.
        let is_for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| is_for_us && *usec > 0).map(Duration::from_micros);
        Self::connect(&name, watchdog)
            .inspect_err(|error| warn!(%error, socket = ?name, "cannot reach systemd (NOTIFY_SOCKET)"))
            .ok()
    }

    /// Connects to the socket `name`: a path, or `@` and an abstract name.
    ///
    /// # Errors
    /// When no process listens there.
    pub fn connect(name: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not block the node.
        socket.set_nonblocking(true)?;
        socket.connect_addr(&address)?;
        Ok(Self { socket, watchdog })
    }

    /// Interval for [`Notice::Watchdog`]: half of the time after which the manager restarts the node.
    #[must_use]
    pub fn watchdog_every(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// Sends a notification. Logs a failure.
    pub fn notify(&self, notice: Notice<'_>) {
        if let Err(error) = self.socket.send(notice.text().as_bytes()) {
            warn!(%error, "cannot send a notification to systemd");
        }
    }
}

impl Notice<'_> {
    fn text(self) -> String {
        // A line break would begin the next assignment.
        let line = |text: &str| text.replace(char::is_control, " ");
        match self {
            Self::Ready(status) => format!("READY=1\nSTATUS={}\n", line(status)),
            Self::Status(status) => format!("STATUS={}\n", line(status)),
            Self::Stopping(status) => format!("STOPPING=1\nSTATUS={}\n", line(status)),
            Self::Watchdog => "WATCHDOG=1\n".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let len = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    #[test]
    fn notifications_reach_a_path_and_an_abstract_name() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        ServiceManager::connect(path.as_os_str(), None).unwrap().notify(Notice::Ready("mixing"));
        assert_eq!(receive(&socket), "READY=1\nSTATUS=mixing\n");

        let name = format!("nym-mixnode-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let manager = ServiceManager::connect(OsStr::new(&format!("@{name}")), None).unwrap();
        manager.notify(Notice::Stopping("a\nREADY=1"));
        assert_eq!(receive(&socket), "STOPPING=1\nSTATUS=a READY=1\n");
        manager.notify(Notice::Watchdog);
        assert_eq!(receive(&socket), "WATCHDOG=1\n");
    }

    #[test]
    fn a_missing_listener_is_an_error_and_a_full_socket_does_not_block() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("notify");
        assert!(ServiceManager::connect(path.as_os_str(), None).is_err());

        let _full = UnixDatagram::bind(&path).unwrap();
        let manager = ServiceManager::connect(path.as_os_str(), Some(Duration::from_secs(3))).unwrap();
        assert_eq!(manager.watchdog_every(), Some(Duration::from_millis(1500)));
        for _ in 0..10_000 {
            manager.socket.send(b"x").ok();
        }
        manager.notify(Notice::Watchdog);
    }
}
