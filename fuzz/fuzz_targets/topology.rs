//! Any answer of a registry is a topology, whose addresses and layers can be read, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nym_mixnode_api::Topology;

fuzz_target!(|bytes: &[u8]| {
    let Ok(topology) = serde_json::from_slice::<Topology>(bytes) else { return };
    assert!(topology.announced_addresses().count() >= topology.return_addresses().count());
    assert!(topology.empty_layers().len() as u64 <= topology.layer_count());
    for mix in &topology.mix_nodes {
        assert!(topology.mix(&mix.registration.identity_key).is_some());
    }
});
