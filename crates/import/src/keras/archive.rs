//! The two containers: `.keras` (a zip of JSON and HDF5) and `.h5` (HDF5 with the JSON in an attribute).

use super::{
    hdf5::Hdf5,
    weights::{Store, StoreKind},
};
use crate::ImportError;
use serde_json::Value as Json;
use std::io::{Cursor, Read as _};

const ZIP: &[u8] = b"PK\x03\x04";
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

/// The largest description of a model; Keras' largest application has 2 MB.
const MAX_CONFIG_BYTES: u64 = 64 << 20;
/// The largest file of weights: as much as ONNX can hold.
const MAX_WEIGHTS_BYTES: u64 = 1 << 31;
/// How many times its packed size a member may have. Keras stores members as they are, and weights do not deflate to less
/// than half; a bomb does.
const MAX_UNPACKING: u64 = 16;

/// What a file holds.
pub(crate) struct Opened {
    /// `{"class_name": …, "config": …}` of the model.
    pub(crate) config: Json,
    pub(crate) store: Store,
    /// The major version of Keras that wrote it; 2 if it does not say.
    pub(crate) version: u32,
}

/// Whether bytes begin as a Keras file of either format does. (A zip archive may be something else.)
pub fn is_keras(bytes: &[u8]) -> bool {
    bytes.starts_with(ZIP) || bytes.starts_with(HDF5)
}

/// Opens a file of either format.
pub(crate) fn open(bytes: Vec<u8>) -> Result<Opened, ImportError> {
    if bytes.starts_with(ZIP) {
        open_keras(&bytes)
    } else if bytes.starts_with(HDF5) {
        open_h5(bytes)
    } else {
        Err(ImportError::NotKeras {
            beginning: bytes.iter().copied().take(8).collect(),
        })
    }
}

fn open_keras(bytes: &[u8]) -> Result<Opened, ImportError> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| ImportError::Archive {
        why: error.to_string(),
    })?;
    let config = member(&mut archive, "config.json", "", MAX_CONFIG_BYTES)?;
    let metadata = member(&mut archive, "metadata.json", "", MAX_CONFIG_BYTES)?;
    let weights = member(
        &mut archive,
        "model.weights.h5",
        ": weights in several files are not supported, save the model without max_shard_size",
        (bytes.len() as u64)
            .saturating_mul(MAX_UNPACKING)
            .min(MAX_WEIGHTS_BYTES),
    )?;
    let metadata = json(&metadata)?;
    Ok(Opened {
        config: json(&config)?,
        store: Store::new(Hdf5::open(weights)?, StoreKind::Paths),
        version: major(metadata.get("keras_version").and_then(Json::as_str)),
    })
}

fn open_h5(bytes: Vec<u8>) -> Result<Opened, ImportError> {
    let file = Hdf5::open(bytes)?;
    let config = file
        .string("/", "model_config")?
        .ok_or(ImportError::WeightsAlone)?;
    let version = file.string("/", "keras_version")?;
    Ok(Opened {
        config: json(config.as_bytes())?,
        store: Store::new(file, StoreKind::Lists),
        version: major(version.as_deref()),
    })
}

/// Unpacks a member, as far as the limit.
fn member(
    archive: &mut zip::ZipArchive<Cursor<&[u8]>>,
    name: &'static str,
    advice: &'static str,
    limit: u64,
) -> Result<Vec<u8>, ImportError> {
    let member = archive.by_name(name).map_err(|error| match error {
        zip::result::ZipError::FileNotFound => ImportError::MissingMember { member: name, advice },
        other => ImportError::Archive {
            why: other.to_string(),
        },
    })?;
    let mut content = Vec::new();
    member
        .take(limit + 1)
        .read_to_end(&mut content)
        .map_err(|error| ImportError::Archive {
            why: format!("{name}: {error}"),
        })?;
    if content.len() as u64 > limit {
        return Err(ImportError::TooLarge {
            what: format!("the archive's member {name} in bytes"),
            size: content.len() as u64,
            limit,
        });
    }
    Ok(content)
}

fn json(bytes: &[u8]) -> Result<Json, ImportError> {
    serde_json::from_slice(bytes).map_err(|error| ImportError::Json {
        why: error.to_string(),
    })
}

/// The first number of a version.
fn major(version: Option<&str>) -> u32 {
    version
        .and_then(|version| version.split('.').next()?.parse().ok())
        .unwrap_or(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_by_their_first_number() {
        assert_eq!(major(Some("3.15.1")), 3);
        assert_eq!(major(Some("2.15.0-tf")), 2);
        assert_eq!(major(None), 2);
        assert_eq!(major(Some("nightly")), 2);
    }

    #[test]
    fn other_files_are_refused_by_their_first_bytes() {
        assert!(matches!(
            open(b"\x08\x07\x12\x00".to_vec()),
            Err(ImportError::NotKeras { .. })
        ));
        assert!(matches!(open(Vec::new()), Err(ImportError::NotKeras { .. })));
    }
}
