//! `eth_config` (EIP-7910): which rules are in force, which come next, and which are the last that are known.
//!
//! On a Synod chain the precompile PREDICT and its two contracts are among the precompiles and system contracts. Rules change
//! there with an epoch as well, when the council has scheduled an upgrade: such rules name their first block and their protocol
//! beside what EIP-7910 asks for. An upgrade to a protocol that this build does not know is not among them, as it cannot say
//! what it brings.

use alloy_consensus::Header;
use alloy_eips::eip7910::{EthForkConfig, SystemContract};
use alloy_evm::{Evm, EvmFactory};
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::{B256, U64};
use jsonrpsee::proc_macros::rpc;
use revm::database::EmptyDB;
use serde::Serialize;
use synod_chain::{Chain, ChainSpec};
use synod_evm::addresses::{CHUNK_FACTORY, MODEL_REGISTRY, PREDICT};

use crate::{
    backend::Backend,
    error::{RpcError, RpcResult},
};

#[rpc(server, namespace = "eth")]
pub(crate) trait ConfigApi {
    #[method(name = "config", blocking)]
    fn config(&self) -> RpcResult<Schedule>;
}

/// What EIP-7910 calls the configuration.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Schedule {
    current: Rules,
    next: Option<Rules>,
    last: Option<Rules>,
}

/// Rules from their activation on.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rules {
    #[serde(flatten)]
    fork: EthForkConfig,
    /// The first block, of rules that come with an upgrade. Of those to come, `activation_time` is an estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    activation_block: Option<U64>,
    /// The protocol of the upgrade.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<U64>,
}

/// When rules change, in the order in which they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    /// Unix time in seconds.
    time: u64,
    /// The first block, if it is a height that brings the change.
    block: Option<u64>,
}

/// The method's implementation.
#[derive(Debug)]
pub(crate) struct Config {
    backend: Backend,
}

impl Config {
    pub(crate) fn new(backend: Backend) -> Self {
        Self { backend }
    }
}

impl ConfigApiServer for Config {
    fn config(&self) -> RpcResult<Schedule> {
        let chain = &self.backend.chain;
        let view = self.backend.view()?;
        let head = view.head()?;
        let spec = chain.scheduled(&head).map_err(RpcError::internal)?;
        let first = spec.genesis().number.unwrap_or_default();
        let genesis = view.snapshot().block_hash(first)?;
        let genesis = genesis.ok_or_else(|| RpcError::internal("the chain has no first block"))?;

        let by_time = |time| Ok(Change { time, block: None });
        let by_block = |block| {
            let (time, block) = (time_of(chain, &head, block)?, Some(block));
            Ok(Change { time, block })
        };
        let times = spec.fork_times().into_iter().map(by_time);
        let blocks = spec.upgrade_blocks().into_iter().map(by_block);
        let mut changes = times.chain(blocks).collect::<RpcResult<Vec<_>>>()?;
        changes.sort_unstable();
        let begun = |change: &Change| match change.block {
            Some(block) => block <= head.number,
            None => change.time <= head.timestamp,
        };
        let begun = changes.partition_point(begun);
        // The rules after some of the changes.
        let after = |changes: &[Change]| {
            let upgrade = changes.iter().rev().find_map(|change| change.block);
            let header = Header {
                number: upgrade.unwrap_or(first),
                timestamp: changes.last()?.time.max(spec.genesis().timestamp),
                ..head.clone()
            };
            rules(chain, &spec, genesis, &header, *changes.last()?)
        };
        let later = |last: usize| (last > begun).then(|| after(&changes[..last])).flatten();
        Ok(Schedule {
            current: after(&changes[..begun]).ok_or_else(|| {
                RpcError::Refused("the head is before Cancun, which EIP-7910 does not describe".into())
            })?,
            next: later(changes.len().min(begun + 1)),
            last: later(changes.len()),
        })
    }
}

/// The time of a final block; of one to come, when it comes if the chain goes on as it went over as many blocks as are missing.
fn time_of(chain: &Chain, head: &Header, block: u64) -> RpcResult<u64> {
    let time = |number| {
        let header = chain.header(number).map_err(RpcError::internal)?;
        let header = header.ok_or_else(|| RpcError::internal(format!("block {number} is missing")))?;
        RpcResult::Ok(header.timestamp)
    };
    let Some(missing) = block.checked_sub(head.number).filter(|missing| *missing > 0) else {
        return time(block);
    };
    // Block 0 is as old as the genesis file.
    let past = missing.min(head.number.saturating_sub(1));
    if past == 0 {
        return Ok(head.timestamp);
    }
    let took = head.timestamp.saturating_sub(time(head.number - past)?);
    let takes = u128::from(took) * u128::from(missing) / u128::from(past);
    Ok(head
        .timestamp
        .saturating_add(u64::try_from(takes).unwrap_or(u64::MAX)))
}

/// The rules in a block with this header, which came with a change; `None` before Cancun, which has no blob schedule.
fn rules(chain: &Chain, spec: &ChainSpec, genesis: B256, header: &Header, change: Change) -> Option<Rules> {
    let blob_schedule = spec.blob_params(header.number, header.timestamp)?;
    let evm = chain
        .factory()
        .create_evm(EmptyDB::default(), spec.evm_env(header));
    // An Ethereum chain has PREDICT too, where nobody can have published anything; its tools expect Ethereum's list.
    let synod = spec.synod().is_some();
    let known = evm.precompiles();
    let precompiles = known
        .addresses()
        .iter()
        .filter(|address| synod || **address != PREDICT)
        .filter_map(|address| {
            let id = alloy_evm::precompiles::Precompile::precompile_id(&known.get(address)?)
                .name()
                .to_owned();
            Some((id, *address))
        })
        .collect();
    let mut system_contracts: std::collections::BTreeMap<_, _> = SystemContract::cancun().into();
    let forks = spec.forks_at(header.number);
    if forks.is_prague_active_at_timestamp(header.timestamp) {
        system_contracts.extend(SystemContract::prague(
            spec.genesis().config.deposit_contract_address,
        ));
    }
    if synod {
        // Nobody deposits into a beacon chain here.
        system_contracts.remove(&SystemContract::DepositContract);
        system_contracts.extend([
            (
                SystemContract::Other("MODEL_REGISTRY_ADDRESS".into()),
                MODEL_REGISTRY,
            ),
            (
                SystemContract::Other("CHUNK_FACTORY_ADDRESS".into()),
                CHUNK_FACTORY,
            ),
        ]);
    }
    let fork = EthForkConfig {
        activation_time: change.time,
        blob_schedule,
        chain_id: spec.chain_id(),
        fork_id: spec.fork_hash(genesis, header.number, change.time).0.into(),
        precompiles,
        system_contracts,
    };
    Some(Rules {
        fork,
        activation_block: change.block.map(U64::from),
        protocol: change.block.map(|block| U64::from(spec.protocol_at(block))),
    })
}
