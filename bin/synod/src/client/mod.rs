//! A small client of a node: typed calls, signed transactions, and errors that a person can act on.
//!
//! Transactions are numbered here and sent in order, so that several can wait for their blocks at the same time.

pub(crate) mod file;
mod http;
mod pieces;
pub(crate) mod proofs;
mod publish;
mod pull;
mod reverts;
mod wallet;

pub(crate) use pieces::{Progress, SYNOD_CODE_LIMIT, code_size_limit};
pub(crate) use publish::{Becomes, Outlook, Published, Update, Upload, chunk_count, publish};
pub(crate) use pull::{
    Fetched, Located, Status, description, is_pipeline, locate, profile_of, pull, pull_parts, pull_pipeline,
    version,
};
pub(crate) use reverts::{explain, revert as explain_revert};
pub(crate) use wallet::WalletArgs;

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::{BlockId, Encodable2718 as _};
use alloy_json_rpc::{RpcRecv, RpcSend};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_provider::{DynProvider, Provider as _, ProviderBuilder, transport::utils::guess_local_url};
use alloy_rpc_client::{BatchRequest, RpcClient, Waiter};
use alloy_rpc_types_eth::{
    EIP1186AccountProofResponse, Filter, Log, Transaction, TransactionReceipt, TransactionRequest,
};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use clap::Args;
use eyre::{Context as _, OptionExt as _, Result, bail, ensure};
use http::BoundedHttp;
use std::time::{Duration, Instant};
use synod_evm::addresses::MODEL_REGISTRY;

/// Where the chain is.
#[derive(Debug, Clone, Args)]
pub(crate) struct RpcArgs {
    /// The node to talk to
    #[arg(
        long,
        value_name = "URL",
        env = "ETH_RPC_URL",
        default_value = "http://127.0.0.1:8545"
    )]
    rpc_url: String,

    /// How long the node may be silent
    #[arg(
        long,
        value_name = "SECONDS",
        env = "ETH_RPC_TIMEOUT",
        default_value_t = PATIENCE.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    rpc_timeout: u64,
}

/// How long a node may be silent, if not said otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

impl RpcArgs {
    pub(crate) async fn connect(&self) -> Result<Client> {
        Client::connect_within(&self.rpc_url, Duration::from_secs(self.rpc_timeout)).await
    }
}

/// A connection to a node of a Synod chain.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    provider: DynProvider,
    chain_id: u64,
}

impl Client {
    /// Connects, and makes sure that there is a chain that runs networks at the other end.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        Self::connect_within(url, PATIENCE).await
    }

    async fn connect_within(url: &str, patience: Duration) -> Result<Self> {
        ensure!(
            url.starts_with("http://") || url.starts_with("https://"),
            "{url:?} is not an http or https address"
        );
        let address = url
            .parse()
            .wrap_err_with(|| format!("{url:?} is not an address"))?;
        let provider = ProviderBuilder::new()
            .disable_recommended_fillers()
            .connect_client(RpcClient::new(
                BoundedHttp::new(address, patience),
                guess_local_url(url),
            ))
            .erased();
        let chain_id = provider.get_chain_id().await.map_err(|error| {
            eyre::eyre!(
                "no node answers at {url} (start one with `synod dev`): {}",
                explain(&error)
            )
        })?;
        let client = Self { provider, chain_id };
        ensure!(
            client.exists(MODEL_REGISTRY).await?,
            "the chain at {url} (id {chain_id}) has no model registry: it is not a Synod chain"
        );
        Ok(client)
    }

    /// Calls a method that is not Ethereum's.
    pub(crate) async fn request<P, R>(&self, method: &'static str, params: P) -> Result<R>
    where
        P: serde::Serialize + Clone + std::fmt::Debug + Send + Sync + Unpin + 'static,
        R: serde::de::DeserializeOwned + std::fmt::Debug + Send + Sync + Unpin + 'static,
    {
        self.provider
            .raw_request(method.into(), params)
            .await
            .map_err(|error| explain(&error))
    }

    /// Asks several questions in one exchange; the answers come in their order.
    async fn batch<P: RpcSend, R: RpcRecv>(&self, method: &'static str, questions: &[P]) -> Result<Vec<R>> {
        let mut batch = BatchRequest::new(self.provider.client());
        let waiting = questions
            .iter()
            .map(|question| batch.add_call(method, question))
            .collect::<Result<Vec<Waiter<R>>, _>>()
            .map_err(|error| explain(&error))?;
        batch.send().await.map_err(|error| explain(&error))?;
        let mut answers = Vec::with_capacity(waiting.len());
        for answer in waiting {
            answers.push(answer.await.map_err(|error| explain(&error))?);
        }
        Ok(answers)
    }

    pub(crate) fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Whether a contract lives at an address. Asks for the nonce, which every contract has, since code may be large.
    pub(crate) async fn exists(&self, address: Address) -> Result<bool> {
        Ok(self
            .provider
            .get_transaction_count(address)
            .await
            .map_err(|error| explain(&error))?
            > 0)
    }

    pub(crate) async fn code(&self, address: Address) -> Result<Bytes> {
        self.provider
            .get_code_at(address)
            .await
            .map_err(|error| explain(&error))
    }

    /// Code in the state after the block with this hash.
    pub(crate) async fn code_at(&self, address: Address, block: B256) -> Result<Bytes> {
        self.provider
            .get_code_at(address)
            .hash(block)
            .await
            .map_err(|error| explain(&error))
    }

    /// The same of several accounts.
    pub(crate) async fn codes_at(&self, addresses: &[Address], block: B256) -> Result<Vec<Bytes>> {
        let questions: Vec<_> = addresses
            .iter()
            .map(|address| (*address, BlockId::from(block)))
            .collect();
        self.batch("eth_getCode", &questions).await
    }

    /// An account and its slots in the state after the block with this hash, with what is to prove them.
    pub(crate) async fn proof(
        &self,
        address: Address,
        slots: &[U256],
        block: B256,
    ) -> Result<EIP1186AccountProofResponse> {
        let slots = slots.iter().map(|slot| B256::from(*slot)).collect();
        self.provider
            .get_proof(address, slots)
            .hash(block)
            .await
            .map_err(|error| explain(&error))
    }

    /// The same of several accounts.
    pub(crate) async fn proofs(
        &self,
        asked: &[(Address, Vec<U256>)],
        block: B256,
    ) -> Result<Vec<EIP1186AccountProofResponse>> {
        let questions: Vec<_> = asked
            .iter()
            .map(|(address, slots)| {
                let slots: Vec<B256> = slots.iter().map(|slot| B256::from(*slot)).collect();
                (*address, slots, BlockId::from(block))
            })
            .collect();
        self.batch("eth_getProof", &questions).await
    }

    pub(crate) async fn logs(&self, filter: &Filter) -> Result<Vec<Log>> {
        self.provider
            .get_logs(filter)
            .await
            .map_err(|error| explain(&error))
    }

    pub(crate) async fn transaction(&self, hash: B256) -> Result<Option<Transaction>> {
        self.provider
            .get_transaction_by_hash(hash)
            .await
            .map_err(|error| explain(&error))
    }

    /// The second of a block, as the node says; `None` if there is no such block.
    pub(crate) async fn timestamp(&self, number: u64) -> Result<Option<u64>> {
        let block = self.provider.get_block_by_number(number.into()).await;
        Ok(block
            .map_err(|error| explain(&error))?
            .map(|block| block.header.timestamp))
    }

    pub(crate) async fn balance(&self, address: Address) -> Result<U256> {
        self.provider
            .get_balance(address)
            .await
            .map_err(|error| explain(&error))
    }

    /// Calls a `view` function.
    pub(crate) async fn call<C: SolCall>(&self, to: Address, call: &C, block: BlockId) -> Result<C::Return> {
        let request = TransactionRequest::default()
            .to(to)
            .input(call.abi_encode().into());
        let answer = self
            .provider
            .call(request)
            .block(block)
            .await
            .map_err(|error| explain(&error))?;
        C::abi_decode_returns(&answer)
            .wrap_err_with(|| format!("{} gave an answer of another form", C::SIGNATURE))
    }

    pub(crate) async fn gas_price(&self) -> Result<u128> {
        self.provider
            .get_gas_price()
            .await
            .map_err(|error| explain(&error))
    }

    /// Gas limit of the newest block, and seconds from one block to the next, over the last ones; `None` if there are too few.
    pub(crate) async fn block_pace(&self) -> Result<(u64, Option<f64>)> {
        const BLOCKS: u64 = 20;
        let header = async |at: BlockId| {
            let block = self.provider.get_block(at).await;
            let block = block.map_err(|error| explain(&error))?;
            block
                .map(|block| block.header)
                .ok_or_eyre("the node does not have the block that it names")
        };
        let newest = header(BlockId::latest()).await?;
        if newest.number <= BLOCKS {
            return Ok((newest.gas_limit, None));
        }
        let before = header((newest.number - BLOCKS).into()).await?;
        let seconds = newest.timestamp.saturating_sub(before.timestamp);
        Ok((newest.gas_limit, Some(seconds as f64 / BLOCKS as f64)))
    }

    pub(crate) async fn block_number(&self) -> Result<u64> {
        self.provider
            .get_block_number()
            .await
            .map_err(|error| explain(&error))
    }

    /// What a transaction would use.
    pub(crate) async fn estimate(
        &self,
        from: Option<Address>,
        to: TxKind,
        value: U256,
        input: Bytes,
    ) -> Result<u64> {
        let request = TransactionRequest {
            from,
            to: Some(to),
            value: Some(value),
            ..Default::default()
        }
        .input(input.into());
        self.provider
            .estimate_gas(request)
            .await
            .map_err(|error| explain(&error))
    }

    pub(crate) async fn receipt(&self, hash: B256) -> Result<Option<TransactionReceipt>> {
        self.provider
            .get_transaction_receipt(hash)
            .await
            .map_err(|error| explain(&error))
    }

    /// The receipt of a transaction, however long its block takes.
    pub(crate) async fn wait(&self, hash: B256) -> Result<TransactionReceipt> {
        const LONGEST_PAUSE: Duration = Duration::from_millis(250);
        const LONGEST: Duration = Duration::from_secs(300);
        let (started, mut pause) = (Instant::now(), Duration::from_millis(2));
        loop {
            if let Some(receipt) = self.receipt(hash).await? {
                return Ok(receipt);
            }
            ensure!(
                started.elapsed() < LONGEST,
                "transaction {hash} is in no block after {} s; it may still come",
                LONGEST.as_secs()
            );
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// An account that sends transactions one after the other.
#[derive(Debug)]
pub(crate) struct Account {
    client: Client,
    signer: PrivateKeySigner,
    nonce: u64,
    max_fee: u128,
    priority_fee: u128,
}

impl Account {
    pub(crate) async fn open(client: &Client, signer: PrivateKeySigner) -> Result<Self> {
        let nonce = client
            .provider
            .get_transaction_count(signer.address())
            .pending()
            .await
            .map_err(|e| explain(&e))?;
        let fees = client
            .provider
            .estimate_eip1559_fees()
            .await
            .map_err(|error| explain(&error))?;
        Ok(Self {
            client: client.clone(),
            signer,
            nonce,
            // Head room for a base fee that rises over a long upload; only the base fee of the block is paid.
            max_fee: fees.max_fee_per_gas.saturating_mul(4),
            priority_fee: fees.max_priority_fee_per_gas,
        })
    }

    pub(crate) fn address(&self) -> Address {
        self.signer.address()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Signs and sends; returns as soon as the node has taken the transaction.
    pub(crate) async fn send(&mut self, to: TxKind, value: U256, input: Bytes, gas: u64) -> Result<B256> {
        let transaction = TxEip1559 {
            chain_id: self.client.chain_id,
            nonce: self.nonce,
            gas_limit: gas,
            max_fee_per_gas: self.max_fee,
            max_priority_fee_per_gas: self.priority_fee,
            to,
            value,
            access_list: Default::default(),
            input,
        };
        let signature = self.signer.sign_hash_sync(&transaction.signature_hash())?;
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        let sent = self
            .client
            .provider
            .send_raw_transaction(&envelope.encoded_2718())
            .await;
        let pending = sent.map_err(|error| explain(&error))?;
        self.nonce += 1;
        Ok(*pending.tx_hash())
    }

    /// Estimates, sends and waits; a reverted transaction is an error.
    pub(crate) async fn execute(
        &mut self,
        to: TxKind,
        value: U256,
        input: Bytes,
    ) -> Result<TransactionReceipt> {
        let estimate = self
            .client
            .estimate(Some(self.address()), to, value, input.clone())
            .await?;
        // The state may move between the estimate and the block.
        let hash = self.send(to, value, input, estimate + estimate / 20).await?;
        let receipt = self.client.wait(hash).await?;
        if !receipt.status() {
            bail!(
                "transaction {hash} was reverted in block {}",
                receipt.block_number.unwrap_or_default()
            );
        }
        Ok(receipt)
    }
}
