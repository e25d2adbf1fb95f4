//! Which nodes a client can use, by the version that they registered with.

use semver::Version;

/// Whether a node of this version speaks the protocol of 0.9.2: any release of 0.9, as 0.9.2 clients decide it.
#[must_use]
pub fn is_compatible(version: &str) -> bool {
    Version::parse(version).is_ok_and(|version| (version.major, version.minor) == (0, 9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_0_9_are_compatible() {
        for version in ["0.9.0", "0.9.2", "0.9.99", "0.9.2-rc.1"] {
            assert!(is_compatible(version), "{version}");
        }
        for version in ["", "0.9", "v0.9.2", "0.10.0", "1.9.2", "0.9.2 ", "0.9.x"] {
            assert!(!is_compatible(version), "{version}");
        }
    }
}
