//! The three framings of the network, and the releases that use them.
//!
//! | framing | header | releases |
//! |---|---|---|
//! | 0.9 | `size, mode` | 0.9.0 – 1.0.x |
//! | 1.1 | `7, size, mode` | 1.1.0 – 2025.11 |
//! | 2025.12 | `8, size, mode, key rotation` | 2025.12 on |

use nym_mixnode_sphinx::PacketSize;

/// Frame format of a link, ordered by age: a release reads its own framing and all older ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Framing {
    /// `size, mode`. Every release reads it, so it is the choice for a peer of unknown release.
    #[default]
    V0_9,
    /// `7, size, mode`.
    V1_1,
    /// `8, size, mode, key rotation`.
    V2025_12,
}

impl Framing {
    /// All framings, oldest first.
    pub const ALL: [Self; 3] = [Self::V0_9, Self::V1_1, Self::V2025_12];

    /// The framing of a node that registered with this version; [`Framing::V0_9`] for an unknown version.
    #[must_use]
    pub fn of_version(version: &str) -> Self {
        let mut parts = version.trim().split('.');
        let mut number = || parts.next()?.parse::<u32>().ok();
        match (number(), number()) {
            (Some(major), Some(minor)) if (major, minor) >= (2025, 12) => Self::V2025_12,
            (Some(major), Some(minor)) if (major, minor) >= (1, 1) => Self::V1_1,
            _ => Self::V0_9,
        }
    }

    /// Bytes of the frame header.
    #[must_use]
    pub const fn header_len(self) -> usize {
        match self {
            Self::V0_9 => 2,
            Self::V1_1 => 3,
            Self::V2025_12 => 4,
        }
    }

    /// Whether releases of this framing know the packet size.
    #[must_use]
    pub const fn has(self, size: PacketSize) -> bool {
        match size {
            PacketSize::Regular | PacketSize::Ack | PacketSize::Extended32 => true,
            PacketSize::Extended8 | PacketSize::Extended16 => !matches!(self, Self::V0_9),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_versions_map_to_the_framing_of_their_release() {
        for (version, framing) in [
            ("0.9.2", Framing::V0_9),
            ("0.12.1", Framing::V0_9),
            ("1.0.2", Framing::V0_9),
            ("1.1.0", Framing::V1_1),
            ("1.1.0-rc.1", Framing::V1_1),
            ("1.14.0", Framing::V1_1),
            ("2025.11", Framing::V1_1),
            ("2025.12", Framing::V2025_12),
            ("2025.12.1", Framing::V2025_12),
            ("2026.1", Framing::V2025_12),
            (" 1.1.0 ", Framing::V1_1),
        ] {
            assert_eq!(Framing::of_version(version), framing, "{version}");
        }
    }

    #[test]
    fn an_unreadable_version_gets_the_framing_that_all_releases_read() {
        for version in ["", "1", "v1.1.0", "one.two", "-1.1", "99999999999.0", "1.x", ".", "2025"] {
            assert_eq!(Framing::of_version(version), Framing::V0_9, "{version:?}");
        }
    }

    #[test]
    fn the_oldest_framing_has_three_sizes_and_the_others_five() {
        let sizes = |framing: Framing| PacketSize::ALL.into_iter().filter(|size| framing.has(*size)).count();
        assert_eq!(Framing::ALL.map(sizes), [3, 5, 5]);
    }
}
