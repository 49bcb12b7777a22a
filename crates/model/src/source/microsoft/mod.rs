//! Operators that only ONNX Runtime has, as functions of ONNX's operators.
//!
//! A file that `onnxruntime.quantization` or `onnxruntime.transformers` wrote calls operators of `com.microsoft`. Each has a meaning in ONNX's
//! operators, stated in ONNX Runtime's `docs/ContribOperators.md`; a call is replaced by that, as a call of one of the file's own functions is.
//! What goes on the chain has ONNX's operators alone.
//!
//! | operators | are | here |
//! |---|---|---|
//! | Attention, MultiHeadAttention, QAttention | projections, two products with a softmax between them, masks that are added | [`attention`] |
//! | GroupQueryAttention | the same, with a cache of keys and values that is a buffer | [`grouped`] |
//! | RotaryEmbedding | turns by angles out of tables | [`rotary`] |
//! | MatMulNBits, GatherBlockQuantized | weights unpacked, Sub, Mul, then MatMul or none | [`packed`] |
//! | QLinearAdd, QLinearConcat, QLinearSigmoid … | DequantizeLinear of the inputs, the operator on floats, QuantizeLinear | [`bytes`] |
//! | QGemm, MatMulIntegerToFloat, DynamicQuantizeMatMul | MatMulInteger, scaled | [`bytes`] |
//! | FusedConv, NhwcConv, FusedMatMul … | the operator, and what was fused into it | [`fused`] |
//! | Gelu, BiasGelu, SkipLayerNormalization … | sums, Gelu and LayerNormalization, or what these are made of where the opset has none | [`fused`] |
//!
//! ONNX Runtime computes some of them in another order, so that its floats differ by roundings and its bytes by a step now and then.
//!
//! **Ranks and types.** A function knows of its call what the file [declares](Declared). Where a meaning hangs on a shape that may not be
//! declared, it is written with `Shape`, which planning computes ahead.

mod attention;
mod body;
mod bytes;
mod fused;
mod grouped;
mod packed;
mod rotary;

use super::narrow;
use crate::{
    DType,
    proto::{AttributeProto, DimensionValue, FunctionProto, GraphProto, NodeProto, ValueInfoProto},
};
use body::Body;
use prost::Message;
use std::{collections::BTreeMap, ops::RangeInclusive};

/// The domain.
pub(crate) const DOMAIN: &str = "com.microsoft";

/// Operators that ONNX Runtime has put into ONNX's own domain, and the opset from which ONNX has one of that name.
const IN_ONNX_DOMAIN: &[(&str, i64)] = &[
    ("LayerNormalization", LAYER_NORMALIZATION),
    ("SimplifiedLayerNormalization", i64::MAX),
];

/// The opset from which ONNX has LayerNormalization.
const LAYER_NORMALIZATION: i64 = 17;

/// An operator and what it stands for.
struct Operator {
    name: &'static str,
    inputs: RangeInclusive<usize>,
    outputs: usize,
    attributes: &'static [&'static str],
    /// Adds the nodes and gives the names of the outputs; an empty one for an output that is not computed.
    body: fn(&mut Body<'_>) -> Result<Vec<String>, String>,
}

/// All that are known.
fn operators() -> impl Iterator<Item = &'static Operator> {
    [
        attention::OPERATORS,
        bytes::OPERATORS,
        fused::OPERATORS,
        grouped::OPERATORS,
        packed::OPERATORS,
        rotary::OPERATORS,
    ]
    .into_iter()
    .flatten()
}

/// The names of ONNX Runtime's own operators that a file may call, in order.
pub fn microsoft_operators() -> Vec<&'static str> {
    let mut names: Vec<_> = operators().map(|operator| operator.name).collect();
    names.sort_unstable();
    names
}

const fn operator(
    name: &'static str,
    inputs: RangeInclusive<usize>,
    attributes: &'static [&'static str],
    body: fn(&mut Body<'_>) -> Result<Vec<String>, String>,
) -> Operator {
    Operator {
        name,
        inputs,
        outputs: 1,
        attributes,
        body,
    }
}

/// What a file says of a value, where it says anything.
#[derive(Debug, Clone, Default)]
pub(super) struct Declared {
    pub(super) dtype: Option<DType>,
    /// Whether it is of 2 or 4 bits, which are read into bytes.
    pub(super) is_narrow: bool,
    /// `None` in it for a size that is free.
    pub(super) shape: Option<Vec<Option<usize>>>,
}

impl Declared {
    /// Of every value of a graph, by name.
    pub(super) fn of(graph: &GraphProto) -> BTreeMap<String, Self> {
        let mut all = BTreeMap::new();
        // what does not decode says nothing
        let between = graph.value_info.iter();
        let between = between.filter_map(|bytes| ValueInfoProto::decode(bytes.clone()).ok());
        let given = graph.input.iter().chain(&graph.output).cloned();
        for value in between.chain(given) {
            let (Some(name), Some(kind)) = (&value.name, &value.r#type) else {
                continue;
            };
            let Some(tensor) = &kind.tensor_type else { continue };
            let size = |value: &Option<DimensionValue>| match value {
                Some(DimensionValue::Value(size)) => usize::try_from(*size).ok(),
                _ => None,
            };
            let shape = tensor.shape.as_ref();
            let declared = Self {
                dtype: tensor.elem_type.and_then(DType::from_onnx_code),
                is_narrow: false,
                shape: shape.map(|shape| shape.dim.iter().map(|dim| size(&dim.value)).collect()),
            };
            all.insert(name.clone(), declared);
        }
        for tensor in &graph.initializer {
            let code = tensor.data_type.unwrap_or(0);
            let declared = Self {
                dtype: DType::from_onnx_code(code),
                is_narrow: narrow::widened(code).is_some(),
                shape: Some(
                    tensor
                        .dims
                        .iter()
                        .map(|&size| usize::try_from(size).ok())
                        .collect(),
                ),
            };
            all.insert(tensor.name.clone().unwrap_or_default(), declared);
        }
        all
    }
}

/// Whether an operator of this domain and name is known here, in a file of this opset.
pub(super) fn is_known(domain: &str, name: &str, opset: i64) -> bool {
    let here = match domain {
        DOMAIN => true,
        "" | "ai.onnx" => IN_ONNX_DOMAIN
            .iter()
            .any(|&(known, until)| known == name && opset < until),
        _ => false,
    };
    here && operators().any(|known| known.name == name)
}

/// What a call of a known operator stands for: a function of ONNX's operators whose parameters are numbered. `declared` are its inputs.
///
/// # Errors
/// Why this call has no such meaning.
pub(super) fn function(
    call: &NodeProto,
    opset: i64,
    declared: &[Option<&Declared>],
) -> Result<FunctionProto, String> {
    let name = call.op_type.as_deref().unwrap_or_default();
    let operator = operators().find(|operator| operator.name == name);
    operator
        .ok_or_else(|| "it is not known".to_owned())?
        .function(call, opset, declared)
}

impl Operator {
    fn function(
        &self,
        call: &NodeProto,
        opset: i64,
        declared: &[Option<&Declared>],
    ) -> Result<FunctionProto, String> {
        // an empty name at the end says the same as none
        let given = |names: &[String]| {
            names
                .iter()
                .rposition(|name| !name.is_empty())
                .map_or(0, |last| last + 1)
        };
        let (inputs, outputs) = (given(&call.input), given(&call.output));
        if !self.inputs.contains(&inputs) || outputs > self.outputs {
            return Err(format!("it has {inputs} inputs and {outputs} outputs"));
        }
        let named = |attribute: &AttributeProto| attribute.name.clone().unwrap_or_default();
        let unknown = |name: &String| !self.attributes.contains(&name.as_str());
        if let Some(name) = call.attribute.iter().map(named).find(unknown) {
            return Err(format!("attribute `{name}` is not known"));
        }
        let mut body = Body::new(call, opset, declared);
        let mut results = (self.body)(&mut body)?;
        results.resize(call.output.len(), String::new());
        if let Some(missing) = results.iter().position(String::is_empty)
            && !call.output[missing].is_empty()
        {
            return Err(format!("its output {missing} is not supported"));
        }
        // an output that is not asked for still needs a name of its own
        for (number, result) in results.iter_mut().enumerate() {
            if result.is_empty() {
                *result = format!("none{number}");
            }
        }
        Ok(FunctionProto {
            name: Some(self.name.into()),
            domain: Some(DOMAIN.into()),
            input: (0..call.input.len()).map(|number| number.to_string()).collect(),
            output: results,
            node: body.nodes,
            ..Default::default()
        })
    }
}
