//! The many operators around a network's products: remainders, bits, running sums, losses, movement by index.

use super::{Case, Data, Node, SIZES, node};
use crate::build::{FLOAT, INT64, OnnxFile, attr_int, attr_ints, attr_string};

const DOUBLE: i32 = 11;
const INT32: i32 = 6;
const BOOL: i32 = 9;

/// A node of another opset than most.
fn node_of(opset: i64, operator: &'static str) -> Node {
    Node {
        file: OnnxFile::new(opset),
        ..node(operator)
    }
}

/// All of them.
pub(super) fn all(cases: &mut Vec<Case>) {
    elementwise(cases);
    lines(cases);
    movements(cases);
    images(cases);
}

fn elementwise(cases: &mut Vec<Case>) {
    for operator in [
        "Round",
        "Celu",
        "Mish",
        "Softsign",
        "ThresholdedRelu",
        "Shrink",
        "Swish",
    ] {
        cases.extend(SIZES.map(|size| node_of(28, operator).input(&[size]).case()));
    }
    for operator in [
        "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh",
    ] {
        let data = if operator == "Acosh" {
            Data::FromOne
        } else {
            Data::Small
        };
        cases.extend(SIZES.map(|size| node(operator).input(&[size]).data(data).case()));
    }
    for operator in ["Sum", "Mean"] {
        cases.extend(SIZES.map(|size| node(operator).input(&[size]).input(&[size]).input(&[size]).case()));
    }
    cases.extend(SIZES.map(|size| node_of(28, "SwiGLU").input(&[size]).input(&[size]).case()));
    for fmod in [0, 1] {
        let given = || attr_int("fmod", fmod);
        for (code, name) in [(FLOAT, "floats"), (DOUBLE, "f64"), (INT64, "i64"), (INT32, "i32")] {
            cases.extend(SIZES.map(|size| {
                node_of(28, "Mod")
                    .typed(code, &[size])
                    .typed(code, &[size])
                    .attribute(given(), name)
                    .gives(&[("y", code)])
                    .data(Data::FarApart)
                    .case()
            }));
        }
    }
    for operator in ["BitwiseAnd", "BitShift"] {
        cases.extend(SIZES.map(|size| {
            let bits = node_of(28, operator).typed(INT64, &[size]).typed(INT64, &[size]);
            let bits = if operator == "BitShift" {
                bits.attribute(attr_string("direction", "RIGHT"), "right")
            } else {
                bits
            };
            bits.gives(&[("y", INT64)]).case()
        }));
    }
    cases.extend(SIZES.map(|size| node("IsNaN").input(&[size]).gives(&[("y", BOOL)]).case()));
    cases.extend(SIZES.map(|size| {
        node("GreaterOrEqual")
            .input(&[size])
            .input(&[size])
            .gives(&[("y", BOOL)])
            .case()
    }));
}

/// Operators that walk lines along an axis.
fn lines(cases: &mut Vec<Case>) {
    for operator in [
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "ReduceLogSum",
        "ReduceLogSumExp",
    ] {
        for (shape, axis) in [
            (&[1024, 1024][..], 1),
            (&[1024, 1024], 0),
            (&[1 << 20, 1], 1),
            (&[64, 64, 64], 1),
        ] {
            cases.push(
                node(operator)
                    .input(shape)
                    .i64s(&[axis])
                    .note(&format!("axis {axis}"))
                    .case(),
            );
        }
    }
    for (shape, axis) in [
        (&[1024, 1024][..], 0),
        (&[1024, 1024], 1),
        (&[1 << 20, 1], 0),
        (&[16, 4096, 7], 1),
    ] {
        cases.push(
            node("CumSum")
                .input(shape)
                .i64s(&[axis])
                .note(&format!("axis {axis}"))
                .case(),
        );
        for (operator, p) in [("LpNormalization", 1), ("LpNormalization", 2)] {
            let along = attr_int("axis", axis);
            cases.push(
                node(operator)
                    .input(shape)
                    .attribute(along, "along")
                    .attribute(attr_int("p", p), "norm")
                    .case(),
            );
        }
        let along = attr_int("axis", axis);
        cases.push(
            node("Hardmax")
                .input(shape)
                .attribute(along, &format!("axis {axis}"))
                .case(),
        );
    }
    for axes in [&[0, 2, 3][..], &[2, 3], &[1]] {
        let given = attr_ints("axes", axes);
        cases.push(
            node("MeanVarianceNormalization")
                .input(&[8, 64, 32, 32])
                .attribute(given, &format!("axes {axes:?}"))
                .case(),
        );
    }
    for size in [1, 5, 1024] {
        cases.push(
            node("LRN")
                .input(&[1, 64, 55, 55])
                .attribute(attr_int("size", size), &format!("size {size}"))
                .case(),
        );
    }
    for p in [1, 2, 3] {
        cases.push(
            node("LpPool")
                .input(&[1, 64, 56, 56])
                .attribute(attr_ints("kernel_shape", &[3, 3]), "3×3")
                .attribute(attr_int("p", p), &format!("p = {p}"))
                .case(),
        );
    }
    for (operator, shape, samples) in [
        ("NegativeLogLikelihoodLoss", &[4096, 1024][..], &[4096][..]),
        ("NegativeLogLikelihoodLoss", &[4, 1024, 32, 32], &[4, 32, 32]),
        ("SoftmaxCrossEntropyLoss", &[1024, 1024], &[1024]),
        ("SoftmaxCrossEntropyLoss", &[1, 1024, 32, 32], &[1, 32, 32]),
    ] {
        cases.push(node_of(13, operator).input(shape).typed(INT64, samples).case());
    }
    cases.push(node("Trilu").input(&[1024, 1024]).case());
    cases.push(node("Trilu").input(&[1 << 19, 2, 1]).case());
}

/// Operators that move elements, by index or by rule. Indices that a call gives are below 1024.
fn movements(cases: &mut Vec<Case>) {
    for (data, indices) in [
        (&[1024, 1024][..], &[1024, 1024][..]),
        (&[1 << 20], &[1 << 16]),
        (&[1024, 8192], &[1024, 8192]),
    ] {
        cases.push(node("GatherElements").input(data).typed(INT64, indices).case());
        cases.push(
            node("ScatterElements")
                .input(data)
                .typed(INT64, indices)
                .input(indices)
                .case(),
        );
        let sum = attr_string("reduction", "add");
        cases.push(
            node("ScatterElements")
                .input(data)
                .typed(INT64, indices)
                .input(indices)
                .attribute(sum, "add")
                .case(),
        );
    }
    for (data, indices, slices) in [
        (&[1024, 1024][..], &[4096, 2][..], &[4096][..]),
        (&[1024, 1024], &[512, 1], &[512, 1024]),
        (&[1 << 20, 1], &[1 << 16, 1], &[1 << 16, 1]),
    ] {
        cases.push(node("GatherND").input(data).typed(INT64, indices).case());
        cases.push(
            node("ScatterND")
                .input(data)
                .typed(INT64, indices)
                .input(slices)
                .case(),
        );
    }
    for (shape, axis, count) in [
        (&[64, 1000][..], -1, 5),
        (&[1 << 20], 0, 1 << 20),
        (&[1 << 20], 0, 1),
        (&[1024, 1024], 0, 1024),
        (&[1 << 19, 2], 1, 1),
    ] {
        let along = attr_int("axis", axis);
        cases.push(
            node("TopK")
                .input(shape)
                .i64s(&[count])
                .attribute(along, &format!("axis {axis}, {count} of them"))
                .gives(&[("y", FLOAT), ("i", INT64)])
                .case(),
        );
    }
    for block in [1, 2, 8] {
        let size = || attr_int("blocksize", block);
        let words = format!("blocks of {block}");
        cases.push(
            node("DepthToSpace")
                .input(&[1, 256, 64, 64])
                .attribute(size(), &words)
                .case(),
        );
        cases.push(
            node("SpaceToDepth")
                .input(&[1, 3, 512, 512])
                .attribute(size(), &words)
                .case(),
        );
    }
    cases.push(
        node("CenterCropPad")
            .input(&[1, 3, 224, 224])
            .i64s(&[1, 3, 256, 256])
            .case(),
    );
}

/// Operators that sample images.
fn images(cases: &mut Vec<Case>) {
    for (mode, sizes) in [
        ("nearest", [1, 64, 112, 112]),
        ("linear", [1, 64, 112, 112]),
        ("linear", [1, 64, 20, 20]),
        ("cubic", [1, 64, 112, 112]),
    ] {
        let attribute = attr_string("mode", mode);
        cases.push(
            node_of(19, "Resize")
                .input(&[1, 64, 56, 56])
                .i64s(&[])
                .i64s(&[])
                .i64s(&sizes)
                .attribute(attribute, &format!("{mode} to {sizes:?}"))
                .case(),
        );
    }
    for (mode, grid) in [
        ("linear", [1, 128, 128, 2]),
        ("cubic", [1, 128, 128, 2]),
        ("nearest", [1, 1, 16384, 2]),
    ] {
        let attribute = attr_string("mode", mode);
        cases.push(
            node_of(22, "GridSample")
                .input(&[1, 16, 256, 256])
                .input(&grid)
                .attribute(attribute, mode)
                .case(),
        );
    }
    cases.push(node("Det").input(&[1024, 3, 3]).case());
    cases.push(node("Det").input(&[256, 256]).case());
    for (shapes, equation) in [
        (&[&[128, 256][..], &[256, 128]][..], "ab,bc->ac"),
        (&[&[12, 64, 64], &[12, 64, 64]], "abc,adc->abd"),
        (&[&[64, 64], &[64], &[64, 64]], "ab,b,ca->c"),
        (&[&[1 << 20]], "a->"),
    ] {
        let inputs = shapes
            .iter()
            .fold(node("Einsum"), |node, shape| node.input(shape));
        cases.push(
            inputs
                .attribute(attr_string("equation", equation), equation)
                .case(),
        );
    }
}
