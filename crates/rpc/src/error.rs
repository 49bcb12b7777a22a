//! Errors as JSON-RPC knows them.
//!
//! Tools look at codes and at the first words of a message, so both follow Ethereum's nodes:
//!
//! | code | when |
//! |---|---|
//! | 3 | a call reverted; `data` is the revert data |
//! | -32601, -32602, -32700 | method unknown, parameters wrong, not JSON (jsonrpsee and [`RpcError::InvalidParams`]) |
//! | -32603 | this node's own fault; the message says no more than that it is |
//! | -38010 to -38026 | `eth_simulateV1`: a block or a call in it cannot be |
//! | -32000 | anything else: a transaction that the pool refuses, a block that does not exist |

use alloy_eips::BlockId;
use alloy_primitives::{Bytes, hex};
use alloy_sol_types::{Panic, Revert, SolError};
use jsonrpsee::types::{
    ErrorObjectOwned,
    error::{INTERNAL_ERROR_CODE, INVALID_PARAMS_CODE},
};
use synod_chain::StateError;
use synod_chain::pool::PoolError;
use synod_evm::rights::NotPermitted;

/// Code of a reverted call, with the revert data beside it.
pub(crate) const REVERTED: i32 = 3;
/// Code of all errors that have no code of their own.
pub(crate) const SERVER_ERROR: i32 = -32000;

/// Result of a method.
pub type RpcResult<T> = Result<T, RpcError>;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// The parameters have the right types but make no sense.
    #[error("{0}")]
    InvalidParams(String),
    /// No such block.
    #[error("header not found: {0}")]
    BlockNotFound(BlockId),
    /// The state of a block that this node has forgotten. The first words are geth's, by which tools know it.
    #[error("missing trie node: {0}")]
    Pruned(StateError),
    /// The pool refused a transaction.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The call reverted.
    #[error("execution reverted{}", reason(.0))]
    Reverted(Bytes),
    /// The call used up its gas or ran into an instruction that does not exist.
    #[error("{reason}")]
    Halted {
        /// What stopped it, in the words of Ethereum's nodes.
        reason: String,
    },
    /// The EVM refused the transaction that the call describes.
    #[error("{0}")]
    InvalidTransaction(String),
    /// The call took longer than this node lets a call take.
    #[error("execution timed out: a call may take {} ms here (rpc.call_ms)", limit.as_millis())]
    TimedOut {
        /// How long it may take.
        limit: std::time::Duration,
    },
    /// No gas limit lets the call succeed.
    #[error("gas required exceeds allowance ({allowance})")]
    GasAllowance {
        /// The most gas that the call could have.
        allowance: u64,
    },
    /// No filter with this number, or it was not asked for too long.
    #[error("filter not found")]
    FilterNotFound,
    /// More results or a longer range than one request may have.
    #[error("{0}")]
    TooMuch(String),
    /// A method of the development node on a node that is none.
    #[error("{0} needs a development node (synod dev)")]
    DevOnly(&'static str),
    /// The node has no key for this account.
    #[error("unknown account {0}: the node signs only for its own development accounts")]
    UnknownAccount(alloy_primitives::Address),
    /// An operation of the node failed for the reason given.
    #[error("{0}")]
    Refused(String),
    /// A simulated block or a call in it cannot be, with the code that geth gives for the reason.
    #[error("{message}")]
    Simulation {
        /// geth's code.
        code: i32,
        /// The reason.
        message: String,
    },
    /// The node is at fault.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl RpcError {
    /// A fault of this node.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    fn code(&self) -> i32 {
        match self {
            Self::InvalidParams(_) => INVALID_PARAMS_CODE,
            Self::Reverted(_) => REVERTED,
            Self::Simulation { code, .. } => *code,
            Self::Internal(_) => INTERNAL_ERROR_CODE,
            Self::Pool(error) if error.is_internal() => INTERNAL_ERROR_CODE,
            _ => SERVER_ERROR,
        }
    }
}

impl From<StateError> for RpcError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Pruned { .. } => Self::Pruned(error),
            other => Self::internal(other),
        }
    }
}

impl From<RpcError> for ErrorObjectOwned {
    fn from(error: RpcError) -> Self {
        let code = error.code();
        if code == INTERNAL_ERROR_CODE {
            // The client learns that it is not its fault; the reason is for the operator.
            tracing::error!(error = &error as &dyn std::error::Error, "a request failed");
        }
        match error {
            RpcError::Reverted(ref data) => {
                Self::owned(code, error.to_string(), Some(hex::encode_prefixed(data)))
            }
            RpcError::Pool(ref pool) if pool.is_internal() => Self::owned(code, "internal error", None::<()>),
            error => Self::owned(code, error.to_string(), None::<()>),
        }
    }
}

/// The reason in `Error(string)` or `Panic(uint256)`, or the right that is missing, as the tail of "execution reverted". Other data is a custom error,
/// which the client decodes with the contract's ABI.
fn reason(data: &Bytes) -> String {
    if let Ok(Revert { reason }) = Revert::abi_decode(data) {
        format!(": {reason}")
    } else if let Ok(panic) = Panic::abi_decode(data) {
        format!(": {panic}")
    } else if let Some(denied) = NotPermitted::of_revert(data) {
        format!(": {denied}")
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revert_has_code_3_its_reason_and_its_data() {
        let data = Bytes::from(Revert::from("too sour").abi_encode());
        let object = ErrorObjectOwned::from(RpcError::Reverted(data.clone()));
        assert_eq!(object.code(), 3);
        assert_eq!(object.message(), "execution reverted: too sour");
        assert_eq!(object.data().unwrap().get(), format!("\"{data}\""));
    }

    #[test]
    fn panics_are_named_and_custom_errors_left_to_the_client() {
        let data = Bytes::from(
            Panic {
                code: alloy_primitives::U256::from(0x11),
            }
            .abi_encode(),
        );
        let message = RpcError::Reverted(data).to_string();
        assert!(message.starts_with("execution reverted: panic"), "{message}");
        assert_eq!(RpcError::Reverted(Bytes::new()).to_string(), "execution reverted");
        assert_eq!(
            RpcError::Reverted(vec![1, 2, 3, 4].into()).to_string(),
            "execution reverted"
        );
    }

    #[test]
    fn a_pruned_state_is_said_as_geth_says_it() {
        let error = StateError::Pruned {
            height: 3,
            oldest: 70,
        };
        let object = ErrorObjectOwned::from(RpcError::from(error));
        assert_eq!(object.code(), SERVER_ERROR);
        assert!(
            object.message().starts_with("missing trie node") && object.message().contains("block 70"),
            "{}",
            object.message()
        );
    }

    #[test]
    fn the_nodes_own_faults_are_not_told_to_clients() {
        let object = ErrorObjectOwned::from(RpcError::internal("the disk at /secret is on fire"));
        assert_eq!((object.code(), object.message()), (-32603, "internal error"));
        let pool = PoolError::State("the disk at /secret is on fire".into());
        let object = ErrorObjectOwned::from(RpcError::from(pool));
        assert_eq!((object.code(), object.message()), (-32603, "internal error"));
    }
}
