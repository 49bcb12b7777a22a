//! The accounts that every Synod chain has since genesis.

use alloy_primitives::{Address, address};

/// The precompile PREDICT. The instruction `AE 01` opens a static call to it.
pub const PREDICT: Address = address!("0x000000000000000000000000000000000000AE01");

/// The registry of names and validated models, a Solidity contract (`contracts/src/ModelRegistry.sol`).
pub const MODEL_REGISTRY: Address = address!("0x000000000000000000000000000000000000AE02");

/// The council: a cluster's validators and what they decide, a Solidity contract (`contracts/src/Council.sol`).
pub const COUNCIL: Address = address!("0x000000000000000000000000000000000000AE03");

/// The well-known deterministic CREATE2 deployer; chunks and manifests are deployed through it.
///
/// Call data is `salt (32 bytes) ‖ init code`; it answers with the 20 bytes of the new address.
pub const CHUNK_FACTORY: Address = address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");
