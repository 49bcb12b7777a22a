//! Operators of `com.microsoft`, which ONNX Runtime's own tools write into files, as functions of ONNX's operators.
//!
//! A file that `onnxruntime.quantization` or `onnxruntime.transformers.optimizer` wrote calls operators that only that runtime has. Each has
//! a meaning in ONNX's operators, stated in ONNX Runtime's `docs/ContribOperators.md`; a call is replaced by that, as a call of one of the
//! file's own functions is. What goes on the chain has ONNX's operators alone.
//!
//! | operators | are |
//! |---|---|
//! | QLinearAdd, QLinearConcat, QLinearSigmoid … | DequantizeLinear of the inputs, the operator on floats, QuantizeLinear |
//! | QGemm, MatMulIntegerToFloat, DynamicQuantizeMatMul | MatMulInteger, scaled |
//! | Gelu, BiasGelu, FastGelu, QuickGelu | Gelu, or what it is made of where the opset has none |
//! | FusedConv, FusedGemm, FusedMatMul | the operator, and what was fused into it |
//! | SkipLayerNormalization, EmbedLayerNormalization … | sums and LayerNormalization, or what it is made of |
//!
//! ONNX Runtime computes some of them in another order, so that its floats differ by roundings and its bytes by a step now and then.

use crate::proto::{AttributeProto, FunctionProto, NodeProto, attribute_type};
use std::ops::RangeInclusive;

/// The domain.
pub(crate) const DOMAIN: &str = "com.microsoft";

/// An operator and what it stands for.
struct Operator {
    name: &'static str,
    inputs: RangeInclusive<usize>,
    outputs: usize,
    attributes: &'static [&'static str],
    /// Adds the nodes and gives the names of the outputs; an empty one for an output that is not computed.
    body: fn(&mut Body<'_>) -> Result<Vec<String>, String>,
}

/// What is known of the domain, by name.
const OPERATORS: &[Operator] = &[
    operator("BiasGelu", 2..=2, &[], |body| {
        let sum = body.node("Add", &["0", "1"], []);
        Ok(vec![body.gelu(&sum)])
    }),
    operator("DequantizeLinear", 2..=3, &["axis"], |body| {
        body.same("DequantizeLinear")
    }),
    operator("DynamicQuantizeMatMul", 3..=5, &[], |body| {
        let [bytes, scale, zero] = body.dynamically_quantized("0");
        let scales = body.node("Mul", &[&scale, "2"], []);
        Ok(vec![body.scaled_product(
            [&bytes, &zero],
            ["1", "3"],
            &scales,
            "4",
        )])
    }),
    Operator {
        outputs: 3,
        ..operator("EmbedLayerNormalization", 7..=9, &["epsilon"], embed)
    },
    operator("FastGelu", 1..=2, &[], |body| {
        let x = body.plus("0", "1");
        Ok(vec![body.fast_gelu(&x)])
    }),
    operator(
        "FusedConv",
        2..=4,
        &[
            "activation",
            "activation_params",
            "auto_pad",
            "dilations",
            "group",
            "kernel_shape",
            "pads",
            "strides",
        ],
        |body| {
            let attributes = body.all_but(&["activation", "activation_params"]);
            let y = body.node("Conv", &["0", "1", "2"], attributes);
            let y = body.plus(&y, "3");
            let parameters = body.floats("activation_params");
            Ok(vec![body.activated(&y, &parameters)?])
        },
    ),
    operator(
        "FusedGemm",
        2..=3,
        &[
            "activation",
            "activation_alpha",
            "activation_beta",
            "activation_gamma",
            "alpha",
            "beta",
            "transA",
            "transB",
        ],
        |body| {
            let names = ["activation_alpha", "activation_beta", "activation_gamma"];
            let attributes = body.all_but(&["activation", names[0], names[1], names[2]]);
            let y = body.node("Gemm", &["0", "1", "2"], attributes);
            let parameters: Vec<f32> = names.iter().map_while(|name| body.float(name)).collect();
            Ok(vec![body.activated(&y, &parameters)?])
        },
    ),
    operator("FusedMatMul", 2..=2, MATMUL, matmul),
    operator("Gelu", 1..=1, &[], |body| Ok(vec![body.gelu("0")])),
    operator("MatMulIntegerToFloat", 4..=7, &[], |body| {
        let scales = body.node("Mul", &["2", "3"], []);
        Ok(vec![body.scaled_product(["0", "4"], ["1", "5"], &scales, "6")])
    }),
    operator("QGemm", 6..=9, &["alpha", "transA", "transB"], gemm_of_bytes),
    operator("QLinearAdd", 7..=8, &[], |body| body.of_two_quantized("Add")),
    operator(
        "QLinearAveragePool",
        4..=5,
        &[
            "auto_pad",
            "ceil_mode",
            "channels_last",
            "count_include_pad",
            "kernel_shape",
            "pads",
            "strides",
        ],
        |body| {
            let attributes = body.all_but(&["channels_last"]);
            body.with_channels_first()?;
            body.of_quantized(|body, x| body.node("AveragePool", &[x], attributes))
        },
    ),
    operator("QLinearConcat", 5..=usize::MAX, &["axis"], |body| {
        let count = body.call.input.len() - 2;
        if !count.is_multiple_of(3) {
            return Err("each of its inputs has a scale and a zero point".into());
        }
        let parts: Vec<String> = (0..count / 3)
            .map(|part| {
                let number = |offset: usize| (2 + 3 * part + offset).to_string();
                body.node("DequantizeLinear", &[&number(0), &number(1), &number(2)], [])
            })
            .collect();
        let attributes = body.all_but(&[]);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let joined = body.node("Concat", &parts, attributes);
        Ok(vec![body.quantized(&joined, "0", "1")?])
    }),
    operator("QLinearGlobalAveragePool", 5..=5, &["channels_last"], |body| {
        body.with_channels_first()?;
        body.of_quantized(|body, x| body.node("GlobalAveragePool", &[x], []))
    }),
    operator("QLinearLeakyRelu", 4..=5, &["alpha"], |body| {
        let attributes = body.all_but(&[]);
        body.of_quantized(|body, x| body.node("LeakyRelu", &[x], attributes))
    }),
    operator("QLinearMul", 7..=8, &[], |body| body.of_two_quantized("Mul")),
    operator("QLinearReduceMean", 4..=5, &["axes", "keepdims"], |body| {
        let axes = body.ints("axes");
        let keep = body.int("keepdims").unwrap_or(1);
        body.of_quantized(|body, x| body.mean(x, &axes, keep))
    }),
    operator("QLinearSigmoid", 4..=5, &[], |body| {
        body.of_quantized(|body, x| body.node("Sigmoid", &[x], []))
    }),
    operator("QLinearSoftmax", 5..=5, &["axis", "opset"], |body| {
        let axis = body.int("axis").unwrap_or(-1);
        // before version 13 Softmax takes all axes from this one on together
        let together = |opset: i64| opset < 13;
        if axis != -1 && body.int("opset").is_some_and(together) != together(body.opset) {
            return Err("its axis has another meaning in the opset that it names than in the file's".into());
        }
        body.of_quantized(|body, x| body.node("Softmax", &[x], [int("axis", axis)]))
    }),
    operator("QLinearWhere", 9..=9, &[], |body| {
        let x = body.node("DequantizeLinear", &["1", "2", "3"], []);
        let y = body.node("DequantizeLinear", &["4", "5", "6"], []);
        let chosen = body.node("Where", &["0", &x, &y], []);
        Ok(vec![body.quantized(&chosen, "7", "8")?])
    }),
    operator("QuantizeLinear", 2..=3, &["axis"], |body| {
        body.same("QuantizeLinear")
    }),
    operator("QuickGelu", 1..=1, &["alpha"], |body| {
        let alpha = body.float("alpha").unwrap_or(1.702);
        let scaled = body.times("0", alpha);
        let gate = body.node("Sigmoid", &[&scaled], []);
        Ok(vec![body.node("Mul", &["0", &gate], [])])
    }),
    Operator {
        outputs: 4,
        ..operator("SkipLayerNormalization", 3..=5, &["epsilon"], |body| {
            let sum = body.node("Add", &["0", "1"], []);
            let sum = body.plus(&sum, "4");
            let y = body.layer_normalized(&sum, "2", "3");
            Ok(vec![y, String::new(), String::new(), sum])
        })
    },
    Operator {
        outputs: 4,
        ..operator("SkipSimplifiedLayerNormalization", 3..=4, &["epsilon"], |body| {
            let sum = body.node("Add", &["0", "1"], []);
            let sum = body.plus(&sum, "3");
            let y = body.rms_normalized(&sum, "2");
            Ok(vec![y, String::new(), String::new(), sum])
        })
    },
    operator("TransposeMatMul", 2..=2, MATMUL, matmul),
    operator("Trilu", 1..=2, &["upper"], |body| body.same("Trilu")),
];

const MATMUL: &[&str] = &["alpha", "transA", "transB", "transBatchA", "transBatchB"];

/// The operators of the domain that there are, by name.
pub fn microsoft_operators() -> impl Iterator<Item = &'static str> {
    OPERATORS.iter().map(|operator| operator.name)
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

/// Whether the domain has an operator of this name here.
pub(super) fn is_known(name: &str) -> bool {
    microsoft_operators().any(|known| known == name)
}

/// What a call of a known operator stands for: a function of ONNX's operators whose parameters are numbered.
///
/// # Errors
/// Why this call has no such meaning.
pub(super) fn function(call: &NodeProto, opset: i64) -> Result<FunctionProto, String> {
    let name = call.op_type.as_deref().unwrap_or_default();
    let operator = OPERATORS.iter().find(|operator| operator.name == name);
    operator
        .ok_or_else(|| "it is not known".to_owned())?
        .function(call, opset)
}

impl Operator {
    fn function(&self, call: &NodeProto, opset: i64) -> Result<FunctionProto, String> {
        let inputs = call.input.len();
        if !self.inputs.contains(&inputs) || call.output.len() > self.outputs {
            return Err(format!(
                "it has {inputs} inputs and {} outputs",
                call.output.len()
            ));
        }
        let named = |attribute: &AttributeProto| attribute.name.clone().unwrap_or_default();
        let unknown = |name: &String| !self.attributes.contains(&name.as_str());
        if let Some(name) = call.attribute.iter().map(named).find(unknown) {
            return Err(format!("attribute `{name}` is not known"));
        }
        let mut body = Body {
            call,
            opset,
            nodes: Vec::new(),
        };
        let mut outputs = (self.body)(&mut body)?;
        outputs.truncate(call.output.len());
        if let Some(missing) = outputs.iter().position(String::is_empty)
            && !call.output[missing].is_empty()
        {
            return Err(format!("its output {missing} is not supported"));
        }
        // an output that is not asked for still needs a name of its own
        for (number, output) in outputs.iter_mut().enumerate() {
            if output.is_empty() {
                *output = format!("none{number}");
            }
        }
        Ok(FunctionProto {
            name: Some(self.name.into()),
            domain: Some(DOMAIN.into()),
            input: (0..inputs).map(|number| number.to_string()).collect(),
            output: outputs,
            node: body.nodes,
            ..Default::default()
        })
    }
}

/// The nodes of a function under construction. Its inputs are named by their numbers.
struct Body<'c> {
    call: &'c NodeProto,
    opset: i64,
    nodes: Vec<NodeProto>,
}

impl Body<'_> {
    /// Adds a node and gives the name of its output. An input that the call does not give is left out.
    fn node(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        attributes: impl IntoIterator<Item = AttributeProto>,
    ) -> String {
        let [output] = self.node_with(op_type, inputs, attributes);
        output
    }

    fn node_with<const OUTPUTS: usize>(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        attributes: impl IntoIterator<Item = AttributeProto>,
    ) -> [String; OUTPUTS] {
        let number = self.nodes.len();
        let outputs = std::array::from_fn(|output| format!("{op_type}{number}.{output}"));
        let mut input: Vec<String> = inputs
            .iter()
            .map(|name| {
                if self.gives(name) {
                    (*name).to_owned()
                } else {
                    String::new()
                }
            })
            .collect();
        while input.last().is_some_and(String::is_empty) {
            input.pop();
        }
        let of_call = self.call.name.clone().filter(|name| !name.is_empty());
        let of_call = of_call.or_else(|| self.call.output.first().cloned());
        self.nodes.push(NodeProto {
            input,
            output: outputs.to_vec(),
            name: of_call,
            op_type: Some(op_type.into()),
            attribute: attributes.into_iter().collect(),
            ..Default::default()
        });
        outputs
    }

    /// Whether a value exists: a node's always does, an input if the call gives it.
    fn gives(&self, name: &str) -> bool {
        match name.parse::<usize>() {
            Ok(number) => self.call.input.get(number).is_some_and(|name| !name.is_empty()),
            Err(_) => !name.is_empty(),
        }
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        let is_it = |attribute: &&AttributeProto| attribute.name.as_deref() == Some(name);
        self.call.attribute.iter().find(is_it)
    }

    fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name)?.i
    }

    fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name)?.f
    }

    fn ints(&self, name: &str) -> Vec<i64> {
        self.attribute(name)
            .map_or_else(Vec::new, |found| found.ints.clone())
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.attribute(name)
            .map_or_else(Vec::new, |found| found.floats.clone())
    }

    /// The attributes of the call but these, as they are.
    fn all_but(&self, names: &[&str]) -> Vec<AttributeProto> {
        let mut attributes = self.call.attribute.clone();
        attributes.retain(|attribute| !names.contains(&attribute.name.as_deref().unwrap_or_default()));
        attributes
    }

    /// ONNX's operator of this name, with the call's inputs and attributes.
    fn same(&mut self, op_type: &str) -> Result<Vec<String>, String> {
        let inputs: Vec<String> = (0..self.call.input.len())
            .map(|number| number.to_string())
            .collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Ok(vec![self.node(op_type, &inputs, self.call.attribute.clone())])
    }

    fn constant(&mut self, value: f32) -> String {
        self.node("Constant", &[], [float("value_float", value)])
    }

    fn numbers(&mut self, values: &[i64]) -> String {
        self.node("Constant", &[], [ints("value_ints", values)])
    }

    fn times(&mut self, x: &str, factor: f32) -> String {
        let factor = self.constant(factor);
        self.node("Mul", &[x, &factor], [])
    }

    /// x + y, or x if there is no y.
    fn plus(&mut self, x: &str, y: &str) -> String {
        if self.gives(y) {
            self.node("Add", &[x, y], [])
        } else {
            x.to_owned()
        }
    }

    fn quantized(&mut self, x: &str, scale: &str, zero: &str) -> Result<String, String> {
        if !self.gives(zero) {
            return Err("it gives no zero point of its result, which tells the type".into());
        }
        Ok(self.node("QuantizeLinear", &[x, scale, zero], []))
    }

    /// Inputs x, its scale and zero point, the result's scale and zero point.
    fn of_quantized(&mut self, of: impl FnOnce(&mut Self, &str) -> String) -> Result<Vec<String>, String> {
        let x = self.node("DequantizeLinear", &["0", "1", "2"], []);
        let y = of(self, &x);
        Ok(vec![self.quantized(&y, "3", "4")?])
    }

    /// Inputs a, its scale and zero point, b likewise, the result's scale and zero point.
    fn of_two_quantized(&mut self, op_type: &str) -> Result<Vec<String>, String> {
        let a = self.node("DequantizeLinear", &["0", "1", "2"], []);
        let b = self.node("DequantizeLinear", &["3", "4", "5"], []);
        let c = self.node(op_type, &[&a, &b], []);
        Ok(vec![self.quantized(&c, "6", "7")?])
    }

    fn with_channels_first(&self) -> Result<(), String> {
        match self.int("channels_last") {
            None | Some(0) => Ok(()),
            Some(_) => Err("channels_last is not supported".into()),
        }
    }

    fn dynamically_quantized(&mut self, x: &str) -> [String; 3] {
        self.node_with("DynamicQuantizeLinear", &[x], [])
    }

    /// Products of bytes, each with its zero point, times scales, plus a bias.
    fn scaled_product(&mut self, a: [&str; 2], b: [&str; 2], scales: &str, bias: &str) -> String {
        let sums = self.node("MatMulInteger", &[a[0], b[0], a[1], b[1]], []);
        let y = self.scaled(&sums, scales);
        self.plus(&y, bias)
    }

    fn scaled(&mut self, sums: &str, scales: &str) -> String {
        let sums = self.node("Cast", &[sums], [int("to", FLOAT)]);
        self.node("Mul", &[&sums, scales], [])
    }

    fn mean(&mut self, x: &str, axes: &[i64], keep: i64) -> String {
        self.over("ReduceMean", 18, x, axes, keep)
    }

    /// A reduction over axes, which are an input from some opset on.
    fn over(&mut self, op_type: &str, axes_are_an_input: i64, x: &str, axes: &[i64], keep: i64) -> String {
        let keep = int("keepdims", keep);
        if self.opset < axes_are_an_input {
            return self.node(op_type, &[x], [ints("axes", axes), keep]);
        }
        let axes = self.numbers(axes);
        self.node(op_type, &[x, &axes], [keep])
    }

    /// x × Φ(x).
    fn gelu(&mut self, x: &str) -> String {
        if self.opset >= GELU {
            return self.node("Gelu", &[x], []);
        }
        let scaled = self.times(x, std::f32::consts::FRAC_1_SQRT_2);
        let erf = self.node("Erf", &[&scaled], []);
        self.half_of(x, &erf)
    }

    /// The same by an approximation with tanh.
    fn fast_gelu(&mut self, x: &str) -> String {
        if self.opset >= GELU {
            return self.node("Gelu", &[x], [string("approximate", "tanh")]);
        }
        let square = self.node("Mul", &[x, x], []);
        let cube = self.node("Mul", &[&square, x], []);
        let cube = self.times(&cube, 0.044_715);
        let inner = self.node("Add", &[x, &cube], []);
        let inner = self.times(&inner, (2.0 / std::f64::consts::PI).sqrt() as f32);
        let tanh = self.node("Tanh", &[&inner], []);
        self.half_of(x, &tanh)
    }

    /// x × (1 + y) / 2.
    fn half_of(&mut self, x: &str, y: &str) -> String {
        let one = self.constant(1.0);
        let sum = self.node("Add", &[y, &one], []);
        let product = self.node("Mul", &[x, &sum], []);
        self.times(&product, 0.5)
    }

    fn epsilon(&self) -> f32 {
        self.float("epsilon").unwrap_or(1e-12)
    }

    /// LayerNormalization over the last axis.
    fn layer_normalized(&mut self, x: &str, scale: &str, bias: &str) -> String {
        const LAYER_NORMALIZATION: i64 = 17;
        let epsilon = self.epsilon();
        if self.opset >= LAYER_NORMALIZATION {
            let attributes = [int("axis", -1), float("epsilon", epsilon)];
            return self.node("LayerNormalization", &[x, scale, bias], attributes);
        }
        let mean = self.mean(x, &[-1], 1);
        let centred = self.node("Sub", &[x, &mean], []);
        let y = self.by_root_of_mean_square(&centred, epsilon);
        let y = self.node("Mul", &[&y, scale], []);
        self.plus(&y, bias)
    }

    /// RMSNormalization over the last axis.
    fn rms_normalized(&mut self, x: &str, scale: &str) -> String {
        const RMS_NORMALIZATION: i64 = 23;
        let epsilon = self.epsilon();
        if self.opset >= RMS_NORMALIZATION {
            let attributes = [int("axis", -1), float("epsilon", epsilon)];
            return self.node("RMSNormalization", &[x, scale], attributes);
        }
        let y = self.by_root_of_mean_square(x, epsilon);
        self.node("Mul", &[&y, scale], [])
    }

    fn by_root_of_mean_square(&mut self, x: &str, epsilon: f32) -> String {
        let squares = self.node("Mul", &[x, x], []);
        let mean = self.mean(&squares, &[-1], 1);
        let epsilon = self.constant(epsilon);
        let sum = self.node("Add", &[&mean, &epsilon], []);
        let root = self.node("Sqrt", &[&sum], []);
        self.node("Div", &[x, &root], [])
    }

    /// The activation that the attribute of this name asks for, with its parameters in the order of ONNX's attributes.
    fn activated(&mut self, x: &str, parameters: &[f32]) -> Result<String, String> {
        let Some(name) = self.attribute("activation").and_then(|found| found.s.clone()) else {
            return Ok(x.to_owned());
        };
        let name = String::from_utf8_lossy(&name).into_owned();
        let names: &[&str] = match name.as_str() {
            "" => return Ok(x.to_owned()),
            "Relu" | "Sigmoid" | "Tanh" => &[],
            "Elu" | "LeakyRelu" => &["alpha"],
            "HardSigmoid" => &["alpha", "beta"],
            "Clip" => {
                const BOUNDS_ARE_INPUTS: i64 = 11;
                let [low, high] = *parameters else {
                    return Err("Clip has two parameters".into());
                };
                if self.opset < BOUNDS_ARE_INPUTS {
                    return Ok(self.node("Clip", &[x], [float("min", low), float("max", high)]));
                }
                let (low, high) = (self.constant(low), self.constant(high));
                return Ok(self.node("Clip", &[x, &low, &high], []));
            }
            _ => return Err(format!("activation `{name}` is not supported")),
        };
        let attributes = names
            .iter()
            .zip(parameters)
            .map(|(name, &value)| float(name, value));
        Ok(self.node(&name, &[x], attributes.collect::<Vec<_>>()))
    }
}

/// The opset from which there is Einsum.
const EINSUM: i64 = 12;
/// The opset from which there is Gelu.
const GELU: i64 = 20;
/// ONNX's codes of element types, for Cast.
const FLOAT: i64 = 1;
const INT32: i64 = 6;

/// Inputs A, B; matrices within them may be transposed.
fn matmul(body: &mut Body<'_>) -> Result<Vec<String>, String> {
    let is_set = |name: &str| body.int(name).unwrap_or(0) != 0;
    if is_set("transBatchA") || is_set("transBatchB") {
        return Err("transBatchA and transBatchB are not supported".into());
    }
    // the rank is not known here, so that no permutation can be written; Einsum needs none
    let a = if is_set("transA") { "...ki" } else { "...ik" };
    let b = if is_set("transB") { "...jk" } else { "...kj" };
    let y = if is_set("transA") || is_set("transB") {
        if body.opset < EINSUM {
            return Err(format!(
                "transA and transB need opset {EINSUM}, the file has {}",
                body.opset
            ));
        }
        body.node(
            "Einsum",
            &["0", "1"],
            [string("equation", &format!("{a},{b}->...ij"))],
        )
    } else {
        body.node("MatMul", &["0", "1"], [])
    };
    Ok(vec![match body.float("alpha") {
        None | Some(1.0) => y,
        Some(alpha) => body.times(&y, alpha),
    }])
}

/// Inputs A, its scale and zero point, B likewise, a bias of sums, the result's scale and zero point, without which it is of floats.
fn gemm_of_bytes(body: &mut Body<'_>) -> Result<Vec<String>, String> {
    let transposed = |body: &mut Body<'_>, operand: &str, attribute| match body.int(attribute) {
        None | Some(0) => operand.to_owned(),
        // of a matrix: axes reversed
        Some(_) => body.node("Transpose", &[operand], []),
    };
    let a = transposed(body, "0", "transA");
    let b = transposed(body, "3", "transB");
    let sums = body.node("MatMulInteger", &[&a, &b, "2", "5"], []);
    let sums = body.plus(&sums, "6");
    let mut scales = body.node("Mul", &["1", "4"], []);
    if let Some(alpha) = body.float("alpha").filter(|&alpha| alpha != 1.0) {
        scales = body.times(&scales, alpha);
    }
    let y = body.scaled(&sums, &scales);
    Ok(vec![if body.gives("7") {
        body.quantized(&y, "7", "8")?
    } else {
        y
    }])
}

/// Inputs ids of words, of segments; tables of words, positions, segments; scale and bias; a mask; ids of positions.
fn embed(body: &mut Body<'_>) -> Result<Vec<String>, String> {
    let words = body.node("Gather", &["2", "0"], []);
    let positions = if body.gives("8") {
        body.node("Gather", &["3", "8"], [])
    } else {
        let shape = body.node("Shape", &["0"], []);
        let (from, one) = (body.numbers(&[0]), body.numbers(&[1]));
        let length = body.node("Gather", &[&shape, &one], []);
        body.node("Slice", &["3", &from, &length, &from], [])
    };
    let mut sum = body.node("Add", &[&words, &positions], []);
    if body.gives("1") {
        let segments = body.node("Gather", &["4", "1"], []);
        sum = body.node("Add", &[&sum, &segments], []);
    }
    let y = body.layer_normalized(&sum, "5", "6");
    // how many words of each row the mask has at 1; none without a mask
    let counted = if body.gives("7") {
        let one = body.numbers(&[1]);
        let one = body.node("Cast", &[&one], [int("to", INT32)]);
        let is_one = body.node("Equal", &["7", &one], []);
        body.node("Cast", &[&is_one], [int("to", INT32)])
    } else {
        body.node("Sub", &["0", "0"], [])
    };
    let lengths = body.over("ReduceSum", 13, &counted, &[1], 0);
    Ok(vec![y, lengths, sum])
}

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(kind),
        ..Default::default()
    }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        f: Some(value),
        ..attribute(name, attribute_type::FLOAT)
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        i: Some(value),
        ..attribute(name, attribute_type::INT)
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        ints: values.to_vec(),
        ..attribute(name, attribute_type::INTS)
    }
}

fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        s: Some(value.as_bytes().to_vec().into()),
        ..attribute(name, attribute_type::STRING)
    }
}
