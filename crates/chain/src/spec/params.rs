//! The parameters in which a Synod chain differs from Ethereum.
//!
//! A network is megabytes of weights, and Ethereum's prices are made to keep megabytes out: at 16 to 40 gas for a byte of
//! calldata and 200 for a byte of code, 14 MB cost over 3 Ggas. That price stands for twenty thousand strangers' disks. A
//! permissioned cluster knows its disks, so here the price of a published byte is derived from what the byte costs a
//! validator, at the chain's one rate of 100 Mgas/s (1 gas = 10 ns on the reference machine):
//!
//! | part of the price | what it pays for | default |
//! |---|---|---|
//! | calldata, a byte | receive it, hash it for the transaction's id, signature and root (three keccaks of 2 to 3 ns), write the body | 4 |
//! | calldata's floor (EIP-7623), a byte | the same; equal to it, as the bandwidth of data that is only carried costs no more than that of data that is used | 4 |
//! | initcode, a word | EIP-3860's jump-table scan and one keccak: Ethereum's price is already that of time | 2 |
//! | code deposit, a byte | two keccaks (CREATE2's address, the code's hash), the durable write of the code with redb's copy-on-write, and its place on the disk for good | 8 |
//!
//! Zero bytes cost what other bytes cost: weights are stored as they are, and a zero takes as much disk. Together with the
//! memory that carries a chunk (about 1 gas a byte at 128 KiB) a published byte costs 13.5 gas, so a 14 MB network costs
//! some 190 Mgas, less than one block's gas (and two blocks' bytes).
//!
//! Measured (`cargo run --release -p synod-chain --example price_of_a_byte`): a validator spends about 40 ns on verifying a
//! published byte and 25 ns on writing it durably, on two busy cores, and is paid 135 ns. The margin of two is for slower
//! disks and for what does not show in time: the byte stays for good, twice, as code and in the block's body.
//!
//! The limits follow from the chunk: code of 128 KiB, initcode twice that (EIP-3860's ratio), and a transaction gas cap of
//! 2^27 that holds one chunk many times over and the registration of a network of 100 MB (the registry checks all of it in one
//! transaction, for some 75 Mgas), yet leaves room for two such transactions in a block of 300 Mgas.

use crate::spec::SpecError;
use alloy_primitives::Address;
use revm::{context::CfgEnv, context_interface::cfg::gas_params::GasId};
use serde::{Deserialize, Serialize};

/// `config.synod` of a genesis file. What it leaves out takes the default; what it does not know is an error, because a
/// misspelt parameter would be a fork.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SynodParams {
    /// Sizes and amounts that a transaction or a block may not exceed.
    pub limits: Limits,
    /// Prices that differ from Ethereum's.
    pub gas: GasPrices,
    /// What becomes of fees. What it leaves out is as on Ethereum.
    #[serde(skip_serializing_if = "Fees::is_ethereum")]
    pub fees: Fees,
    /// How far a proposal's clock may be ahead of a validator's before the validator waits, in milliseconds.
    pub max_clock_drift_ms: u64,
}

impl Default for SynodParams {
    /// The drift is half a second, about a block time, so a validator hardly ever signs a block from its future.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            gas: GasPrices::default(),
            fees: Fees::default(),
            max_clock_drift_ms: 500,
        }
    }
}

/// Most bytes of a block's RLP on Ethereum (EIP-7934: 10 MiB, of which 2 are left to the beacon block).
pub(super) const ETHEREUM_BLOCK_SIZE: usize = 8 << 20;

/// Sizes and amounts that a transaction or a block may not exceed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of one account's code (EIP-170).
    pub code_size: usize,
    /// Bytes of initcode (EIP-3860).
    pub initcode_size: usize,
    /// Gas of one transaction (EIP-7825).
    pub transaction_gas: u64,
    /// Bytes of a block's RLP (EIP-7934).
    pub block_size: usize,
    /// Gas of a block's predictions; all of a block's gas if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference_gas: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            code_size: 128 << 10,
            initcode_size: 256 << 10,
            transaction_gas: 1 << 27,
            block_size: ETHEREUM_BLOCK_SIZE,
            inference_gas: None,
        }
    }
}

/// Prices that differ from Ethereum's, in gas. The head of this module derives them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GasPrices {
    /// A byte of calldata, zero or not.
    pub calldata_byte: u64,
    /// A byte of calldata at least (EIP-7623).
    pub calldata_floor_byte: u64,
    /// A word of initcode (EIP-3860).
    pub initcode_word: u64,
    /// A byte of code.
    pub code_deposit_byte: u64,
}

impl Default for GasPrices {
    fn default() -> Self {
        Self {
            calldata_byte: 4,
            calldata_floor_byte: 4,
            initcode_word: 2,
            code_deposit_byte: 8,
        }
    }
}

/// What becomes of fees. On Ethereum a transaction pays for its gas: the base fee, which is burnt, and a tip to the proposer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fees {
    /// Gas costs nothing: the base fee is 0 in every block, and whatever fee a transaction offers is read as 0.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub free: bool,
    /// Gets the base fee of every transaction, which is burnt otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Address>,
}

impl Fees {
    /// Whether all is as on Ethereum.
    #[must_use]
    pub fn is_ethereum(&self) -> bool {
        *self == Self::default()
    }
}

impl SynodParams {
    /// Refuses parameters that would make a chain that cannot work, or overflow a sum of gas.
    pub(super) fn check(&self, block_gas: u64) -> Result<(), SpecError> {
        /// Far above any sensible price, far below where a sum over a block could overflow.
        const MAX_PRICE: u64 = 1 << 20;
        /// Memory that a single code may take.
        const MAX_CODE: usize = 16 << 20;
        /// What pools take for one transaction by default fits twice.
        const MIN_BLOCK: usize = 1 << 20;
        /// What peers can send each other within a view.
        const MAX_BLOCK: usize = 64 << 20;
        let wrong = |field, got: String, expected| Err(SpecError::Parameter { field, got, expected });
        let Limits {
            code_size,
            initcode_size,
            transaction_gas,
            block_size,
            inference_gas,
        } = self.limits;
        if code_size == 0 || code_size > MAX_CODE {
            return wrong(
                "config.synod.limits.codeSize",
                code_size.to_string(),
                "1 to 16777216",
            );
        }
        if initcode_size < code_size || initcode_size > 2 * MAX_CODE {
            let expected = "at least codeSize and at most 33554432";
            return wrong(
                "config.synod.limits.initcodeSize",
                initcode_size.to_string(),
                expected,
            );
        }
        if transaction_gas < 21_000 || transaction_gas > block_gas {
            let expected = "at least 21000 and at most gasLimit";
            return wrong(
                "config.synod.limits.transactionGas",
                transaction_gas.to_string(),
                expected,
            );
        }
        if block_size < MIN_BLOCK.max(initcode_size + (64 << 10)) || block_size > MAX_BLOCK {
            let expected = "at least 1048576, at least initcodeSize + 65536, and at most 67108864";
            return wrong("config.synod.limits.blockSize", block_size.to_string(), expected);
        }
        if let Some(gas) = inference_gas
            && (gas == 0 || gas > block_gas)
        {
            return wrong(
                "config.synod.limits.inferenceGas",
                gas.to_string(),
                "1 to gasLimit",
            );
        }
        let Fees { free, recipient } = self.fees;
        if let Some(recipient) = recipient
            && (free || recipient.is_zero())
        {
            let expected = "an account that somebody owns, and absent where gas is free";
            return wrong("config.synod.fees.recipient", recipient.to_string(), expected);
        }
        let GasPrices {
            calldata_byte,
            calldata_floor_byte,
            initcode_word,
            code_deposit_byte,
        } = self.gas;
        for (field, price) in [
            ("config.synod.gas.calldataByte", calldata_byte),
            ("config.synod.gas.calldataFloorByte", calldata_floor_byte),
            ("config.synod.gas.initcodeWord", initcode_word),
            ("config.synod.gas.codeDepositByte", code_deposit_byte),
        ] {
            if price == 0 || price > MAX_PRICE {
                return wrong(field, price.to_string(), "1 to 1048576");
            }
        }
        Ok(())
    }

    /// Puts the parameters where revm reads them.
    pub(super) fn apply(&self, cfg: &mut CfgEnv) {
        cfg.limit_contract_code_size = Some(self.limits.code_size);
        cfg.limit_contract_initcode_size = Some(self.limits.initcode_size);
        cfg.tx_gas_limit_cap = Some(self.limits.transaction_gas);
        // One token a byte, zero or not, so that the price of a token is the price of a byte.
        cfg.gas_params.override_gas([
            (GasId::tx_token_non_zero_byte_multiplier(), 1),
            (GasId::tx_floor_token_zero_byte_multiplier(), 1),
            (GasId::tx_token_cost(), self.gas.calldata_byte),
            (GasId::tx_floor_cost_per_token(), self.gas.calldata_floor_byte),
            (GasId::tx_initcode_cost(), self.gas.initcode_word),
            (GasId::initcode_per_word(), self.gas.initcode_word),
            (GasId::code_deposit_cost(), self.gas.code_deposit_byte),
        ]);
    }
}
