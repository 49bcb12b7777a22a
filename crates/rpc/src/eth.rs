//! The `eth_` methods.

use std::{collections::BTreeMap, sync::Arc};

use alloy_consensus::TypedTransaction;
use alloy_dyn_abi::TypedData;
use alloy_eips::{BlockId, BlockNumberOrTag, eip2718::Encodable2718};
use alloy_network::NetworkTransactionBuilder;
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_rpc_types_eth::{
    AccessListResult, Block, BlockOverrides, EIP1186AccountProofResponse, EIP1186StorageProof, FeeHistory,
    Filter, FilterChanges, Header, Index, Log, StorageValuesRequest, SyncStatus, Transaction,
    TransactionReceipt, TransactionRequest,
    simulate::{SimulatePayload, SimulatedBlock},
    state::{EvmOverrides, StateOverride},
};
use jsonrpsee::{core::async_trait, proc_macros::rpc};
use synod_chain::{BlockData, StateView, edit::impersonate};

use crate::{
    Limits,
    backend::{Backend, View},
    brief, convert,
    deadline::CallLimits,
    error::{RpcError, RpcResult},
    fees::{self, Tips},
    filters::Filters,
    logs::{self, SearchLimits},
    params::Slot,
    pending,
    simulate::Simulation,
    simulate_blocks,
    workers::Workers,
};

/// Slots in one request: each may be a walk through the trie.
const MAX_SLOTS: usize = 1024;
/// Bytes of a transaction that is judged where it was read: what it takes is to recover one signature.
const SMALL_TRANSACTION: usize = 4 << 10;

#[rpc(server, namespace = "eth")]
pub(crate) trait EthApi {
    #[method(name = "chainId")]
    fn chain_id(&self) -> RpcResult<U64>;

    #[method(name = "syncing")]
    fn syncing(&self) -> RpcResult<SyncStatus>;

    #[method(name = "accounts")]
    fn accounts(&self) -> RpcResult<Vec<Address>>;

    #[method(name = "coinbase", blocking)]
    fn coinbase(&self) -> RpcResult<Address>;

    #[method(name = "blockNumber")]
    fn block_number(&self) -> RpcResult<U64>;

    #[method(name = "getBalance")]
    async fn balance(&self, address: Address, block: Option<BlockId>) -> RpcResult<U256>;

    #[method(name = "getTransactionCount")]
    async fn transaction_count(&self, address: Address, block: Option<BlockId>) -> RpcResult<U64>;

    #[method(name = "getCode")]
    async fn code(&self, address: Address, block: Option<BlockId>) -> RpcResult<Bytes>;

    #[method(name = "getStorageAt")]
    async fn storage_at(&self, address: Address, slot: Slot, block: Option<BlockId>) -> RpcResult<B256>;

    #[method(name = "getStorageValues", blocking)]
    fn storage_values(
        &self,
        slots: StorageValuesRequest,
        block: Option<BlockId>,
    ) -> RpcResult<BTreeMap<Address, Vec<B256>>>;

    #[method(name = "getProof", blocking)]
    fn proof(
        &self,
        address: Address,
        slots: Vec<Slot>,
        block: Option<BlockId>,
    ) -> RpcResult<EIP1186AccountProofResponse>;

    #[method(name = "getBlockByNumber", blocking)]
    fn block_by_number(&self, number: BlockNumberOrTag, full: Option<bool>) -> RpcResult<Option<Block>>;

    #[method(name = "getBlockByHash", blocking)]
    fn block_by_hash(&self, hash: B256, full: Option<bool>) -> RpcResult<Option<Block>>;

    #[method(name = "getHeaderByNumber", blocking)]
    fn header_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<Header>>;

    #[method(name = "getHeaderByHash", blocking)]
    fn header_by_hash(&self, hash: B256) -> RpcResult<Option<Header>>;

    #[method(name = "getBlockReceipts", blocking)]
    fn block_receipts(&self, block: BlockId) -> RpcResult<Option<Vec<TransactionReceipt>>>;

    #[method(name = "getBlockTransactionCountByNumber", blocking)]
    fn block_transaction_count_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<U64>>;

    #[method(name = "getBlockTransactionCountByHash", blocking)]
    fn block_transaction_count_by_hash(&self, hash: B256) -> RpcResult<Option<U64>>;

    #[method(name = "getUncleCountByBlockNumber", blocking)]
    fn uncle_count_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<U64>>;

    #[method(name = "getUncleCountByBlockHash", blocking)]
    fn uncle_count_by_hash(&self, hash: B256) -> RpcResult<Option<U64>>;

    #[method(name = "getTransactionByHash", blocking)]
    fn transaction_by_hash(&self, hash: B256) -> RpcResult<Option<Transaction>>;

    #[method(name = "getRawTransactionByHash", blocking)]
    fn raw_transaction_by_hash(&self, hash: B256) -> RpcResult<Option<Bytes>>;

    #[method(name = "getTransactionByBlockNumberAndIndex", blocking)]
    fn transaction_by_number_and_index(
        &self,
        number: BlockNumberOrTag,
        index: Index,
    ) -> RpcResult<Option<Transaction>>;

    #[method(name = "getTransactionByBlockHashAndIndex", blocking)]
    fn transaction_by_hash_and_index(&self, hash: B256, index: Index) -> RpcResult<Option<Transaction>>;

    #[method(name = "getTransactionReceipt")]
    async fn transaction_receipt(&self, hash: B256) -> RpcResult<Option<TransactionReceipt>>;

    #[method(name = "getLogs")]
    async fn logs(&self, filter: Filter) -> RpcResult<Vec<Log>>;

    #[method(name = "newFilter", blocking)]
    fn new_filter(&self, filter: Filter) -> RpcResult<U64>;

    #[method(name = "newBlockFilter", blocking)]
    fn new_block_filter(&self) -> RpcResult<U64>;

    #[method(name = "newPendingTransactionFilter", blocking)]
    fn new_pending_transaction_filter(&self) -> RpcResult<U64>;

    #[method(name = "getFilterChanges")]
    async fn filter_changes(&self, id: U64) -> RpcResult<FilterChanges>;

    #[method(name = "getFilterLogs")]
    async fn filter_logs(&self, id: U64) -> RpcResult<Vec<Log>>;

    #[method(name = "uninstallFilter", blocking)]
    fn uninstall_filter(&self, id: U64) -> RpcResult<bool>;

    #[method(name = "call")]
    async fn call(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state: Option<StateOverride>,
        overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<Bytes>;

    #[method(name = "estimateGas")]
    async fn estimate_gas(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state: Option<StateOverride>,
        overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<U64>;

    #[method(name = "createAccessList")]
    async fn create_access_list(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
    ) -> RpcResult<AccessListResult>;

    #[method(name = "simulateV1")]
    async fn simulate_v1(
        &self,
        payload: SimulatePayload,
        block: Option<BlockId>,
    ) -> RpcResult<Vec<SimulatedBlock>>;

    #[method(name = "gasPrice", blocking)]
    fn gas_price(&self) -> RpcResult<U256>;

    #[method(name = "maxPriorityFeePerGas", blocking)]
    fn max_priority_fee_per_gas(&self) -> RpcResult<U256>;

    #[method(name = "baseFee", blocking)]
    fn base_fee(&self) -> RpcResult<U256>;

    #[method(name = "blobBaseFee", blocking)]
    fn blob_base_fee(&self) -> RpcResult<U256>;

    #[method(name = "feeHistory")]
    async fn fee_history(
        &self,
        count: U64,
        newest: BlockNumberOrTag,
        percentiles: Option<Vec<f64>>,
    ) -> RpcResult<FeeHistory>;

    #[method(name = "sendRawTransaction")]
    async fn send_raw_transaction(&self, raw: Bytes) -> RpcResult<B256>;

    #[method(name = "sendTransaction")]
    async fn send_transaction(&self, request: TransactionRequest) -> RpcResult<B256>;

    #[method(name = "sendUnsignedTransaction")]
    async fn send_unsigned_transaction(&self, request: TransactionRequest) -> RpcResult<B256>;

    #[method(name = "signTransaction")]
    async fn sign_transaction(&self, request: TransactionRequest) -> RpcResult<Bytes>;

    #[method(name = "sign", blocking)]
    fn sign(&self, address: Address, message: Bytes) -> RpcResult<Bytes>;

    /// EIP-712. The data may be an object or, as wallets send it, a string that holds one.
    #[method(name = "signTypedData_v4", blocking)]
    fn sign_typed_data(&self, address: Address, data: TypedData) -> RpcResult<Bytes>;
}

/// What wallets call `eth_sign`, with the parameters the other way round.
#[rpc(server, namespace = "personal")]
pub(crate) trait PersonalApi {
    #[method(name = "sign", blocking)]
    fn personal_sign(&self, message: Bytes, address: Address) -> RpcResult<Bytes>;
}

/// The methods' implementation.
#[derive(Debug, Clone)]
pub(crate) struct Eth {
    backend: Backend,
    workers: Workers,
    filters: Arc<Filters>,
    tips: Arc<Tips>,
    limits: Arc<Limits>,
    calls: CallLimits,
}

impl Eth {
    pub(crate) fn new(backend: Backend, workers: Workers, limits: Arc<Limits>, calls: CallLimits) -> Self {
        Self {
            backend,
            workers,
            filters: Arc::default(),
            tips: Arc::default(),
            limits,
            calls,
        }
    }

    fn search_limits(&self) -> SearchLimits {
        SearchLimits {
            blocks: self.limits.log_blocks,
            logs: self.limits.logs,
        }
    }

    fn simulation(
        &self,
        block: Option<BlockId>,
        state: Option<StateOverride>,
        overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<Simulation<'_>> {
        let view = self.backend.view()?;
        let overrides = EvmOverrides {
            state,
            block: overrides,
        };
        Simulation::new(
            &view,
            &self.backend.chain,
            block.unwrap_or_default(),
            overrides,
            self.calls,
        )
    }

    /// Reads something small of a state: at once if it is the latest, where nothing is further than a look at a table. An older
    /// one is found through its trie.
    async fn read<T: Send + 'static>(
        &self,
        block: Option<BlockId>,
        read: impl FnOnce(&StateView) -> RpcResult<T> + Send + 'static,
    ) -> RpcResult<T> {
        if is_latest(block) {
            return self
                .workers
                .here(|| read(&self.backend.view()?.state_at(block)?))
                .await?;
        }
        let this = self.clone();
        self.workers
            .aside(move || read(&this.backend.view()?.state_at(block)?))
            .await
    }

    /// Tries a call at once: most are over before a worker would have woken. `None` if this one is not.
    async fn briefly<T>(
        &self,
        request: &TransactionRequest,
        block: Option<BlockId>,
        has_overrides: bool,
        run: impl FnOnce(&mut Simulation<'_>, TransactionRequest) -> RpcResult<T>,
    ) -> Option<RpcResult<T>> {
        if has_overrides || !is_latest(block) || !brief::may_be_brief(request) {
            return None;
        }
        let attempt = || {
            let view = self.backend.view()?;
            let id = block.unwrap_or_default();
            let mut simulation = Simulation::brief(&view, &self.backend.chain, id, self.calls)?;
            let answer = run(&mut simulation, request.clone());
            Ok(simulation.was_brief().then_some(answer))
        };
        match self.workers.here(attempt).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) | Err(error) => Some(Err(error)),
        }
    }

    /// A transaction's block and position.
    fn locate(&self, view: &View, hash: &B256) -> RpcResult<Option<(u64, usize)>> {
        let location = view.snapshot().transaction(hash)?;
        // A position beyond usize would be beyond memory too.
        Ok(location.map(|at| (at.block_number, usize::try_from(at.index).unwrap_or(usize::MAX))))
    }

    /// A block, the next one included.
    fn block(&self, id: BlockId) -> RpcResult<Option<Arc<BlockData>>> {
        if id.is_pending() {
            return Ok(Some(pending::block(&self.backend)));
        }
        self.backend.view()?.block(id)
    }

    fn transaction_at(&self, id: BlockId, index: usize) -> RpcResult<Option<Transaction>> {
        Ok(self.block(id)?.and_then(|data| self.stored(&data, index)))
    }

    fn stored(&self, data: &BlockData, index: usize) -> Option<Transaction> {
        convert::transaction(&data.block, index, self.backend.prices(data.header()))
    }

    fn block_with(&self, id: BlockId, full: Option<bool>) -> RpcResult<Option<Block>> {
        Ok(self.block(id)?.map(|data| {
            let prices = self.backend.prices(data.header());
            convert::block(&data.block, full.unwrap_or_default(), prices)
        }))
    }

    fn count(
        &self,
        id: BlockId,
        count: impl Fn(&synod_chain::SealedBlock) -> usize,
    ) -> RpcResult<Option<U64>> {
        Ok(self.block(id)?.map(|data| U64::from(count(&data.block))))
    }

    fn suggested_tip(&self, view: &View) -> RpcResult<u128> {
        self.tips.suggestion(view, self.backend.pool.limits().minimum_tip)
    }

    fn next_base_fee(&self, view: &View) -> RpcResult<u64> {
        Ok(self
            .backend
            .chain
            .spec()
            .next_base_fee(&view.head()?)
            .unwrap_or_default())
    }

    /// Sends a transaction of one of the node's accounts, or of one that a development node needs no key of.
    fn send(&self, request: TransactionRequest, unsigned: bool) -> RpcResult<B256> {
        let from = sender(&request)?;
        let control = &self.backend.control;
        if let Some(dev) = control.dev().filter(|dev| unsigned || dev.impersonates(from)) {
            let transaction = impersonate(from, self.fill(from, request)?);
            let hash = dev.submit_impersonated(transaction)?;
            dev.settle().map_err(RpcError::Refused)?;
            return Ok(hash);
        }
        let transaction = self.fill_and_sign(request)?;
        let hash = control.submit(&transaction.encoded_2718())?;
        // Suites read what a transaction did as soon as it was sent.
        if let Some(dev) = control.dev() {
            dev.settle().map_err(RpcError::Refused)?;
        }
        Ok(hash)
    }

    /// Completes and signs a transaction of one of the node's accounts.
    fn fill_and_sign(&self, request: TransactionRequest) -> RpcResult<alloy_consensus::TxEnvelope> {
        let from = sender(&request)?;
        if !self.backend.wallet.addresses().contains(&from) {
            return Err(RpcError::UnknownAccount(from));
        }
        let transaction = self.fill(from, request)?;
        self.backend.wallet.sign_transaction(from, transaction)
    }

    /// Completes a transaction.
    fn fill(&self, from: Address, mut request: TransactionRequest) -> RpcResult<TypedTransaction> {
        let view = self.backend.view()?;
        if request.to.is_none() {
            request.to = Some(alloy_primitives::TxKind::Create);
        }
        if request.nonce.is_none() {
            request.nonce = Some(self.backend.next_nonce(from)?);
        }
        request
            .chain_id
            .get_or_insert(self.backend.chain.spec().chain_id());
        if request.gas_price.is_none() {
            let tip = match request.max_priority_fee_per_gas {
                Some(tip) => tip,
                None => self.suggested_tip(&view)?,
            };
            request.max_priority_fee_per_gas = Some(tip);
            if request.max_fee_per_gas.is_none() {
                // Room for the base fee to double while the transaction waits.
                let base_fee = u128::from(self.next_base_fee(&view)?);
                request.max_fee_per_gas = Some(base_fee.saturating_mul(2).saturating_add(tip));
            }
        }
        if request.gas.is_none() {
            let mut simulation = self.simulation(None, None, None)?;
            request.gas = Some(simulation.estimate(request.clone())?);
        }
        request
            .build_unsigned()
            .map_err(|e| RpcError::InvalidParams(e.to_string()))
    }
}

/// Whether a request is about the state after the last block, whose accounts and slots lie in tables.
fn is_latest(block: Option<BlockId>) -> bool {
    block.is_none_or(|id| id.is_latest() || id.is_pending() || id.is_safe() || id.is_finalized())
}

fn sender(request: &TransactionRequest) -> RpcResult<Address> {
    let missing = || RpcError::InvalidParams("from is missing".into());
    request.from.ok_or_else(missing)
}

#[async_trait]
impl EthApiServer for Eth {
    fn chain_id(&self) -> RpcResult<U64> {
        Ok(U64::from(self.backend.chain.spec().chain_id()))
    }

    fn syncing(&self) -> RpcResult<SyncStatus> {
        Ok(SyncStatus::None)
    }

    fn accounts(&self) -> RpcResult<Vec<Address>> {
        Ok(self.backend.wallet.addresses().to_vec())
    }

    fn coinbase(&self) -> RpcResult<Address> {
        Ok(self.backend.view()?.head()?.beneficiary)
    }

    fn block_number(&self) -> RpcResult<U64> {
        Ok(U64::from(self.backend.view()?.height()))
    }

    async fn balance(&self, address: Address, block: Option<BlockId>) -> RpcResult<U256> {
        self.read(block, move |state| {
            Ok(state.account(address)?.unwrap_or_default().balance)
        })
        .await
    }

    async fn transaction_count(&self, address: Address, block: Option<BlockId>) -> RpcResult<U64> {
        if block.is_some_and(|id| id.is_pending()) {
            return self
                .workers
                .here(|| self.backend.next_nonce(address).map(U64::from))
                .await?;
        }
        self.read(block, move |state| {
            Ok(U64::from(state.account(address)?.unwrap_or_default().nonce))
        })
        .await
    }

    async fn code(&self, address: Address, block: Option<BlockId>) -> RpcResult<Bytes> {
        self.read(block, move |state| Ok(state.code_at(address)?)).await
    }

    async fn storage_at(&self, address: Address, slot: Slot, block: Option<BlockId>) -> RpcResult<B256> {
        self.read(block, move |state| {
            Ok(state.storage(address, slot.number())?.into())
        })
        .await
    }

    fn storage_values(
        &self,
        slots: StorageValuesRequest,
        block: Option<BlockId>,
    ) -> RpcResult<BTreeMap<Address, Vec<B256>>> {
        let count: usize = slots.0.values().map(Vec::len).sum();
        if count == 0 {
            return Err(RpcError::InvalidParams("empty request".into()));
        }
        if count > MAX_SLOTS {
            return Err(RpcError::TooMuch(format!(
                "too many slots: {count}, at most {MAX_SLOTS}"
            )));
        }
        let state = self.backend.view()?.state_at(block)?;
        let values = |(address, keys): (Address, Vec<B256>)| {
            let values = keys
                .into_iter()
                .map(|key| Ok(state.storage(address, key.into())?.into()));
            Ok((address, values.collect::<RpcResult<_>>()?))
        };
        slots.0.into_iter().map(values).collect()
    }

    fn proof(
        &self,
        address: Address,
        slots: Vec<Slot>,
        block: Option<BlockId>,
    ) -> RpcResult<EIP1186AccountProofResponse> {
        if slots.len() > MAX_SLOTS {
            return Err(RpcError::TooMuch(format!(
                "at most {MAX_SLOTS} slots in one request"
            )));
        }
        let state = self.backend.view()?.state_at(block)?;
        let keys: Vec<U256> = slots.iter().map(Slot::number).collect();
        let proof = state.prove(address, &keys)?;
        let storage_proof = slots
            .into_iter()
            .zip(proof.storage)
            .map(|(Slot(key), slot)| EIP1186StorageProof {
                key,
                value: slot.value,
                proof: slot.proof,
            })
            .collect();
        // An account that does not exist is proved absent; its fields are those of an empty one.
        let account = proof.account.unwrap_or_default();
        Ok(EIP1186AccountProofResponse {
            address,
            balance: account.balance,
            code_hash: account.code_hash,
            nonce: account.nonce,
            storage_hash: account.storage_root,
            account_proof: proof.proof,
            storage_proof,
        })
    }

    fn block_by_number(&self, number: BlockNumberOrTag, full: Option<bool>) -> RpcResult<Option<Block>> {
        self.block_with(number.into(), full)
    }

    fn block_by_hash(&self, hash: B256, full: Option<bool>) -> RpcResult<Option<Block>> {
        self.block_with(hash.into(), full)
    }

    fn header_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<Header>> {
        Ok(self
            .block(number.into())?
            .map(|data| convert::header(&data.block)))
    }

    fn header_by_hash(&self, hash: B256) -> RpcResult<Option<Header>> {
        Ok(self
            .backend
            .view()?
            .block(hash.into())?
            .map(|data| convert::header(&data.block)))
    }

    fn block_receipts(&self, block: BlockId) -> RpcResult<Option<Vec<TransactionReceipt>>> {
        if block.is_pending() {
            return Ok(None);
        }
        let view = self.backend.view()?;
        let found = view.block(block)?;
        Ok(found.map(|data| convert::receipts(&data, self.backend.prices(data.header()))))
    }

    fn block_transaction_count_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<U64>> {
        self.count(number.into(), |block| block.body.transactions.len())
    }

    fn block_transaction_count_by_hash(&self, hash: B256) -> RpcResult<Option<U64>> {
        self.count(hash.into(), |block| block.body.transactions.len())
    }

    fn uncle_count_by_number(&self, number: BlockNumberOrTag) -> RpcResult<Option<U64>> {
        self.count(number.into(), |block| block.body.ommers.len())
    }

    fn uncle_count_by_hash(&self, hash: B256) -> RpcResult<Option<U64>> {
        self.count(hash.into(), |block| block.body.ommers.len())
    }

    fn transaction_by_hash(&self, hash: B256) -> RpcResult<Option<Transaction>> {
        // The pool first: a transaction that is mined between the two looks is then seen in the chain.
        let waiting = self.backend.pool.get(&hash);
        let view = self.backend.view()?;
        match self.locate(&view, &hash)? {
            Some((number, index)) => {
                let block = view.block(number.into())?;
                Ok(block.and_then(|data| self.stored(&data, index)))
            }
            None => Ok(waiting.map(|transaction| convert::pending(&transaction))),
        }
    }

    fn raw_transaction_by_hash(&self, hash: B256) -> RpcResult<Option<Bytes>> {
        let transaction = self.transaction_by_hash(hash)?;
        Ok(transaction.map(|transaction| transaction.inner.encoded_2718().into()))
    }

    fn transaction_by_number_and_index(
        &self,
        number: BlockNumberOrTag,
        index: Index,
    ) -> RpcResult<Option<Transaction>> {
        self.transaction_at(number.into(), index.0)
    }

    fn transaction_by_hash_and_index(&self, hash: B256, index: Index) -> RpcResult<Option<Transaction>> {
        self.transaction_at(hash.into(), index.0)
    }

    async fn transaction_receipt(&self, hash: B256) -> RpcResult<Option<TransactionReceipt>> {
        let receipt = |this: &Self, data: Option<Arc<BlockData>>, index| {
            data.and_then(|data| convert::receipt(&data, index, this.backend.prices(data.header())))
        };
        // Most ask for what they have just sent: it is nowhere, or in a block that is in memory.
        let found = self.workers.here(|| {
            let view = self.backend.view()?;
            let Some((number, index)) = self.locate(&view, &hash)? else {
                return Ok(Ok(None));
            };
            Ok::<_, RpcError>(match view.recent(number)? {
                Some(data) => Ok(receipt(self, Some(data), index)),
                None => Err((view, number, index)),
            })
        });
        match found.await?? {
            Ok(answer) => Ok(answer),
            Err((view, number, index)) => {
                let this = self.clone();
                self.workers
                    .aside(move || Ok(receipt(&this, view.block(number.into())?, index)))
                    .await
            }
        }
    }

    async fn logs(&self, filter: Filter) -> RpcResult<Vec<Log>> {
        let this = self.clone();
        self.workers
            .run(move || logs::search(&this.backend.view()?, &filter, this.search_limits()))
            .await
    }

    fn new_filter(&self, filter: Filter) -> RpcResult<U64> {
        self.filters
            .new_logs(&self.backend.view()?, filter)
            .map(U64::from)
    }

    fn new_block_filter(&self) -> RpcResult<U64> {
        self.filters.new_blocks(&self.backend.view()?).map(U64::from)
    }

    fn new_pending_transaction_filter(&self) -> RpcResult<U64> {
        self.filters.new_pending(&self.backend).map(U64::from)
    }

    async fn filter_changes(&self, id: U64) -> RpcResult<FilterChanges> {
        let this = self.clone();
        self.workers
            .run(move || {
                this.filters
                    .changes(&this.backend.view()?, id.to(), this.search_limits())
            })
            .await
    }

    async fn filter_logs(&self, id: U64) -> RpcResult<Vec<Log>> {
        let this = self.clone();
        self.workers
            .run(move || {
                this.filters
                    .all_logs(&this.backend.view()?, id.to(), this.search_limits())
            })
            .await
    }

    fn uninstall_filter(&self, id: U64) -> RpcResult<bool> {
        Ok(self.filters.uninstall(id.to()))
    }

    async fn call(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state: Option<StateOverride>,
        overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<Bytes> {
        let has_overrides = state.is_some() || overrides.is_some();
        let brief = self.briefly(&request, block, has_overrides, |simulation, request| {
            simulation.call(request)
        });
        if let Some(answer) = brief.await {
            return answer;
        }
        let this = self.clone();
        self.workers
            .run(move || this.simulation(block, state, overrides)?.call(request))
            .await
    }

    async fn estimate_gas(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
        state: Option<StateOverride>,
        overrides: Option<Box<BlockOverrides>>,
    ) -> RpcResult<U64> {
        // What is sent next goes into the next block, so that is where it is tried.
        let block = block.unwrap_or(BlockId::pending());
        let has_overrides = state.is_some() || overrides.is_some();
        let brief = self.briefly(&request, Some(block), has_overrides, |simulation, request| {
            simulation.estimate(request)
        });
        if let Some(answer) = brief.await {
            return answer.map(U64::from);
        }
        let this = self.clone();
        self.workers
            .run(move || {
                this.simulation(Some(block), state, overrides)?
                    .estimate(request)
                    .map(U64::from)
            })
            .await
    }

    async fn create_access_list(
        &self,
        request: TransactionRequest,
        block: Option<BlockId>,
    ) -> RpcResult<AccessListResult> {
        let this = self.clone();
        self.workers
            .run(move || {
                let (access_list, gas_used, error) =
                    this.simulation(block, None, None)?.access_list(request)?;
                Ok(AccessListResult {
                    access_list,
                    gas_used: U256::from(gas_used),
                    error,
                })
            })
            .await
    }

    async fn simulate_v1(
        &self,
        payload: SimulatePayload,
        block: Option<BlockId>,
    ) -> RpcResult<Vec<SimulatedBlock>> {
        let this = self.clone();
        self.workers
            .run(move || {
                let view = this.backend.view()?;
                let base = view.header(block.unwrap_or_default())?;
                simulate_blocks::simulate(&this.backend, &view, base, payload, this.calls)
            })
            .await
    }

    fn gas_price(&self) -> RpcResult<U256> {
        let view = self.backend.view()?;
        let base_fee = view.head()?.base_fee_per_gas.unwrap_or_default();
        Ok(U256::from(base_fee) + U256::from(self.suggested_tip(&view)?))
    }

    fn max_priority_fee_per_gas(&self) -> RpcResult<U256> {
        Ok(U256::from(self.suggested_tip(&self.backend.view()?)?))
    }

    fn base_fee(&self) -> RpcResult<U256> {
        Ok(U256::from(self.next_base_fee(&self.backend.view()?)?))
    }

    fn blob_base_fee(&self) -> RpcResult<U256> {
        let view = self.backend.view()?;
        let head = view.head()?;
        let fee = view
            .blob_params(&head)
            .and_then(|blobs| head.next_block_blob_fee(blobs));
        Ok(U256::from(fee.unwrap_or_default()))
    }

    async fn fee_history(
        &self,
        count: U64,
        newest: BlockNumberOrTag,
        percentiles: Option<Vec<f64>>,
    ) -> RpcResult<FeeHistory> {
        let this = self.clone();
        self.workers
            .run(move || {
                let view = this.backend.view()?;
                let next = |header: &_| this.backend.chain.spec().next_base_fee(header);
                fees::history(&view, count.to(), newest, percentiles.as_deref(), next)
            })
            .await
    }

    async fn send_raw_transaction(&self, raw: Bytes) -> RpcResult<B256> {
        if raw.len() <= SMALL_TRANSACTION {
            let control = &self.backend.control;
            let done = self.workers.here(|| control.submit_at_once(&raw));
            if let Some(done) = done.await? {
                return Ok(done?);
            }
        }
        let control = self.backend.control.clone();
        self.workers.aside(move || Ok(control.submit(&raw)?)).await
    }

    async fn send_transaction(&self, request: TransactionRequest) -> RpcResult<B256> {
        let this = self.clone();
        self.workers.run(move || this.send(request, false)).await
    }

    async fn send_unsigned_transaction(&self, request: TransactionRequest) -> RpcResult<B256> {
        self.backend.dev("eth_sendUnsignedTransaction")?;
        let this = self.clone();
        self.workers.run(move || this.send(request, true)).await
    }

    async fn sign_transaction(&self, request: TransactionRequest) -> RpcResult<Bytes> {
        let this = self.clone();
        self.workers
            .run(move || Ok(this.fill_and_sign(request)?.encoded_2718().into()))
            .await
    }

    fn sign(&self, address: Address, message: Bytes) -> RpcResult<Bytes> {
        let signature = self.backend.wallet.sign_message(address, &message)?;
        Ok(signature.as_bytes().into())
    }

    fn sign_typed_data(&self, address: Address, data: TypedData) -> RpcResult<Bytes> {
        let hash = data
            .eip712_signing_hash()
            .map_err(|e| RpcError::InvalidParams(format!("typed data: {e}")))?;
        let signature = self.backend.wallet.sign_hash(address, hash)?;
        Ok(signature.as_bytes().into())
    }
}

impl PersonalApiServer for Eth {
    fn personal_sign(&self, message: Bytes, address: Address) -> RpcResult<Bytes> {
        self.sign(address, message)
    }
}
