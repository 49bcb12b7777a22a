//! The description: which models and files take part, and the rules. A document with one encoding.
//!
//! The encoding is JSON without white space, the fields in the order of the structs here, all that are set, numbers in decimal, strings as
//! `serde_json` escapes them. Whoever reads one decodes it, encodes it again and compares: a difference is a refusal, so nothing
//! can hide in an encoding and equal pipelines have equal ids.

use crate::{
    Generation, TextRule,
    limits::{MAX_DESCRIPTION_BYTES, MAX_LABEL_BYTES, MAX_LABELS},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt};
use synod_model::{ModelId, merkle_root};

/// The version that this crate reads.
pub const DESCRIPTION_VERSION: u32 = 1;

/// What a pipeline is made of and does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// [`DESCRIPTION_VERSION`].
    pub version: u32,
    /// What it does.
    pub task: Task,
    /// Its graphs by the ids of models.
    pub models: BTreeMap<Role, Hash>,
    /// Its other files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<FileRole, StoredFile>,
    /// How a text becomes tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextRule>,
    /// How tokens are generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// How a picture becomes a tensor (`docs/spec/image.md`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<synod_image::Rule>,
    /// What the classes are called, in the order of the logits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// What a pipeline does, by the names that Hugging Face gives to tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Task {
    /// An encoder reads a text, a decoder writes another: translation.
    #[serde(rename = "text-to-text")]
    TextToText,
    /// A decoder goes on where a text ends.
    TextGeneration,
    /// A text gets a label and a score.
    TextClassification,
    /// A text becomes a vector.
    FeatureExtraction,
    /// An image gets a label and a score.
    ImageClassification,
}

impl Task {
    /// The task of this name.
    pub fn named(name: &str) -> Option<Self> {
        ALL_TASKS.into_iter().find(|task| task.name() == name)
    }

    /// Its name, as descriptions have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TextToText => "text-to-text",
            Self::TextGeneration => "text-generation",
            Self::TextClassification => "text-classification",
            Self::FeatureExtraction => "feature-extraction",
            Self::ImageClassification => "image-classification",
        }
    }

    /// The graphs that it needs.
    pub const fn roles(self) -> &'static [Role] {
        match self {
            Self::TextToText => &[Role::Encoder, Role::Decoder, Role::DecoderWithPast],
            Self::TextGeneration => &[Role::Decoder, Role::DecoderWithPast],
            Self::TextClassification | Self::FeatureExtraction | Self::ImageClassification => &[Role::Model],
        }
    }
}

const ALL_TASKS: [Task; 5] = [
    Task::TextToText,
    Task::TextGeneration,
    Task::TextClassification,
    Task::FeatureExtraction,
    Task::ImageClassification,
];

/// What a graph is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The decoder's first step, without a past.
    Decoder,
    /// The decoder's further steps.
    DecoderWithPast,
    /// Reads the text that a decoder answers.
    Encoder,
    /// The only graph.
    Model,
}

impl Role {
    /// Its name, as descriptions have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decoder => "decoder",
            Self::DecoderWithPast => "decoder_with_past",
            Self::Encoder => "encoder",
            Self::Model => "model",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What another file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileRole {
    /// `tokenizer.json`.
    Tokenizer,
}

impl FileRole {
    /// Its name, as descriptions have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tokenizer => "tokenizer",
        }
    }
}

/// A file by its length and the [Merkle root](merkle_root) of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredFile {
    /// Its bytes.
    pub length: u64,
    /// The root.
    pub root: Hash,
}

impl StoredFile {
    /// How a file with these bytes is named.
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            length: bytes.len() as u64,
            root: Hash(merkle_root(bytes)),
        }
    }
}

/// 32 bytes, written as `0x` and 64 digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ModelId(self.0).fmt(f)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<ModelId> for Hash {
    fn from(id: ModelId) -> Self {
        Self(id.0)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let id: ModelId = text.parse().map_err(de::Error::custom)?;
        Ok(Self(id.0))
    }
}

/// Identifies a pipeline: equal ids mean equal descriptions, so equal graphs, tokenizer and rules.
///
/// SHA-256 of 0x03, "synod pipeline", the version and the length of the description (u32 and u64, big-endian) and the Merkle root of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipelineId(pub [u8; 32]);

impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ModelId(self.0).fmt(f)
    }
}

impl fmt::Debug for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PipelineId {
    /// The id of a description's bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update([3]);
        hash.update(b"synod pipeline");
        hash.update(DESCRIPTION_VERSION.to_be_bytes());
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(merkle_root(bytes));
        Self(hash.finalize().into())
    }
}

/// Why bytes are not a description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// More bytes than a description may have.
    #[error("the description has {length} bytes; the limit is {MAX_DESCRIPTION_BYTES}")]
    TooLarge {
        /// Its length.
        length: usize,
    },
    /// Not JSON, or not of this form: a field that is not known, or missing, or of another kind.
    #[error("the description: {reason}")]
    Json {
        /// What is wrong, and where.
        reason: String,
    },
    /// A version that this crate does not read.
    #[error("the description has version {version}; known is {DESCRIPTION_VERSION}")]
    Version {
        /// Its version.
        version: u32,
    },
    /// Valid perhaps, but not written the one way.
    #[error("the description is not in canonical form (first difference at byte {offset})")]
    NotCanonical {
        /// Where the bytes first differ from the canonical ones.
        offset: usize,
    },
    /// Too many labels, or too long ones.
    #[error("labels: at most {MAX_LABELS} of {MAX_LABEL_BYTES} bytes")]
    Labels,
}

impl Description {
    /// Reads a description in its one encoding.
    ///
    /// # Errors
    /// If the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DescriptionError> {
        if bytes.len() > MAX_DESCRIPTION_BYTES {
            return Err(DescriptionError::TooLarge { length: bytes.len() });
        }
        let description: Self = serde_json::from_slice(bytes).map_err(|error| DescriptionError::Json {
            reason: error.to_string(),
        })?;
        if description.version != DESCRIPTION_VERSION {
            return Err(DescriptionError::Version {
                version: description.version,
            });
        }
        let labels = &description.labels;
        if labels.len() > MAX_LABELS || labels.iter().any(|label| label.len() > MAX_LABEL_BYTES) {
            return Err(DescriptionError::Labels);
        }
        let canonical = description.encode();
        if canonical != bytes {
            let offset = canonical.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            return Err(DescriptionError::NotCanonical { offset });
        }
        Ok(description)
    }

    /// Its one encoding.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self)
            .expect("names of fields are strings, and nothing in it can fail to be written")
    }

    /// Its id.
    pub fn id(&self) -> PipelineId {
        PipelineId::of(&self.encode())
    }
}
