//! What tests and benchmarks share: real node processes, the funded accounts, and files of networks.
//!
//! Nothing here stands in for a part of Synod: [`Node`] is the real binary on a real folder, killed with the real SIGKILL.

mod cluster;
pub mod keras;
mod node;
pub mod onnx;

pub use cluster::{Cluster, free_ports};
pub use node::{Node, NodeError};

use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};

/// The mnemonic whose first ten accounts development chains fund.
pub const MNEMONIC: &str = "test test test test test test test test test test test junk";

/// An account of [`MNEMONIC`], by its index.
pub fn account(index: u32) -> PrivateKeySigner {
    MnemonicBuilder::<English>::default()
        .phrase(MNEMONIC)
        .index(index)
        .and_then(|builder| builder.build())
        .expect("a valid mnemonic gives every index")
}

/// Weights of a network of wide layers: numbers that follow from the seed (SplitMix64), so small that sums over a row stay near one.
fn weights(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0) / 16.0
    }
}
