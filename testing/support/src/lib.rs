//! What tests and benchmarks share: real node processes, the funded accounts, and small ONNX files.
//!
//! Nothing here stands in for a part of Synod: [`Node`] is the real binary on a real folder, killed with the real SIGKILL.

mod cluster;
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
