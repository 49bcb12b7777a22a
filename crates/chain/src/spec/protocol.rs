//! The table of protocols: the rules that are in code, not in the genesis file.
//!
//! A [`Protocol`] is everything that a later version of this program may change for a chain that runs: Ethereum's fork, and
//! the profile of the models (operators, their bits, limits, the work that is paid for). Wherever a block's rules are looked
//! up, they are looked up for its height: [`ChainSpec::forks_at`] gives the fork, [`ChainSpec::inference_rules`] the profile.
//!
//! A new protocol is a new line of [`PROTOCOLS`] and the code that it needs; no line changes that a chain was started with.

use crate::spec::ChainSpec;
use alloy_evm::eth::spec::EthExecutorSpec;
use alloy_hardforks::{EthereumHardfork as Fork, EthereumHardforks, ForkCondition};
use alloy_primitives::Address;
use synod_evm::InferenceRules;

/// Rules in code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its number, by which the council names it.
    pub number: u64,
    /// Ethereum's fork. The genesis file may activate blob parameters beyond it by time, as there are no blobs here.
    pub fork: Fork,
    /// The profile that models are validated against. Those of earlier profiles run as they did.
    pub profile: u32,
}

/// The protocols that this build knows, by their numbers.
pub const PROTOCOLS: &[Protocol] = &[Protocol {
    number: 1,
    fork: Fork::Osaka,
    profile: 1,
}];

/// Ethereum's forks as they are at one height: what code of Ethereum's asks about a block's rules.
#[derive(Clone, Copy, Debug)]
pub struct ForksAt<'a> {
    spec: &'a ChainSpec,
    /// The fork that the protocol brings, on a Synod chain.
    fork: Option<Fork>,
}

impl ChainSpec {
    /// Ethereum's forks in the block at a height.
    #[must_use]
    pub fn forks_at(&self, number: u64) -> ForksAt<'_> {
        let fork = self.synod.as_ref().map(|_| self.rules_at(number).fork);
        ForksAt { spec: self, fork }
    }

    /// The rules of inference in the block at a height.
    #[must_use]
    pub fn inference_rules(&self, number: u64) -> InferenceRules {
        InferenceRules {
            gas_limit: self.inference_gas_limit(number),
            profile: self.rules_at(number).profile,
        }
    }
}

impl EthereumHardforks for ForksAt<'_> {
    fn ethereum_fork_activation(&self, fork: Fork) -> ForkCondition {
        // What came by block number came with the first block, which is checked when the genesis file is read.
        match self.fork {
            Some(newest) if fork > Fork::Paris && fork <= newest => ForkCondition::Timestamp(0),
            _ => self.spec.forks.ethereum_fork_activation(fork),
        }
    }
}

impl EthExecutorSpec for ForksAt<'_> {
    fn deposit_contract_address(&self) -> Option<Address> {
        self.spec.genesis.config.deposit_contract_address
    }
}
