//! What the engine reads in the storage of `ModelRegistry`.
//!
//! The slots and their packing are consensus rules (docs/spec/predict.md §2, and the comments in
//! `contracts/src/ModelRegistry.sol`). The functions that compute slots are public, so that tools can prove an entry.

use crate::{addresses::MODEL_REGISTRY, name::ModelName};
use alloy_evm::{EvmInternals, EvmInternalsError};
use alloy_primitives::{Address, B256, U256, keccak256};

const MODELS: u64 = 1;
const RECORDS: u64 = 2;

/// A validated model, as the registry remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The model's content id.
    pub id: B256,
    /// The manifest that names its bytes.
    pub manifest: Address,
    /// The profile it was validated against.
    pub profile: u32,
    /// Bytes of its graph.
    pub graph_bytes: u64,
    /// Bytes of its weights.
    pub weight_bytes: u64,
    /// Chunks that hold them.
    pub chunks: u32,
}

/// How many slots resolving a name reads.
pub(crate) fn name_slots(name: &ModelName) -> u64 {
    if name.version().is_some() { 1 } else { 2 }
}

/// How many slots a record has.
pub(crate) const RECORD_SLOTS: u64 = 2;

/// The first slot of `org/model`: newest version, owner, status.
pub fn model_slot(name: &ModelName) -> U256 {
    mapping_slot(name.hash(), U256::from(MODELS))
}

/// The slot that holds the id of a version of `org/model`.
pub fn version_slot(name: &ModelName, version: u64) -> U256 {
    mapping_slot(
        B256::from(U256::from(version)),
        model_slot(name).wrapping_add(U256::ONE),
    )
}

/// The first slot of a validated-model record: manifest, time, profile. Sizes are in the next.
pub fn record_slot(id: B256) -> U256 {
    mapping_slot(id, U256::from(RECORDS))
}

/// Solidity's place for `mapping[key]` of the mapping at `slot`.
fn mapping_slot(key: B256, slot: U256) -> U256 {
    keccak256([key, B256::from(slot)].concat()).into()
}

/// The id that a name stands for, `None` if there is none.
pub(crate) fn resolve(
    state: &mut EvmInternals<'_>,
    name: &ModelName,
) -> Result<Option<B256>, EvmInternalsError> {
    let version = match name.version() {
        Some(version) => version,
        None => low_u64(read(state, model_slot(name))?),
    };
    let id = B256::from(read(state, version_slot(name, version))?);
    Ok((id != B256::ZERO).then_some(id))
}

/// The record of an id, `None` if no model of this id was validated in this state.
pub(crate) fn record(state: &mut EvmInternals<'_>, id: B256) -> Result<Option<Record>, EvmInternalsError> {
    let slot = record_slot(id);
    let head = read(state, slot)?;
    let sizes = read(state, slot.wrapping_add(U256::ONE))?;
    let manifest = Address::from_word(B256::from(head));
    Ok((manifest != Address::ZERO).then_some(Record {
        id,
        manifest,
        profile: low_u64(head >> 224usize) as u32,
        graph_bytes: low_u64(sizes),
        weight_bytes: low_u64(sizes >> 64usize),
        chunks: low_u64(sizes >> 128usize) as u32,
    }))
}

fn read(state: &mut EvmInternals<'_>, slot: U256) -> Result<U256, EvmInternalsError> {
    Ok(state.sload(MODEL_REGISTRY, slot)?.data)
}

/// The low 64 bits.
fn low_u64(word: U256) -> u64 {
    word.as_limbs()[0]
}
