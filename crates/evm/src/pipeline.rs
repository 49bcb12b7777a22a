//! How a pipeline lies on the chain, and how it is put together. docs/spec/predict.md §3 is the specification.
//!
//! ```text
//! pipeline code  00 ‖ "SYNOD" ‖ 03 ‖ address of the description ‖ files u32 ‖ address of each file      (integers big-endian)
//! ```
//!
//! The description and the files are files of the chain ([`crate::file`]). The networks that a description names are models of their own,
//! with records of their own: they are published, patched and shared like any other.

use crate::{
    chunks,
    engine::{Engine, broken},
    failure::Failure,
    file::{self, FileManifest},
    gas::{self, GasMeter},
    interface::IPredict::{self as errors, Validated},
    manifest::{self, address_of},
    registry::{self, Kind, RECORD_SLOTS, Record},
};
use alloy_evm::EvmInternals;
use alloy_primitives::{Address, B256, Bytes};
use std::collections::BTreeMap;
use synod_model::Model;
use synod_pipeline::{Description, FileRole, Hash, Parts, Pipeline, Role, limits::MAX_DESCRIPTION_BYTES};

const VERSION: u8 = 3;

/// Which files a pipeline is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineManifest {
    /// The file with the description.
    pub description: Address,
    /// The files that it names, in its order.
    pub files: Vec<Address>,
}

/// Why code is not the manifest of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PipelineManifestError {
    /// It does not begin with `00 "SYNOD" 03`.
    #[error("the code does not begin with 00 \"SYNOD\" and 03: it is no pipeline")]
    Magic,
    /// Its length is not what its count asks for.
    #[error("a pipeline of {files} files does not have {got} bytes")]
    Length {
        /// Files announced (0 if even the header is cut).
        files: u32,
        /// Bytes of code.
        got: usize,
    },
}

impl PipelineManifest {
    /// The manifest's code.
    pub fn encode(&self) -> Bytes {
        let mut code = manifest::header(VERSION);
        code.extend_from_slice(self.description.as_slice());
        code.extend_from_slice(&(self.files.len() as u32).to_be_bytes());
        manifest::list(&self.files, &mut code);
        code.into()
    }

    /// Reads a manifest's code. Total: any bytes are accepted or refused in time proportional to their length.
    ///
    /// # Errors
    /// If the code is not exactly the manifest of a pipeline.
    pub fn decode(code: &[u8]) -> Result<Self, PipelineManifestError> {
        let body = manifest::body(code, VERSION).ok_or(PipelineManifestError::Magic)?;
        let cut = |files| PipelineManifestError::Length {
            files,
            got: code.len(),
        };
        let (description, body) = body.split_first_chunk::<20>().ok_or(cut(0))?;
        let (files, body) = body.split_first_chunk().ok_or(cut(0))?;
        let files = u32::from_be_bytes(*files);
        Ok(Self {
            description: description.into(),
            files: manifest::listed(body, files.into()).ok_or(cut(files))?,
        })
    }

    /// The address of the manifest's account.
    pub fn address(&self) -> Address {
        address_of(&self.encode())
    }
}

/// Checks everything about a pipeline whose manifest was found to stand at its address; charges before each step.
pub(crate) fn validate(
    engine: &Engine,
    profile: u32,
    state: &mut EvmInternals<'_>,
    meter: &mut GasMeter,
    address: Address,
    manifest: &PipelineManifest,
) -> Result<Validated, Failure> {
    let refuse = || Failure::from(errors::InvalidPipeline { manifest: address });
    let mut accounts = 0;
    let mut open = |state: &mut EvmInternals<'_>, meter: &mut GasMeter, file, limit: u64| {
        let found = file::open(state, meter, file)?;
        accounts += 1 + found.chunks.len();
        if found.bytes > limit {
            return Err(refuse());
        }
        Ok(found)
    };

    let listed = open(state, meter, manifest.description, MAX_DESCRIPTION_BYTES as u64)?;
    meter.charge(gas::description(listed.bytes))?;
    let description_bytes = listed.bytes;
    let encoded = file::read(state, meter, &listed)?;
    let description = Description::decode(&encoded).map_err(|_| refuse())?;
    if manifest.files.len() != description.files.len() {
        return Err(refuse());
    }

    let (mut parts, mut file_bytes) = (Parts::default(), 0u64);
    for ((&role, stored), &address) in description.files.iter().zip(&manifest.files) {
        let listed = open(state, meter, address, stored.length)?;
        meter.charge(gas::loading_file(listed.bytes))?;
        let bytes = file::read(state, meter, &listed)?;
        file_bytes = file_bytes.saturating_add(listed.bytes);
        parts.files.insert(role, bytes.into());
    }
    for (&role, id) in &description.models {
        let record = network(profile, state, meter, *id)?;
        meter.charge(record.load_gas())?;
        parts
            .models
            .insert(role, engine.model(state, &record)?.model.clone());
    }
    let id = B256::from(description.id().0);
    let pipeline = Pipeline::assemble(description, parts).map_err(|_| refuse())?;
    engine.keep_pipeline(id, pipeline);
    Ok(Validated {
        id,
        profile,
        graphBytes: description_bytes,
        weightBytes: file_bytes,
        chunks: u32::try_from(accounts).unwrap_or(u32::MAX),
        patches: 0,
        patchBytes: 0,
        steady: false,
        kind: Kind::Pipeline as u8,
    })
}

/// The record of a network that a description names, of a profile that is in force. Charged for here.
pub(crate) fn network(
    profile: u32,
    state: &mut EvmInternals<'_>,
    meter: &mut GasMeter,
    id: Hash,
) -> Result<Record, Failure> {
    let id = B256::from(id.0);
    meter.charge(gas::registry(RECORD_SLOTS))?;
    let record = registry::record(state, id)?.ok_or(errors::UnknownModelId { id })?;
    if record.kind != Kind::Network {
        let task = Kind::Pipeline.name().to_owned();
        return Err(errors::WrongTask { id, task }.into());
    }
    record.known_under(profile)
}

/// What is read of a validated pipeline that is not in memory.
pub(crate) struct Stored {
    pub(crate) description: Description,
    files: BTreeMap<FileRole, Vec<u8>>,
}

impl Stored {
    /// Reads description and files, past the journal. They were validated, and cannot change: what is missing is a broken database.
    pub(crate) fn read(state: &mut EvmInternals<'_>, record: &Record) -> Result<Self, Failure> {
        let broken = || broken(record.id);
        let code = chunks::code(state, record.manifest)?;
        let manifest = PipelineManifest::decode(&code).map_err(|_| broken())?;
        let encoded = stored_file(state, manifest.description)?.ok_or_else(broken)?;
        let description = Description::decode(&encoded).map_err(|_| broken())?;
        let mut files = BTreeMap::new();
        for (&role, &address) in description.files.keys().zip(&manifest.files) {
            files.insert(role, stored_file(state, address)?.ok_or_else(broken)?);
        }
        Ok(Self { description, files })
    }

    /// The pipeline, with its networks.
    pub(crate) fn assemble(self, id: B256, models: BTreeMap<Role, Model>) -> Result<Pipeline, Failure> {
        let files = self.files;
        Pipeline::assemble(self.description, Parts { models, files }).map_err(|_| broken(id))
    }
}

/// The bytes of a file that was validated before, `None` if something is missing.
fn stored_file(state: &mut EvmInternals<'_>, address: Address) -> Result<Option<Vec<u8>>, Failure> {
    let code = chunks::code(state, address)?;
    let Ok(manifest) = FileManifest::decode(&code) else {
        return Ok(None);
    };
    Ok(chunks::join(state, &manifest.chunks, Some(manifest.bytes))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decoding_is_total_and_canonical(tail in proptest::collection::vec(any::<u8>(), 0..100)) {
            let code = [b"\0SYNOD\x03".as_slice(), &tail].concat();
            if let Ok(manifest) = PipelineManifest::decode(&code) {
                prop_assert_eq!(manifest.encode(), code);
            }
        }
    }

    #[test]
    fn a_pipeline_lists_its_files() {
        let manifest = PipelineManifest {
            description: Address::repeat_byte(1),
            files: vec![Address::repeat_byte(2), Address::repeat_byte(3)],
        };
        let good = manifest.encode();
        assert_eq!(PipelineManifest::decode(&good), Ok(manifest));
        for cut in 0..good.len() {
            assert!(PipelineManifest::decode(&good[..cut]).is_err(), "cut at {cut}");
        }
    }
}
