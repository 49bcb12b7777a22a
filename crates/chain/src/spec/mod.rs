//! What makes one chain differ from another: its genesis file.
//!
//! A genesis file is geth's: `config` (chain id, fork times, blob schedule), header fields, `alloc`. What is ours stands
//! in `config.synod` ([`SynodParams`]); a file without it is plain Ethereum and follows Ethereum's rules to the letter,
//! which is how the conformance suites run. Forks go up to Osaka with BPO5; Amsterdam is refused, since it reprices code
//! and state, and the price of published bytes is a parameter here. A Synod chain begins under the first of [`PROTOCOLS`],
//! and moves to a later one with an epoch, when its council says so.

mod dev;
mod eras;
mod params;
mod protocol;
#[cfg(test)]
mod tests;

pub use dev::{DEV_CHAIN_ID, DEV_MNEMONIC, dev_accounts, dev_genesis, predict_contracts, system_contracts};
pub use eras::UnknownProtocol;
pub use params::{Fees, GasPrices, Limits, SynodParams};
pub use protocol::{ForksAt, PROTOCOLS, Protocol};

use alloy_consensus::{
    Header,
    constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS},
    transaction::Recovered,
};
use alloy_eips::{
    eip1559::{BaseFeeParams, INITIAL_BASE_FEE},
    eip2124::ForkHash,
    eip7685::EMPTY_REQUESTS_HASH,
    eip7840::BlobParams,
};
use alloy_evm::{EvmEnv, FromRecoveredTx, eth::NextEvmEnvAttributes};
use alloy_genesis::{ChainConfig, Genesis};
use alloy_hardforks::{EthereumChainHardforks, EthereumHardfork as Fork, EthereumHardforks, ForkCondition};
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use alloy_trie::EMPTY_ROOT_HASH;
use revm::context::TxEnv;
use std::{collections::BTreeSet, sync::Arc};
use synod_state::{StateChanges, Transaction};

/// Largest `extraData` of a header, in bytes.
pub const MAX_EXTRA_DATA: usize = 32;

/// A genesis file that cannot be a chain of ours.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Not the JSON of a genesis file.
    #[error("not a genesis file: {0}")]
    Json(#[from] serde_json::Error),
    /// It asks for a fork that this node does not have.
    #[error(
        "the genesis file activates {0}, which this node does not support; remove its time from `config`"
    )]
    Fork(&'static str),
    /// A parameter that cannot be.
    #[error("the genesis file's {field} is {got}, but it must be {expected}")]
    Parameter {
        /// Its path in the file.
        field: &'static str,
        /// The value found.
        got: String,
        /// What it must be.
        expected: &'static str,
    },
}

/// The rules of one chain.
#[derive(Clone, Debug)]
pub struct ChainSpec {
    genesis: Genesis,
    forks: EthereumChainHardforks,
    /// The forks that bring blob parameters, with those, ascending.
    blobs: Vec<(Fork, BlobParams)>,
    /// The rules in code that this build knows.
    protocols: &'static [Protocol],
    synod: Option<Arc<SynodParams>>,
    eras: eras::Eras,
}

impl ChainSpec {
    /// The chain of a genesis file's text.
    pub fn from_json(json: &str) -> Result<Self, SpecError> {
        Self::from_genesis(serde_json::from_str(json)?)
    }

    /// The chain of a genesis file.
    pub fn from_genesis(genesis: Genesis) -> Result<Self, SpecError> {
        Self::with_protocols(genesis, PROTOCOLS)
    }

    /// The chain of a genesis file as a build with another table of protocols sees it: for a test of upgrades, in which older
    /// and newer builds meet.
    pub fn with_protocols(genesis: Genesis, protocols: &'static [Protocol]) -> Result<Self, SpecError> {
        let config = &genesis.config;
        if config.amsterdam_time.is_some() {
            return Err(SpecError::Fork("Amsterdam"));
        }
        if config.bogota_time.is_some() {
            return Err(SpecError::Fork("Bogota"));
        }
        if genesis.gas_limit == 0 {
            return Err(SpecError::Parameter {
                field: "gasLimit",
                got: "0".into(),
                expected: "more than 0",
            });
        }
        if genesis
            .base_fee_per_gas
            .is_some_and(|fee| fee > u128::from(u64::MAX))
        {
            return Err(SpecError::Parameter {
                field: "baseFeePerGas",
                got: format!("{:?}", genesis.base_fee_per_gas),
                expected: "less than 2^64",
            });
        }
        let synod = match config.extra_fields.get("synod") {
            Some(value) => {
                let params: SynodParams = serde_json::from_value(value.clone())?;
                params.check(genesis.gas_limit)?;
                Some(Arc::new(params))
            }
            None => None,
        };
        if synod.as_ref().is_some_and(|synod| synod.fees.free)
            && genesis.base_fee_per_gas.is_some_and(|fee| fee != 0)
        {
            return Err(SpecError::Parameter {
                field: "baseFeePerGas",
                got: format!("{:?}", genesis.base_fee_per_gas),
                expected: "0 or absent, as gas is free (config.synod.fees.free)",
            });
        }
        let forks = forks(config);
        let blobs = blob_schedule(config);
        let spec = Self {
            genesis,
            forks,
            blobs,
            protocols,
            synod,
            eras: eras::Eras::default(),
        };
        let began = |fork: Fork| {
            let condition = spec.forks.ethereum_fork_activation(fork);
            condition.active_at_timestamp(spec.genesis.timestamp)
        };
        if spec.synod.is_some() && !began(spec.rules_at(0).fork) {
            return Err(SpecError::Parameter {
                field: "config.osakaTime",
                got: format!("{:?}", spec.genesis.config.osaka_time),
                expected: "at or before the genesis timestamp, as in every chain with `config.synod`",
            });
        }
        Ok(spec)
    }

    /// The chain that `synod dev` starts: [`dev_genesis`].
    #[must_use]
    pub fn dev() -> Self {
        Self::from_genesis(dev_genesis()).expect("the shipped genesis is checked by a test")
    }

    /// The genesis file.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The chain id of EIP-155.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.genesis.config.chain_id
    }

    /// Our parameters as the genesis file has them; `None` on a chain that follows Ethereum's.
    #[must_use]
    pub fn synod(&self) -> Option<&SynodParams> {
        self.synod.as_deref()
    }

    /// EIP-1559's constants.
    #[must_use]
    pub const fn base_fee_params(&self) -> BaseFeeParams {
        BaseFeeParams::ethereum()
    }

    /// Blob parameters at a height and time (EIP-7840), `None` before Cancun.
    #[must_use]
    pub fn blob_params(&self, number: u64, timestamp: u64) -> Option<BlobParams> {
        let forks = self.forks_at(number);
        let active = |fork: Fork| {
            forks
                .ethereum_fork_activation(fork)
                .active_at_timestamp(timestamp)
        };
        self.blobs
            .iter()
            .rev()
            .find(|(fork, _)| active(*fork))
            .map(|(_, params)| *params)
    }

    /// The times at which rules change, ascending; the genesis time, as 0, if rules by time are in force from there on.
    #[must_use]
    pub fn fork_times(&self) -> BTreeSet<u64> {
        let genesis = self.genesis.timestamp;
        let times = Fork::VARIANTS
            .iter()
            .filter_map(|fork| self.forks.ethereum_fork_activation(*fork).as_timestamp());
        times.map(|time| if time <= genesis { 0 } else { time }).collect()
    }

    /// The fork hash (EIP-2124, EIP-6122) of the rules in force at a height and time, all of Ethereum's changes by block number
    /// being past. The first blocks of upgrades count after everything that the genesis file knew.
    #[must_use]
    pub fn fork_hash(&self, genesis_hash: B256, number: u64, timestamp: u64) -> ForkHash {
        let blocks: BTreeSet<u64> = Fork::VARIANTS
            .iter()
            .filter_map(|fork| match self.forks.ethereum_fork_activation(*fork) {
                ForkCondition::Block(block) => Some(block),
                ForkCondition::TTD { fork_block, .. } => fork_block,
                _ => None,
            })
            .filter(|block| *block > 0)
            .collect();
        let times = self.fork_times();
        let times = times.range(1..=timestamp.max(1));
        let mut upgrades = self.upgrade_blocks();
        upgrades.retain(|first| *first <= number);
        blocks
            .iter()
            .chain(times)
            .chain(&upgrades)
            .fold(ForkHash::from(genesis_hash), |hash, at| hash + *at)
    }

    /// The base fee of a block on `parent`, `None` before London.
    #[must_use]
    pub fn next_base_fee(&self, parent: &Header) -> Option<u64> {
        let number = parent.number.saturating_add(1);
        if !self.forks_at(number).is_london_active_at_block(number) {
            return None;
        }
        if self.gas_is_free() {
            return Some(0);
        }
        Some(
            parent
                .next_block_base_fee(self.base_fee_params())
                .unwrap_or(INITIAL_BASE_FEE),
        )
    }

    /// Whether gas costs nothing here: the base fee is 0 in every block, and fees that transactions offer are read as 0.
    #[must_use]
    pub fn gas_is_free(&self) -> bool {
        self.synod.as_ref().is_some_and(|synod| synod.fees.free)
    }

    /// Who gets the base fees of the block at a height, which are burnt if nobody does.
    #[must_use]
    pub fn fee_recipient(&self, number: u64) -> Option<Address> {
        self.synod_at(number)?.fees.recipient
    }

    /// A transaction as the EVM runs it.
    #[must_use]
    pub fn tx_env(&self, transaction: &Recovered<Transaction>) -> TxEnv {
        let mut tx = TxEnv::from_recovered_tx(transaction.inner(), transaction.signer());
        self.waive_fees(&mut tx);
        tx
    }

    /// Reads the fees that a transaction offers as 0 where gas is free. So tools that insist on offering one (a wei of tip,
    /// say) work for accounts without money.
    pub fn waive_fees(&self, tx: &mut TxEnv) {
        if self.gas_is_free() {
            tx.gas_price = 0;
            tx.gas_priority_fee = tx.gas_priority_fee.map(|_| 0);
        }
    }

    /// The gas limit of a block on `parent` that this node builds. On a Synod chain it never moves: the limit is derived
    /// from what a validator can execute in time, which proposers have no vote about.
    #[must_use]
    pub const fn next_gas_limit(&self, parent: &Header) -> u64 {
        parent.gas_limit
    }

    /// Most bytes of the RLP of a block at a height and time (EIP-7934); `None` before Osaka.
    #[must_use]
    pub fn block_size_limit(&self, number: u64, timestamp: u64) -> Option<usize> {
        let limit = self
            .synod_at(number)
            .map_or(params::ETHEREUM_BLOCK_SIZE, |synod| synod.limits.block_size);
        self.forks_at(number)
            .is_osaka_active_at_timestamp(timestamp)
            .then_some(limit)
    }

    /// Most gas of the predictions of a block at a height, and so of one transaction's. An Ethereum chain has no such limit.
    #[must_use]
    pub fn inference_gas_limit(&self, number: u64) -> u64 {
        self.synod_at(number).map_or(u64::MAX, |synod| {
            synod.limits.inference_gas.unwrap_or(self.genesis.gas_limit)
        })
    }

    /// What the EVM sees when it executes the block with this header.
    #[must_use]
    pub fn evm_env(&self, header: &Header) -> EvmEnv {
        let blobs = self.blob_params(header.number, header.timestamp);
        let forks = self.forks_at(header.number);
        let env = EvmEnv::for_eth_block(header, forks, self.chain_id(), blobs);
        self.with_params(env, header.number)
    }

    /// What the EVM sees in a block on `parent` that does not exist yet.
    #[must_use]
    pub fn next_evm_env(
        &self,
        parent: &Header,
        timestamp: u64,
        beneficiary: Address,
        prev_randao: B256,
    ) -> EvmEnv {
        let attributes = NextEvmEnvAttributes {
            timestamp,
            suggested_fee_recipient: beneficiary,
            prev_randao,
            gas_limit: self.next_gas_limit(parent),
            slot_number: None,
        };
        let number = parent.number.saturating_add(1);
        let base_fee = self.next_base_fee(parent).unwrap_or_default();
        let blobs = self.blob_params(number, timestamp);
        let forks = self.forks_at(number);
        let env = EvmEnv::for_eth_next_block(parent, attributes, base_fee, forks, self.chain_id(), blobs);
        self.with_params(env, number)
    }

    fn with_params(&self, mut env: EvmEnv, number: u64) -> EvmEnv {
        if let Some(synod) = self.synod_at(number) {
            synod.apply(&mut env.cfg_env);
        }
        env
    }

    /// The state at genesis.
    #[must_use]
    pub fn genesis_state(&self) -> StateChanges {
        let mut state = StateChanges::default();
        for (address, account) in &self.genesis.alloc {
            let storage = account
                .storage
                .iter()
                .flatten()
                .map(|(key, value)| (*key, *value));
            let nonce = account.nonce.unwrap_or_default();
            state.genesis_account(*address, nonce, account.balance, account.code.as_ref(), storage);
        }
        state
    }

    /// The header of block 0, whose state root is `state_root`.
    #[must_use]
    pub fn genesis_header(&self, state_root: B256) -> Header {
        let genesis = &self.genesis;
        let number = genesis.number.unwrap_or_default();
        let time = genesis.timestamp;
        let forks = self.forks_at(number);
        let london = forks.is_london_active_at_block(number);
        let cancun = forks.is_cancun_active_at_timestamp(time);
        let default = if self.gas_is_free() { 0 } else { INITIAL_BASE_FEE };
        let base_fee = genesis
            .base_fee_per_gas
            .map_or(default, |fee| fee.try_into().unwrap_or(u64::MAX));
        Header {
            parent_hash: genesis.parent_hash.unwrap_or_default(),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: genesis.coinbase,
            state_root,
            transactions_root: EMPTY_ROOT_HASH,
            receipts_root: EMPTY_ROOT_HASH,
            logs_bloom: Bloom::ZERO,
            difficulty: genesis.difficulty,
            number,
            gas_limit: genesis.gas_limit,
            gas_used: 0,
            timestamp: time,
            extra_data: Bytes::clone(&genesis.extra_data),
            mix_hash: genesis.mix_hash,
            nonce: B64::from(genesis.nonce.to_be_bytes()),
            base_fee_per_gas: london.then_some(base_fee),
            withdrawals_root: forks
                .is_shanghai_active_at_timestamp(time)
                .then_some(EMPTY_WITHDRAWALS),
            blob_gas_used: cancun.then(|| genesis.blob_gas_used.unwrap_or_default()),
            excess_blob_gas: cancun.then(|| genesis.excess_blob_gas.unwrap_or_default()),
            parent_beacon_block_root: cancun.then_some(B256::ZERO),
            requests_hash: forks
                .is_prague_active_at_timestamp(time)
                .then_some(EMPTY_REQUESTS_HASH),
            ..Default::default()
        }
    }
}

fn forks(config: &ChainConfig) -> EthereumChainHardforks {
    let by_block = [
        (Fork::Homestead, config.homestead_block),
        (
            Fork::Dao,
            config.dao_fork_block.filter(|_| config.dao_fork_support),
        ),
        (Fork::Tangerine, config.eip150_block),
        (Fork::SpuriousDragon, config.eip155_block),
        (Fork::Byzantium, config.byzantium_block),
        (Fork::Constantinople, config.constantinople_block),
        (Fork::Petersburg, config.petersburg_block),
        (Fork::Istanbul, config.istanbul_block),
        (Fork::MuirGlacier, config.muir_glacier_block),
        (Fork::Berlin, config.berlin_block),
        (Fork::London, config.london_block),
        (Fork::ArrowGlacier, config.arrow_glacier_block),
        (Fork::GrayGlacier, config.gray_glacier_block),
    ];
    let by_time = [
        (Fork::Shanghai, config.shanghai_time),
        (Fork::Cancun, config.cancun_time),
        (Fork::Prague, config.prague_time),
        (Fork::Osaka, config.osaka_time),
        (Fork::Bpo1, config.bpo1_time),
        (Fork::Bpo2, config.bpo2_time),
        (Fork::Bpo3, config.bpo3_time),
        (Fork::Bpo4, config.bpo4_time),
        (Fork::Bpo5, config.bpo5_time),
    ];
    // A chain that never had proof of work merges at its first block; one with history says where by the netsplit block.
    let merged_from_start = config.terminal_total_difficulty == Some(U256::ZERO);
    let paris = config
        .merge_netsplit_block
        .or(merged_from_start.then_some(0))
        .map(|block| ForkCondition::TTD {
            activation_block_number: block,
            fork_block: Some(block),
            total_difficulty: config.terminal_total_difficulty.unwrap_or_default(),
        });
    let mut forks = vec![(Fork::Frontier, ForkCondition::Block(0))];
    forks.extend(
        by_block
            .into_iter()
            .filter_map(|(f, at)| Some((f, ForkCondition::Block(at?)))),
    );
    forks.extend(paris.map(|at| (Fork::Paris, at)));
    forks.extend(
        by_time
            .into_iter()
            .filter_map(|(f, at)| Some((f, ForkCondition::Timestamp(at?)))),
    );
    EthereumChainHardforks::new(forks)
}

/// Blob parameters by fork, of all forks whose parameters are known. A genesis file gives target, maximum and update fraction (EIP-7840); what Osaka
/// added (EIP-7594's cap for a transaction, EIP-7918's base cost) follows from the fork.
fn blob_schedule(config: &ChainConfig) -> Vec<(Fork, BlobParams)> {
    let osaka = |params: BlobParams| {
        let BlobParams {
            max_blobs_per_tx,
            blob_base_cost,
            ..
        } = BlobParams::osaka();
        params
            .with_max_blobs_per_tx(max_blobs_per_tx)
            .with_blob_base_cost(blob_base_cost)
    };
    let known = [
        ("cancun", Fork::Cancun, Some(BlobParams::cancun())),
        ("prague", Fork::Prague, Some(BlobParams::prague())),
        ("osaka", Fork::Osaka, Some(BlobParams::osaka())),
        ("bpo1", Fork::Bpo1, Some(BlobParams::bpo1())),
        ("bpo2", Fork::Bpo2, Some(BlobParams::bpo2())),
        ("bpo3", Fork::Bpo3, None),
        ("bpo4", Fork::Bpo4, None),
        ("bpo5", Fork::Bpo5, None),
    ];
    let mut schedule = Vec::new();
    for (name, fork, default) in known {
        let Some(params) = config.blob_schedule.get(name).copied().or(default) else {
            continue;
        };
        let params = if fork < Fork::Osaka { params } else { osaka(params) };
        schedule.push((fork, params));
    }
    schedule
}
