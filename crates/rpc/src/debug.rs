//! `debug_`: what was stored, byte for byte, and what a transaction did, step by step.
//!
//! A trace replays the block up to the transaction on the state of the parent, so it costs what the block cost; it runs
//! among the [`crate::workers`]. Predictions appear as calls to the precompile, with the gas that they cost; the call tracer says
//! what they ask ([`crate::predictions`]).

use std::{sync::Arc, time::Duration};

use alloy_consensus::transaction::Recovered;
use alloy_eips::{BlockId, BlockNumberOrTag, eip2718::Encodable2718};
use alloy_evm::{Evm, EvmEnv, EvmFactory, block::SystemCaller};
use alloy_primitives::{B256, Bytes};
use alloy_rpc_types_eth::{TransactionRequest, state::EvmOverrides};
use alloy_rpc_types_trace::{
    common::TraceResult,
    geth::{GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace},
};
use jsonrpsee::{core::async_trait, proc_macros::rpc};
use revm::{DatabaseCommit, context::TxEnv, database::CacheDB};
use revm_inspectors::tracing::{DebugInspector, TransactionContext};
use synod_chain::{BlockData, Chain, Factory, SealedBlock, StateView, edit::impersonated};

use crate::{
    backend::{Backend, View},
    bounds::Bounds,
    deadline::CallLimits,
    error::{RpcError, RpcResult},
    params::Hash,
    predictions,
    simulate::Simulation,
    workers::Workers,
};

#[rpc(server, namespace = "debug")]
pub(crate) trait DebugApi {
    #[method(name = "getRawHeader", blocking)]
    fn raw_header(&self, block: BlockId) -> RpcResult<Bytes>;

    #[method(name = "getRawBlock", blocking)]
    fn raw_block(&self, block: BlockId) -> RpcResult<Bytes>;

    #[method(name = "getRawReceipts", blocking)]
    fn raw_receipts(&self, block: BlockId) -> RpcResult<Vec<Bytes>>;

    #[method(name = "getRawTransaction", blocking)]
    fn raw_transaction(&self, hash: Hash) -> RpcResult<Option<Bytes>>;

    #[method(name = "traceTransaction")]
    async fn trace_transaction(
        &self,
        hash: B256,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<GethTrace>;

    #[method(name = "traceCall")]
    async fn trace_call(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        options: Option<GethDebugTracingCallOptions>,
    ) -> RpcResult<GethTrace>;

    #[method(name = "traceBlockByNumber")]
    async fn trace_block_by_number(
        &self,
        number: BlockNumberOrTag,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<Vec<TraceResult<GethTrace, String>>>;

    #[method(name = "traceBlockByHash")]
    async fn trace_block_by_hash(
        &self,
        hash: B256,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<Vec<TraceResult<GethTrace, String>>>;
}

/// The methods' implementation.
#[derive(Debug, Clone)]
pub(crate) struct Debug {
    backend: Backend,
    workers: Workers,
    calls: CallLimits,
}

impl Debug {
    pub(crate) fn new(backend: Backend, workers: Workers, calls: CallLimits) -> Self {
        Self {
            backend,
            workers,
            calls,
        }
    }

    fn block(&self, id: BlockId) -> RpcResult<(View, Arc<BlockData>)> {
        let view = self.backend.view()?;
        let data = view.block(id)?.ok_or(RpcError::BlockNotFound(id))?;
        Ok((view, data))
    }

    async fn trace_block(
        &self,
        id: BlockId,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<Vec<TraceResult<GethTrace, String>>> {
        let this = self.clone();
        self.workers
            .run(move || {
                let (view, data) = this.block(id)?;
                let block = &data.block;
                let mut replay = Replay::new(&this.backend.chain, &view, block)?;
                let options = options.unwrap_or_default();
                (0..block.senders.len())
                    .map(|index| {
                        let result = replay.trace(index, &options)?;
                        let tx_hash = block.body.transactions.get(index).map(|tx| *tx.tx_hash());
                        Ok(TraceResult::Success { result, tx_hash })
                    })
                    .collect()
            })
            .await
    }
}

#[async_trait]
impl DebugApiServer for Debug {
    fn raw_header(&self, block: BlockId) -> RpcResult<Bytes> {
        Ok(alloy_rlp::encode(self.block(block)?.1.header()).into())
    }

    fn raw_block(&self, block: BlockId) -> RpcResult<Bytes> {
        Ok(alloy_rlp::encode(self.block(block)?.1.block.to_block()).into())
    }

    fn raw_receipts(&self, block: BlockId) -> RpcResult<Vec<Bytes>> {
        let (_, data) = self.block(block)?;
        Ok(data
            .receipts
            .iter()
            .map(|receipt| receipt.encoded_2718().into())
            .collect())
    }

    fn raw_transaction(&self, Hash(hash): Hash) -> RpcResult<Option<Bytes>> {
        let view = self.backend.view()?;
        let Some((data, index)) = locate(&view, hash)? else {
            return Ok(self
                .backend
                .pool
                .get(&hash)
                .map(|tx| tx.transaction().encoded_2718().into()));
        };
        Ok(data
            .block
            .body
            .transactions
            .get(index)
            .map(|tx| tx.encoded_2718().into()))
    }

    async fn trace_transaction(
        &self,
        hash: B256,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<GethTrace> {
        let this = self.clone();
        self.workers
            .run(move || {
                let view = this.backend.view()?;
                let (data, index) =
                    locate(&view, hash)?.ok_or_else(|| RpcError::Refused("transaction not found".into()))?;
                let mut replay = Replay::new(&this.backend.chain, &view, &data.block)?;
                (0..index).try_for_each(|before| replay.skip(before))?;
                replay.trace(index, &options.unwrap_or_default())
            })
            .await
    }

    async fn trace_call(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        options: Option<GethDebugTracingCallOptions>,
    ) -> RpcResult<GethTrace> {
        let this = self.clone();
        self.workers
            .run(move || {
                let options = options.unwrap_or_default();
                if options.tx_index.is_some() {
                    return Err(RpcError::InvalidParams("txIndex is not supported".into()));
                }
                let view = this.backend.view()?;
                let overrides = EvmOverrides {
                    state: options.state_overrides,
                    block: options.block_overrides.map(Box::new),
                };
                let id = block.unwrap_or_default();
                let simulation = Simulation::new(&view, &this.backend.chain, id, overrides, this.calls)?;
                simulation.trace(request, options.tracing_options)
            })
            .await
    }

    async fn trace_block_by_number(
        &self,
        number: BlockNumberOrTag,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<Vec<TraceResult<GethTrace, String>>> {
        self.trace_block(number.into(), options).await
    }

    async fn trace_block_by_hash(
        &self,
        hash: B256,
        options: Option<GethDebugTracingOptions>,
    ) -> RpcResult<Vec<TraceResult<GethTrace, String>>> {
        self.trace_block(hash.into(), options).await
    }
}

/// The block and position of a mined transaction.
fn locate(view: &View, hash: B256) -> RpcResult<Option<(Arc<BlockData>, usize)>> {
    let Some(at) = view.snapshot().transaction(&hash)? else {
        return Ok(None);
    };
    let block = view.block(at.block_number.into())?;
    Ok(block.zip(usize::try_from(at.index).ok()))
}

/// A block being run again, transaction by transaction.
struct Replay<'a> {
    chain: &'a Chain,
    /// With the limit of predictions that held at the block.
    factory: Factory,
    block: &'a SealedBlock,
    env: EvmEnv,
    db: CacheDB<StateView>,
}

impl<'a> Replay<'a> {
    fn new(chain: &'a Chain, view: &View, block: &'a SealedBlock) -> RpcResult<Self> {
        let parent = block
            .header
            .number
            .checked_sub(1)
            .ok_or_else(|| RpcError::Refused("genesis is not traceable".into()))?;
        let parent = view.header(parent.into())?;
        let env = chain.evm_env(&block.header);
        let mut db = CacheDB::new(view.state(&parent)?);
        let rules = chain.spec().inference_rules(block.header.number);
        let factory = chain.factory().clone().with_rules(rules);
        {
            let mut evm = factory.create_evm(&mut db, env.clone());
            SystemCaller::new(chain.spec().forks_at(block.header.number))
                .apply_pre_execution_changes(&block.header, &mut evm)
                .map_err(|e| RpcError::internal(e.to_string()))?;
        }
        Ok(Self {
            chain,
            factory,
            block,
            env,
            db,
        })
    }

    /// A transaction with the environment in which it runs.
    fn transaction(&self, index: usize) -> RpcResult<(TxEnv, EvmEnv)> {
        let pair = self
            .block
            .body
            .transactions
            .get(index)
            .zip(self.block.senders.get(index));
        let (transaction, sender) =
            pair.ok_or_else(|| RpcError::internal("no transaction at a stored position"))?;
        let recovered = Recovered::new_unchecked(transaction.clone(), *sender);
        let mut env = self.env.clone();
        env.cfg_env.disable_eip3607 = impersonated(&recovered);
        Ok((self.chain.spec().tx_env(&recovered), env))
    }

    /// Runs a transaction only for what it changes.
    fn skip(&mut self, index: usize) -> RpcResult<()> {
        let (tx, env) = self.transaction(index)?;
        let mut evm = self.factory.create_evm(&mut self.db, env);
        evm.transact_commit(tx)
            .map_err(|e| RpcError::internal(e.to_string()))?;
        Ok(())
    }

    /// Runs a transaction and watches it.
    fn trace(&mut self, index: usize, options: &GethDebugTracingOptions) -> RpcResult<GethTrace> {
        let (tx, env) = self.transaction(index)?;
        let context = TransactionContext {
            block_hash: Some(self.block.hash),
            tx_index: Some(index),
            tx_hash: self.block.body.transactions.get(index).map(|tx| *tx.tx_hash()),
        };
        let (trace, state) = watch(
            &self.factory,
            &mut self.db,
            env,
            tx,
            Some(context),
            options.clone(),
            // What was mined once ends, and soon.
            &mut Bounds::time(Duration::MAX),
        )?;
        self.db.commit(state);
        Ok(trace)
    }
}

/// Runs a transaction under an inspector; gives what it saw and what the transaction changed.
pub(crate) fn watch(
    factory: &Factory,
    db: &mut CacheDB<StateView>,
    env: EvmEnv,
    tx: TxEnv,
    context: Option<TransactionContext>,
    options: GethDebugTracingOptions,
    bounds: &mut Bounds,
) -> RpcResult<(GethTrace, revm::state::EvmState)> {
    let mut inspector = DebugInspector::new(options).map_err(|e| RpcError::InvalidParams(e.to_string()))?;
    let block = env.block_env.clone();
    let outcome = {
        let mut evm = factory.create_evm_with_inspector(&mut *db, env, (&mut inspector, bounds));
        evm.transact(tx.clone())
            .map_err(|e| RpcError::InvalidTransaction(e.to_string()))?
    };
    let trace = inspector
        .get_result(context, &tx, &block, &outcome, db)
        .map_err(|e| RpcError::internal(e.to_string()))?;
    let trace = predictions::named(trace).map_err(RpcError::internal)?;
    Ok((trace, outcome.state))
}
