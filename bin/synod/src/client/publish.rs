//! Publishing: the model's bytes as chunks, the manifest that names them, the registry's entry.
//!
//! Every piece becomes the code of an account whose address follows from the piece, so what is already there is not
//! sent again: an interrupted upload goes on where it stopped, and two models share the pieces they have in common.

use super::{
    Account, Client,
    pieces::{Bill, GasLimits, Progress, SYNOD_CODE_LIMIT, missing, send_missing},
    pull::Located,
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_sol_types::{SolCall as _, SolEvent as _};
use eyre::{ContextCompat as _, Result};
use serde::Serialize;
use std::collections::BTreeSet;
use synod_evm::{
    addresses::MODEL_REGISTRY,
    file::FileManifest,
    interface::ModelRegistry,
    manifest::{self, Manifest, Patch},
    pipeline::PipelineManifest,
};
use synod_model::{
    CanonicalModel,
    patch::{Edits, LeafProof, WeightMap},
};
use synod_pipeline::Imported;

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
    /// A pipeline: each of its networks, id and manifest, gets a record first.
    Pipeline { networks: Vec<(B256, Address)> },
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

    /// Cuts a pipeline, with its networks and files, into pieces for a chain that allows contracts of `code_size_limit` bytes.
    pub(crate) fn pipeline(imported: &Imported, code_size_limit: usize) -> Self {
        let size = manifest::chunk_size(code_size_limit);
        let (mut pieces, mut networks) = (Vec::new(), Vec::new());
        for model in imported.models.values() {
            let (manifest, chunks) = Manifest::cut(&model.graph, &model.weights, size);
            pieces.extend(chunks);
            pieces.push(manifest.encode());
            networks.push((B256::from(model.id().0), manifest.address()));
        }
        let mut store = |bytes: &[u8]| {
            let (listed, chunks) = FileManifest::cut(bytes, size);
            pieces.extend(chunks);
            pieces.push(listed.encode());
            listed.address()
        };
        let description = store(&imported.description.encode());
        let files = imported.files.values().map(|file| store(file)).collect();
        let manifest = PipelineManifest { description, files };
        pieces.push(manifest.encode());
        // networks share weights: what one piece is for several is sent once
        let mut seen = BTreeSet::new();
        pieces.retain(|piece| seen.insert(piece.clone()));
        Self {
            id: B256::from(imported.description.id().0),
            pieces,
            manifest: manifest.address(),
            registration: Registration::Pipeline { networks },
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
            Registration::Whole | Registration::Pipeline { .. } if latest => {
                ModelRegistry::publishCall { name, manifest }.abi_encode().into()
            }
            Registration::Whole | Registration::Pipeline { .. } => {
                ModelRegistry::publishOnlyCall { name, manifest }
                    .abi_encode()
                    .into()
            }
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

    /// Bytes that are sent if none of them is on the chain: code that the model becomes, and edits with their proof.
    pub(crate) fn total_bytes(&self) -> u64 {
        let with_call = match &self.registration {
            Registration::Whole | Registration::Pipeline { .. } => 0,
            Registration::Patch { proof } => proof.len(),
            Registration::Edits { edits, proof, .. } => edits.len() + proof.len(),
        };
        self.code_bytes() + with_call as u64
    }

    /// Bytes of all pieces.
    fn code_bytes(&self) -> u64 {
        self.pieces.iter().map(|code| code.len() as u64).sum()
    }

    /// Pieces that `other` has not, and their bytes.
    pub(crate) fn beyond(&self, other: &Self) -> (usize, u64) {
        let theirs: BTreeSet<&Bytes> = other.pieces.iter().collect();
        let own: BTreeSet<&Bytes> = self.pieces.iter().collect();
        let new = own.difference(&theirs);
        new.fold((0, 0), |(pieces, bytes), code| {
            (pieces + 1, bytes + code.len() as u64)
        })
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
    let (sent, mut bill) = send_missing(account, &upload.pieces, progress).await?;

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
    if let Registration::Pipeline { networks } = &upload.registration {
        for &(id, manifest) in networks {
            register(account, id, manifest, &mut bill).await?;
        }
    }
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

/// Has a network validated that has no record yet.
async fn register(account: &mut Account, id: B256, manifest: Address, bill: &mut Bill) -> Result<()> {
    let known = ModelRegistry::modelOfCall { id };
    let record = account
        .client()
        .call(MODEL_REGISTRY, &known, BlockId::latest())
        .await?;
    if !record.manifest.is_zero() {
        return Ok(());
    }
    let call = ModelRegistry::registerCall { manifest }.abi_encode();
    let receipt = account
        .execute(TxKind::Call(MODEL_REGISTRY), U256::ZERO, call.into())
        .await?;
    bill.add(&receipt);
    Ok(())
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
        let missing = missing(client, &self.pieces).await?;
        let mut limits = GasLimits::default();
        let mut storing_gas = 0u64;
        for piece in &missing {
            storing_gas = storing_gas.saturating_add(limits.of(client, piece.code.len()).await?);
        }
        let there = self.pieces.iter().map(|code| code.len() as u64).sum::<u64>()
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
