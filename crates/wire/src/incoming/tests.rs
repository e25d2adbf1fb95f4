//! Deadlines and the drain of a connection, with a clock of the test's own.

use super::*;
use crate::{FrameHeader, PacketMode};
use nym_mixnode_sphinx::PacketSize;

const SECOND: Duration = Duration::from_secs(1);
const DEADLINES: Deadlines = Deadlines { frame: Duration::from_secs(30), idle: Duration::from_secs(600) };
const HEADER: FrameHeader = FrameHeader::v0_9(PacketSize::Ack, PacketMode::Mix);

/// Counts frames.
#[derive(Default)]
struct Frames(usize);

impl FrameSink for Frames {
    fn buffer(&mut self, _: FrameHeader) -> Vec<u8> {
        Vec::new()
    }

    fn whole(&mut self, _: FrameHeader, _: &[u8]) {
        self.0 += 1;
    }

    fn assembled(&mut self, _: FrameHeader, _: Vec<u8>) {
        self.0 += 1;
    }
}

struct Peer {
    connection: Incoming,
    frames: Frames,
    start: Instant,
}

impl Peer {
    fn new() -> Self {
        Self { connection: Incoming::new(DEADLINES), frames: Frames::default(), start: Instant::now() }
    }

    fn at(&self, seconds: u32) -> Instant {
        self.start + SECOND * seconds
    }

    /// Receives `bytes` after `seconds`, and returns until when the next ones must have arrived.
    fn sends(&mut self, seconds: u32, bytes: &[u8]) -> Duration {
        let now = self.at(seconds);
        self.connection.received(bytes, now, &mut self.frames).unwrap();
        let step = self.connection.next(now).unwrap();
        assert_eq!((step.permit_until, step.otherwise), (None, CloseReason::TimedOut));
        step.bytes_until - self.start
    }
}

fn frame() -> Vec<u8> {
    let mut bytes = Vec::new();
    HEADER.encode(&mut bytes);
    bytes.resize(HEADER.frame_len(), 7);
    bytes
}

#[test]
fn a_frame_has_its_deadline_from_its_first_byte_however_often_more_arrives() {
    let (mut peer, frame) = (Peer::new(), frame());
    assert_eq!(peer.sends(0, &frame[..1]), DEADLINES.frame);
    assert_eq!(peer.sends(10, &frame[1..2]), DEADLINES.frame);
    for (seconds, byte) in (11..29).zip(2..) {
        assert_eq!(peer.sends(seconds, &frame[byte..=byte]), DEADLINES.frame);
    }
    assert_eq!(peer.sends(29, &frame[20..]), SECOND * 29 + DEADLINES.idle);
    assert_eq!(peer.frames.0, 1);
}

#[test]
fn the_deadline_of_a_frame_that_begins_behind_another_is_its_own() {
    let (mut peer, frame) = (Peer::new(), frame());
    peer.sends(0, &frame[..100]);
    let rest_and_more = [&frame[100..], &frame[..], &frame[..100]].concat();
    assert_eq!(peer.sends(20, &rest_and_more), SECOND * 20 + DEADLINES.frame);
    // Of the same length as the unfinished frame so far.
    assert_eq!(peer.sends(25, &frame[100..200]), SECOND * 20 + DEADLINES.frame);
    assert_eq!(peer.sends(30, &frame[200..]), SECOND * 30 + DEADLINES.idle);
    assert_eq!(peer.frames.0, 3);
}

#[test]
fn a_connection_is_idle_from_its_last_read_on() {
    let mut peer = Peer::new();
    assert_eq!(peer.connection.next(peer.start).unwrap().bytes_until, peer.start + DEADLINES.idle);
    assert_eq!(peer.sends(100, &frame()), SECOND * 100 + DEADLINES.idle);
    // The node was busy in between, which does not count.
    assert_eq!(peer.connection.next(peer.at(300)).unwrap().bytes_until, peer.at(300) + DEADLINES.idle);
}

#[test]
fn a_malformed_frame_closes_the_connection_after_the_frames_before_it() {
    let mut peer = Peer::new();
    let bytes = [&frame()[..], &[9]].concat();
    let closed = peer.connection.received(&bytes, peer.start, &mut peer.frames);
    assert_eq!(closed, Err(CloseReason::BadFrame(FrameError::FirstByte(9))));
    assert_eq!(peer.frames.0, 1);
}

#[test]
fn a_drain_waits_for_bytes_in_transit_and_once_more_after_each_read() {
    let mut peer = Peer::new();
    peer.connection.drain(peer.start);
    assert!(peer.connection.is_draining());
    let step = |wait| NextRead {
        bytes_until: peer.start + wait,
        permit_until: Some(peer.start + LAST_FRAME_GRACE),
        otherwise: CloseReason::Stopping,
    };
    let after = |ms| peer.start + Duration::from_millis(ms);
    assert_eq!(peer.connection.next(peer.start), Ok(step(LAST_CALL)));
    peer.connection.received(&frame(), after(90), &mut peer.frames).unwrap();
    assert_eq!(peer.connection.next(after(90)), Ok(step(Duration::from_millis(190))));
    assert_eq!(peer.connection.next(after(450)), Ok(step(LAST_FRAME_GRACE)));
    assert_eq!(peer.connection.next(after(500)), Err(CloseReason::Stopping));
}

#[test]
fn a_drain_waits_longer_for_the_rest_of_a_frame_and_not_for_ever() {
    let (mut peer, frame) = (Peer::new(), frame());
    peer.sends(0, &frame[..100]);
    peer.connection.drain(peer.at(1));
    let until = peer.at(1) + LAST_FRAME_GRACE;
    assert_eq!(peer.connection.next(peer.at(1)).unwrap().bytes_until, until);
    peer.connection.drain(peer.at(2));
    assert_eq!(peer.connection.next(until), Err(CloseReason::Stopping), "a second request changes nothing");
}
