//! Ethereum's own test suites against this node, with PREDICT installed.
//!
//! An EVM with one more precompile and one more instruction must still be Ethereum's. The suites lie in `data/`
//! (`data/README.md` names their sources and licences) and run through the code that the node runs:
//!
//! - `tests/chain.rs`: a chain of 54 blocks from Frontier to BPO2 is imported; every header must come out as it is.
//! - `tests/state.rs`: GeneralStateTests; one transaction each, state root and logs must come out as they are.
//! - `tests/trie.rs`: the trie's tests, by two implementations.
//!
//! The request and response files of `execution-apis` need the RPC server and are run from there; [`data`] finds them.

use std::path::PathBuf;

/// The folder of a suite: `execution-apis`, `state-tests` or `trie-tests`.
#[must_use]
pub fn data(suite: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data").join(suite)
}
