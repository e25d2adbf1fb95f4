//! Sample entries for tests of other crates.

use crate::{GatewayRegistration, MixRegistration, PROTOCOL_VERSION, RegisteredMix};

/// Unsigned mix of layer 1 with one address. Its Sphinx key is text that is no key.
pub fn mix(identity: impl Into<String>, host: impl Into<String>) -> MixRegistration {
    MixRegistration {
        mix_host: host.into(),
        mix_hosts: Vec::new(),
        identity_key: identity.into(),
        sphinx_key: "s".to_owned(),
        version: PROTOCOL_VERSION.to_owned(),
        location: String::new(),
        incentives_address: String::new(),
        layer: 1,
        proof: None,
    }
}

/// Unsigned gateway with one address, which stays listed.
pub fn gateway(identity: impl Into<String>, host: impl Into<String>) -> GatewayRegistration {
    let mix = mix(identity, host);
    GatewayRegistration {
        mix_host: mix.mix_host,
        mix_hosts: Vec::new(),
        clients_host: "ws://192.0.2.1:9000".to_owned(),
        identity_key: mix.identity_key,
        sphinx_key: mix.sphinx_key,
        version: mix.version,
        location: String::new(),
        incentives_address: String::new(),
        expires_in: None,
        clients_tls: None,
        proof: None,
    }
}

/// Entry as a topology lists it, without reputation.
#[must_use]
pub const fn listed(registration: MixRegistration) -> RegisteredMix {
    RegisteredMix { registration, registration_time: 0, reputation: 0 }
}
