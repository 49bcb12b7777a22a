//! What PREDICT needs in the genesis state of a chain.

use crate::addresses::{CHUNK_FACTORY, MODEL_REGISTRY, PREDICT};
use alloy_primitives::{Address, Bytes, bytes};

/// An account of the genesis state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predeploy {
    /// Where.
    pub address: Address,
    /// Its code.
    pub code: Bytes,
    /// Its nonce: 1, as of any contract since EIP-161.
    pub nonce: u64,
}

/// The accounts that every Synod chain begins with: the precompile's stand-in, the registry, the chunk factory.
///
/// The precompile has code (`fe`, INVALID) although it never runs: Solidity checks `extcodesize` before some calls, and
/// an account without code, nonce and balance would be removed when touched (EIP-161).
pub fn predeploys() -> Vec<Predeploy> {
    let contract = |address, code| Predeploy {
        address,
        code,
        nonce: 1,
    };
    vec![
        contract(PREDICT, bytes!("fe")),
        contract(
            MODEL_REGISTRY,
            crate::interface::ModelRegistry::DEPLOYED_BYTECODE.clone(),
        ),
        contract(
            CHUNK_FACTORY,
            bytes!(
                "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0"
                "3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{b256, keccak256};

    #[test]
    fn the_factory_is_the_well_known_one() {
        let accounts = predeploys();
        let factory = accounts
            .iter()
            .find(|account| account.address == CHUNK_FACTORY)
            .unwrap();
        // Hash of the code at this address on Ethereum and most other chains.
        let hash = b256!("2fa86add0aed31f33a762c9d88e807c475bd51d0f52bd0955754b2608f7e4989");
        assert_eq!(keccak256(&factory.code), hash);
    }

    #[test]
    fn the_registry_has_code_and_no_unlinked_parts() {
        let accounts = predeploys();
        let registry = accounts
            .iter()
            .find(|account| account.address == MODEL_REGISTRY)
            .unwrap();
        assert!(
            (4_000..24_576).contains(&registry.code.len()),
            "{}",
            registry.code.len()
        );
        assert!(
            accounts
                .iter()
                .all(|account| account.nonce == 1 && !account.code.is_empty())
        );
    }
}
