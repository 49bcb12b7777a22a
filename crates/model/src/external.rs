//! Tensors that a model keeps in other files ("external data" in ONNX).
//!
//! The crate opens no files: whoever imports says where the bytes come from.

use bytes::Bytes;
use std::collections::BTreeMap;

/// Where the bytes of external tensors come from.
pub trait ExternalData {
    /// Reads `length` bytes at `offset` of the file that the model calls `location`, a relative path with `/`.
    ///
    /// An implementation that opens files must refuse locations that leave the model's folder.
    ///
    /// # Errors
    /// If there is no such file or it is shorter.
    fn read(&self, location: &str, offset: u64, length: usize) -> Result<Bytes, ExternalDataError>;
}

/// Why external data could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExternalDataError {
    /// No such file.
    #[error("`{location}` was not given")]
    NotFound {
        /// What the model calls it.
        location: String,
    },
    /// Shorter than the tensor needs.
    #[error("`{location}` has {got} bytes, {needed} are needed")]
    TooShort {
        /// What the model calls it.
        location: String,
        /// Where the tensor would end.
        needed: u64,
        /// The length of the file.
        got: u64,
    },
    /// The file could not be read, or may not be.
    #[error("`{location}`: {why}")]
    Io {
        /// What the model calls it.
        location: String,
        /// The reason, from whoever reads files.
        why: String,
    },
}

/// No external data: for models that are one file.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoExternalData;

impl ExternalData for NoExternalData {
    fn read(&self, location: &str, _offset: u64, _length: usize) -> Result<Bytes, ExternalDataError> {
        Err(ExternalDataError::NotFound {
            location: location.to_owned(),
        })
    }
}

/// Files in memory, by location.
impl ExternalData for BTreeMap<String, Bytes> {
    fn read(&self, location: &str, offset: u64, length: usize) -> Result<Bytes, ExternalDataError> {
        let file = self.get(location).ok_or(ExternalDataError::NotFound {
            location: location.to_owned(),
        })?;
        let needed = offset.saturating_add(length as u64);
        if needed > file.len() as u64 {
            return Err(ExternalDataError::TooShort {
                location: location.to_owned(),
                needed,
                got: file.len() as u64,
            });
        }
        Ok(file.slice(offset as usize..needed as usize))
    }
}
