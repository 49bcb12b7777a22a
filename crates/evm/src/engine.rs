//! Compiled models and plans, shared by every EVM of a node.
//!
//! The engine answers "give me this model" from memory or, on a miss, from the chain's state. Callers have charged for
//! the miss before they ask, and have seen the model's record in this very state: whether the answer was in memory changes
//! time, and nothing else. What is kept here is keyed by content (the model id, the shapes), so it is right in every state,
//! at every height and on every fork, and needs no invalidation.

use crate::{
    addresses::CHUNK_FACTORY,
    cache::ByteLru,
    chunks::{self, fatal},
    failure::Failure,
    gas::{self, GasMeter},
    interface::IPredict::{self as errors, Validated},
    manifest::{self, INIT_CODE_PREFIX, Manifest, SALT},
    patch,
    pipeline::{self, PipelineManifest},
    ports::{Dimension, Port, Shapes},
    registry::{Kind, Record},
    wire,
};
use alloy_evm::EvmInternals;
use alloy_primitives::{Address, B256, Bytes, Keccak256};
use parking_lot::Mutex;
use std::sync::Arc;
use synod_model::{Dim, Meter, Model, Plan, PlanError, RunError, Shape, Tensor, TensorSignature};
use synod_pipeline::Pipeline;
use synod_text::Tokenizer;

/// How much memory the engine keeps for later calls. It bounds time lost to recompiling, never results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineConfig {
    /// Bytes of compiled models.
    pub model_bytes: usize,
    /// Bytes of plans (models specialised for shapes).
    pub plan_bytes: usize,
    /// Bytes of pipelines: tokenizers, and the networks that they hold.
    pub pipeline_bytes: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            model_bytes: 2 << 30,
            plan_bytes: 256 << 20,
            pipeline_bytes: 1 << 30,
        }
    }
}

/// Which implementation of the arithmetic runs. The bits are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arithmetic {
    /// The kernels of this machine.
    #[default]
    Fast,
    /// The scalar reference, the specification in code: for auditors, far too slow for validators.
    Reference,
}

/// How full the engine's memory is, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineUsage {
    /// Compiled models kept.
    pub models: usize,
    /// Their bytes.
    pub model_bytes: usize,
    /// Plans kept.
    pub plans: usize,
    /// Their bytes.
    pub plan_bytes: usize,
}

/// Estimates of what a node takes beside weights. Like all sizes here they only steer eviction.
const MODEL_NODE_BYTES: usize = 1024;
const PLAN_NODE_BYTES: usize = 1024;

/// Compiled models and plans; see the module's head.
#[derive(Debug)]
pub struct Engine {
    models: Mutex<ByteLru<B256, Arc<Compiled>>>,
    plans: Mutex<ByteLru<(B256, Shapes), Arc<Plan>>>,
    pipelines: Mutex<ByteLru<B256, Arc<Pipeline>>>,
    arithmetic: Arithmetic,
}

impl Default for Engine {
    fn default() -> Self {
        Self::new(EngineConfig::default())
    }
}

/// A model that is ready to be planned.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) id: B256,
    pub(crate) model: Model,
    pub(crate) inputs: Vec<Port>,
    pub(crate) outputs: Vec<Port>,
    /// The answer of `signature`, whose length must be known before it is paid for.
    pub(crate) signature: Vec<u8>,
}

impl Engine {
    /// An engine with this much memory.
    pub fn new(config: EngineConfig) -> Self {
        Self {
            models: Mutex::new(ByteLru::new(config.model_bytes)),
            plans: Mutex::new(ByteLru::new(config.plan_bytes)),
            pipelines: Mutex::new(ByteLru::new(config.pipeline_bytes)),
            arithmetic: Arithmetic::default(),
        }
    }

    /// The same with this implementation of the arithmetic.
    #[must_use]
    pub fn with_arithmetic(mut self, arithmetic: Arithmetic) -> Self {
        self.arithmetic = arithmetic;
        self
    }

    /// Runs a plan.
    pub(crate) fn run(
        &self,
        plan: &Plan,
        inputs: &[Tensor],
        meter: &mut dyn Meter,
    ) -> Result<Vec<Tensor>, RunError> {
        match self.arithmetic {
            Arithmetic::Fast => plan.run(inputs, meter),
            Arithmetic::Reference => plan.run_reference(inputs, meter),
        }
    }

    /// How full the memory is.
    pub fn usage(&self) -> EngineUsage {
        let (models, model_bytes) = self.models.lock().usage();
        let (plans, plan_bytes) = self.plans.lock().usage();
        EngineUsage {
            models,
            model_bytes,
            plans,
            plan_bytes,
        }
    }

    /// The model of a record that was read in this state.
    pub(crate) fn model(
        &self,
        state: &mut EvmInternals<'_>,
        record: &Record,
    ) -> Result<Arc<Compiled>, Failure> {
        if let Some(compiled) = self.models.lock().get(&record.id) {
            return Ok(compiled);
        }
        let assembled = assemble(state, record.manifest)?;
        // A record is written only after `validate`, and what it names cannot change: any difference is a broken database.
        let broken = || broken(record.id);
        let compiled = assembled
            .and_then(|(graph, weights)| compile(record.profile, graph, weights))
            .ok_or_else(broken)?;
        if compiled.id != record.id {
            return Err(broken());
        }
        Ok(self.keep(compiled))
    }

    /// The plan of a model for these input shapes.
    pub(crate) fn plan(&self, model: &Model, shapes: &[Shape]) -> Result<Arc<Plan>, PlanError> {
        let key = (B256::from(model.id().0), shapes.to_vec());
        if let Some(plan) = self.plans.lock().get(&key) {
            return Ok(plan);
        }
        let plan = Arc::new(model.plan(shapes)?);
        let size = (PLAN_NODE_BYTES * (1 + plan.cost().nodes.len() + shapes.len()))
            .saturating_add(plan.kept_bytes());
        self.plans.lock().insert(key, Arc::clone(&plan), size);
        Ok(plan)
    }

    /// A pipeline that is in memory.
    pub(crate) fn kept_pipeline(&self, id: B256) -> Option<Arc<Pipeline>> {
        self.pipelines.lock().get(&id)
    }

    /// Keeps a pipeline. It holds its networks, which may have left the memory of models, so they count here too.
    pub(crate) fn keep_pipeline(&self, id: B256, pipeline: Pipeline) -> Arc<Pipeline> {
        let tokenizer = pipeline.tokenizer().map_or(0, Tokenizer::memory_bytes);
        let networks = pipeline.models().map(|(_, model)| model_bytes(model));
        let size = networks.fold(
            usize::try_from(tokenizer).unwrap_or(usize::MAX),
            usize::saturating_add,
        );
        let pipeline = Arc::new(pipeline);
        self.pipelines.lock().insert(id, Arc::clone(&pipeline), size);
        pipeline
    }

    /// Whether the scalar reference runs.
    pub(crate) fn is_reference(&self) -> bool {
        self.arithmetic == Arithmetic::Reference
    }

    /// Checks everything about the network or pipeline that a manifest names, charging before each step.
    pub(crate) fn validate(
        &self,
        profile: u32,
        state: &mut EvmInternals<'_>,
        meter: &mut GasMeter,
        address: Address,
    ) -> Result<Validated, Failure> {
        let refuse = || Failure::from(errors::InvalidManifest { manifest: address });
        let code = manifest_code(state, meter, address)?;
        if let Ok(listed) = PipelineManifest::decode(&code) {
            return pipeline::validate(self, profile, state, meter, address, &listed);
        }
        let manifest = Manifest::decode(&code).map_err(|_| refuse())?;
        meter.charge(gas::load(
            manifest.graph_bytes,
            manifest.weight_bytes,
            manifest.chunks() as u64,
        ))?;
        let graph = gather(state, meter, &manifest.graph, Some(manifest.graph_bytes))?;
        let weights = gather(state, meter, &manifest.weights, Some(manifest.weight_bytes))?;
        let compiled = compile(profile, graph, weights).ok_or(errors::InvalidModel {})?;
        let compiled = self.keep(compiled);
        Ok(Validated {
            id: compiled.id,
            profile,
            graphBytes: manifest.graph_bytes,
            weightBytes: manifest.weight_bytes,
            chunks: manifest.chunks() as u32,
            patches: 0,
            patchBytes: 0,
            steady: compiled.model.is_steady(),
            kind: Kind::Network as u8,
        })
    }

    pub(crate) fn keep(&self, compiled: Compiled) -> Arc<Compiled> {
        let nodes = compiled.model.operators().len();
        let (id, size) = (
            compiled.id,
            model_bytes(&compiled.model).saturating_add(MODEL_NODE_BYTES * (1 + nodes)),
        );
        let compiled = Arc::new(compiled);
        self.models.lock().insert(id, Arc::clone(&compiled), size);
        compiled
    }
}

/// What a validated model's record names cannot change or go away: if it did, the database is broken.
pub(crate) fn broken(id: B256) -> Failure {
    fatal(format!(
        "the bytes of the validated model {id} are gone or damaged"
    ))
    .into()
}

/// A model holds its weights twice: as they came, and in the order in which its kernels read them.
fn model_bytes(model: &Model) -> usize {
    usize::try_from(model.constant_bytes())
        .unwrap_or(usize::MAX)
        .saturating_mul(2)
}

/// Graph and weights that a manifest or patch stands for whose content was validated before, `None` if something is missing.
pub(crate) fn assemble(
    state: &mut EvmInternals<'_>,
    address: Address,
) -> Result<Option<(Bytes, Bytes)>, Failure> {
    let Some(base) = patch::Base::open(state, address)? else {
        return Ok(None);
    };
    let manifest = &base.manifest;
    let Some(graph) = chunks::join(state, &manifest.graph, Some(manifest.graph_bytes))? else {
        return Ok(None);
    };
    let Some(mut weights) = chunks::join(state, &manifest.weights, Some(manifest.weight_bytes))? else {
        return Ok(None);
    };
    base.patches.iter().for_each(|edits| edits.apply(&mut weights));
    Ok(Some((graph.into(), weights.into())))
}

/// The code of a manifest or patch of which nothing is known yet but where it should stand.
pub(crate) fn manifest_code(
    state: &mut EvmInternals<'_>,
    meter: &mut GasMeter,
    address: Address,
) -> Result<Bytes, Failure> {
    meter.charge(gas::CHUNK_ACCOUNT)?;
    let code = chunks::code(state, address)?;
    meter.charge(gas::validate(code.len() as u64))?;
    if stands_at(&code, address) {
        Ok(code)
    } else {
        Err(errors::InvalidManifest { manifest: address }.into())
    }
}

/// The bytes of chunks of which nothing is known yet, `length` of them if that is stated. Memory grows with what was read and paid for,
/// not with what the manifest announces.
pub(crate) fn gather(
    state: &mut EvmInternals<'_>,
    meter: &mut GasMeter,
    addresses: &[Address],
    length: Option<u64>,
) -> Result<Bytes, Failure> {
    let mut bytes = Vec::new();
    for &chunk in addresses {
        let code = chunks::code(state, chunk)?;
        meter.charge(gas::validate(code.len() as u64))?;
        let data = manifest::chunk_data(&code)
            .filter(|_| stands_at(&code, chunk))
            .ok_or(errors::InvalidChunk { chunk })?;
        bytes.extend_from_slice(data);
        if length.is_some_and(|length| bytes.len() as u64 > length) {
            break;
        }
    }
    if let Some(length) = length.filter(|&length| bytes.len() as u64 != length) {
        return Err(errors::WrongModelLength {
            expected: length,
            got: bytes.len() as u64,
        }
        .into());
    }
    Ok(bytes.into())
}

/// Whether `code` is what the factory deploys at `address`; as [`manifest::address_of`], without a copy.
pub(crate) fn stands_at(code: &[u8], address: Address) -> bool {
    let mut hash = Keccak256::new();
    hash.update(INIT_CODE_PREFIX);
    hash.update(code);
    !code.is_empty() && CHUNK_FACTORY.create2(SALT, hash.finalize()) == address
}

pub(crate) fn compile(profile: u32, graph: Bytes, weights: Bytes) -> Option<Compiled> {
    let model = Model::load_under(profile, graph.into(), weights.into()).ok()?;
    let port = |port: &TensorSignature| Port {
        name: port.name.clone(),
        dtype: port.dtype,
        shape: port
            .dims
            .iter()
            .map(|dim| match dim {
                Dim::Fixed(size) => Dimension::Fixed(*size as u64),
                Dim::Symbol { name, max } => Dimension::Free {
                    symbol: name.clone(),
                    maximum: *max as u64,
                },
                Dim::Open { name } => Dimension::Free {
                    symbol: name.clone(),
                    maximum: u64::MAX,
                },
            })
            .collect(),
    };
    let signature = model.signature();
    let inputs: Vec<Port> = signature.inputs.iter().map(port).collect();
    let outputs: Vec<Port> = signature.outputs.iter().map(port).collect();
    Some(Compiled {
        id: B256::from(model.id().0),
        signature: wire::signature_answer(&inputs, &outputs),
        inputs,
        outputs,
        model,
    })
}
