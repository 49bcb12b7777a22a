//! Synod's EVM: Ethereum's, and PREDICT.
//!
//! A contract asks a neural network that is stored on the chain, and gets the answer in the same transaction:
//!
//! ```text
//! contract ── CALL 0x…AE01 ─┐                       ┌─ ModelRegistry's storage: name → id → record
//!                           ├─ precompile (one) ────┤
//! contract ── AE 01 ────────┘        │              └─ chunk accounts (only if the model is not in memory)
//!                                    ▼
//!                          engine: compiled models and plans
//! ```
//!
//! - [`SynodEvmFactory`] builds the EVM; everything else of a chain takes it where it would take Ethereum's.
//! - [`gas`] is the price list, [`manifest`] the form in which models lie on the chain, [`registry`] and [`name`] how a
//!   name becomes a model, [`genesis`] what a chain needs from its first block on, [`interface`] the ABI.
//! - [`watch`] shows a transaction's calls of the precompile to whoever runs it again.
//!
//! Three properties hold everything together; `tests/` tries to break each of them:
//! 1. **A cache changes time only.** Gas, output, trace, warm set and state are equal whether a model was in memory.
//! 2. **Nothing runs unpaid.** Every step is charged before it is taken, from consensus data.
//! 3. **Total.** Whatever the call data, the manifest or the model: an answer, a typed revert, or out of gas.

pub mod addresses;
pub mod file;
pub mod fixed;
pub mod gas;
pub mod genesis;
pub mod interface;
pub mod manifest;
pub mod name;
pub mod opcode;
mod patch;
pub mod pipeline;
pub mod registry;
pub mod rights;
pub mod watch;

mod abi;
mod cache;
mod chunks;
mod engine;
mod factory;
mod failure;
mod inference;
mod ports;
mod precompile;
mod precompiles;
mod wire;

pub use engine::{Arithmetic, Engine, EngineConfig, EngineUsage};
pub use factory::SynodEvmFactory;
pub use inference::{InferenceRules, SynodEvm};
pub use precompiles::SynodPrecompiles;
