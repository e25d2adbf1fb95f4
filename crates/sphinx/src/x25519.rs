//! The two group operations of a Sphinx hop, on the X25519 function of aws-lc.
//!
//! aws-lc-rs offers only key agreement, and derives the public key of each private key. The blinding factor is used
//! once and needs no public key, so this module calls the C function and saves that multiplication.

use curve25519_dalek::Scalar;
use zeroize::{Zeroize, Zeroizing};

/// A scalar or a u-coordinate, little-endian.
pub(crate) type Bytes32 = [u8; 32];

/// 1/8 modulo ℓ, little-endian.
const INVERSE_OF_EIGHT: Bytes32 = [
    0x79, 0x2f, 0xdc, 0xe2, 0x29, 0xe5, 0x06, 0x61, 0xd0, 0xda, 0x1c, 0x7d, 0xb3, 0x9d, 0xd3, 0x07, //
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x06,
];

/// `clamp(scalar) · point` (RFC 7748); `None` when the product is zero, that is, when `point` has low order.
#[must_use]
pub fn multiply_clamped(scalar: &Bytes32, point: &Bytes32) -> Option<Zeroizing<Bytes32>> {
    let mut product = Zeroizing::new([0; 32]);
    #[expect(unsafe_code, reason = "aws-lc-rs has no X25519 without deriving a public key first")]
    // SAFETY: the three pointers come from references to 32-byte arrays that outlive the call; X25519 reads 32 bytes
    // from the last two, writes 32 to the first, keeps none of them and has no other requirement.
    let status = unsafe { aws_lc_sys::X25519(product.as_mut_ptr(), scalar.as_ptr(), point.as_ptr()) };
    // Public: it depends on whether `point` has low order, and the point is on the wire.
    #[cfg(all(test, target_arch = "x86_64"))]
    let status = crate::engines::tests::valgrind::public(status);
    (status == 1).then_some(product)
}

/// `clamp(scalar) · base point`: the public key of a private key, without a copy of the private key in a key object.
#[must_use]
pub fn public_key(scalar: &Bytes32) -> Bytes32 {
    let mut public = [0; 32];
    #[expect(unsafe_code, reason = "aws-lc-rs makes a key object, which copies the scalar, and can fail")]
    // SAFETY: both pointers come from references to 32-byte arrays that outlive the call; the function writes 32 bytes
    // to the first, reads 32 from the second, keeps neither and has no other requirement.
    unsafe {
        aws_lc_sys::X25519_public_from_private(public.as_mut_ptr(), scalar.as_ptr());
    }
    public
}

/// A clamped scalar whose product with a point of prime order is `(scalar mod ℓ) · point`.
///
/// X25519 clamps its scalar. The scalar 8·m with m = scalar/8 mod ℓ (or ℓ − m, which has the same
/// u-coordinate) is congruent to the wanted one and its own clamped form once bit 251 of m is set. On a point with a
/// part of low order the result may differ in that part, which the next hop's clamped key removes.
pub(crate) fn clamped_equivalent(scalar: &Bytes32) -> Zeroizing<Bytes32> {
    let mut eighth = Scalar::from_bytes_mod_order(*scalar) * Scalar::from_bytes_mod_order(INVERSE_OF_EIGHT);
    let plus = Zeroizing::new(eighth.to_bytes());
    let minus = Zeroizing::new((-eighth).to_bytes());
    eighth.zeroize();
    let take_minus = subtle::Choice::from(((plus[31] >> 3) & 1) ^ 1);
    let mut chosen = Zeroizing::new([0; 32]);
    for ((out, p), m) in chosen.iter_mut().zip(plus.iter()).zip(minus.iter()) {
        *out = subtle::ConditionallySelectable::conditional_select(p, m, take_minus);
    }
    let mut carry = 0;
    for byte in chosen.iter_mut() {
        let shifted = (*byte << 3) | carry;
        carry = *byte >> 5;
        *byte = shifted;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::MontgomeryPoint;
    use proptest::prelude::*;

    const LOW_ORDER: [Bytes32; 3] = {
        let mut one = [0; 32];
        one[0] = 1;
        let mut minus_one = [0xff; 32];
        minus_one[0] = 0xec;
        minus_one[31] = 0x7f;
        [[0; 32], one, minus_one]
    };

    #[test]
    fn the_inverse_of_eight_is_one() {
        let product = Scalar::from_bytes_mod_order(INVERSE_OF_EIGHT) * Scalar::from(8u8);
        assert_eq!(product, Scalar::ONE);
    }

    #[test]
    fn low_order_points_give_nothing() {
        for point in LOW_ORDER {
            assert_eq!(multiply_clamped(&[9; 32], &point), None);
        }
    }

    /// RFC 7748, section 5.2: X25519 of 9 and 9, which is the base point's coordinate.
    #[test]
    fn the_public_key_is_the_one_of_the_private_key() {
        let mut nine = [0; 32];
        nine[0] = 9;
        let public = public_key(&nine);
        assert_eq!(public[..8], [0x42, 0x2c, 0x8e, 0x7a, 0x62, 0x27, 0xd7, 0xbc]);
        assert_eq!(public[24..], [0x3c, 0x60, 0xe8, 0x03, 0x11, 0xae, 0x30, 0x79]);
    }

    proptest! {
        #[test]
        fn clamped_products_are_those_of_dalek(scalar: Bytes32, point: Bytes32) {
            let expected = MontgomeryPoint(point).mul_clamped(scalar).to_bytes();
            prop_assert_eq!(*multiply_clamped(&scalar, &point).unwrap_or_default(), expected);
        }

        #[test]
        fn unclamped_products_are_those_of_dalek_on_the_prime_order_group(scalar: Bytes32, secret: Bytes32) {
            let point = MontgomeryPoint::mul_base_clamped(secret);
            let expected = Scalar::from_bytes_mod_order(scalar) * point;
            let product = multiply_clamped(&clamped_equivalent(&scalar), &point.to_bytes());
            prop_assert_eq!(product.as_deref(), Some(&expected.to_bytes()));
        }
    }
}
