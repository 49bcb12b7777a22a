//! What does not fit, and what ends a call without an answer.

use crate::{PictureError, Role};
use synod_model::{PlanError, RunError, Shape};
use synod_text::TextError;

/// Why description, models and files are no pipeline: the field, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Misfit {
    /// Of the description, as `generation.eos_token_ids`; or a model's port, as `decoder.input_ids`.
    pub field: String,
    /// What is wrong with it, and what was expected.
    pub reason: String,
}

impl Misfit {
    pub(crate) fn new(field: impl Into<String>, reason: String) -> Self {
        Self {
            field: field.into(),
            reason,
        }
    }
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The pipeline's task is another.
    #[error("the pipeline's task is {task}, which does not {asked}")]
    OtherTask {
        /// Its name.
        task: &'static str,
        /// What was asked for.
        asked: &'static str,
    },
    /// The text gives no tokens, or tokens no text.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The file is no picture that the pipeline can look at.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// More tokens than the pipeline takes.
    #[error("the text has {tokens} tokens; the pipeline takes at most {limit}")]
    TooManyTokens {
        /// How many.
        tokens: usize,
        /// How many may be.
        limit: usize,
    },
    /// A text without tokens where there must be one.
    #[error("the text has no tokens: there is nothing to go on from")]
    NoTokens,
    /// A graph does not plan at the shapes that a call needs.
    #[error("{role}: {error}")]
    Plan {
        /// Which.
        role: Role,
        /// Why.
        error: Box<PlanError>,
    },
    /// A graph failed.
    #[error("{role}: {error}")]
    Run {
        /// Which.
        role: Role,
        /// Why.
        error: Box<RunError>,
    },
    /// A graph whose cost is known only when it has run.
    #[error("{role}: what a run costs depends on its inputs")]
    OpenCost {
        /// Which.
        role: Role,
    },
    /// A graph whose output does not have a row, or a place, for each token.
    #[error("{role}.{port}: it has the shape {shape:?} for {rows} rows of {length} tokens")]
    OutputShape {
        /// Which.
        role: Role,
        /// The output.
        port: String,
        /// Its shape.
        shape: Shape,
        /// Rows that it was given.
        rows: usize,
        /// Tokens of each.
        length: usize,
    },
    /// Scores that are no numbers.
    #[error("the model's scores are NaN or infinite after {tokens} tokens")]
    NotFinite {
        /// Tokens generated before.
        tokens: usize,
    },
    /// The meter stopped the call.
    #[error("stopped by the meter")]
    Stopped,
}
