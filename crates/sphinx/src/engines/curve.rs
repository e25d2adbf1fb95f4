//! The group operations of a batch of packets.

use zeroize::Zeroizing;

use crate::UnwrapError;
use crate::x25519::Bytes32;

/// A scalar or a product that must stay secret; wiped when dropped.
pub(crate) type Secret = Zeroizing<Bytes32>;

/// Both multiplications of each packet of a batch. Each engine of a worker has its own, which reuses its memory.
///
/// All scalars are clamped (RFC 7748) before use. Products of one point are equal in every implementation, byte for
/// byte, even if the point has a part of low order.
pub(crate) trait Curve: Send {
    /// Replaces the batch by these u-coordinates, as they are on the wire: bit 255 is ignored, and values from p up are
    /// reduced modulo p.
    fn load(&mut self, points: &[Bytes32]);

    /// Multiplies every point by one scalar. `products` has one element for each point.
    ///
    /// The product of a point of low order is [`UnwrapError::LowOrderPoint`].
    fn multiply_all(&mut self, scalar: &Bytes32, products: &mut [Result<Secret, UnwrapError>]);

    /// Multiplies each point that has a scalar by its own scalar. Other elements of `products` do not change. Points
    /// of low order have no scalar.
    fn multiply_each(&mut self, scalars: &[Option<Secret>], products: &mut [Bytes32]);
}
