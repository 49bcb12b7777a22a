//! Neural networks as values: ONNX import, validation, shapes, cost, a compiled plan and its executor.
//!
//! ```text
//!   any ONNX file ──import_onnx──► CanonicalModel (graph bytes, weight bytes)        the tool's side
//!                                        │ published, stored, fetched
//!                                        ▼
//!                                   Model::load     total validation, model id       the chain's side
//!                                        │ plan(input shapes)
//!                                        ▼
//!                                      Plan          cost known; kernels and memory laid out
//!                                        │ run(inputs, meter)
//!                                        ▼
//!                                     outputs        the same bits everywhere
//! ```
//!
//! The crate knows nothing of chains, gas or files. Its arithmetic is `synod-numerics`; its rules are
//! `docs/spec/arithmetic.md` (every operator to the bit) and `docs/spec/model.md` (canonical form, id, limits).
//!
//! What can go wrong, and where it is caught: a file that means something else than its author thinks (import refuses
//! what it does not know, down to single attributes); bytes crafted to exhaust a validator (the wire form is measured
//! before it is decoded, sizes are checked before anything is allocated, work is known before anything runs); two
//! encodings of one model (the loader accepts one).
//!
//! # Example
//! ```
//! use synod_model::{ImportOptions, Model, NoExternalData, Tensor, Unmetered, import_onnx};
//! # fn run(file: &[u8], input: Tensor) -> Result<Vec<Tensor>, Box<dyn std::error::Error>> {
//! let canonical = import_onnx(file, &NoExternalData, &ImportOptions::default())?;
//! let model = Model::load(canonical.graph, canonical.weights)?;
//! let plan = model.plan(&[input.shape().to_vec()])?;
//! println!("{} multiply-adds", plan.cost().multiply_adds);
//! Ok(plan.run(&[input], &mut Unmetered)?)
//! # }
//! ```

mod analysis;
mod attributes;
mod canonical;
mod constant;
mod cost;
mod derived;
mod digest;
mod dtype;
mod external;
mod id;
mod import;
mod inputs;
pub mod limits;
mod model;
pub mod ops;
pub mod patch;
mod plan;
pub mod proto;
mod remembered;
mod shape;
mod source;
mod stages;
mod subgraph;
mod tensor;
mod tensor_proto;

pub use attributes::{Attribute, Attributes};
pub use canonical::{CanonicalModel, Parts, WEIGHTS_FILE};
pub use cost::{Bound, Cost, NodeCost};
pub use digest::{ParseTensorDigestError, TensorDigest};
pub use dtype::DType;
pub use external::{ExternalData, ExternalDataError, NoExternalData};
pub use id::{LEAF_BYTES, ModelId, ParseModelIdError, merkle_root};
pub use import::{
    DimArgument, DimSetting, ImportError, ImportOptions, NodeLabel, ParseDimError, import_onnx, import_proto,
    plain_onnx,
};
pub use inputs::{bind_input, declared_inputs};
pub use model::{Dim, Model, ModelError, PlanError, Signature, TensorSignature};
pub use ops::{TensorType, Work};
pub use plan::{Meter, Observer, Plan, RunError, Stop, Unmetered};
pub use proto::WireError;
pub use shape::{Shape, SizeError};
pub use source::{BYTE_MOVERS, MAX_POOL_OF_BYTES, microsoft_operators};
pub use subgraph::Subgraph;
pub use tensor::{Element, Tensor, TensorError, TensorView, TensorViewMut};
pub use tensor_proto::decode_tensor_proto;
