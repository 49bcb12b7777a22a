//! What the engine reads in the storage of `ModelRegistry`.
//!
//! The slots and their packing are consensus rules (docs/spec/predict.md §2, and the comments in
//! `contracts/src/ModelRegistry.sol`). The functions that compute slots are public, so that tools can prove an entry.

use crate::{
    addresses::MODEL_REGISTRY,
    failure::Failure,
    gas,
    interface::IPredict::UnsupportedProfile,
    name::{ModelName, Version},
};
use alloy_evm::{EvmInternals, EvmInternalsError};
use alloy_primitives::{Address, B256, U256, keccak256};

const MODELS: u64 = 1;
const RECORDS: u64 = 2;

// Words of a model.
const VERSIONS: u64 = 1;
const ALIASES: u64 = 3;
const NUMBERS: u64 = 4;

/// The state of a version that does not run by name any more. (0 is active, 1 deprecated: these run.)
const REVOKED: u32 = 2;

/// What a record is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A network: numbers in, numbers out.
    Network = 0,
    /// Networks, files and rules that work together: texts or pictures in.
    Pipeline = 1,
}

impl Kind {
    /// What errors and reports call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Pipeline => "pipeline",
        }
    }
}

/// A validated model, as the registry remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The model's content id.
    pub id: B256,
    /// The manifest that names its bytes.
    pub manifest: Address,
    /// When it was validated: the second of that block.
    pub validated_at: u64,
    /// The profile it was validated against.
    pub profile: u32,
    /// What it is.
    pub kind: Kind,
    /// Bytes of its graph; of a pipeline, of its description.
    pub graph_bytes: u64,
    /// Bytes of its weights; of a pipeline, of its files.
    pub weight_bytes: u64,
    /// Accounts that hold them, beside the manifest.
    pub chunks: u32,
    /// Bytes of the patches on the way to it.
    pub patch_bytes: u64,
    /// How many there are.
    pub patches: u8,
    /// Whether it stays valid whatever values its weights take.
    pub steady: bool,
}

impl Record {
    /// The record, if its profile is in force beside the newest one, `profile`: that one, or an earlier one.
    pub(crate) fn known_under(self, profile: u32) -> Result<Self, Failure> {
        if (1..=profile).contains(&self.profile) {
            return Ok(self);
        }
        // The bytes may be fine, but they mean another arithmetic: no answer is better than other bits.
        Err(UnsupportedProfile {
            id: self.id,
            profile: self.profile,
            supported: profile,
        }
        .into())
    }

    /// What loading the model costs; of a pipeline without its networks, which are loaded as models of their own.
    pub fn load_gas(&self) -> u64 {
        if self.kind == Kind::Pipeline {
            return gas::load_pipeline(self.graph_bytes, self.weight_bytes, u64::from(self.chunks));
        }
        gas::load(self.graph_bytes, self.weight_bytes, u64::from(self.chunks))
            .saturating_add(gas::patches(self.patch_bytes))
    }
}

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// A version's id.
    Id(B256),
    /// A version that was revoked.
    Revoked {
        /// Its number.
        version: u64,
    },
    /// Nothing.
    Unknown,
}

/// A version that a name stands for, as the registry remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publication {
    /// Its number.
    pub number: u64,
    /// The model that it stands for.
    pub id: B256,
    /// Whether it was revoked: then PREDICT refuses the name.
    pub revoked: bool,
    /// The account that published it.
    pub publisher: Address,
    /// When: the second of that block.
    pub published_at: u64,
}

/// The version that a name stands for, `None` if there is none. For tools: the engine itself does not look at who published it.
///
/// # Errors
/// Those of `read`, which gives the registry's slots.
pub fn version_of<E>(
    name: &ModelName,
    mut read: impl FnMut(U256) -> Result<U256, E>,
) -> Result<Option<Publication>, E> {
    let Some((number, id, state)) = resolve_in(name, &mut read)? else {
        return Ok(None);
    };
    Ok(Some(Publication {
        number,
        id,
        revoked: is_revoked(state),
        publisher: Address::from_word(B256::from(state)),
        published_at: low_u64(state >> 160usize),
    }))
}

/// The record of an id, `None` if no model of this id was validated.
///
/// # Errors
/// Those of `read`, which gives the registry's slots.
pub fn record_of<E>(id: B256, mut read: impl FnMut(U256) -> Result<U256, E>) -> Result<Option<Record>, E> {
    let slot = record_slot(id);
    let head = read(slot)?;
    let sizes = read(slot.wrapping_add(U256::ONE))?;
    let manifest = Address::from_word(B256::from(head));
    Ok((manifest != Address::ZERO).then_some(Record {
        id,
        manifest,
        validated_at: low_u64(head >> 160usize),
        profile: low_u64(head >> 224usize) as u32,
        graph_bytes: low_u64(sizes),
        weight_bytes: low_u64(sizes >> 64usize),
        chunks: low_u64(sizes >> 128usize) as u32,
        patch_bytes: low_u64(sizes >> 160usize),
        patches: low_u64(sizes >> 224usize) as u8,
        steady: low_u64(sizes >> 232usize) as u8 == 1,
        kind: match low_u64(sizes >> 240usize) as u8 {
            0 => Kind::Network,
            _ => Kind::Pipeline,
        },
    }))
}

/// Number and id of the version that a name stands for, and the word with its state. What is read, and in which order, is a consensus
/// rule; a slot that is zero ends the search.
fn resolve_in<E>(
    name: &ModelName,
    read: &mut impl FnMut(U256) -> Result<U256, E>,
) -> Result<Option<(u64, B256, U256)>, E> {
    let number = match name.version() {
        Version::Number(number) => *number,
        Version::Latest => low_u64(read(model_slot(name))?),
        Version::Alias(alias) => low_u64(read(alias_slot(name, alias))?),
        Version::Id(id) => low_u64(read(number_slot(name, *id))?),
    };
    if number == 0 {
        return Ok(None);
    }
    let id = match name.version() {
        Version::Id(id) => *id,
        _ => read(version_slot(name, number))?.into(),
    };
    if id == B256::ZERO {
        return Ok(None);
    }
    Ok(Some((number, id, read(status_slot(name, number))?)))
}

/// What the word with a version's state says.
fn is_revoked(state: U256) -> bool {
    low_u64(state >> 224usize) as u32 == REVOKED
}

/// How many slots resolving a name reads at most, which is what it costs.
pub(crate) fn name_slots(name: &ModelName) -> u64 {
    match name.version() {
        // pointer, id, state
        Version::Latest | Version::Alias(_) => 3,
        // id, state
        Version::Number(_) => 2,
        // number, state
        Version::Id(_) => 2,
    }
}

/// How many slots a record has.
pub(crate) const RECORD_SLOTS: u64 = 2;

/// The first slot of `org/model`: the version that the bare name stands for, owner, status.
pub fn model_slot(name: &ModelName) -> U256 {
    mapping_slot(name.hash(), U256::from(MODELS))
}

/// The slot that holds the id of a version of `org/model`.
pub fn version_slot(name: &ModelName, version: u64) -> U256 {
    mapping_slot(B256::from(U256::from(version)), word_of(name, VERSIONS))
}

/// The slot that holds the state of a version of `org/model`, beside its publisher and time.
pub fn status_slot(name: &ModelName, version: u64) -> U256 {
    version_slot(name, version).wrapping_add(U256::ONE)
}

/// The slot that holds the number of the version that an alias of `org/model` stands for.
pub fn alias_slot(name: &ModelName, alias: &str) -> U256 {
    mapping_slot(keccak256(alias), word_of(name, ALIASES))
}

/// The slot that holds the number of the version of `org/model` that has this id.
pub fn number_slot(name: &ModelName, id: B256) -> U256 {
    mapping_slot(id, word_of(name, NUMBERS))
}

fn word_of(name: &ModelName, word: u64) -> U256 {
    model_slot(name).wrapping_add(U256::from(word))
}

/// The first slot of a validated-model record: manifest, time, profile. Sizes are in the next.
pub fn record_slot(id: B256) -> U256 {
    mapping_slot(id, U256::from(RECORDS))
}

/// Solidity's place for `mapping[key]` of the mapping at `slot`.
fn mapping_slot(key: B256, slot: U256) -> U256 {
    keccak256([key, B256::from(slot)].concat()).into()
}

/// What a name stands for.
pub(crate) fn resolve(state: &mut EvmInternals<'_>, name: &ModelName) -> Result<Resolved, EvmInternalsError> {
    let found = resolve_in(name, &mut |slot| read(state, slot))?;
    Ok(match found {
        None => Resolved::Unknown,
        Some((version, _, word)) if is_revoked(word) => Resolved::Revoked { version },
        Some((_, id, _)) => Resolved::Id(id),
    })
}

/// The record of an id, `None` if no model of this id was validated in this state.
pub(crate) fn record(state: &mut EvmInternals<'_>, id: B256) -> Result<Option<Record>, EvmInternalsError> {
    record_of(id, |slot| read(state, slot))
}

fn read(state: &mut EvmInternals<'_>, slot: U256) -> Result<U256, EvmInternalsError> {
    Ok(state.sload(MODEL_REGISTRY, slot)?.data)
}

/// The low 64 bits.
fn low_u64(word: U256) -> u64 {
    word.as_limbs()[0]
}
