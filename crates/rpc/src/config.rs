//! `eth_config` (EIP-7910): which rules are in force, which come next, and which are the last that are known.
//!
//! On a Synod chain the precompile PREDICT and its two contracts are among the precompiles and system contracts.

use alloy_consensus::Header;
use alloy_eips::eip7910::{EthConfig, EthForkConfig, SystemContract};
use alloy_evm::{Evm, EvmFactory};
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::B256;
use jsonrpsee::proc_macros::rpc;
use revm::database::EmptyDB;
use synod_chain::Chain;
use synod_evm::addresses::{CHUNK_FACTORY, MODEL_REGISTRY, PREDICT};

use crate::{
    backend::Backend,
    error::{RpcError, RpcResult},
};

#[rpc(server, namespace = "eth")]
pub(crate) trait ConfigApi {
    #[method(name = "config", blocking)]
    fn config(&self) -> RpcResult<EthConfig>;
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
    fn config(&self) -> RpcResult<EthConfig> {
        let chain = &self.backend.chain;
        let view = self.backend.view()?;
        let head = view.head()?;
        let first = view
            .snapshot()
            .block_hash(chain.spec().genesis().number.unwrap_or_default())?;
        let genesis = first.ok_or_else(|| RpcError::internal("the chain has no first block"))?;
        let times = chain.spec().fork_times();
        let fork = |time: &u64| fork(chain, &head, genesis, *time);
        let current = times
            .range(..=head.timestamp)
            .next_back()
            .and_then(fork)
            .ok_or_else(|| {
                RpcError::Refused("the head is before Cancun, which EIP-7910 does not describe".into())
            })?;
        let mut later = times.range(head.timestamp.saturating_add(1)..);
        Ok(EthConfig {
            current,
            last: later.clone().next_back().and_then(fork),
            next: later.next().and_then(fork),
        })
    }
}

/// The rules from a time on; `None` before Cancun, which has no blob schedule.
fn fork(chain: &Chain, head: &Header, genesis: B256, time: u64) -> Option<EthForkConfig> {
    let spec = chain.spec();
    let blob_schedule = spec.blob_params(head.number, time.max(spec.genesis().timestamp))?;
    let header = Header {
        timestamp: time.max(spec.genesis().timestamp),
        ..head.clone()
    };
    let evm = chain
        .factory()
        .create_evm(EmptyDB::default(), spec.evm_env(&header));
    // An Ethereum chain has PREDICT too, where nobody can have published anything; its tools expect Ethereum's list.
    let synod = spec.synod().is_some();
    let known = evm.precompiles();
    let precompiles = known
        .addresses()
        .filter(|address| synod || **address != PREDICT)
        .filter_map(|address| {
            let id = alloy_evm::precompiles::Precompile::precompile_id(&known.get(address)?)
                .name()
                .to_owned();
            Some((id, *address))
        })
        .collect();
    let mut system_contracts: std::collections::BTreeMap<_, _> = SystemContract::cancun().into();
    let forks = spec.forks_at(head.number);
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
    Some(EthForkConfig {
        activation_time: time,
        blob_schedule,
        chain_id: spec.chain_id(),
        fork_id: spec.fork_hash(genesis, time).0.into(),
        precompiles,
        system_contracts,
    })
}
