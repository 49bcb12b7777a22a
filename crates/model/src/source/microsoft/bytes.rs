//! Products and functions of bytes.

use super::{Operator, body::*, operator};

/// What is known of these, by name.
pub(super) const OPERATORS: &[Operator] = &[
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
    operator("MatMulIntegerToFloat", 4..=7, &[], |body| {
        let scales = body.node("Mul", &["2", "3"], []);
        Ok(vec![body.scaled_product(["0", "4"], ["1", "5"], &scales, "6")])
    }),
    operator(
        "NhwcMaxPool",
        1..=1,
        &[
            "auto_pad",
            "ceil_mode",
            "dilations",
            "kernel_shape",
            "pads",
            "strides",
        ],
        |body| {
            let attributes = body.all_but(&[]);
            let y = body.with_channels_first("0", |body, x| body.node("MaxPool", &[x], attributes))?;
            Ok(vec![y])
        },
    ),
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
            let x = body.node("DequantizeLinear", &["0", "1", "2"], []);
            let y = body.maybe_channels_first(&x, |body, x| body.node("AveragePool", &[x], attributes))?;
            Ok(vec![body.quantized(&y, "3", "4")?])
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
    operator(
        "QLinearConv",
        8..=9,
        &[
            "auto_pad",
            "channels_last",
            "dilations",
            "group",
            "kernel_shape",
            "pads",
            "strides",
        ],
        |body| {
            let attributes = body.all_but(&["channels_last"]);
            let rest = ["1", "2", "3", "4", "5", "6", "7", "8"];
            let y = body.maybe_channels_first("0", |body, x| {
                let inputs: Vec<_> = std::iter::once(x).chain(rest).collect();
                body.node("QLinearConv", &inputs, attributes)
            })?;
            Ok(vec![y])
        },
    ),
    operator("QLinearGlobalAveragePool", 5..=5, &["channels_last"], |body| {
        let x = body.node("DequantizeLinear", &["0", "1", "2"], []);
        let y = body.maybe_channels_first(&x, |body, x| body.node("GlobalAveragePool", &[x], []))?;
        Ok(vec![body.quantized(&y, "3", "4")?])
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
];

impl Body<'_> {
    pub(super) fn quantized(&mut self, x: &str, scale: &str, zero: &str) -> Result<String, String> {
        if !self.gives(zero) {
            return Err("it gives no zero point of its result, which tells the type".into());
        }
        Ok(self.node("QuantizeLinear", &[x, scale, zero], []))
    }

    /// Inputs x, its scale and zero point, the result's scale and zero point.
    pub(super) fn of_quantized(
        &mut self,
        of: impl FnOnce(&mut Self, &str) -> String,
    ) -> Result<Vec<String>, String> {
        let x = self.node("DequantizeLinear", &["0", "1", "2"], []);
        let y = of(self, &x);
        Ok(vec![self.quantized(&y, "3", "4")?])
    }

    /// Inputs a, its scale and zero point, b likewise, the result's scale and zero point.
    pub(super) fn of_two_quantized(&mut self, op_type: &str) -> Result<Vec<String>, String> {
        let a = self.node("DequantizeLinear", &["0", "1", "2"], []);
        let b = self.node("DequantizeLinear", &["3", "4", "5"], []);
        let c = self.node(op_type, &[&a, &b], []);
        Ok(vec![self.quantized(&c, "6", "7")?])
    }

    pub(super) fn dynamically_quantized(&mut self, x: &str) -> [String; 3] {
        self.node_with("DynamicQuantizeLinear", &[x], [])
    }

    /// Products of bytes, each with its zero point, times scales, plus a bias.
    pub(super) fn scaled_product(&mut self, a: [&str; 2], b: [&str; 2], scales: &str, bias: &str) -> String {
        let sums = self.node("MatMulInteger", &[a[0], b[0], a[1], b[1]], []);
        let y = self.scaled(&sums, scales);
        self.plus(&y, bias)
    }

    pub(super) fn scaled(&mut self, sums: &str, scales: &str) -> String {
        let sums = self.node("Cast", &[sums], [int("to", FLOAT)]);
        self.node("Mul", &[&sums, scales], [])
    }
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
