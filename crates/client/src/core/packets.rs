//! Packets of a client: fragments, replies, cover.

use std::time::Duration;

use nym_mixnode_message::ack::{Acknowledged, ReturnPacket};
use nym_mixnode_message::address::ClientAddress;
use nym_mixnode_message::fragment::{Fragment, SetId};
use nym_mixnode_message::gateway::{ForwardRequest, Mode};
use nym_mixnode_message::reply::ReplyBlock;
use nym_mixnode_message::sealed::Sealed;
use nym_mixnode_sphinx::{CLIENT_HOPS, ClientHeader, PacketSize};
use rand::CryptoRng;
use rand_distr::{Distribution, Exp1};

use super::{ClientKeys, SendError, Settings};
use crate::network::Network;

/// Delays of the mixes; the gateway has none.
type Delays = [Duration; CLIENT_HOPS - 1];

/// What packets are made of.
pub(super) struct Builder<'a> {
    pub keys: &'a ClientKeys,
    pub network: &'a Network,
    pub settings: &'a Settings,
}

impl Builder<'_> {
    /// A packet with a fragment, and the sum of all delays until its acknowledgement.
    pub(super) fn fragment(
        &self,
        fragment: &Fragment,
        recipient: &ClientAddress,
        rng: &mut impl CryptoRng,
    ) -> Result<(ForwardRequest, Duration), SendError> {
        let (return_packet, ack_delay) = self.return_packet(Acknowledged::fragment(fragment.header()), rng)?;
        let sealed = Sealed::fragment(fragment, recipient.encryption_key(), rng).map_err(|_| SendError::WeakKey)?;
        let (packet, delay) = self.packet(recipient, &sealed.with_return_packet(&return_packet), rng)?;
        Ok((packet, delay + ack_delay))
    }

    /// The packet of a reply.
    pub(super) fn reply(
        &self,
        block: ReplyBlock,
        data: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<ForwardRequest, SendError> {
        let (return_packet, _) = self.return_packet(Acknowledged::Reply(SetId::random(rng)), rng)?;
        let (next_hop, packet) = block.answer(data, &return_packet)?;
        Ok(ForwardRequest { mode: Mode::Mix, next_hop, packet })
    }

    /// A packet to this client.
    pub(super) fn cover(&self, rng: &mut impl CryptoRng) -> Result<ForwardRequest, SendError> {
        let (return_packet, _) = self.return_packet(Acknowledged::Cover, rng)?;
        let own = &self.keys.address;
        let sealed = Sealed::cover(own.encryption_key(), rng).map_err(|_| SendError::WeakKey)?;
        Ok(self.packet(own, &sealed.with_return_packet(&return_packet), rng)?.0)
    }

    /// A reply block to this client.
    pub(super) fn reply_block(&self, rng: &mut impl CryptoRng) -> Result<ReplyBlock, SendError> {
        let own = &self.keys.address;
        let route = self.network.route(own.gateway(), rng)?;
        let delays = delays(self.settings.packet_delay, rng);
        ReplyBlock::build(&route, &delays, own.identity(), rng).map_err(|_| SendError::WeakKey)
    }

    fn packet(
        &self,
        recipient: &ClientAddress,
        plaintext: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(ForwardRequest, Duration), SendError> {
        let route = self.network.route(recipient.gateway(), rng)?;
        let delays = delays(self.settings.packet_delay, rng);
        let header = ClientHeader::build(&route, &delays, recipient.identity(), rng).map_err(|_| SendError::WeakKey)?;
        let next_hop = header.first_hop();
        let packet = header.seal(PacketSize::Regular, plaintext).map_err(|_| SendError::WeakKey)?;
        Ok((ForwardRequest { mode: Mode::Mix, next_hop, packet }, delays.iter().sum()))
    }

    fn return_packet(
        &self,
        acknowledged: Acknowledged,
        rng: &mut impl CryptoRng,
    ) -> Result<(ReturnPacket, Duration), SendError> {
        let own = &self.keys.address;
        let route = self.network.route(own.gateway(), rng)?;
        let delays = delays(self.settings.ack_delay, rng);
        let ack = self.keys.ack.seal(acknowledged, rng);
        let packet = ReturnPacket::build(&route, &delays, own.identity(), &ack, rng).map_err(|_| SendError::WeakKey)?;
        Ok((packet, delays.iter().sum()))
    }
}

/// Exponential delays with this mean.
fn delays(mean: Duration, rng: &mut impl CryptoRng) -> Delays {
    std::array::from_fn(|_| mean.mul_f64(Exp1.sample(rng)))
}
