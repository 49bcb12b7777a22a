//! Text into tokens and back: `tokenizer.json` as Hugging Face's libraries write it, the same on every machine, in bounded time and
//! memory.
//!
//! ```text
//!   tokenizer.json ──Tokenizer::from_json──► Tokenizer     an allow-list: what is not on it is refused with its field and value
//!                                               │ encode(text)
//!                                               ▼
//!                                        ids of tokens     work known from the text's length before it runs
//!                                               │ decode(ids)
//!                                               ▼
//!                                             text
//! ```
//!
//! The algorithms are those of the crate `tokenizers`, pinned. What is done here: read the file strictly, and build each component
//! from what was read; leave out what could make two machines differ (caches, threads, dropout) or an attacker's file or text slow;
//! bound the rest. `docs/spec/pipeline.md` §2 is normative.
//!
//! What can go wrong, and where it is caught: a component that nobody has looked at (not on the list); two tokens with one id, so that
//! a hash map's order would decide (refused); patterns that backtrack (only known ones); a table of characters that points outside of
//! itself (walked once when it is loaded); text that grows without bound as it is normalised (a limit on its growth).
//!
//! The crate knows no model and no chain.
//!
//! # Example
//! ```
//! use synod_text::Tokenizer;
//! # fn run(file: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! let tokenizer = Tokenizer::from_json(file)?;
//! let ids = tokenizer.encode("The apples are good.", true)?;
//! println!("{}", tokenizer.decode(&ids, true)?);
//! # Ok(())
//! # }
//! ```

mod error;
pub mod limits;
mod read;
mod tokenizer;
pub mod work;

pub use error::{LoadError, TextError};
pub use tokenizer::Tokenizer;
