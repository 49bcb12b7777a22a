//! A folder as Hugging Face's exports are, read into what is published. The tool's side.
//!
//! | file | what is taken from it |
//! |---|---|
//! | `encoder_model.onnx`, `decoder_model.onnx`, `decoder_with_past_model.onnx`, `decoder_model_merged.onnx`, `model.onnx` | graphs, with the weights beside them; here or in `onnx/`; where there are none of these names, `…_quantized.onnx`, `…_int8.onnx` or `…_uint8.onnx` |
//! | `tokenizer.json` | the tokenizer, as it is |
//! | `generation_config.json`, else `config.json` | how tokens are generated |
//! | `config.json` | the task, the longest text, labels |
//! | `preprocessor_config.json` | how a picture becomes a tensor |
//!
//! What a field says that this crate does not do is refused with the file and the field, not left out.

mod config;
mod decoders;
mod files;
mod graphs;

use crate::{
    DESCRIPTION_VERSION, Description, FileRole, Hash, Misfit, Parts, Pipeline, Role, StoredFile, Task,
    TextRule,
};
use bytes::Bytes;
use config::Config;
use files::Graphs;
use std::{
    collections::BTreeMap,
    io,
    path::{Component, Path, PathBuf},
};
use synod_model::{CanonicalModel, ExternalData, ExternalDataError, ImportError, Model, ModelError};
use synod_text::Tokenizer;

/// Where files come from.
pub trait Source: ExternalData {
    /// The bytes of the file of this name, a relative path with `/`; `None` if there is none.
    ///
    /// # Errors
    /// If it is there and cannot be read.
    fn file(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Whether there is a file of this name.
    ///
    /// # Errors
    /// If that cannot be told.
    fn has(&self, name: &str) -> io::Result<bool> {
        Ok(self.file(name)?.is_some())
    }
}

/// A folder on disk.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The folder at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Source for Directory {
    fn file(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.path.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn has(&self, name: &str) -> io::Result<bool> {
        self.path.join(name).try_exists()
    }
}

impl ExternalData for Directory {
    fn read(&self, location: &str, offset: u64, length: usize) -> Result<Bytes, ExternalDataError> {
        let fail = |why: String| ExternalDataError::Io {
            location: location.to_owned(),
            why,
        };
        let inside = Path::new(location)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside {
            return Err(fail("it is not inside the folder".into()));
        }
        let file = self.file(location).map_err(|error| fail(error.to_string()))?;
        let file = file.ok_or_else(|| ExternalDataError::NotFound {
            location: location.to_owned(),
        })?;
        let needed = offset.saturating_add(length as u64);
        let too_short = ExternalDataError::TooShort {
            location: location.to_owned(),
            needed,
            got: file.len() as u64,
        };
        let end = usize::try_from(needed).ok().filter(|&end| end <= file.len());
        let end = end.ok_or(too_short)?;
        Ok(Bytes::from(file).slice(end - length..end))
    }
}

/// A folder within another, for what lies beside a graph.
struct Within<'s> {
    source: &'s dyn Source,
    folder: &'static str,
}

impl ExternalData for Within<'_> {
    fn read(&self, location: &str, offset: u64, length: usize) -> Result<Bytes, ExternalDataError> {
        match self
            .source
            .read(&format!("{}{location}", self.folder), offset, length)
        {
            Err(ExternalDataError::NotFound { .. }) if !self.folder.is_empty() => {
                self.source.read(location, offset, length)
            }
            other => other,
        }
    }
}

/// What a folder leaves open, or what it says differently.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// The task; without it the one that files and `config.json` point at.
    pub task: Option<Task>,
    /// The most tokens of a text; without it what tokenizer and `config.json` allow, at most 512.
    pub max_input_tokens: Option<u32>,
    /// The most tokens that are generated.
    pub max_new_tokens: Option<u32>,
    /// Beams.
    pub num_beams: Option<u32>,
    /// Whether a rule that asks for sampling is taken as one that does not. Without it such a rule is refused.
    pub without_sampling: bool,
    /// What stands before `.onnx` in the names of the graphs, as `_int8` of `encoder_model_int8.onnx`. Without it nothing; where there
    /// are no such graphs `_quantized`, `_int8` or `_uint8`, the first of which there are.
    pub variant: Option<String>,
    /// As [`synod_model::ImportOptions::integers`].
    pub integers: bool,
}

/// What a folder becomes.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The description.
    pub description: Description,
    /// The graphs.
    pub models: BTreeMap<Role, CanonicalModel>,
    /// The other files' bytes.
    pub files: BTreeMap<FileRole, Vec<u8>>,
    /// What the person who publishes should know: fields that were read as something else than they say.
    pub notes: Vec<String>,
}

impl Imported {
    /// Loads everything, as the chain does.
    ///
    /// # Errors
    /// If it does not fit together.
    pub fn pipeline(&self) -> Result<Pipeline, FolderError> {
        let models = self.models.iter().map(|(&role, model)| {
            let model = Model::load(model.graph.clone(), model.weights.clone());
            Ok((
                role,
                model.map_err(|error| FolderError::Model {
                    role,
                    error: Box::new(error),
                })?,
            ))
        });
        let parts = Parts {
            models: models.collect::<Result<_, FolderError>>()?,
            files: self.files.clone(),
        };
        Ok(Pipeline::assemble(self.description.clone(), parts)?)
    }
}

/// Why a folder is no pipeline.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// A file that the task needs.
    #[error("{file}: there is no such file; the task {task} needs it")]
    Missing {
        /// Its name.
        file: String,
        /// The task.
        task: &'static str,
    },
    /// A file that cannot be read.
    #[error("{file}: {error}")]
    Read {
        /// Its name.
        file: String,
        /// Why.
        error: io::Error,
    },
    /// A field with a value that is not done here.
    #[error("{file}: {field}: {reason}")]
    Field {
        /// The file.
        file: String,
        /// The field.
        field: String,
        /// What is wrong with it, and what could be done.
        reason: String,
    },
    /// Nothing says what the folder is for.
    #[error("neither the files nor config.json tell the task: {reason}")]
    Task {
        /// What was looked at.
        reason: String,
    },
    /// A graph that is not imported.
    #[error("{file}: {error}")]
    Import {
        /// Its name.
        file: String,
        /// Why.
        error: Box<ImportError>,
    },
    /// A graph that does not load.
    #[error("{role}: {error}")]
    Model {
        /// Which.
        role: Role,
        /// Why.
        error: Box<ModelError>,
    },
    /// Parts that do not fit together.
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

impl FolderError {
    fn field(file: &str, field: &str, reason: impl Into<String>) -> Self {
        Self::Field {
            file: file.into(),
            field: field.into(),
            reason: reason.into(),
        }
    }

    fn read(file: &str, error: io::Error) -> Self {
        Self::Read {
            file: file.into(),
            error,
        }
    }
}

const TOKENIZER: &str = "tokenizer.json";
const PREPROCESSOR: &str = "preprocessor_config.json";

/// Reads a folder.
///
/// # Errors
/// If a file is missing or is not what it should be, or a field says what is not done here.
pub fn import(source: &dyn Source, options: &ImportOptions) -> Result<Imported, FolderError> {
    let config = Config::read(source)?;
    let graphs = Graphs::find(source, options)?;
    let task = task(source, &graphs, &config, options)?;
    if task == Task::ImageClassification {
        return pictures(source, &graphs, &config, options);
    }
    let tokenizer_bytes = required(source, TOKENIZER, task)?;
    let tokenizer = Tokenizer::from_json(&tokenizer_bytes).map_err(|error| {
        FolderError::read(
            TOKENIZER,
            io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
        )
    })?;
    let mut notes = Vec::from_iter(graphs.note(options));
    let positions = config.positions();
    let longest = [
        options.max_input_tokens,
        tokenizer
            .max_tokens()
            .map(|tokens| u32::try_from(tokens).unwrap_or(u32::MAX)),
        positions,
    ];
    let mut max_input = longest.into_iter().flatten().min().unwrap_or(512);
    if options.max_input_tokens.is_none() {
        max_input = max_input.min(512);
    }
    let generation = match task {
        Task::TextToText | Task::TextGeneration => {
            Some(config.generation(source, task, positions, options, &mut notes)?)
        }
        _ => None,
    };
    let bounds = graphs::Bounds {
        task,
        max_input,
        max_length: generation.as_ref().map_or(0, |rule| rule.max_length),
        max_new: generation.as_ref().map_or(0, |rule| rule.max_new_tokens),
        beams: generation.as_ref().map_or(1, |rule| rule.num_beams),
        picture: None,
    };
    let models = import_graphs(source, &graphs, &bounds, options)?;
    let labels = if task == Task::TextClassification {
        config.labels()?
    } else {
        Vec::new()
    };
    let files = BTreeMap::from([(FileRole::Tokenizer, tokenizer_bytes)]);
    let description = Description {
        version: DESCRIPTION_VERSION,
        task,
        models: ids(&models),
        files: files
            .iter()
            .map(|(&role, bytes)| (role, StoredFile::of(bytes)))
            .collect(),
        text: Some(TextRule {
            special_tokens: true,
            max_tokens: max_input,
        }),
        generation,
        image: None,
        labels,
    };
    Ok(Imported {
        description,
        models,
        files,
        notes,
    })
}

/// Reads a folder with a network that classifies pictures.
fn pictures(
    source: &dyn Source,
    graphs: &Graphs<'_>,
    config: &Config,
    options: &ImportOptions,
) -> Result<Imported, FolderError> {
    let task = Task::ImageClassification;
    let bytes = required(source, PREPROCESSOR, task)?;
    let rule = synod_image::Rule::from_hugging_face(&bytes)
        .map_err(|error| FolderError::field(PREPROCESSOR, "", error.to_string()))?;
    // of a picture that is no square: what the network gets must not depend on it
    let shapes = [(640, 480), (480, 640)].map(|(width, height)| rule.shape(width, height).ok());
    let [Some(shape), Some(other)] = shapes else {
        let reason = "it makes nothing of a picture of 640 × 480 pixels";
        return Err(FolderError::field(PREPROCESSOR, "size", reason));
    };
    if shape != other {
        let reason = "it makes tensors of different shapes of different pictures: a centre crop is needed";
        return Err(FolderError::field(PREPROCESSOR, "do_center_crop", reason));
    }
    let bounds = graphs::Bounds {
        task,
        max_input: 1,
        max_length: 0,
        max_new: 0,
        beams: 1,
        picture: Some(shape),
    };
    let models = import_graphs(source, graphs, &bounds, options)?;
    Ok(Imported {
        description: Description {
            version: DESCRIPTION_VERSION,
            task,
            models: ids(&models),
            files: BTreeMap::new(),
            text: None,
            generation: None,
            image: Some(rule),
            labels: config.labels()?,
        },
        models,
        files: BTreeMap::new(),
        notes: Vec::from_iter(graphs.note(options)),
    })
}

/// The graphs of the task, each imported.
fn import_graphs(
    source: &dyn Source,
    graphs: &Graphs<'_>,
    bounds: &graphs::Bounds,
    options: &ImportOptions,
) -> Result<BTreeMap<Role, CanonicalModel>, FolderError> {
    let files = graphs.read(bounds.task)?.into_iter();
    let imported = files.map(|(role, file)| {
        let within = file.beside(source);
        Ok((role, graphs::import(role, file, &within, bounds, options)?))
    });
    imported.collect()
}

fn ids(models: &BTreeMap<Role, CanonicalModel>) -> BTreeMap<Role, Hash> {
    let ids = models.iter().map(|(&role, model)| (role, Hash::from(model.id())));
    ids.collect()
}

fn optional(source: &dyn Source, name: &str) -> Result<Option<Vec<u8>>, FolderError> {
    source.file(name).map_err(|error| FolderError::read(name, error))
}

fn required(source: &dyn Source, name: &str, task: Task) -> Result<Vec<u8>, FolderError> {
    optional(source, name)?.ok_or_else(|| FolderError::Missing {
        file: name.into(),
        task: task.name(),
    })
}

/// What the options say, else the architecture, else the files.
fn task(
    source: &dyn Source,
    graphs: &Graphs<'_>,
    config: &Config,
    options: &ImportOptions,
) -> Result<Task, FolderError> {
    if let Some(task) = options.task {
        return Ok(task);
    }
    let decodes = graphs.has_decoder()?;
    // an encoder that is missing is named when the graphs are read
    if decodes && (config.is_encoder_decoder() || graphs.has_encoder()?) {
        return Ok(Task::TextToText);
    }
    let architecture = config.architecture();
    let ends = |ends: &[&str]| ends.iter().any(|end| architecture.ends_with(end));
    if decodes || ends(&["ForCausalLM", "LMHeadModel"]) {
        return Ok(Task::TextGeneration);
    }
    if ends(&["ForSequenceClassification"]) {
        return Ok(Task::TextClassification);
    }
    if ends(&["ForImageClassification"]) {
        return Ok(Task::ImageClassification);
    }
    if graphs.has_model()?
        && source
            .has(TOKENIZER)
            .map_err(|error| FolderError::read(TOKENIZER, error))?
    {
        return Ok(Task::FeatureExtraction);
    }
    Err(FolderError::Task {
        reason: format!("architecture `{architecture}`, and no graphs under the names that exports have"),
    })
}
