//! `synod_`: models and rights, for tools that have no ABI at hand, and proofs that blocks are final.
//!
//! What is said of models is read from the registry contract and the precompile by calls at the block asked for, which
//! anybody may make with `eth_call`.

use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_rpc_types_eth::{TransactionRequest, state::EvmOverrides};
use alloy_sol_types::{SolCall, SolError};
use jsonrpsee::{core::async_trait, proc_macros::rpc};
use revm::database::WrapDatabaseRef;
use serde::Serialize;
use synod_chain::InclusionProof;
use synod_chain::council::{Handover, Validator};
use synod_evm::{
    addresses::{MODEL_REGISTRY, PREDICT},
    interface::{IPredict, ModelRegistry},
    name::{ModelName, Version},
    rights::{Right, Rights},
};

use crate::{
    backend::{Backend, Evidence, View},
    deadline::CallLimits,
    error::{RpcError, RpcResult},
    simulate::Simulation,
    workers::Workers,
};

/// Models in one answer.
const MAX_MODELS: u64 = 1_000;

/// Versions in one answer, and aliases. Each version may come with a reason of eight words.
const MAX_VERSIONS: u64 = 256;

/// Blocks in one answer, and the bytes after which no more are added.
const MAX_FINAL_BLOCKS: u64 = 256;
const MAX_FINAL_BYTES: usize = 8 << 20;

/// How far above a block its certificate is looked for. A view that gets no certificate of its own is rare.
const MAX_HEADERS: u64 = 1_024;

#[rpc(server, namespace = "synod")]
pub(crate) trait SynodApi {
    /// Names in order of creation, each with the version that it stands for.
    #[method(name = "listModels")]
    async fn list_models(
        &self,
        offset: Option<U64>,
        limit: Option<U64>,
        block: Option<BlockId>,
    ) -> RpcResult<Vec<Listed>>;

    /// All that the chain says about a name in any of its forms, of revoked versions too.
    #[method(name = "getModel")]
    async fn model(&self, name: String, block: Option<BlockId>) -> RpcResult<Model>;

    /// Versions of `org/model` from number `offset + 1`, and what points at them.
    #[method(name = "modelHistory")]
    async fn model_history(
        &self,
        name: String,
        offset: Option<U64>,
        limit: Option<U64>,
        block: Option<BlockId>,
    ) -> RpcResult<ModelHistory>;

    /// What a prediction costs, for one shape for each input if given.
    #[method(name = "quote")]
    async fn quote(
        &self,
        name: String,
        shapes: Option<Vec<Vec<u64>>>,
        block: Option<BlockId>,
    ) -> RpcResult<Quote>;

    /// What an account may do on a chain whose validators list who may.
    #[method(name = "getRights")]
    async fn rights(&self, account: Address, block: Option<BlockId>) -> RpcResult<AccountRights>;

    /// Proof that a block is final: its header, those above it up to the first with a certificate, that certificate, and the
    /// proven changes of the validators before its epoch.
    #[method(name = "getCertificate")]
    async fn certificate(&self, block: BlockId) -> RpcResult<Certificate>;

    /// Proof that a transaction and its receipt are in the block that holds them; `null` if no block does.
    #[method(name = "getInclusionProof")]
    async fn inclusion_proof(&self, transaction: B256) -> RpcResult<Option<Inclusion>>;

    /// Final blocks from a height on, as validators send them to each other, with their certificates. As many as fit into
    /// an answer of moderate size, none above the head.
    #[method(name = "getFinalBlocks")]
    async fn final_blocks(&self, from: U64) -> RpcResult<Vec<FinalBlock>>;

    /// Who votes in the epoch that runs, and who will in the next; `null` on a chain without a council.
    #[method(name = "getValidators")]
    async fn validators(&self) -> RpcResult<Option<Validators>>;

    /// Proofs that validators broke the protocol, as far as this node has seen them.
    #[method(name = "getEvidence")]
    fn evidence(&self) -> RpcResult<Vec<Evidence>>;
}

/// What an account may do.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AccountRights {
    /// Send transactions.
    transact: bool,
    /// Deploy contracts.
    deploy: bool,
    /// Publish models.
    publish: bool,
}

/// Proof that a block is final. The headers are RLP, the block asked for first; each of the others holds the digest of the
/// one before it, and the certificate is for the last.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Certificate {
    headers: Vec<Bytes>,
    certificate: Bytes,
    handovers: Vec<Handover>,
}

/// Who votes in the epoch that runs, and who will in the next.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Validators {
    epoch: U64,
    epoch_blocks: U64,
    /// Last block of the epoch.
    last_block: U64,
    validators: Vec<Seat>,
    next: Vec<Seat>,
}

/// A validator as the council knows it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Seat {
    name: String,
    account: Address,
    identity: B256,
    vote_key: Bytes,
    possession: Bytes,
    host: String,
}

impl From<Validator> for Seat {
    fn from(validator: Validator) -> Self {
        Self {
            name: validator.name,
            account: validator.account,
            identity: validator.identity,
            vote_key: validator.voteKey,
            possession: validator.possession,
            host: validator.host,
        }
    }
}

/// Where a transaction is, and the proof.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Inclusion {
    block_number: U64,
    block_hash: B256,
    #[serde(flatten)]
    proof: InclusionProof,
}

/// A block as it travels between nodes: RLP of header, body and envelope, and its certificate, empty if it became final with
/// a later one.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FinalBlock {
    block: Bytes,
    certificate: Bytes,
}

/// A line of a listing.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Listed {
    name: String,
    /// The version that the bare name stands for; 0 if there is none.
    version: U64,
    /// Versions published.
    count: U64,
    id: B256,
    owner: Address,
    status: Status,
}

/// The state of a version.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Status {
    Active,
    Deprecated,
    Revoked,
}

impl From<u32> for Status {
    fn from(status: u32) -> Self {
        match status {
            1 => Self::Deprecated,
            2 => Self::Revoked,
            _ => Self::Active,
        }
    }
}

/// The versions of a model, and what points at them.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ModelHistory {
    name: String,
    owner: Address,
    /// Whom it is offered to; zero if to nobody.
    pending_owner: Address,
    latest: U64,
    count: U64,
    aliases: Vec<AliasEntry>,
    versions: Vec<VersionEntry>,
}

/// An alias and its version.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AliasEntry {
    alias: String,
    version: U64,
}

/// A version.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VersionEntry {
    version: U64,
    id: B256,
    publisher: Address,
    published_at: U64,
    status: Status,
    reason: String,
}

/// A published version of a model.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Model {
    name: String,
    version: U64,
    id: B256,
    owner: Address,
    latest: U64,
    count: U64,
    status: Status,
    /// Why it is deprecated or revoked.
    reason: String,
    manifest: Address,
    profile: U64,
    graph_bytes: U64,
    weight_bytes: U64,
    chunks: U64,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

/// An input or output.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Port {
    name: String,
    /// ONNX `TensorProto.DataType`.
    dtype: u8,
    shape: Vec<Dimension>,
}

/// A fixed size, or a free dimension with its bound.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Dimension {
    Fixed(u64),
    Free { symbol: String, maximum: u64 },
}

/// What a prediction costs, in gas, as the first call of the model in a transaction.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Quote {
    total: U64,
    transfer: U64,
    load: U64,
    planning: U64,
    execution: U64,
    peak_memory: U64,
    multiply_adds: U64,
}

/// The methods' implementation.
#[derive(Debug, Clone)]
pub(crate) struct Synod {
    backend: Backend,
    workers: Workers,
    calls: CallLimits,
}

impl Synod {
    pub(crate) fn new(backend: Backend, workers: Workers, calls: CallLimits) -> Self {
        Self {
            backend,
            workers,
            calls,
        }
    }

    /// Calls a contract of the chain and decodes its answer.
    fn ask<C: SolCall>(&self, view: &View, block: BlockId, to: Address, call: &C) -> RpcResult<C::Return> {
        let overrides = EvmOverrides::default();
        let mut simulation = Simulation::new(view, &self.backend.chain, block, overrides, self.calls)?;
        let request = TransactionRequest::default()
            .to(to)
            .input(call.abi_encode().into());
        let output = simulation.call(request).map_err(named)?;
        C::abi_decode_returns(&output)
            .map_err(|_| RpcError::Refused("this chain has no models: its genesis lacks the registry".into()))
    }
}

impl Synod {
    /// The version that a name in any of its forms leads to, revoked or not.
    fn version(
        &self,
        view: &View,
        block: BlockId,
        name: &ModelName,
    ) -> RpcResult<(u64, ModelRegistry::Version)> {
        let path = || name.path().to_owned();
        let registry = MODEL_REGISTRY;
        let number = match name.version() {
            Version::Number(number) => U256::from(*number),
            Version::Latest => self.ask(
                view,
                block,
                registry,
                &ModelRegistry::versionOfCall { name: path() },
            )?,
            Version::Alias(alias) => {
                let call = ModelRegistry::aliasOfCall {
                    name: path(),
                    aliasName: alias.clone(),
                };
                self.ask(view, block, registry, &call)?
            }
            Version::Id(id) => {
                let (name, id) = (path(), *id);
                self.ask(
                    view,
                    block,
                    registry,
                    &ModelRegistry::versionOfIdCall { name, id },
                )?
            }
        };
        let call = ModelRegistry::versionAtCall {
            name: path(),
            version: number,
        };
        let version = self.ask(view, block, registry, &call)?;
        if version.id == B256::ZERO {
            return Err(RpcError::Refused(format!("unknown model {:?}", name.to_string())));
        }
        Ok((number.saturating_to(), version))
    }
}

/// Reads a name as a client gave it.
fn parse(name: &str) -> RpcResult<ModelName> {
    name.parse()
        .map_err(|error: synod_evm::name::InvalidName| RpcError::InvalidParams(error.to_string()))
}

/// A revert of the registry or the precompile that is the client's typing error, in words.
fn named(error: RpcError) -> RpcError {
    let RpcError::Reverted(data) = &error else {
        return error;
    };
    if let Ok(IPredict::UnknownModel { name }) = IPredict::UnknownModel::abi_decode(data) {
        RpcError::Refused(format!("unknown model {name:?}"))
    } else if let Ok(IPredict::ModelRevoked { name, version }) = IPredict::ModelRevoked::abi_decode(data) {
        RpcError::Refused(format!("model {name:?} is revoked (version {version})"))
    } else if let Ok(IPredict::InvalidName { name }) = IPredict::InvalidName::abi_decode(data) {
        RpcError::InvalidParams(synod_evm::name::InvalidName { name }.to_string())
    } else {
        error
    }
}

#[async_trait]
impl SynodApiServer for Synod {
    async fn list_models(
        &self,
        offset: Option<U64>,
        limit: Option<U64>,
        block: Option<BlockId>,
    ) -> RpcResult<Vec<Listed>> {
        let limit = limit.map_or(MAX_MODELS, |limit| limit.to::<u64>());
        if limit > MAX_MODELS {
            return Err(RpcError::TooMuch(format!(
                "at most {MAX_MODELS} models in one answer"
            )));
        }
        let call = ModelRegistry::modelsCall {
            offset: offset.unwrap_or_default().to(),
            limit: U64::from(limit).to(),
        };
        let this = self.clone();
        self.workers
            .run(move || {
                let view = this.backend.view()?;
                let page = this.ask(&view, block.unwrap_or_default(), MODEL_REGISTRY, &call)?;
                let listed = page.into_iter().map(|line| Listed {
                    name: line.name,
                    version: U64::from(line.latest),
                    count: U64::from(line.count),
                    id: line.id,
                    owner: line.owner,
                    status: line.status.into(),
                });
                Ok(listed.collect())
            })
            .await
    }

    async fn model(&self, name: String, block: Option<BlockId>) -> RpcResult<Model> {
        let this = self.clone();
        let parsed = parse(&name)?;
        self.workers
            .run(move || {
                let (view, block) = (this.backend.view()?, block.unwrap_or_default());
                let (number, version) = this.version(&view, block, &parsed)?;
                let id = version.id;
                let signature = this.ask(&view, block, PREDICT, &IPredict::signatureIdCall { id })?;
                let record = this.ask(&view, block, MODEL_REGISTRY, &ModelRegistry::modelOfCall { id })?;
                let bare = || parsed.path().to_owned();
                let owner_call = ModelRegistry::modelOwnerCall { name: bare() };
                let owner = this.ask(&view, block, MODEL_REGISTRY, &owner_call)?;
                let latest_call = ModelRegistry::versionOfCall { name: bare() };
                let latest = this.ask(&view, block, MODEL_REGISTRY, &latest_call)?;
                let count_call = ModelRegistry::countOfCall { name: bare() };
                let count = this.ask(&view, block, MODEL_REGISTRY, &count_call)?;
                Ok(Model {
                    name,
                    version: U64::from(number),
                    id,
                    owner,
                    latest: latest.saturating_to(),
                    count: count.saturating_to(),
                    status: version.status.into(),
                    reason: version.reason,
                    manifest: record.manifest,
                    profile: U64::from(record.profile),
                    graph_bytes: U64::from(record.graphBytes),
                    weight_bytes: U64::from(record.weightBytes),
                    chunks: U64::from(record.chunks),
                    inputs: signature.inputs.into_iter().map(Port::from).collect(),
                    outputs: signature.outputs.into_iter().map(Port::from).collect(),
                })
            })
            .await
    }

    async fn model_history(
        &self,
        name: String,
        offset: Option<U64>,
        limit: Option<U64>,
        block: Option<BlockId>,
    ) -> RpcResult<ModelHistory> {
        let limit = limit.map_or(MAX_VERSIONS, |limit| limit.to::<u64>());
        if limit > MAX_VERSIONS {
            return Err(RpcError::TooMuch(format!(
                "at most {MAX_VERSIONS} versions in one answer"
            )));
        }
        let parsed = parse(&name)?;
        if !parsed.is_bare() {
            return Err(RpcError::InvalidParams(format!(
                "{name:?} names one version: give org/model alone"
            )));
        }
        let offset = offset.unwrap_or_default().to::<u64>();
        let this = self.clone();
        self.workers
            .run(move || {
                let (view, block) = (this.backend.view()?, block.unwrap_or_default());
                let bare = || name.clone();
                let registry = MODEL_REGISTRY;
                let count = this.ask(
                    &view,
                    block,
                    registry,
                    &ModelRegistry::countOfCall { name: bare() },
                )?;
                if count.is_zero() {
                    return Err(RpcError::Refused(format!("unknown model {name:?}")));
                }
                let versions_call = ModelRegistry::versionsCall {
                    name: bare(),
                    offset: U256::from(offset),
                    limit: U256::from(limit),
                };
                let versions = this.ask(&view, block, registry, &versions_call)?;
                let aliases_call = ModelRegistry::aliasesCall {
                    name: bare(),
                    offset: U256::ZERO,
                    limit: U256::from(MAX_VERSIONS),
                };
                let aliases = this.ask(&view, block, registry, &aliases_call)?;
                let latest = this.ask(
                    &view,
                    block,
                    registry,
                    &ModelRegistry::versionOfCall { name: bare() },
                )?;
                let owner = this.ask(
                    &view,
                    block,
                    registry,
                    &ModelRegistry::modelOwnerCall { name: bare() },
                )?;
                let pending_call = ModelRegistry::pendingModelOwnerCall { name: bare() };
                let pending_owner = this.ask(&view, block, registry, &pending_call)?;
                let standing = aliases.into_iter().filter(|pointer| pointer.version != 0);
                let entry = |(number, version): (u64, ModelRegistry::Version)| VersionEntry {
                    version: U64::from(number),
                    id: version.id,
                    publisher: version.publisher,
                    published_at: U64::from(version.publishedAt),
                    status: version.status.into(),
                    reason: version.reason,
                };
                Ok(ModelHistory {
                    name: bare(),
                    owner,
                    pending_owner,
                    latest: latest.saturating_to(),
                    count: count.saturating_to(),
                    aliases: standing
                        .map(|pointer| AliasEntry {
                            alias: pointer.aliasName,
                            version: U64::from(pointer.version),
                        })
                        .collect(),
                    versions: (offset.saturating_add(1)..).zip(versions).map(entry).collect(),
                })
            })
            .await
    }

    async fn quote(
        &self,
        name: String,
        shapes: Option<Vec<Vec<u64>>>,
        block: Option<BlockId>,
    ) -> RpcResult<Quote> {
        let this = self.clone();
        self.workers
            .run(move || {
                let (view, block) = (this.backend.view()?, block.unwrap_or_default());
                let quote = match shapes {
                    Some(shapes) => this.ask(
                        &view,
                        block,
                        PREDICT,
                        &IPredict::quoteShapesCall { model: name, shapes },
                    )?,
                    None => this.ask(&view, block, PREDICT, &IPredict::quoteCall { model: name })?,
                };
                Ok(Quote {
                    total: U64::from(quote.total),
                    transfer: U64::from(quote.transfer),
                    load: U64::from(quote.load),
                    planning: U64::from(quote.planning),
                    execution: U64::from(quote.execution),
                    peak_memory: U64::from(quote.peakMemory),
                    multiply_adds: U64::from(quote.multiplyAdds),
                })
            })
            .await
    }

    async fn rights(&self, account: Address, block: Option<BlockId>) -> RpcResult<AccountRights> {
        let this = self.clone();
        self.workers
            .run(move || {
                let state = this.backend.view()?.state_at(block)?;
                let rights = Rights::of(&mut WrapDatabaseRef(state), account)?;
                Ok(AccountRights {
                    transact: rights.has(Right::Transact),
                    deploy: rights.has(Right::Deploy),
                    publish: rights.has(Right::Publish),
                })
            })
            .await
    }

    fn evidence(&self) -> RpcResult<Vec<Evidence>> {
        Ok(self.backend.control.evidence())
    }

    async fn inclusion_proof(&self, transaction: B256) -> RpcResult<Option<Inclusion>> {
        let this = self.clone();
        self.workers
            .run(move || {
                let view = this.backend.view()?;
                let Some(location) = view.snapshot().transaction(&transaction)? else {
                    return Ok(None);
                };
                let Some(data) = view.block(location.block_number.into())? else {
                    return Ok(None);
                };
                Ok(
                    InclusionProof::new(&data, usize::try_from(location.index).unwrap_or(usize::MAX)).map(
                        |proof| Inclusion {
                            block_number: U64::from(data.number()),
                            block_hash: data.hash(),
                            proof,
                        },
                    ),
                )
            })
            .await
    }

    async fn final_blocks(&self, from: U64) -> RpcResult<Vec<FinalBlock>> {
        let this = self.clone();
        self.workers
            .run(move || {
                let (view, from) = (this.backend.view()?, from.to::<u64>());
                let last = view.height().min(from.saturating_add(MAX_FINAL_BLOCKS - 1));
                let (mut blocks, mut bytes) = (Vec::new(), 0);
                for height in from..=last {
                    let missing = || RpcError::internal(format!("block {height} is not stored"));
                    let proposal = this.backend.chain.proposal(height).map_err(RpcError::internal)?;
                    let seal = view.snapshot().seal(height)?.ok_or_else(missing)?;
                    let block = Bytes::from(alloy_rlp::encode(proposal.ok_or_else(missing)?));
                    bytes += block.len();
                    blocks.push(FinalBlock {
                        block,
                        certificate: seal.certificate,
                    });
                    if bytes > MAX_FINAL_BYTES {
                        break;
                    }
                }
                Ok(blocks)
            })
            .await
    }

    async fn validators(&self) -> RpcResult<Option<Validators>> {
        let chain = self.backend.chain.clone();
        self.workers
            .run(move || {
                let sitting = chain.sitting().map_err(RpcError::internal)?;
                Ok(sitting.map(|sitting| Validators {
                    epoch: U64::from(sitting.epoch),
                    epoch_blocks: U64::from(sitting.epochs.blocks()),
                    last_block: U64::from(sitting.epochs.last(sitting.epoch)),
                    validators: sitting.validators.into_iter().map(Seat::from).collect(),
                    next: sitting.next.into_iter().map(Seat::from).collect(),
                }))
            })
            .await
    }

    async fn certificate(&self, block: BlockId) -> RpcResult<Certificate> {
        let this = self.clone();
        self.workers
            .run(move || {
                let view = this.backend.view()?;
                let number = view.resolve(block)?.ok_or(RpcError::BlockNotFound(block))?;
                let last = view.height().min(number.saturating_add(MAX_HEADERS));
                let mut headers = Vec::new();
                for height in number..=last {
                    let missing = || RpcError::internal(format!("block {height} is not stored"));
                    let header = view.header_at(height)?.ok_or_else(missing)?;
                    let seal = view.snapshot().seal(height)?.ok_or_else(missing)?;
                    headers.push(alloy_rlp::encode(&header).into());
                    if !seal.certificate.is_empty() {
                        return Ok(Certificate {
                            headers,
                            certificate: seal.certificate,
                            handovers: this.backend.chain.handovers(number).map_err(RpcError::internal)?,
                        });
                    }
                }
                Err(RpcError::Refused(format!(
                    "no block from {number} to {last} has a certificate; a development node, which decides alone, gives none"
                )))
            })
            .await
    }
}

impl From<IPredict::Port> for Port {
    fn from(port: IPredict::Port) -> Self {
        let shape = port.shape.into_iter().map(|dimension| {
            if dimension.symbol.is_empty() {
                Dimension::Fixed(dimension.size)
            } else {
                Dimension::Free {
                    symbol: dimension.symbol,
                    maximum: dimension.size,
                }
            }
        });
        Self {
            name: port.name,
            dtype: port.dtype,
            shape: shape.collect(),
        }
    }
}
