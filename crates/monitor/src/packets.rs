//! Builds test packets: real Sphinx packets through a route of mixes that ends at the prober itself.
//!
//! As in the 0.9 network, the last Sphinx hop is a gateway. The prober acts as that gateway, so the last mix handles a
//! test packet like any other.

use std::net::SocketAddr;
use std::time::Duration;

use nym_mixnode_sphinx as sphinx;
use nym_mixnode_sphinx::{BuildError, Hop, PacketSize};
use nym_mixnode_wire::{FrameHeader, PacketMode};
use rand::RngExt;
use rand_distr::{Distribution, Exp};

/// Frame header of all test packets.
pub(super) const HEADER: FrameHeader = FrameHeader::v0_9(PacketSize::Regular, PacketMode::Mix);

/// Length of the tag at the start of a test packet's message.
const TAG_LEN: usize = 16;

/// Random tag of one test packet: others cannot guess it and so cannot fake a return.
pub type Tag = [u8; TAG_LEN];

/// Maximum delay per mix, in multiples of the mean: one delay in 10^13 would exceed it, so the mean is unaffected.
const LONGEST_IN_MEANS: u32 = 30;

/// Packet ready to be sent.
#[derive(Debug)]
pub struct TestPacket {
    /// Tag that identifies the packet when it returns.
    pub tag: Tag,
    /// Frame header and Sphinx packet.
    pub frame: Vec<u8>,
    /// Address of the first hop.
    pub first_hop: SocketAddr,
    /// Sum of the delays at the mixes.
    pub delay: Duration,
}

impl TestPacket {
    /// Builds a packet that passes `mixes` in order and ends at `prober`, in the 0.9 framing.
    ///
    /// # Errors
    /// When the route has more hops than a Sphinx header holds.
    pub fn build(mixes: &[Hop], prober: Hop, delays: &MixDelays) -> Result<Self, BuildError> {
        let per_hop = delays.sample(mixes.len());
        let tag: Tag = rand::random();
        let route: Vec<Hop> = mixes.iter().chain([&prober]).copied().collect();
        let header_delays: Vec<Duration> = per_hop.iter().copied().chain([Duration::ZERO]).collect();
        let packet = sphinx::build(PacketSize::Regular, &message(tag), &route, &header_delays)?;
        let mut frame = Vec::with_capacity(HEADER.frame_len());
        HEADER.encode(&mut frame);
        frame.extend_from_slice(&packet);
        Ok(Self { tag, frame, first_hop: route[0].address, delay: per_hop.iter().sum() })
    }
}

/// Tag in the payload of a returned packet, if it can be a test packet.
#[must_use]
pub fn tag_of(message: &[u8]) -> Option<Tag> {
    if message.len() != PacketSize::Regular.plaintext_len() {
        return None;
    }
    message.first_chunk().copied()
}

/// Exponentially distributed delays, as chosen by the network's clients.
#[derive(Debug, Clone, Copy)]
pub struct MixDelays {
    /// `None` when the mean is zero.
    seconds: Option<Exp<f64>>,
    longest: Duration,
}

impl MixDelays {
    /// Delays with this mean, each at most [`MixDelays::longest`].
    #[must_use]
    pub(crate) fn with_mean(mean: Duration) -> Self {
        let seconds = if mean.is_zero() { None } else { Exp::new(1.0 / mean.as_secs_f64()).ok() };
        Self { seconds, longest: Self::longest(mean) }
    }

    /// Maximum delay per mix for this mean. Mixes with a lower limit drop some of the packets.
    #[must_use]
    pub const fn longest(mean: Duration) -> Duration {
        mean.saturating_mul(LONGEST_IN_MEANS)
    }

    fn sample(&self, hops: usize) -> Vec<Duration> {
        let mut rng = rand::rng();
        let one = |seconds: Exp<f64>| seconds.sample(&mut rng).min(self.longest.as_secs_f64());
        match self.seconds {
            None => vec![Duration::ZERO; hops],
            Some(seconds) => std::iter::repeat_n(seconds, hops).map(one).map(Duration::from_secs_f64).collect(),
        }
    }
}

/// Message with the tag, then random filler up to the full size.
fn message(tag: Tag) -> Vec<u8> {
    let mut message = vec![0; PacketSize::Regular.plaintext_len()];
    rand::rng().fill(&mut message[TAG_LEN..]);
    message[..TAG_LEN].copy_from_slice(&tag);
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::ProberKeys;
    use nym_mixnode_sphinx::decode_next_hop;
    use nym_mixnode_wire::FrameDecoder;
    use sphinx_packet::{ProcessedPacketData, SphinxPacket};

    fn hop(address: &str) -> (ProberKeys, Hop) {
        let keys = ProberKeys::generate().unwrap();
        let sphinx_key = keys.sphinx_public;
        (keys, Hop { address: address.parse().unwrap(), sphinx_key })
    }

    #[test]
    fn every_hop_finds_the_next_address_and_the_delays_add_up() {
        let stops = [hop("127.0.0.1:1789"), hop("[2001:db8::1]:1790"), hop("192.0.2.3:9"), hop("[::1]:4000")];
        let hops: Vec<Hop> = stops.iter().map(|(_, hop)| *hop).collect();
        let packet = TestPacket::build(&hops[..3], hops[3], &MixDelays::with_mean(Duration::from_millis(50))).unwrap();
        assert_eq!(packet.first_hop, hops[0].address);

        let mut frames = Vec::new();
        FrameDecoder::default().feed(&packet.frame, |header, frame| frames.push((header, frame.to_vec()))).unwrap();
        let [(header, frame)] = &frames[..] else { unreachable!("{} frames", frames.len()) };
        assert_eq!(*header, HEADER);

        let mut current = SphinxPacket::from_bytes(&frame[header.framing.header_len()..]).unwrap();
        let mut delay_sum = Duration::ZERO;
        for (i, (keys, _)) in stops.iter().enumerate() {
            let processed = current.process(&(*keys.sphinx_private).into()).unwrap();
            assert_eq!(processed.version.value(), 260);
            match processed.data {
                ProcessedPacketData::ForwardHop { next_hop_packet, next_hop_address, delay } => {
                    assert_eq!(decode_next_hop(next_hop_address.as_bytes()), Ok(hops[i + 1].address));
                    delay_sum += delay.to_duration();
                    current = next_hop_packet;
                }
                ProcessedPacketData::FinalHop { payload, .. } => {
                    assert_eq!(i, 3, "only the prober is a final hop");
                    assert_eq!(tag_of(&payload.recover_plaintext().unwrap()), Some(packet.tag));
                    assert_eq!(delay_sum, packet.delay);
                    return;
                }
            }
        }
        unreachable!("no final hop");
    }

    #[test]
    fn a_route_with_too_many_hops_is_an_error() {
        let (_, hop) = hop("127.0.0.1:1");
        let delays = MixDelays::with_mean(Duration::ZERO);
        assert!(TestPacket::build(&[hop; 4], hop, &delays).is_ok());
        assert!(TestPacket::build(&[hop; 5], hop, &delays).is_err());
    }

    #[test]
    fn delays_have_the_mean_asked_for_however_long_it_is() {
        assert_eq!(MixDelays::with_mean(Duration::ZERO).sample(3), vec![Duration::ZERO; 3]);
        for mean in [Duration::from_millis(50), Duration::from_secs(20), Duration::from_mins(2)] {
            let delays = MixDelays::with_mean(mean).sample(20_000);
            let measured = delays.iter().sum::<Duration>() / 20_000;
            assert!((0.9..1.1).contains(&measured.div_duration_f64(mean)), "{measured:?} instead of {mean:?}");
            let longest = delays.into_iter().max().unwrap();
            assert!(longest > 5 * mean && longest <= MixDelays::longest(mean), "{longest:?}");
        }
    }

    #[test]
    fn only_full_regular_messages_carry_a_tag() {
        assert_eq!(tag_of(&[7; 16]), None);
        assert_eq!(tag_of(&message([7; 16])), Some([7; 16]));
    }
}
