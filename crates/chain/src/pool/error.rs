//! Why a transaction may not wait here.

use alloy_primitives::{Address, B256, U256};
use synod_evm::rights::NotPermitted;

/// Why a transaction was refused.
///
/// The texts begin with the words that Ethereum's nodes use, because wallets and libraries recognise errors by them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The bytes are not an EIP-2718 transaction.
    #[error("invalid transaction encoding: {0}")]
    Decode(String),
    /// Bytes after the end of the transaction, or a field in a longer form than needed.
    #[error("invalid transaction encoding: {excess} bytes more than the transaction has")]
    NotCanonical {
        /// How many bytes too many.
        excess: usize,
    },
    /// No key can have made this signature.
    #[error("invalid sender: the signature has no signer")]
    InvalidSignature,
    /// Blob transactions (EIP-4844).
    #[error(
        "transaction type not supported: this chain keeps no blobs (EIP-4844); send the data as calldata instead"
    )]
    BlobsNotSupported,
    /// A transaction type that the current fork does not have yet.
    #[error("transaction type not supported: type {0:#04x} is not enabled on this chain")]
    TypeNotSupported(u8),
    /// The transaction is in the pool.
    #[error("already known")]
    AlreadyKnown,
    /// Signed for another chain (EIP-155).
    #[error("invalid chain id for signer: have {have} want {want}")]
    ChainId {
        /// The transaction's.
        have: u64,
        /// The chain's.
        want: u64,
    },
    /// Longer than the pool takes.
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized {
        /// Its encoded bytes.
        size: usize,
        /// [`super::Limits::transaction_bytes`].
        limit: usize,
    },
    /// Longer initcode than EIP-3860, with this chain's limit, allows.
    #[error("max initcode size exceeded: code size {size}, limit {limit}")]
    InitcodeSize {
        /// Bytes of the initcode.
        size: usize,
        /// The chain's limit.
        limit: usize,
    },
    /// No block can hold it.
    #[error("exceeds block gas limit: transaction gas {gas}, block gas limit {limit}")]
    BlockGasLimit {
        /// The transaction's gas limit.
        gas: u64,
        /// The block's.
        limit: u64,
    },
    /// EIP-7825, with this chain's cap.
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas})")]
    GasCap {
        /// The transaction's gas limit.
        gas: u64,
        /// The chain's cap for one transaction.
        cap: u64,
    },
    /// Less gas than the transaction uses before its first instruction.
    #[error("intrinsic gas too low: gas {gas}, minimum needed {needed}")]
    IntrinsicGas {
        /// The transaction's gas limit.
        gas: u64,
        /// What it costs before its first instruction.
        needed: u64,
    },
    /// Less gas than the floor for its calldata (EIP-7623).
    #[error("insufficient gas for floor data gas cost: gas {gas}, minimum needed {needed}")]
    FloorGas {
        /// The transaction's gas limit.
        gas: u64,
        /// The floor.
        needed: u64,
    },
    /// EIP-1559.
    #[error(
        "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tip}, maxFeePerGas: {fee}"
    )]
    TipAboveFee {
        /// `maxPriorityFeePerGas`.
        tip: u128,
        /// `maxFeePerGas`.
        fee: u128,
    },
    /// It could not be in the next block, and this node makes no block without a transaction.
    #[error("max fee per gas less than block base fee: maxFeePerGas: {fee}, baseFee: {base_fee}")]
    BelowBaseFee {
        /// `maxFeePerGas`, or the gas price.
        fee: u128,
        /// Base fee of the next block.
        base_fee: u64,
    },
    /// It offers less than [`super::Limits::minimum_tip`].
    #[error("transaction underpriced: gas tip cap {tip}, minimum needed {minimum}")]
    Underpriced {
        /// What it offers.
        tip: u128,
        /// What the node asks for.
        minimum: u128,
    },
    /// It has the nonce of a waiting transaction and does not pay enough more.
    #[error(
        "replacement transaction underpriced: needs maxFeePerGas {fee_needed} and maxPriorityFeePerGas {tip_needed}"
    )]
    ReplacementUnderpriced {
        /// The least `maxFeePerGas` of a replacement.
        fee_needed: u128,
        /// The least `maxPriorityFeePerGas` of a replacement.
        tip_needed: u128,
    },
    /// The nonce is used.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// The transaction's.
        nonce: u64,
        /// The account's.
        next: u64,
    },
    /// EIP-2681.
    #[error("nonce has max value: {0}")]
    NonceMax(u64),
    /// The account cannot pay for it.
    #[error("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}")]
    InsufficientFunds {
        /// The sender's balance (wei).
        balance: U256,
        /// gas limit × max fee + value (wei).
        cost: U256,
    },
    /// The account cannot pay for it and for what already waits before it.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx cost {cost}"
    )]
    InsufficientFundsForAll {
        /// The sender's balance (wei).
        balance: U256,
        /// What the sender's other ready transactions may cost (wei).
        queued: U256,
        /// gas limit × max fee + value (wei).
        cost: U256,
    },
    /// EIP-3607.
    #[error("sender not an eoa: address {0} has code")]
    SenderNotEoa(Address),
    /// The chain's validators list those who may do this, and the sender is not among them.
    #[error(transparent)]
    NotPermitted(#[from] NotPermitted),
    /// EIP-7702.
    #[error("EIP-7702 transaction with empty auth list")]
    EmptyAuthorizationList,
    /// The sender has as many waiting transactions as the pool takes of one.
    #[error("txpool is full: {sender} has {limit} transactions waiting, the limit of one account")]
    SenderLimit {
        /// The sender.
        sender: Address,
        /// [`super::Limits::transactions_per_sender`].
        limit: usize,
    },
    /// The pool is full of transactions that pay at least as much.
    #[error("txpool is full: raise the tip to take another transaction's place")]
    Full,
    /// The state could not be read: a fault of this node, not of the transaction.
    #[error("the state could not be read: {0}")]
    State(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A rule of the chain that has no variant of its own here.
    #[error("invalid transaction {hash}: {reason}")]
    Other {
        /// The transaction.
        hash: B256,
        /// The rule, in the EVM's words.
        reason: String,
    },
}

impl PoolError {
    /// Whether the fault is this node's and not the transaction's.
    pub fn is_internal(&self) -> bool {
        matches!(self, Self::State(_))
    }
}
