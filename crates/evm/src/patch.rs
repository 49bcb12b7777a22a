//! Patched models: reading them, and checking what a patch makes of its base. docs/spec/predict.md §3 is the specification.
//!
//! A patch with a proof is checked for the price of what it changes. What it does not touch is not read, not hashed and not compiled:
//! the hashes in the proof stand for it, and that they are the base's follows from the base's id. Nothing here asks a cache.

use crate::{
    chunks,
    engine::{Engine, assemble, broken, compile, gather, manifest_code},
    failure::Failure,
    gas::{self, GasMeter},
    interface::IPredict::{self as errors, Validated},
    manifest::{self, Content, Manifest, Patch},
    registry::{self, Kind, RECORD_SLOTS, Record},
};
use alloy_evm::EvmInternals;
use alloy_primitives::{Address, B256, Bytes};
use synod_model::{
    ModelId, merkle_root,
    patch::{Edits, LeafProof, Leaves, WeightMap},
};

/// A validated model as it lies on the chain: chunks, and patches over them.
pub(crate) struct Base {
    pub(crate) manifest: Manifest,
    /// In the order in which they apply.
    pub(crate) patches: Vec<Edits>,
}

impl Base {
    /// Follows the patches of a validated model down to the manifest. `None` if something is missing: the database is broken.
    pub(crate) fn open(state: &mut EvmInternals<'_>, mut address: Address) -> Result<Option<Self>, Failure> {
        let mut newest_first = Vec::new();
        loop {
            match Content::decode(&chunks::code(state, address)?) {
                Ok(Content::Whole(manifest)) => {
                    let decode = |edits: Bytes| Edits::decode(edits.0, manifest.weight_bytes).ok();
                    let patches: Option<_> = newest_first.into_iter().rev().map(decode).collect();
                    return Ok(patches.map(|patches| Self { manifest, patches }));
                }
                Ok(Content::Patched(patch)) if newest_first.len() < usize::from(gas::MAX_PATCHES) => {
                    let Some(edits) = stored_edits(state, &patch)? else {
                        return Ok(None);
                    };
                    newest_first.push(edits);
                    address = patch.base;
                }
                _ => return Ok(None),
            }
        }
    }
}

/// The edits of a patch that was validated before, `None` if something is missing.
fn stored_edits(state: &mut EvmInternals<'_>, patch: &Patch) -> Result<Option<Bytes>, Failure> {
    if patch.chunks.is_empty() {
        return Ok(Some(patch.edits.clone()));
    }
    Ok(chunks::join(state, &patch.chunks, None)?.map(Bytes::from))
}

/// Checks everything about the model that a patch makes of its base, charging before each step.
pub(crate) fn validate(
    engine: &Engine,
    profile: u32,
    state: &mut EvmInternals<'_>,
    meter: &mut GasMeter,
    address: Address,
    proof: &[u8],
) -> Result<Validated, Failure> {
    let no_patch = || Failure::from(errors::InvalidManifest { manifest: address });
    let invalid = || Failure::from(errors::InvalidPatch { manifest: address });
    let code = manifest_code(state, meter, address)?;
    let patch = Patch::decode(&code).map_err(|_| no_patch())?;

    meter.charge(gas::registry(RECORD_SLOTS))?;
    let id = patch.base_id;
    let base = registry::record(state, id)?.ok_or(errors::UnknownModelId { id })?;
    if base.kind != Kind::Network {
        let task = base.kind.name().to_owned();
        return Err(errors::WrongTask { id, task }.into());
    }
    // What it makes of its base is of the base's profile.
    let base = base.known_under(profile)?;
    if base.manifest != patch.base {
        return Err(no_patch());
    }
    if base.patches >= gas::MAX_PATCHES {
        let limit = gas::MAX_PATCHES;
        return Err(errors::TooManyPatches { base: id, limit }.into());
    }

    meter.charge(gas::CHUNK_ACCOUNT.saturating_mul(patch.chunks.len() as u64))?;
    let encoded = match patch.chunks.len() {
        0 => patch.edits,
        _ => gather(state, meter, &patch.chunks, None)?,
    };
    let bytes = encoded.len() as u64;
    meter.charge(gas::patches(bytes))?;
    let edits = Edits::decode(encoded.0, base.weight_bytes).map_err(|_| invalid())?;

    let (id, steady) = if proof.is_empty() {
        meter.charge(base.load_gas())?;
        let (graph, weights) = assemble(state, base.manifest)?.ok_or_else(|| broken(id))?;
        let mut weights = Vec::from(weights);
        edits.apply(&mut weights);
        let compiled = compile(base.profile, graph, weights.into()).ok_or(errors::InvalidModel {})?;
        let compiled = engine.keep(compiled);
        (compiled.id, compiled.model.is_steady())
    } else {
        if !base.steady {
            return Err(errors::NotSteady { base: id }.into());
        }
        (proved_id(state, meter, &base, &edits, proof, invalid)?, true)
    };
    Ok(Validated {
        id,
        profile: base.profile,
        graphBytes: base.graph_bytes,
        weightBytes: base.weight_bytes,
        // those of the base, its manifest, the patch's own
        chunks: base
            .chunks
            .saturating_add(1)
            .saturating_add(patch.chunks.len() as u32),
        patches: base.patches + 1,
        patchBytes: base.patch_bytes.saturating_add(bytes),
        steady,
        kind: Kind::Network as u8,
    })
}

/// The id of what edits make of a steady base.
fn proved_id(
    state: &mut EvmInternals<'_>,
    meter: &mut GasMeter,
    base: &Record,
    edits: &Edits,
    proof: &[u8],
    invalid: impl Fn() -> Failure,
) -> Result<B256, Failure> {
    let proof = LeafProof::decode(proof).map_err(|_| errors::InvalidProof {})?;
    meter.charge(gas::prove_patch(
        edits.count(),
        edits.leaves().count() as u64,
        proof.count(),
        u64::from(base.chunks).saturating_add(1),
        base.graph_bytes,
        base.patch_bytes,
    ))?;
    let broken = || broken(base.id);
    let stored = Base::open(state, base.manifest)?.ok_or_else(broken)?;
    let mut graph = Vec::with_capacity(usize::try_from(base.graph_bytes).unwrap_or(0));
    for &chunk in &stored.manifest.graph {
        let code = chunks::code(state, chunk)?;
        graph.extend_from_slice(manifest::chunk_data(&code).ok_or_else(broken)?);
    }
    let mut leaves = Leaves::touched_by(edits);
    let mut at = 0;
    for &chunk in &stored.manifest.weights {
        if at >= leaves.end() {
            break;
        }
        let code = chunks::code(state, chunk)?;
        let data = manifest::chunk_data(&code).ok_or_else(broken)?;
        leaves.fill(at, data);
        at += data.len() as u64;
    }
    stored.patches.iter().for_each(|earlier| leaves.apply(earlier));
    let before = leaves.hashes();
    leaves.apply(edits);
    let after = leaves.hashes();

    let graph = Bytes::from(graph);
    let graph_root = merkle_root(&graph);
    let map = WeightMap::read(graph.0).map_err(|_| broken())?;
    if edits.iter().any(|edit| map.check(&edit, &leaves).is_err()) {
        return Err(invalid());
    }
    let (old, new) = proof
        .roots(&leaves, &before, &after)
        .map_err(|_| errors::InvalidProof {})?;
    let id = |weights| {
        let (graph, weights) = ((base.graph_bytes, graph_root), (base.weight_bytes, weights));
        B256::from(ModelId::of_roots(base.profile, graph, weights).0)
    };
    if id(old) != base.id {
        return Err(errors::InvalidProof {}.into());
    }
    Ok(id(new))
}
