//! The operators in other types than `f32`: wider and narrower floats, integers.

use super::{Case, Data, Node, node};
use crate::build::{INT64, OnnxFile, attr_int, attr_ints};

const FLOAT16: i32 = 10;
const DOUBLE: i32 = 11;
const BFLOAT16: i32 = 16;
const UINT8: i32 = 2;
const INT32: i32 = 6;
const BOOL: i32 = 9;

const FLOATS: [(i32, &str); 3] = [(DOUBLE, "f64"), (FLOAT16, "f16"), (BFLOAT16, "bf16")];
const INTEGERS: [(i32, &str); 3] = [(INT64, "i64"), (INT32, "i32"), (UINT8, "u8")];

/// Elements of what is computed element by element: a small vector, and one that leaves the first cache.
const SIZES: [usize; 2] = [64, 1 << 16];

/// A node of the newest opset, in which most operators take all types.
fn newest(operator: &'static str) -> Node {
    Node {
        file: OnnxFile::new(24),
        ..node(operator)
    }
}

/// All of them.
pub(super) fn all(cases: &mut Vec<Case>) {
    elementwise(cases);
    lines(cases);
    products(cases);
    movements(cases);
}

fn elementwise(cases: &mut Vec<Case>) {
    let unary = [
        "Abs",
        "Acos",
        "Acosh",
        "Asin",
        "Asinh",
        "Atan",
        "Atanh",
        "Ceil",
        "Celu",
        "Cos",
        "Cosh",
        "Elu",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Log",
        "Mish",
        "Neg",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Shrink",
        "Sigmoid",
        "Sign",
        "Sin",
        "Sinh",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Swish",
        "Tan",
        "Tanh",
        "ThresholdedRelu",
    ];
    for (code, name) in FLOATS {
        for operator in unary {
            let data = match operator {
                "Acosh" | "Log" => Data::FromOne,
                _ => Data::Small,
            };
            cases.extend(SIZES.map(|size| {
                newest(operator)
                    .typed(code, &[size])
                    .note(name)
                    .gives(&[("y", code)])
                    .data(data)
                    .case()
            }));
        }
    }
    let binary = ["Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "PRelu"];
    for (code, name) in FLOATS.into_iter().chain(INTEGERS) {
        for operator in binary {
            if code == UINT8 && ["Pow", "PRelu"].contains(&operator) {
                continue;
            }
            let data = if operator == "Pow" {
                Data::Greatest
            } else {
                Data::Small
            };
            cases.extend(SIZES.map(|size| two(operator, code, code, size).note(name).data(data).case()));
        }
        for operator in ["Equal", "Greater", "LessOrEqual"] {
            cases.extend(SIZES.map(|size| two(operator, code, BOOL, size).note(name).case()));
        }
        cases.extend(SIZES.map(|size| {
            newest("Where")
                .typed(BOOL, &[size])
                .typed(code, &[size])
                .typed(code, &[size])
                .note(name)
                .gives(&[("y", code)])
                .case()
        }));
        cases.extend(SIZES.map(|size| {
            newest("Cast")
                .typed(code, &[size])
                .note(name)
                .attribute(attr_int("to", 1), "to f32")
                .case()
        }));
    }
    for (code, name) in INTEGERS {
        for operator in ["Abs", "Sign", "Neg"] {
            if (operator, code) == ("Neg", UINT8) {
                continue;
            }
            cases.extend(SIZES.map(|size| {
                newest(operator)
                    .typed(code, &[size])
                    .note(name)
                    .gives(&[("y", code)])
                    .case()
            }));
        }
    }
}

/// A function of two tensors.
fn two(operator: &'static str, code: i32, result: i32, size: usize) -> Node {
    newest(operator)
        .typed(code, &[size])
        .typed(code, &[size])
        .gives(&[("y", result)])
}

/// Operators that walk lines along an axis.
fn lines(cases: &mut Vec<Case>) {
    for (code, name) in FLOATS.into_iter().chain([(INT64, "i64"), (INT32, "i32")]) {
        for axis in [0, 1] {
            let words = format!("{name}, axis {axis}");
            for operator in ["ReduceSum", "ReduceMax", "ReduceL2", "ReduceProd"] {
                cases.push(
                    newest(operator)
                        .typed(code, &[512, 512])
                        .i64s(&[axis])
                        .note(&words)
                        .gives(&[("y", code)])
                        .case(),
                );
            }
            for operator in [
                "ArgMax",
                "TopK",
                "CumSum",
                "Softmax",
                "LogSoftmax",
                "LpNormalization",
                "Hardmax",
            ] {
                let float = ["Softmax", "LogSoftmax", "LpNormalization", "Hardmax"].contains(&operator);
                if float && INTEGERS.iter().any(|integer| integer.0 == code) {
                    continue;
                }
                let line = newest(operator).typed(code, &[512, 512]);
                cases.push(match operator {
                    "ArgMax" => line
                        .attribute(attr_int("axis", axis), &words)
                        .gives(&[("y", INT64)])
                        .case(),
                    "TopK" => line
                        .i64s(&[10])
                        .attribute(attr_int("axis", axis), &words)
                        .gives(&[("y", code), ("i", INT64)])
                        .case(),
                    "CumSum" => line.i64s(&[axis]).note(&words).gives(&[("y", code)]).case(),
                    _ => line
                        .attribute(attr_int("axis", axis), &words)
                        .gives(&[("y", code)])
                        .case(),
                });
            }
        }
    }
    for (code, name) in FLOATS {
        for operator in ["LayerNormalization", "RMSNormalization"] {
            cases.push(
                newest(operator)
                    .typed(code, &[128, 768])
                    .typed(code, &[768])
                    .note(name)
                    .gives(&[("y", code)])
                    .case(),
            );
        }
        cases.push(
            newest("InstanceNormalization")
                .typed(code, &[1, 64, 28, 28])
                .typed(code, &[64])
                .typed(code, &[64])
                .note(name)
                .gives(&[("y", code)])
                .case(),
        );
        cases.push(
            (0..4)
                .fold(
                    newest("BatchNormalization").typed(code, &[1, 64, 28, 28]),
                    |node, _| node.typed(code, &[64]),
                )
                .note(name)
                .gives(&[("y", code)])
                .case(),
        );
    }
}

fn products(cases: &mut Vec<Case>) {
    for (code, name) in FLOATS.into_iter().chain([(INT64, "i64"), (INT32, "i32")]) {
        for [m, n, k] in [[1, 1, 4096], [4096, 1, 1], [1, 256, 256], [64, 64, 64]] {
            cases.push(
                newest("MatMul")
                    .typed(code, &[m, k])
                    .typed(code, &[k, n])
                    .note(name)
                    .gives(&[("y", code)])
                    .case(),
            );
        }
    }
    for (code, name) in FLOATS {
        for (input, weights, group) in [
            ([1, 32, 14, 14], [32, 32, 3, 3], 1),
            ([1, 64, 14, 14], [64, 1, 3, 3], 64),
            ([1, 32, 14, 14], [64, 32, 1, 1], 1),
        ] {
            cases.push(
                newest("Conv")
                    .typed(code, &input)
                    .typed(code, &weights)
                    .note(name)
                    .attribute(attr_int("group", group), &format!("groups {group}"))
                    .gives(&[("y", code)])
                    .case(),
            );
        }
        for operator in ["MaxPool", "AveragePool"] {
            cases.push(
                newest(operator)
                    .typed(code, &[1, 32, 28, 28])
                    .note(name)
                    .attribute(attr_ints("kernel_shape", &[3, 3]), "kernel 3")
                    .gives(&[("y", code)])
                    .case(),
            );
        }
        cases.push(
            newest("GlobalAveragePool")
                .typed(code, &[1, 32, 28, 28])
                .note(name)
                .gives(&[("y", code)])
                .case(),
        );
    }
}

/// Operators that move elements, of one byte and of eight.
fn movements(cases: &mut Vec<Case>) {
    for (code, name) in [(UINT8, "u8"), (FLOAT16, "f16"), (DOUBLE, "f64")] {
        for order in [[1, 0, 2], [0, 2, 1], [2, 1, 0]] {
            cases.push(
                newest("Transpose")
                    .typed(code, &[32, 64, 48])
                    .note(name)
                    .attribute(attr_ints("perm", &order), &format!("to {order:?}"))
                    .gives(&[("y", code)])
                    .case(),
            );
        }
        cases.push(
            newest("Concat")
                .typed(code, &[4096, 1])
                .typed(code, &[4096, 3])
                .note(name)
                .attribute(attr_int("axis", 1), "axis 1")
                .gives(&[("y", code)])
                .case(),
        );
        cases.push(
            newest("Slice")
                .typed(code, &[256, 256])
                .i64s(&[255])
                .i64s(&[-300])
                .i64s(&[1])
                .i64s(&[-1])
                .note(name)
                .note("backwards")
                .gives(&[("y", code)])
                .case(),
        );
        cases.push(
            newest("Gather")
                .typed(code, &[1024, 64])
                .typed(INT64, &[1024])
                .note(name)
                .gives(&[("y", code)])
                .case(),
        );
        cases.push(
            newest("Expand")
                .typed(code, &[256, 1])
                .i64s(&[256, 256])
                .note(name)
                .gives(&[("y", code)])
                .case(),
        );
        cases.push(
            newest("Pad")
                .typed(code, &[1, 16, 28, 28])
                .i64s(&[0, 0, 1, 1, 0, 0, 1, 1])
                .note(name)
                .gives(&[("y", code)])
                .case(),
        );
    }
}
