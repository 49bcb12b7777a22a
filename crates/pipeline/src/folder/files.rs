//! Which files of a folder are its graphs.
//!
//! A graph may lie there several times, in *variants* that differ in the type of their weights and in what stands before `.onnx`:
//! `model.onnx`, `model_quantized.onnx`. All graphs of a pipeline are of one variant: the one that the options name, else the first of
//! [`VARIANTS`] of which there is a graph.

use super::{FolderError, ImportOptions, Source, Within};
use crate::{Role, Task};
use bytes::Bytes;
use synod_model::proto::{ModelProto, decode_model};

/// What is looked for where nothing is said: the author's floats, else bytes under the names that exporters give them.
const VARIANTS: [&str; 4] = ["", "_quantized", "_int8", "_uint8"];
/// Where graphs lie, relative to the other files.
const FOLDERS: [&str; 2] = ["", "onnx/"];

const ENCODER: &str = "encoder_model";
const DECODER: &str = "decoder_model";
const WITH_PAST: &str = "decoder_with_past_model";
const MERGED: &str = "decoder_model_merged";
const MODEL: &str = "model";

/// The graphs that a folder has, in one variant.
pub(super) struct Graphs<'s> {
    source: &'s dyn Source,
    variant: String,
}

/// A graph as it lies in the folder.
#[derive(Debug, Clone)]
pub(super) struct GraphFile {
    /// The file's name in the folder.
    pub(super) name: String,
    pub(super) model: ModelProto,
    folder: &'static str,
}

/// The files of a decoder.
enum Decoders {
    /// A graph without a past, and one with it.
    Pair,
    /// A file of this name that holds both.
    Both(&'static str),
}

impl GraphFile {
    /// What lies beside it.
    pub(super) fn beside<'s>(&self, source: &'s dyn Source) -> Within<'s> {
        Within {
            source,
            folder: self.folder,
        }
    }
}

impl<'s> Graphs<'s> {
    /// Looks which variant is there.
    pub(super) fn find(source: &'s dyn Source, options: &ImportOptions) -> Result<Self, FolderError> {
        let of = |variant: &str| Self {
            source,
            variant: variant.to_owned(),
        };
        if let Some(variant) = &options.variant {
            return Ok(of(variant));
        }
        for variant in VARIANTS {
            let graphs = of(variant);
            if graphs.has_decoder()? || graphs.has(MODEL)? {
                return Ok(graphs);
            }
        }
        Ok(of(VARIANTS[0]))
    }

    /// What the person who publishes should know of the choice.
    pub(super) fn note(&self, options: &ImportOptions) -> Option<String> {
        let chosen = options.variant.is_none() && self.variant != VARIANTS[0];
        chosen.then(|| {
            format!(
                "graphs are those with {} in their names: there are none without",
                self.variant
            )
        })
    }

    pub(super) fn has_encoder(&self) -> Result<bool, FolderError> {
        self.has(ENCODER)
    }

    pub(super) fn has_decoder(&self) -> Result<bool, FolderError> {
        Ok(self.has(DECODER)? || self.has(MERGED)?)
    }

    pub(super) fn has_model(&self) -> Result<bool, FolderError> {
        self.has(MODEL)
    }

    /// The graphs of a task.
    pub(super) fn read(&self, task: Task) -> Result<Vec<(Role, GraphFile)>, FolderError> {
        let mut graphs = Vec::new();
        if task == Task::TextToText {
            graphs.push((Role::Encoder, self.required(ENCODER, task)?));
        }
        match task {
            Task::TextToText | Task::TextGeneration => match self.decoders(task)? {
                Decoders::Pair => {
                    graphs.push((Role::Decoder, self.required(DECODER, task)?));
                    graphs.push((Role::DecoderWithPast, self.required(WITH_PAST, task)?));
                }
                Decoders::Both(stem) => {
                    let file = self.required(stem, task)?;
                    graphs.extend(super::decoders::split(&file, task == Task::TextToText)?);
                }
            },
            _ => graphs.push((Role::Model, self.required(MODEL, task)?)),
        }
        Ok(graphs)
    }

    /// A pair is taken before a file that holds both: it is what that was made of.
    fn decoders(&self, task: Task) -> Result<Decoders, FolderError> {
        let (decoder, with_past) = (self.has(DECODER)?, self.has(WITH_PAST)?);
        if decoder && with_past {
            return Ok(Decoders::Pair);
        }
        if self.has(MERGED)? {
            return Ok(Decoders::Both(MERGED));
        }
        if task == Task::TextGeneration && !decoder && self.has(MODEL)? {
            return Ok(Decoders::Both(MODEL));
        }
        let missing = match (decoder, with_past) {
            (true, _) => WITH_PAST,
            (_, true) => DECODER,
            _ => MERGED,
        };
        Err(self.missing(missing, task))
    }

    fn path(&self, folder: &str, stem: &str) -> String {
        format!("{folder}{stem}{}.onnx", self.variant)
    }

    fn has(&self, stem: &str) -> Result<bool, FolderError> {
        for folder in FOLDERS {
            let path = self.path(folder, stem);
            if self
                .source
                .has(&path)
                .map_err(|error| FolderError::read(&path, error))?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn required(&self, stem: &str, task: Task) -> Result<GraphFile, FolderError> {
        for folder in FOLDERS {
            let name = self.path(folder, stem);
            if let Some(bytes) = super::optional(self.source, &name)? {
                let model = decode_model(Bytes::from(bytes)).map_err(|error| FolderError::Import {
                    file: name.clone(),
                    error: Box::new(error.into()),
                })?;
                return Ok(GraphFile { name, model, folder });
            }
        }
        Err(self.missing(stem, task))
    }

    fn missing(&self, stem: &str, task: Task) -> FolderError {
        FolderError::Missing {
            file: self.path("", stem),
            task: task.name(),
        }
    }
}
