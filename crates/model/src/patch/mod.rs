//! Patches: the weights of a model that differ from those of another (`docs/spec/model.md` §8).
//!
//! Two models with the same graph may differ in a few weights: one was trained on. A patch says which bytes of the weights
//! become what ([`Edits`]). The id of the result is that of the same bytes published afresh. It follows from the id of the base,
//! the leaves that the patch touches ([`Leaves`]) and the hashes beside their paths ([`LeafProof`]): nobody has to read the rest.
//!
//! That a result is a valid model follows from the base being one, if each edit lies within a tensor, leaves no other NaN than the
//! canonical one and no other bool than 0 and 1 ([`WeightMap`]), and the structure of the graph does not depend on the weights'
//! values ([`Model::is_steady`](crate::Model::is_steady)).

mod edits;
mod leaves;
mod weights;

pub use edits::{Edit, Edits, EditsError};
pub use leaves::{LeafProof, Leaves, ProofError};
pub use weights::{WeightMap, WeightsError};
