//! Reading the code of chunk accounts without leaving a trace.
//!
//! A model's chunks are read only when its compiled form is not in memory, so reading them must change nothing that a
//! transaction, a tracer or an access list can see. Loading an account through the journal would: it stays in the
//! journal's state after a revert, and prestate traces list it. So:
//!
//! 1. The database is asked first, past the journal. Code at a content-derived address cannot change or go away, so what
//!    an earlier transaction left there is what this one would see.
//! 2. Only an account that the database does not have is asked of the journal. If this transaction deployed it, the account
//!    is there already, and asking inside a checkpoint that is reverted adds nothing.
//!
//! An account that exists nowhere does enter the journal (cold, empty). That happens in `validate` alone, which reads its
//! chunks on every node, every time.

use crate::manifest::chunk_data;
use alloy_evm::{
    EvmInternals,
    revm::{Database, precompile::PrecompileError},
};
use alloy_primitives::{Address, Bytes, KECCAK256_EMPTY};

/// The code of an account, empty if it has none.
pub(crate) fn code(state: &mut EvmInternals<'_>, address: Address) -> Result<Bytes, PrecompileError> {
    match stored(state, address)? {
        Some(code) => Ok(code),
        None => created(state, address),
    }
}

/// The data of chunks that were validated before, joined; `None` if one is missing, or they have not the length that was validated,
/// where one was.
pub(crate) fn join(
    state: &mut EvmInternals<'_>,
    addresses: &[Address],
    length: Option<u64>,
) -> Result<Option<Vec<u8>>, PrecompileError> {
    let expected = length.and_then(|length| usize::try_from(length).ok());
    let mut bytes = Vec::with_capacity(expected.unwrap_or(0));
    for &address in addresses {
        let code = code(state, address)?;
        let Some(data) = chunk_data(&code) else {
            return Ok(None);
        };
        bytes.extend_from_slice(data);
    }
    Ok(length
        .is_none_or(|length| bytes.len() as u64 == length)
        .then_some(bytes))
}

/// Code that the state held before this transaction.
fn stored(state: &mut EvmInternals<'_>, address: Address) -> Result<Option<Bytes>, PrecompileError> {
    let mut database = state.db_mut();
    let Some(account) = database.basic(address).map_err(fatal)? else {
        return Ok(None);
    };
    if account.code_hash == KECCAK256_EMPTY {
        return Ok(None);
    }
    let code = match account.code {
        Some(code) => code,
        None => database.code_by_hash(account.code_hash).map_err(fatal)?,
    };
    Ok(Some(code.original_bytes()))
}

/// Code that this transaction deployed.
fn created(state: &mut EvmInternals<'_>, address: Address) -> Result<Bytes, PrecompileError> {
    let checkpoint = state.checkpoint();
    let code = state.load_account_code(address).map(|account| {
        account
            .data
            .code()
            .map(|code| code.original_bytes())
            .unwrap_or_default()
    });
    state.checkpoint_revert(checkpoint);
    code.map_err(fatal)
}

/// A fault of the node's database: no verdict on the transaction is possible.
pub(crate) fn fatal(error: impl std::fmt::Display) -> PrecompileError {
    PrecompileError::Fatal(error.to_string())
}
