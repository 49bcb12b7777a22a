//! A pipeline: a description with what it names, all found to fit.

use crate::{
    Description, FileRole, Hash, Misfit, Role, StoredFile, Task,
    layout::{Graph, cache_names},
};
use std::{collections::BTreeMap, sync::Arc};
use synod_model::Model;
use synod_text::Tokenizer;

/// What a description names: models by their roles, and the tokenizer.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Models, loaded.
    pub models: BTreeMap<Role, Model>,
    /// The bytes of files.
    pub files: BTreeMap<FileRole, Vec<u8>>,
}

/// Description, models and tokenizer that fit together. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pipeline {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) description: Description,
    /// Of all tasks but those of pictures.
    pub(crate) tokenizer: Option<Arc<Tokenizer>>,
    pub(crate) graphs: Arc<BTreeMap<Role, Graph>>,
    /// What the logits, or the vector, have in their last dimension.
    pub(crate) width: usize,
}

impl Shared {
    /// The tokenizer of a task of texts.
    pub(crate) fn tokenizer(&self) -> &Tokenizer {
        self.tokenizer
            .as_deref()
            .expect("a pipeline of texts is put together with its tokenizer")
    }
}

impl Pipeline {
    /// Puts together what a description names.
    ///
    /// # Errors
    /// If something is missing, is not what the description names, or does not fit.
    pub fn assemble(description: Description, parts: Parts) -> Result<Self, Misfit> {
        let task = description.task;
        Self::check_parts(&description, &parts)?;
        Self::check_rules(&description)?;
        let tokenizer = match parts.files.get(&FileRole::Tokenizer) {
            None => None,
            Some(file) => {
                let read = Tokenizer::from_json(file);
                let tokenizer = read.map_err(|error| Misfit::new("files.tokenizer", error.to_string()))?;
                Some(Arc::new(tokenizer))
            }
        };
        let generates = matches!(task, Task::TextToText | Task::TextGeneration);
        let cache = match (
            parts.models.get(&Role::Decoder),
            parts.models.get(&Role::DecoderWithPast),
        ) {
            (Some(decoder), Some(with_past)) => cache_names(decoder, with_past)?,
            _ => Vec::new(),
        };
        let graphs = parts
            .models
            .iter()
            .map(|(&role, model)| Ok((role, Graph::read(task, role, model, &cache)?)))
            .collect::<Result<BTreeMap<_, _>, Misfit>>()?;
        let last = if generates { Role::Decoder } else { Role::Model };
        let width = graphs[&last].width()?;
        if let Some(generation) = &description.generation {
            let again = graphs[&Role::DecoderWithPast].width()?;
            if again != width {
                let reason = format!("it has {again} logits; the decoder without a past has {width}");
                return Err(Misfit::new("decoder_with_past.logits", reason));
            }
            generation.check(width)?;
            if task == Task::TextToText && generation.decoder_start_token_id.is_none() {
                let reason = "a decoder with an encoder needs it".into();
                return Err(Misfit::new("generation.decoder_start_token_id", reason));
            }
            let ids = tokenizer.as_ref().map_or(0, |read| read.vocabulary_size());
            if ids > width {
                let reason = format!(
                    "the tokenizer has ids up to {}; the decoder's logits are {width}",
                    ids - 1
                );
                return Err(Misfit::new("files.tokenizer", reason));
            }
        }
        if !description.labels.is_empty() {
            let classes = match task {
                Task::TextClassification | Task::ImageClassification => width,
                _ => 0,
            };
            if description.labels.len() != classes {
                let reason = format!("{} labels for {classes} classes", description.labels.len());
                return Err(Misfit::new("labels", reason));
            }
        }
        Ok(Self {
            shared: Arc::new(Shared {
                description,
                tokenizer,
                graphs: Arc::new(graphs),
                width,
            }),
        })
    }

    /// Exactly the rules of the task.
    fn check_rules(description: &Description) -> Result<(), Misfit> {
        let task = description.task;
        let of_pictures = task == Task::ImageClassification;
        let generates = matches!(task, Task::TextToText | Task::TextGeneration);
        for (field, is_there, needed) in [
            ("text", description.text.is_some(), !of_pictures),
            ("generation", description.generation.is_some(), generates),
            ("image", description.image.is_some(), of_pictures),
        ] {
            if is_there != needed {
                let reason = if needed { "needs it" } else { "has none" };
                return Err(Misfit::new(field, format!("the task {} {reason}", task.name())));
            }
        }
        if let Some(text) = &description.text
            && (text.max_tokens == 0 || text.max_tokens > crate::limits::MAX_TOKENS)
        {
            let reason = format!("it is from 1 to {}", crate::limits::MAX_TOKENS);
            return Err(Misfit::new("text.max_tokens", reason));
        }
        if let Some(rule) = &description.image {
            rule.check()
                .map_err(|error| Misfit::new("image", error.to_string()))?;
        }
        Ok(())
    }

    /// Exactly the parts of the task, and those that the description names.
    fn check_parts(description: &Description, parts: &Parts) -> Result<(), Misfit> {
        let roles = description.task.roles();
        for role in roles {
            let field = format!("models.{role}");
            let named = description.models.get(role).ok_or_else(|| {
                Misfit::new(
                    field.as_str(),
                    format!("the task {} needs it", description.task.name()),
                )
            })?;
            let model = parts
                .models
                .get(role)
                .ok_or_else(|| Misfit::new(field.as_str(), "the model was not given".into()))?;
            let found = Hash::from(model.id());
            if found != *named {
                let reason = format!("the model that was given has the id {found}, not {named}");
                return Err(Misfit::new(field, reason));
            }
        }
        for role in description.models.keys().chain(parts.models.keys()) {
            if !roles.contains(role) {
                let reason = format!("the task {} has no use for it", description.task.name());
                return Err(Misfit::new(format!("models.{role}"), reason));
            }
        }
        if description.task == Task::ImageClassification {
            return match description.files.keys().chain(parts.files.keys()).next() {
                None => Ok(()),
                Some(role) => {
                    let reason = format!("the task {} has no use for it", description.task.name());
                    Err(Misfit::new(format!("files.{}", role.name()), reason))
                }
            };
        }
        let field = format!("files.{}", FileRole::Tokenizer.name());
        let named = description.files.get(&FileRole::Tokenizer).ok_or_else(|| {
            Misfit::new(
                field.as_str(),
                format!("the task {} needs it", description.task.name()),
            )
        })?;
        let bytes = parts
            .files
            .get(&FileRole::Tokenizer)
            .ok_or_else(|| Misfit::new(field.as_str(), "the file was not given".into()))?;
        let found = StoredFile::of(bytes);
        if found != *named {
            let reason = format!(
                "the file that was given has {} bytes and the root {}, not {} and {}",
                found.length, found.root, named.length, named.root
            );
            return Err(Misfit::new(field, reason));
        }
        Ok(())
    }

    /// What it is made of.
    pub fn description(&self) -> &Description {
        &self.shared.description
    }

    /// Its tokenizer; `None` of a task of pictures.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.shared.tokenizer.as_deref()
    }

    /// Its graphs.
    pub fn models(&self) -> impl Iterator<Item = (Role, &Model)> {
        self.shared
            .graphs
            .iter()
            .map(|(&role, graph)| (role, &graph.model))
    }
}
