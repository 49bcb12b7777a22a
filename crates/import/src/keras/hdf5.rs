//! Reading HDF5 through `hdf5-pure`, within bounds that follow from the file's length.
//!
//! The reader checks its own addresses, but a small file may declare a large dataset that has no storage (all fill values) or
//! deflates to a thousand times its size; so sizes are looked at before reading. Should the reader panic nevertheless, as a
//! format of this size makes likely, that is an error of the file and not of the program.

use crate::ImportError;
use hdf5_pure::{AttrValue, DType as StoredType, File};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What deflate compresses at most.
const MAX_RATIO: u64 = 1032;
/// What all datasets may take at most.
const MAX_TOTAL_BYTES: u64 = 1 << 31;
/// Dimensions of a dataset, at most.
const MAX_RANK: usize = 16;

/// An array of 32-bit floats, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// An open file.
pub(crate) struct Hdf5 {
    file: File,
    /// Bytes that may still be read.
    budget: std::cell::Cell<u64>,
}

impl Hdf5 {
    /// Opens a file that is in memory.
    pub(crate) fn open(bytes: Vec<u8>) -> Result<Self, ImportError> {
        let budget = (bytes.len() as u64)
            .saturating_mul(MAX_RATIO)
            .min(MAX_TOTAL_BYTES);
        let length = bytes.len() as u64;
        let file = guarded("/", || File::from_bytes(bytes))?;
        let stated = file.superblock().eof_address;
        if stated > length {
            return Err(ImportError::Hdf5 {
                path: "/".to_owned(),
                why: format!("the file is cut short: it has {length} bytes of {stated}"),
            });
        }
        Ok(Self {
            file,
            budget: std::cell::Cell::new(budget),
        })
    }

    /// Whether there is a group of this path.
    pub(crate) fn has_group(&self, path: &str) -> bool {
        guarded(path, || self.file.group(path)).is_ok()
    }

    /// The names of the groups in a group, sorted.
    pub(crate) fn groups(&self, path: &str) -> Result<Vec<String>, ImportError> {
        let mut names = guarded(path, || self.group(path)?.groups())?;
        names.sort();
        Ok(names)
    }

    /// The names of the datasets in a group, sorted.
    pub(crate) fn datasets(&self, path: &str) -> Result<Vec<String>, ImportError> {
        let mut names = guarded(path, || self.group(path)?.datasets())?;
        names.sort();
        Ok(names)
    }

    /// A string attribute of a group; `None` if there is none of the name.
    pub(crate) fn string(&self, path: &str, name: &str) -> Result<Option<String>, ImportError> {
        let value = guarded(path, || Ok(self.group(path)?.attrs()?.remove(name)))?;
        match value {
            None => Ok(None),
            Some(value) => match strings_of(&value) {
                Some(mut strings) if strings.len() == 1 => Ok(Some(strings.remove(0))),
                _ => Err(ImportError::Hdf5 {
                    path: path.to_owned(),
                    why: format!("attribute `{name}` is not a string"),
                }),
            },
        }
    }

    /// An attribute that lists strings. Keras cuts a list that is longer than an attribute may be into `NAME0`, `NAME1` …
    pub(crate) fn strings(&self, path: &str, name: &str) -> Result<Vec<String>, ImportError> {
        let attributes = guarded(path, || self.group(path)?.attrs())?;
        let parts: Vec<&AttrValue> = match attributes.get(name) {
            Some(whole) => vec![whole],
            None => (0..)
                .map_while(|part| attributes.get(&format!("{name}{part}")))
                .collect(),
        };
        let mut all = Vec::new();
        for part in parts {
            // An empty list is an array of floats without elements.
            all.extend(strings_of(part).unwrap_or_default());
        }
        Ok(all)
    }

    /// The shape of a dataset.
    pub(crate) fn shape(&self, path: &str) -> Result<Vec<usize>, ImportError> {
        let shape = guarded(path, || self.file.dataset(path)?.shape())?;
        if shape.len() > MAX_RANK {
            return Err(ImportError::TooLarge {
                what: format!("the number of dimensions of `{path}`"),
                size: shape.len() as u64,
                limit: MAX_RANK as u64,
            });
        }
        shape
            .iter()
            .map(|&size| {
                usize::try_from(size).map_err(|_| ImportError::TooLarge {
                    what: format!("a dimension of `{path}`"),
                    size,
                    limit: usize::MAX as u64,
                })
            })
            .collect()
    }

    /// A dataset of 32-bit floats.
    pub(crate) fn array(&self, path: &str) -> Result<Array, ImportError> {
        let shape = self.shape(path)?;
        let dataset = guarded(path, || self.file.dataset(path))?;
        let stored = guarded(path, || dataset.dtype())?;
        if stored != StoredType::F32 {
            return Err(ImportError::Hdf5 {
                path: path.to_owned(),
                why: format!(
                    "its elements are {stored}, only float32 weights are supported: set the model's dtype policy to \
                     float32 and save it again"
                ),
            });
        }
        let bytes = shape
            .iter()
            .try_fold(4u64, |bytes, &size| bytes.checked_mul(size as u64))
            .unwrap_or(u64::MAX);
        let left = self.budget.get();
        if bytes > left {
            return Err(ImportError::TooLarge {
                what: format!("the dataset `{path}` in bytes, with those read before it,"),
                size: bytes,
                limit: left,
            });
        }
        self.budget.set(left - bytes);
        let values = guarded(path, || dataset.read_f32())?;
        if (values.len() as u64).checked_mul(4) != Some(bytes) {
            return Err(ImportError::Hdf5 {
                path: path.to_owned(),
                why: format!("it has {} elements, its shape is {shape:?}", values.len()),
            });
        }
        Ok(Array { shape, values })
    }

    fn group(&self, path: &str) -> Result<hdf5_pure::Group, hdf5_pure::Error> {
        if path == "/" {
            Ok(self.file.root())
        } else {
            self.file.group(path)
        }
    }
}

/// Calls the reader; its errors and panics become ours.
fn guarded<T>(path: &str, read: impl FnOnce() -> Result<T, hdf5_pure::Error>) -> Result<T, ImportError> {
    let failed = |why: String| ImportError::Hdf5 {
        path: path.to_owned(),
        why,
    };
    // Nothing of ours is changed by a reader that stops half way: it only reads.
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| failed(error.to_string())),
        Err(_) => Err(failed(
            "it is damaged in a way that the reader cannot name".to_owned(),
        )),
    }
}

/// The strings that an attribute holds, one or many.
fn strings_of(value: &AttrValue) -> Option<Vec<String>> {
    match value {
        AttrValue::String(one)
        | AttrValue::AsciiString(one)
        | AttrValue::VarLenString(one)
        | AttrValue::VarLenAsciiString(one)
        | AttrValue::StringSized { value: one, .. }
        | AttrValue::AsciiStringSized { value: one, .. } => Some(vec![one.clone()]),
        AttrValue::StringArray(many)
        | AttrValue::AsciiStringArray(many)
        | AttrValue::VarLenStringArray(many)
        | AttrValue::VarLenAsciiStringArray(many)
        | AttrValue::VarLenAsciiCharArray(many)
        | AttrValue::StringArraySized { values: many, .. }
        | AttrValue::AsciiStringArraySized { values: many, .. } => Some(many.clone()),
        _ => None,
    }
}
