//! Sizes and versions of Sphinx packets, as the 0.9.x network and its successors use them.

/// α, the group element of the header, in bytes.
pub const ALPHA_LEN: usize = 32;
/// The header's truncated HMAC-SHA256, in bytes.
pub const MAC_LEN: usize = 16;
/// One hop's slot in β: flag 1, version 3, address 32, delay 8, next MAC 16.
pub const SLOT_LEN: usize = 60;
/// β: the slots of five hops.
pub const BETA_LEN: usize = 5 * SLOT_LEN;
/// α, MAC and β.
pub const HEADER_LEN: usize = ALPHA_LEN + MAC_LEN + BETA_LEN;
/// 16 zero bytes before the message and the 0x01 after it.
pub const PAYLOAD_OVERHEAD_LEN: usize = 17;

/// The five packet sizes of the network; the discriminant is the byte on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketSize {
    /// 2 048 bytes of plaintext.
    Regular = 1,
    /// 21 bytes of plaintext: an acknowledgement.
    Ack = 2,
    /// 32 KiB of plaintext.
    Extended32 = 3,
    /// 8 KiB of plaintext; from framing 1.1 on.
    Extended8 = 4,
    /// 16 KiB of plaintext; from framing 1.1 on.
    Extended16 = 5,
}

/// The smallest Sphinx packet, in bytes.
pub const MIN_PACKET_LEN: usize = PacketSize::Ack.packet_len();
/// The largest Sphinx packet, in bytes.
pub const MAX_PACKET_LEN: usize = PacketSize::Extended32.packet_len();

impl PacketSize {
    /// Every size, in the order of their wire bytes.
    pub const ALL: [Self; 5] = [Self::Regular, Self::Ack, Self::Extended32, Self::Extended8, Self::Extended16];

    /// The names of the sizes, in the order of [`PacketSize::ALL`].
    pub const NAMES: [&str; 5] = ["regular", "ack", "extended32", "extended8", "extended16"];

    /// The size with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().zip(Self::NAMES).find(|(_, known)| *known == name).map(|(size, _)| size)
    }

    /// The size with this wire byte.
    #[must_use]
    pub const fn from_wire(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Regular),
            2 => Some(Self::Ack),
            3 => Some(Self::Extended32),
            4 => Some(Self::Extended8),
            5 => Some(Self::Extended16),
            _ => None,
        }
    }

    /// The size of a Sphinx packet of `len` bytes, header included.
    #[must_use]
    pub fn from_packet_len(len: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.packet_len() == len)
    }

    /// Bytes of plaintext that one packet carries.
    #[must_use]
    pub const fn plaintext_len(self) -> usize {
        match self {
            Self::Regular => 2048,
            Self::Ack => 21,
            Self::Extended32 => 32 * 1024,
            Self::Extended8 => 8 * 1024,
            Self::Extended16 => 16 * 1024,
        }
    }

    /// Bytes of the encrypted payload: plaintext and overhead.
    #[must_use]
    pub const fn payload_len(self) -> usize {
        self.plaintext_len() + PAYLOAD_OVERHEAD_LEN
    }

    /// Bytes of the whole Sphinx packet, without the frame header.
    #[must_use]
    pub const fn packet_len(self) -> usize {
        HEADER_LEN + self.payload_len()
    }
}

/// A set of packet sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketSizes(u8);

impl PacketSizes {
    /// Whether the set has this size.
    #[must_use]
    pub const fn contains(self, size: PacketSize) -> bool {
        self.0 & (1 << size as u8) != 0
    }
}

/// What clients of the 0.9 network send: messages and acknowledgements.
impl Default for PacketSizes {
    fn default() -> Self {
        [PacketSize::Regular, PacketSize::Ack].into_iter().collect()
    }
}

impl FromIterator<PacketSize> for PacketSizes {
    fn from_iter<I: IntoIterator<Item = PacketSize>>(sizes: I) -> Self {
        Self(sizes.into_iter().fold(0, |set, size| set | 1 << size as u8))
    }
}

const _: () = assert!(HEADER_LEN == 348);
const _: () = assert!(PacketSize::Regular.packet_len() == 2413);
const _: () = assert!(PacketSize::Ack.packet_len() == 386);
const _: () = assert!(PacketSize::Extended32.packet_len() == 33_133);

/// The Sphinx version in a hop's slot. It determines the blinding of α and the derivation of the payload key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum SphinxVersion {
    /// Bytes `0,0,1`: an alias of the first releases.
    LegacyAlias = 1,
    /// Bytes `0,1,0`: the 0.9.0 – 1.1.1 network, sphinx-packet 0.1.0.
    V256 = 256,
    /// Bytes `0,1,1`: sphinx-packet 0.1.1.
    V257 = 257,
    /// Bytes `0,1,2`: sphinx-packet 0.3 – 0.5.
    V258 = 258,
    /// Bytes `0,1,3`: sphinx-packet 0.6 and 0.7.
    V259 = 259,
    /// Bytes `0,1,4`: sphinx-packet 0.8.
    V260 = 260,
}

impl SphinxVersion {
    /// All supported versions.
    pub const ALL: [Self; 6] = [Self::LegacyAlias, Self::V256, Self::V257, Self::V258, Self::V259, Self::V260];

    /// The version with these three wire bytes.
    #[must_use]
    pub fn from_wire(bytes: [u8; 3]) -> Option<Self> {
        if bytes[0] != 0 {
            return None;
        }
        let value = u16::from_be_bytes([bytes[1], bytes[2]]);
        Self::ALL.into_iter().find(|version| version.value() == value)
    }

    /// The version as a number, big-endian of the last two wire bytes.
    #[must_use]
    pub const fn value(self) -> u16 {
        self as u16
    }

    /// Whether α is multiplied by the blinding factor reduced modulo ℓ instead of clamped.
    ///
    /// Later releases of the sphinx-packet crate clamp for 256 too, which breaks genuine 0.9.2 packets one hop on.
    #[must_use]
    pub const fn blinds_unclamped(self) -> bool {
        matches!(self, Self::LegacyAlias | Self::V256 | Self::V257)
    }

    /// Whether the payload key is derived from a 16-byte seed instead of taken as 192 bytes.
    #[must_use]
    pub const fn seeds_payload_key(self) -> bool {
        matches!(self, Self::V259 | Self::V260)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_versions_come_back_from_their_wire_form() {
        for size in PacketSize::ALL {
            assert_eq!(PacketSize::from_wire(size as u8), Some(size));
            assert_eq!(PacketSize::from_name(PacketSize::NAMES[size as usize - 1]), Some(size));
            assert_eq!(PacketSize::from_packet_len(size.packet_len()), Some(size));
        }
        for version in SphinxVersion::ALL {
            let [hi, lo] = version.value().to_be_bytes();
            assert_eq!(SphinxVersion::from_wire([0, hi, lo]), Some(version));
            assert_eq!(SphinxVersion::from_wire([1, hi, lo]), None);
        }
        assert_eq!(PacketSize::from_wire(0), None);
        assert_eq!(PacketSize::from_wire(6), None);
        assert_eq!(SphinxVersion::from_wire([0, 1, 5]), None);
    }

    #[test]
    fn a_set_has_the_sizes_that_it_was_made_of() {
        for size in PacketSize::ALL {
            let is_default = matches!(size, PacketSize::Regular | PacketSize::Ack);
            assert_eq!(PacketSizes::default().contains(size), is_default, "{size:?}");
            let alone = PacketSizes::from_iter([size]);
            assert!(PacketSize::ALL.into_iter().all(|other| alone.contains(other) == (other == size)));
        }
        assert!(
            PacketSize::ALL.into_iter().all(|size| PacketSize::ALL.into_iter().collect::<PacketSizes>().contains(size))
        );
    }
}
