//! The precompile's interface as Rust types, from the very artefact that Solidity contracts are compiled against.
//!
//! Selectors, errors and the encoding of answers come from here. Call data is *not* decoded with these types: see
//! `crate::abi` for the reason.

#![allow(
    missing_docs,
    clippy::too_many_arguments,
    reason = "generated from contracts/src/IPredict.sol, documented there"
)]

alloy_sol_types::sol!(
    #[derive(Debug, PartialEq, Eq)]
    IPredict,
    "../../contracts/artifacts/IPredict.json"
);

alloy_sol_types::sol!(
    #[derive(Debug, PartialEq, Eq)]
    ModelRegistry,
    "../../contracts/artifacts/ModelRegistry.json"
);

alloy_sol_types::sol!(
    #[derive(Debug, PartialEq, Eq)]
    Council,
    "../../contracts/artifacts/Council.json"
);
