//! Publishing: the model's bytes as chunks, the manifest that names them, the registry's entry.
//!
//! Every piece becomes the code of an account whose address follows from the piece, so what is already there is not
//! sent again: an interrupted upload goes on where it stopped, and two models share the pieces they have in common.

use super::{Account, Client, pull::Located};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_rpc_types_eth::TransactionReceipt;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall as _, SolEvent as _};
use eyre::{ContextCompat as _, Result, ensure};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use synod_evm::{
    addresses::{CHUNK_FACTORY, MODEL_REGISTRY},
    interface::ModelRegistry,
    manifest::{self, Manifest, Patch},
};
use synod_model::{
    CanonicalModel,
    patch::{Edits, LeafProof, WeightMap},
};

/// Transactions on their way at the same time. More do not help: a block holds only so many of this size.
const IN_FLIGHT: usize = 16;

/// Questions asked at the same time.
const QUESTIONS: usize = 16;

/// What is told while a model is published.
pub(crate) trait Progress {
    /// How many bytes are to be sent, out of how many.
    fn begin(&mut self, missing: u64, total: u64);
    /// So many more bytes are on the chain.
    fn advance(&mut self, bytes: u64);
    /// All bytes are there; the registry validates the model now.
    fn validating(&mut self);
}

/// What publishing a model takes: pieces that become code, and the registry's call.
pub(crate) struct Upload {
    id: B256,
    /// The one that stands for the whole model comes last, so that where it is, everything is.
    pieces: Vec<Bytes>,
    manifest: Address,
    registration: Registration,
}

/// How a model gets its name.
enum Registration {
    /// All of it lies in chunks.
    Whole,
    /// A patch lies in pieces.
    Patch { proof: Bytes },
    /// A patch goes with the call that gives it its name.
    Edits { base: B256, edits: Bytes, proof: Bytes },
}

/// What differs between a model and one that is on the chain.
pub(crate) struct Update {
    base: Located,
    edits: Edits,
    proof: Bytes,
}

impl Update {
    /// Compares a model with a published one. `None` if more than weights differ: no patch makes the one of the other.
    pub(crate) fn between(
        located: &Located,
        base: &CanonicalModel,
        model: &CanonicalModel,
    ) -> Result<Option<Self>> {
        if base.graph != model.graph || base.weights.len() != model.weights.len() {
            return Ok(None);
        }
        let map = WeightMap::read(base.graph.clone())?;
        let edits = Edits::between(&map, &base.weights, &model.weights);
        Ok(edits.map(|edits| Self {
            // without one, the chain validates the whole model
            proof: match located.steady {
                true => LeafProof::of(&base.weights, &edits).encode().into(),
                false => Bytes::new(),
            },
            base: located.clone(),
            edits,
        }))
    }

    /// How many ranges of the weights change.
    pub(crate) fn edits(&self) -> u64 {
        self.edits.count()
    }
}

/// A piece that has to be sent.
struct Missing {
    address: Address,
    code: Bytes,
}

/// What publishing did.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) id: B256,
    pub(crate) version: u64,
    pub(crate) manifest: Address,
    /// Different pieces, the manifest among them.
    pub(crate) chunks: usize,
    /// Pieces that were not on the chain yet.
    pub(crate) sent: usize,
    pub(crate) bytes: u64,
    pub(crate) gas_used: u64,
    pub(crate) fee: U256,
    /// Where it got its name; `None` if this very model was a version of it already.
    pub(crate) named: Option<(u64, B256)>,
}

/// Totals over receipts.
#[derive(Default)]
struct Bill {
    gas: u64,
    fee: U256,
}

impl Bill {
    fn add(&mut self, receipt: &TransactionReceipt) {
        self.gas += receipt.gas_used;
        self.fee += U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
    }
}

impl Upload {
    /// Cuts a model into pieces for a chain that allows contracts of `code_size_limit` bytes.
    pub(crate) fn new(model: &CanonicalModel, code_size_limit: usize) -> Self {
        let size = manifest::chunk_size(code_size_limit);
        let (manifest, mut pieces) = Manifest::cut(&model.graph, &model.weights, size);
        pieces.push(manifest.encode());
        Self {
            id: B256::from(model.id().0),
            pieces,
            manifest: manifest.address(),
            registration: Registration::Whole,
        }
    }

    /// The patch that makes the model `id` of its base.
    pub(crate) fn patch(id: B256, update: &Update, code_size_limit: usize) -> Self {
        let (base, edits) = (&update.base, Bytes::from(update.edits.encoded().clone()));
        let (patch, mut pieces) = Patch::cut(base.id, base.manifest, &edits, code_size_limit);
        let (manifest, proof) = (patch.address(), update.proof.clone());
        let registration = if pieces.is_empty() {
            let base = base.id;
            Registration::Edits { base, edits, proof }
        } else {
            pieces.push(patch.encode());
            Registration::Patch { proof }
        };
        Self {
            id,
            pieces,
            manifest,
            registration,
        }
    }

    /// The registry's call that gives the model its name.
    fn registration(&self, name: &str, becomes: Becomes) -> Bytes {
        let (name, manifest) = (name.to_owned(), self.manifest);
        let latest = matches!(becomes, Becomes::Latest);
        match &self.registration {
            Registration::Whole if latest => {
                ModelRegistry::publishCall { name, manifest }.abi_encode().into()
            }
            Registration::Whole => ModelRegistry::publishOnlyCall { name, manifest }
                .abi_encode()
                .into(),
            Registration::Patch { proof } => {
                let proof = proof.clone();
                let call = ModelRegistry::publishPatchCall {
                    name,
                    manifest,
                    proof,
                    latest,
                };
                call.abi_encode().into()
            }
            Registration::Edits { base, edits, proof } => {
                let (base, edits, proof) = (*base, edits.clone(), proof.clone());
                let call = ModelRegistry::publishEditsCall {
                    name,
                    base,
                    edits,
                    proof,
                    latest,
                };
                call.abi_encode().into()
            }
        }
    }

    /// The address of what stands for the whole model.
    pub(crate) fn manifest_address(&self) -> Address {
        self.manifest
    }

    /// Number of pieces.
    pub(crate) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    fn pieces_in_order(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter()
    }

    /// Bytes that are sent if none of them is on the chain: code that the model becomes, and edits with their proof.
    pub(crate) fn total_bytes(&self) -> u64 {
        let with_call = match &self.registration {
            Registration::Whole => 0,
            Registration::Patch { proof } => proof.len(),
            Registration::Edits { edits, proof, .. } => edits.len() + proof.len(),
        };
        self.code_bytes() + with_call as u64
    }

    /// Bytes of all pieces.
    fn code_bytes(&self) -> u64 {
        self.pieces_in_order().map(|code| code.len() as u64).sum()
    }

    /// Pieces that `other` has not, and their bytes.
    pub(crate) fn beyond(&self, other: &Self) -> (usize, u64) {
        let theirs: BTreeSet<&Bytes> = other.pieces_in_order().collect();
        let own: BTreeSet<&Bytes> = self.pieces_in_order().collect();
        let new = own.difference(&theirs);
        new.fold((0, 0), |(pieces, bytes), code| {
            (pieces + 1, bytes + code.len() as u64)
        })
    }

    /// The pieces that are not on the chain.
    async fn missing(&self, client: &Client) -> Result<Vec<Missing>> {
        let pieces: Vec<(Address, &Bytes)> = self
            .pieces_in_order()
            .map(|code| (manifest::address_of(code), code))
            .collect();
        let mut missing = Vec::new();
        for group in pieces.chunks(QUESTIONS) {
            let mut questions = tokio::task::JoinSet::new();
            for (index, &(address, _)) in group.iter().enumerate() {
                let client = client.clone();
                questions.spawn(async move { client.exists(address).await.map(|exists| (index, exists)) });
            }
            let mut exists = vec![false; group.len()];
            for answer in questions.join_all().await {
                let (index, there) = answer?;
                exists[index] = there;
            }
            for (&(address, code), _) in group.iter().zip(exists).filter(|(_, there)| !there) {
                missing.push(Missing {
                    address,
                    code: code.clone(),
                });
            }
        }
        Ok(missing)
    }
}

/// What a new version is from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Becomes {
    /// The one that the bare name stands for.
    Latest,
    /// A version, to which pointers may be moved later.
    AVersion,
}

/// Publishes a model under a name, sending what the chain does not have yet.
pub(crate) async fn publish(
    account: &mut Account,
    upload: &Upload,
    name: &str,
    becomes: Becomes,
    progress: &mut dyn Progress,
) -> Result<Published> {
    let missing = upload.missing(account.client()).await?;
    progress.begin(
        missing.iter().map(|piece| piece.code.len() as u64).sum(),
        upload.code_bytes(),
    );
    let mut bill = Bill::default();
    let sent = missing.len();
    send_all(account, missing, &mut bill, progress).await?;

    let result = |id, version, bill: &Bill, named| Published {
        id,
        version,
        manifest: upload.manifest_address(),
        chunks: upload.pieces(),
        sent,
        bytes: upload.total_bytes(),
        gas_used: bill.gas,
        fee: bill.fee,
        named,
    };
    // An upload that was interrupted at the very end may have got its name without anybody hearing of it.
    if let Some(version) = already_named(account.client(), name, upload.id).await? {
        return Ok(result(upload.id, version, &bill, None));
    }
    progress.validating();
    let receipt = account
        .execute(
            TxKind::Call(MODEL_REGISTRY),
            U256::ZERO,
            upload.registration(name, becomes),
        )
        .await?;
    bill.add(&receipt);
    let event = receipt
        .logs()
        .iter()
        .filter(|log| log.address() == MODEL_REGISTRY)
        .find_map(|log| ModelRegistry::ModelPublished::decode_log(&log.inner).ok())
        .wrap_err("the registry's receipt has no ModelPublished event")?;
    let named = (receipt.block_number.unwrap_or_default(), receipt.transaction_hash);
    Ok(result(event.id, event.version, &bill, Some(named)))
}

/// The version of a name that is this model, if one is.
async fn already_named(client: &Client, name: &str, id: B256) -> Result<Option<u64>> {
    let call = ModelRegistry::versionOfIdCall {
        name: name.to_owned(),
        id,
    };
    let version = client.call(MODEL_REGISTRY, &call, BlockId::latest()).await?;
    Ok((!version.is_zero()).then(|| version.saturating_to()))
}

/// Sends pieces through the factory, several at a time.
async fn send_all(
    account: &mut Account,
    missing: Vec<Missing>,
    bill: &mut Bill,
    progress: &mut dyn Progress,
) -> Result<()> {
    let mut limits = GasLimits::default();
    let mut waiting: VecDeque<(B256, Address, u64)> = VecDeque::new();
    for piece in missing {
        if waiting.len() == IN_FLIGHT {
            settle(account.client(), &mut waiting, bill, progress).await?;
        }
        let gas = limits.of(account.client(), piece.code.len()).await?;
        let input = manifest::deployment(&piece.code);
        let hash = account
            .send(TxKind::Call(CHUNK_FACTORY), U256::ZERO, input, gas)
            .await?;
        waiting.push_back((hash, piece.address, piece.code.len() as u64));
    }
    while !waiting.is_empty() {
        settle(account.client(), &mut waiting, bill, progress).await?;
    }
    Ok(())
}

/// Waits for the oldest transaction on its way.
async fn settle(
    client: &Client,
    waiting: &mut VecDeque<(B256, Address, u64)>,
    bill: &mut Bill,
    progress: &mut dyn Progress,
) -> Result<()> {
    let Some((hash, address, bytes)) = waiting.pop_front() else {
        return Ok(());
    };
    let receipt = client.wait(hash).await?;
    bill.add(&receipt);
    // The factory reverts where the piece already is: an upload that was interrupted may have sent it before.
    ensure!(
        receipt.status() || client.exists(address).await?,
        "transaction {hash} did not store its piece of the model: publish again to go on from here"
    );
    progress.advance(bytes);
    Ok(())
}

/// Number of chunks of a model on a chain with the shipped limits.
pub(crate) fn chunk_count(model: &CanonicalModel) -> usize {
    let size = manifest::chunk_size(SYNOD_CODE_LIMIT);
    model.graph.len().div_ceil(size) + model.weights.len().div_ceil(size)
}

/// What is still to be sent of an upload, and what it takes.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Outlook {
    /// Pieces that are not on the chain.
    pub(crate) pieces: usize,
    /// Bytes to send, with those of the registry's call.
    pub(crate) bytes: u64,
    /// Gas that storing the pieces takes at most.
    pub(crate) storing_gas: u64,
}

impl Upload {
    /// What is still to be sent.
    pub(crate) async fn outlook(&self, client: &Client) -> Result<Outlook> {
        let missing = self.missing(client).await?;
        let mut limits = GasLimits::default();
        let mut storing_gas = 0u64;
        for piece in &missing {
            storing_gas = storing_gas.saturating_add(limits.of(client, piece.code.len()).await?);
        }
        let there = self.pieces_in_order().map(|code| code.len() as u64).sum::<u64>()
            - missing.iter().map(|piece| piece.code.len() as u64).sum::<u64>();
        Ok(Outlook {
            pieces: missing.len(),
            bytes: self.total_bytes() - there,
            storing_gas,
        })
    }

    /// Gas of the registry's call, which can be asked for once all pieces are there.
    pub(crate) async fn registration_gas(
        &self,
        client: &Client,
        from: Address,
        name: &str,
        becomes: Becomes,
    ) -> Result<u64> {
        let call = self.registration(name, becomes);
        client
            .estimate(Some(from), TxKind::Call(MODEL_REGISTRY), U256::ZERO, call)
            .await
    }

    /// Whether the whole upload is the registry's call.
    pub(crate) fn is_one_call(&self) -> bool {
        self.pieces.is_empty()
    }
}

/// The largest contract on a chain with the shipped genesis.
pub(crate) const SYNOD_CODE_LIMIT: usize = 128 << 10;

/// The largest contract that the chain allows, found by asking: Ethereum's limit, or that of the shipped genesis.
pub(crate) async fn code_size_limit(client: &Client) -> Result<usize> {
    const ETHEREUM: usize = 24_576; // EIP-170
    let piece = manifest::chunk_size(SYNOD_CODE_LIMIT) + 1;
    Ok(if piece_gas(client, piece).await.is_ok() {
        SYNOD_CODE_LIMIT
    } else {
        ETHEREUM
    })
}

/// Gas that storing a piece of this length needs at most.
async fn piece_gas(client: &Client, length: usize) -> Result<u64> {
    client
        .estimate(None, TxKind::Call(CHUNK_FACTORY), U256::ZERO, worst_piece(length))
        .await
}

/// A deployment of `length` bytes of code that nobody has stored and that costs as much as any: zero bytes are cheaper.
fn worst_piece(length: usize) -> Bytes {
    let mut code = vec![0xff; length];
    let unusual = PrivateKeySigner::random().address();
    for (byte, salt) in code.iter_mut().rev().zip(unusual) {
        *byte = salt | 1;
    }
    if let Some(first) = code.first_mut() {
        *first = 0; // as every piece begins; code may not begin with EF
    }
    manifest::deployment(&code)
}

/// What a piece of some length needs at most, asked once for each length.
#[derive(Default)]
struct GasLimits(BTreeMap<usize, u64>);

impl GasLimits {
    async fn of(&mut self, client: &Client, length: usize) -> Result<u64> {
        if let Some(&gas) = self.0.get(&length) {
            return Ok(gas);
        }
        let gas = piece_gas(client, length).await?;
        self.0.insert(length, gas);
        Ok(gas)
    }
}
