//! Telling systemd how the node is: datagrams to the socket that it names in `NOTIFY_SOCKET` (`sd_notify(3)`).
//!
//! Own code, for it is short, and the crate for it knows no abstract sockets and may block on a full one.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tracing::warn;

/// The service manager that started this process and wants to hear of it.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
    watchdog: Option<Duration>,
}

/// What the service manager may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice<'a> {
    /// The start is over, with a line for `systemctl status`.
    Ready(&'a str),
    /// A new line for `systemctl status`.
    Status(&'a str),
    /// The node stops, with a line for `systemctl status`.
    Stopping(&'a str),
    /// The node still works.
    Watchdog,
}

impl ServiceManager {
    /// The one that the environment names; none without `NOTIFY_SOCKET`, or when that cannot be reached, for a node
    /// mixes without as well.
    pub fn from_environment() -> Option<Self> {
        let name = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
        let number = |variable| env::var(variable).ok().and_then(|text| text.parse::<u64>().ok());
        // The variables may be a parent's: then its id is beside them.
        let is_for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| is_for_us && *usec > 0).map(Duration::from_micros);
        Self::connect(&name, watchdog)
            .inspect_err(|error| warn!(%error, socket = ?name, "cannot reach systemd (NOTIFY_SOCKET)"))
            .ok()
    }

    /// The one that listens at `name`: a path, or an abstract name behind an `@`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(name: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not stop the node.
        socket.set_nonblocking(true)?;
        socket.connect_addr(&address)?;
        Ok(Self { socket, watchdog })
    }

    /// How often it wants to hear [`Notice::Watchdog`]: twice in the time after which it would restart the node.
    #[must_use]
    pub fn watchdog_every(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// Tells it, or logs that it cannot be told.
    pub fn tell(&self, notice: Notice<'_>) {
        if let Err(error) = self.socket.send(notice.text().as_bytes()) {
            warn!(%error, "cannot tell systemd how the node is");
        }
    }
}

impl Notice<'_> {
    fn text(self) -> String {
        // A line break would begin another assignment.
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

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let len = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    #[test]
    fn a_path_and_an_abstract_name_are_reached() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        ServiceManager::connect(path.as_os_str(), None).unwrap().tell(Notice::Ready("mixing"));
        assert_eq!(heard(&manager), "READY=1\nSTATUS=mixing\n");

        let name = format!("nym-mixnode-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let told = ServiceManager::connect(OsStr::new(&format!("@{name}")), None).unwrap();
        told.tell(Notice::Stopping("a\nREADY=1"));
        assert_eq!(heard(&manager), "STOPPING=1\nSTATUS=a READY=1\n");
        told.tell(Notice::Watchdog);
        assert_eq!(heard(&manager), "WATCHDOG=1\n");
    }

    #[test]
    fn nobody_there_is_an_error_and_a_deaf_manager_no_stop() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("notify");
        assert!(ServiceManager::connect(path.as_os_str(), None).is_err());

        let _deaf = UnixDatagram::bind(&path).unwrap();
        let told = ServiceManager::connect(path.as_os_str(), Some(Duration::from_secs(3))).unwrap();
        assert_eq!(told.watchdog_every(), Some(Duration::from_millis(1500)));
        for _ in 0..10_000 {
            told.socket.send(b"x").ok();
        }
        told.tell(Notice::Watchdog);
    }
}
