//! Directories of the public Nym 0.9 network, which has been shut down.

use url::{Host, Url};

/// Default directory hosts of the releases 0.8.1 to 0.9.2.
const DIRECTORY_HOSTS: [&str; 2] = ["testnet-validator1.nymtech.net", "directory.nymtech.net"];

/// Whether this directory belonged to the public Nym 0.9 network, and no longer exists.
#[must_use]
pub fn is_retired(directory: &Url) -> bool {
    matches!(directory.host(), Some(Host::Domain(host)) if DIRECTORY_HOSTS.contains(&host.trim_end_matches('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_directories_of_all_releases_are_retired() {
        for directory in [
            "http://testnet-validator1.nymtech.net:8081",
            "https://testnet-validator1.nymtech.net",
            "https://TESTNET-validator1.nymtech.net./",
            "https://directory.nymtech.net",
        ] {
            assert!(is_retired(&directory.parse().unwrap()), "{directory}");
        }
    }

    #[test]
    fn other_directories_are_not() {
        for directory in ["http://127.0.0.1:8081", "https://nymtech.net", "http://mix.example/directory.nymtech.net"] {
            assert!(!is_retired(&directory.parse().unwrap()), "{directory}");
        }
    }
}
