//! Sends the packets at a given rate, or as fast as TCP accepts them.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::load::FRAME_LEN;
use crate::support::{self, leave_the_first_core_alone};

/// A connection, and the unsent rest of a partly written frame.
struct Connection {
    stream: TcpStream,
    rest: Vec<u8>,
}

pub(crate) fn main(args: &[String]) {
    let [dir, target, rate, connections] = args else { panic!("generator: four arguments") };
    leave_the_first_core_alone();
    let frames = fs::read(Path::new(dir).join("frames")).expect("the packets");
    let count: usize = connections.parse().expect("a number");
    let mut connections: Vec<_> = (0..count)
        .map(|_| {
            let stream = TcpStream::connect(target).expect("the node listens");
            stream.set_nonblocking(true).expect("a non-blocking socket");
            // Nagle's algorithm would add to the measured lag.
            stream.set_nodelay(true).expect("a socket option");
            Connection { stream, rest: Vec::new() }
        })
        .collect();
    let rate: f64 = rate.parse().expect("a rate");
    let (sent_at, offered) = send_all(&frames, &mut connections, rate);
    while connections.iter_mut().any(|connection| !connection.flush()) {
        pause();
    }
    let bytes: Vec<u8> = sent_at.iter().flat_map(|nanos| nanos.to_le_bytes()).collect();
    fs::write(Path::new(dir).join(if rate > 0.0 { "sent" } else { "sent-unpaced" }), bytes).expect("room");
    println!("{offered} offered, {} taken", sent_at.len());
}

/// Returns the send time of each packet, taken before the write, and the number of offered packets.
fn send_all(frames: &[u8], connections: &mut [Connection], rate: f64) -> (Vec<u64>, usize) {
    let mut sent_at = Vec::new();
    let start = Instant::now();
    let (mut offered, mut turn) = (0usize, 0usize);
    let mut frames = frames.chunks(FRAME_LEN).peekable();
    while let Some(frame) = frames.peek() {
        if rate > 0.0 && offered as f64 > start.elapsed().as_secs_f64() * rate {
            pause();
            continue;
        }
        offered += 1;
        turn += 1;
        let at = turn % connections.len();
        let now = support::monotonic_nanos();
        if connections[at].try_send(frame) {
            sent_at.push(now);
            frames.next();
        } else if rate == 0.0 && at == 0 {
            pause();
        }
    }
    (sent_at, offered)
}

impl Connection {
    /// Sends a frame; `false` when the connection accepted no byte of it.
    fn try_send(&mut self, frame: &[u8]) -> bool {
        if !self.flush() {
            return false;
        }
        match self.stream.write(frame) {
            Ok(written) => {
                self.rest.extend_from_slice(&frame[written..]);
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("the node closed a connection: {error}"),
        }
    }

    fn flush(&mut self) -> bool {
        while !self.rest.is_empty() {
            match self.stream.write(&self.rest) {
                Ok(written) => drop(self.rest.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) => panic!("the node closed a connection: {error}"),
            }
        }
        true
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, without a runtime")]
fn pause() {
    std::thread::sleep(Duration::from_micros(200));
}
