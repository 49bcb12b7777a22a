//! Sums, products and activations that the optimiser fused.

use super::{LAYER_NORMALIZATION, Operator, body::*, operator};

/// The opset from which there is Einsum.
const EINSUM: i64 = 12;
/// The opset from which there is Gelu.
const GELU: i64 = 20;

/// What normalisations add to a variance where the call says nothing.
const EPSILON: f32 = 1e-12;
/// The same of normalisations that were not fused with anything.
const OWN_EPSILON: f32 = 1e-5;

/// What is known of these, by name.
pub(super) const OPERATORS: &[Operator] = &[
    operator("BiasGelu", 2..=2, &[], |body| {
        let sum = body.node("Add", &["0", "1"], []);
        Ok(vec![body.gelu(&sum)])
    }),
    Operator {
        outputs: 3,
        ..operator("EmbedLayerNormalization", 7..=9, &["epsilon"], embed)
    },
    operator("FastGelu", 1..=2, &[], |body| {
        let x = body.plus("0", "1");
        Ok(vec![body.fast_gelu(&x)])
    }),
    operator("FusedConv", 2..=4, CONV, |body| conv(body, Channels::First)),
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
    operator(
        "LayerNormalization",
        2..=3,
        &["axis", "epsilon", "stash_type"],
        |body| {
            body.only("axis", -1)?;
            body.only("stash_type", 1)?;
            Ok(vec![body.layer_normalized("0", "1", "2", OWN_EPSILON)])
        },
    ),
    operator("NhwcConv", 2..=3, CONV, |body| conv(body, Channels::Last)),
    operator("NhwcFusedConv", 2..=4, CONV, |body| conv(body, Channels::Last)),
    operator("QuickGelu", 1..=1, &["alpha"], |body| {
        let alpha = body.float("alpha").unwrap_or(1.702);
        let scaled = body.times("0", alpha);
        let gate = body.node("Sigmoid", &[&scaled], []);
        Ok(vec![body.node("Mul", &["0", &gate], [])])
    }),
    operator(
        "SimplifiedLayerNormalization",
        2..=2,
        &["axis", "epsilon", "stash_type"],
        |body| {
            body.only("axis", -1)?;
            body.only("stash_type", 1)?;
            Ok(vec![body.rms_normalized("0", "1", OWN_EPSILON)])
        },
    ),
    Operator {
        outputs: 4,
        ..operator("SkipLayerNormalization", 3..=5, &["epsilon"], |body| {
            let sum = body.node("Add", &["0", "1"], []);
            let sum = body.plus(&sum, "4");
            let y = body.layer_normalized(&sum, "2", "3", EPSILON);
            Ok(vec![y, String::new(), String::new(), sum])
        })
    },
    Operator {
        outputs: 4,
        ..operator("SkipSimplifiedLayerNormalization", 3..=4, &["epsilon"], |body| {
            let sum = body.node("Add", &["0", "1"], []);
            let sum = body.plus(&sum, "3");
            let y = body.rms_normalized(&sum, "2", EPSILON);
            Ok(vec![y, String::new(), String::new(), sum])
        })
    },
    operator("TransposeMatMul", 2..=2, MATMUL, matmul),
    operator("Trilu", 1..=2, &["upper"], |body| body.same("Trilu")),
];

const MATMUL: &[&str] = &["alpha", "transA", "transB", "transBatchA", "transBatchB"];

impl Body<'_> {
    /// x × Φ(x).
    pub(super) fn gelu(&mut self, x: &str) -> String {
        if self.opset >= GELU {
            return self.node("Gelu", &[x], []);
        }
        let scaled = self.times(x, std::f32::consts::FRAC_1_SQRT_2);
        let erf = self.node("Erf", &[&scaled], []);
        self.half_of(x, &erf)
    }

    /// The same by an approximation with tanh.
    pub(super) fn fast_gelu(&mut self, x: &str) -> String {
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
    pub(super) fn half_of(&mut self, x: &str, y: &str) -> String {
        let one = self.constant(1.0, x);
        let sum = self.node("Add", &[y, &one], []);
        let product = self.node("Mul", &[x, &sum], []);
        self.times(&product, 0.5)
    }

    /// LayerNormalization over the last axis, with this epsilon where the call gives none.
    pub(super) fn layer_normalized(&mut self, x: &str, scale: &str, bias: &str, default: f32) -> String {
        let epsilon = self.float("epsilon").unwrap_or(default);
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

    /// RMSNormalization over the last axis, with this epsilon where the call gives none.
    pub(super) fn rms_normalized(&mut self, x: &str, scale: &str, default: f32) -> String {
        const RMS_NORMALIZATION: i64 = 23;
        let epsilon = self.float("epsilon").unwrap_or(default);
        if self.opset >= RMS_NORMALIZATION {
            let attributes = [int("axis", -1), float("epsilon", epsilon)];
            return self.node("RMSNormalization", &[x, scale], attributes);
        }
        let y = self.by_root_of_mean_square(x, epsilon);
        self.node("Mul", &[&y, scale], [])
    }

    pub(super) fn by_root_of_mean_square(&mut self, x: &str, epsilon: f32) -> String {
        let squares = self.node("Mul", &[x, x], []);
        let mean = self.mean(&squares, &[-1], 1);
        let epsilon = self.constant(epsilon, x);
        let sum = self.node("Add", &[&mean, &epsilon], []);
        let root = self.node("Sqrt", &[&sum], []);
        self.node("Div", &[x, &root], [])
    }

    /// The activation that the attribute of this name asks for, with its parameters in the order of ONNX's attributes.
    pub(super) fn activated(&mut self, x: &str, parameters: &[f32]) -> Result<String, String> {
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
                let (low, high) = (self.constant(low, x), self.constant(high, x));
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

/// Where a convolution's X, Y and Z have their channels.
enum Channels {
    First,
    Last,
}

const CONV: &[&str] = &[
    "activation",
    "activation_params",
    "auto_pad",
    "dilations",
    "group",
    "kernel_shape",
    "pads",
    "strides",
];

/// Inputs X, W, B, Z: a convolution, to which Z is added. W is as ONNX has it.
fn conv(body: &mut Body<'_>, channels: Channels) -> Result<Vec<String>, String> {
    let attributes = body.all_but(&["activation", "activation_params"]);
    let parameters = body.floats("activation_params");
    let y = match channels {
        Channels::First => body.node("Conv", &["0", "1", "2"], attributes),
        Channels::Last => {
            body.with_channels_first("0", |body, x| body.node("Conv", &[x, "1", "2"], attributes))?
        }
    };
    let y = body.plus(&y, "3");
    Ok(vec![body.activated(&y, &parameters)?])
}

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
    let y = body.layer_normalized(&sum, "5", "6", EPSILON);
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
