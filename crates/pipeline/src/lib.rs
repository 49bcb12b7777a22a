//! Pipelines: ONNX graphs, a tokenizer and rules that work together, so that a text goes in and a text comes out.
//!
//! ```text
//!   a folder as Hugging Face's exports are ──import──► Description + models + files      the tool's side
//!                                                           │ published, stored, fetched
//!                                                           ▼
//!                                                     Pipeline::assemble                 the chain's side
//!                                                           │ generate(text, limits, engine, meter)
//!                                                           ▼
//!                                                       text, tokens, why it ended
//! ```
//!
//! A [`Description`] is declarative: which models and files take part, by their ids and hashes, and the rules. It has one encoding.
//! [`Pipeline::assemble`] is total: any description with any models and file is accepted or refused with the field and the reason.
//!
//! Whoever runs a pipeline gives two things. An [`Engine`] plans and runs graphs, so that plans are kept where the caller keeps
//! them. A [`Meter`] is asked before every piece of work, and ends the call with what it has, or stops it.
//!
//! The key-value cache lives inside one call. Generated tokens are those that recomputing everything at each step would give, bit for
//! bit: `docs/spec/arithmetic.md` fixes the order of every sum, so rows do not depend on their batch, nor attention on what it was cached from.
//! `docs/spec/pipeline.md` is normative. The crate knows no chain and no gas.
//!
//! # Example
//! ```no_run
//! use synod_pipeline::{Directory, ImportOptions, Limits, Local, Unmetered, import};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let imported = import(&Directory::new("opus-mt-en-de"), &ImportOptions::default())?;
//! let pipeline = imported.pipeline()?;
//! let answer = pipeline.generate(b"The apples are good.", &Limits::default(), &mut Local::default(), &mut Unmetered)?;
//! println!("{} ({:?})", answer.text, answer.finish);
//! # Ok(())
//! # }
//! ```

mod classify;
mod description;
mod engine;
mod error;
mod folder;
mod generate;
mod layout;
pub mod limits;
mod picture;
mod pipeline;
mod rules;

pub use classify::{Classified, Embedded};
pub use description::{
    DESCRIPTION_VERSION, Description, DescriptionError, FileRole, Hash, PipelineId, Role, StoredFile, Task,
};
pub use engine::{Charge, Engine, Local, Meter, Stop, Unmetered};
pub use error::{Misfit, PipelineError};
pub use folder::{Directory, FolderError, ImportOptions, Imported, Source, import};
pub use generate::{Finish, Generated, Limits};
pub use picture::PictureError;
pub use pipeline::{Parts, Pipeline};
pub use rules::{EarlyStopping, Generation, TextRule};
pub use synod_image::Rule as ImageRule;
