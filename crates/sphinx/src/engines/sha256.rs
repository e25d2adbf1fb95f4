//! SHA-256 of messages side by side.
//!
//! A round waits for the one before it. Four messages at once take about twice as long as one (Zen 5).

#[cfg(target_arch = "x86_64")]
mod instructions;
#[cfg(test)]
mod tests;

use sha2::block_api::compress256;

pub(super) const ROUND_CONSTANTS: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];
pub(super) const INITIAL_STATE: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

pub(super) type State = [u32; 8];
pub(super) type Block = [u8; 64];

/// The compression function, on the CPU's instructions for SHA if there are any.
#[derive(Clone, Copy)]
pub(super) struct Sha256 {
    #[cfg(target_arch = "x86_64")]
    units: Option<instructions::Units>,
}

impl Sha256 {
    pub(super) fn detect() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            units: instructions::Units::detect(),
        }
    }

    /// Adds one block to each state.
    pub(super) fn compress<const N: usize>(self, states: &mut [State; N], blocks: &[&Block; N]) {
        #[cfg(target_arch = "x86_64")]
        if let Some(units) = self.units {
            return units.compress(states, blocks);
        }
        for (state, block) in states.iter_mut().zip(blocks) {
            compress256(state, std::slice::from_ref(*block));
        }
    }
}

/// The hash that a state is after the last block.
pub(super) fn digest(state: &State) -> [u8; 32] {
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

/// A short piece at the start of a block of zeros.
pub(super) fn padded(bytes: &[u8]) -> Block {
    let mut block = [0; 64];
    block[..bytes.len()].copy_from_slice(bytes);
    block
}

/// The last block of a message of `len` bytes whose `rest`, at most 55 bytes, belongs to this block.
pub(super) fn last_block(rest: &[u8], len: usize) -> Block {
    let mut block = padded(rest);
    block[rest.len()] = 0x80;
    block[56..].copy_from_slice(&(8 * len as u64).to_be_bytes());
    block
}
