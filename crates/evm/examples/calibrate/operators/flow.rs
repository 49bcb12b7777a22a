//! Control flow, shapes that follow from values, and signals.

use super::{Case, Data, Node, node};
use crate::build::{FLOAT, Graph, INT64, OnnxFile, attr_int, attr_ints, attr_string};

const BOOL: i32 = 9;

/// All of them.
pub(super) fn all(cases: &mut Vec<Case>) {
    control(cases);
    late(cases);
    signals(cases);
}

/// A node whose outputs' numbers of dimensions have to be declared.
fn open(operator: &'static str, node: Node, outputs: &[(&'static str, i32, usize)]) -> Case {
    let names: Vec<&str> = outputs.iter().map(|(name, ..)| *name).collect();
    let inputs: Vec<&str> = node.inputs.iter().map(String::as_str).collect();
    let mut file = node.file.node_with(operator, &inputs, &names, &node.attributes);
    for (name, code, rank) in outputs {
        file = file.output_of(name, *code, &vec![""; *rank]);
    }
    Case {
        operator,
        case: node.case.join(", "),
        file,
        data: node.data,
    }
}

fn case(operator: &'static str, name: &str, file: OnnxFile) -> Case {
    Case {
        operator,
        case: name.into(),
        file,
        data: Data::Small,
    }
}

fn control(cases: &mut Vec<Case>) {
    for size in ["1", "65536"] {
        let branch = |operator: &str| Graph::new().outputs(&["r"]).node(operator, &["x"], &["r"]);
        let file = OnnxFile::new(18)
            .input("c", BOOL, &[])
            .input("x", FLOAT, &[size])
            .node_with(
                "If",
                &["c"],
                &["y"],
                &[
                    branch("Neg").attribute("then_branch"),
                    branch("Abs").attribute("else_branch"),
                ],
            )
            .output("y", FLOAT);
        cases.push(case("If", size, file));
        for trips in [1, 1000] {
            let body = Graph::new()
                .inputs(&["i", "c", "s"])
                .outputs(&["c", "t", "u"])
                .node("Neg", &["s"], &["t"])
                .node("Identity", &["i"], &["u"]);
            let file = OnnxFile::new(18)
                .input("x", FLOAT, &[size])
                .i64s("m", &[], &[trips])
                .node_with("Loop", &["m", "", "x"], &["y", "z"], &[body.attribute("body")])
                .output("y", FLOAT)
                .output("z", INT64);
            cases.push(case("Loop", &format!("{size}, {trips} times"), file));
            // Planned anew in every iteration.
            let grown = Graph::new()
                .inputs(&["i", "c", "s"])
                .outputs(&["c", "t"])
                .node_with("Concat", &["s", "one"], &["t"], &[attr_int("axis", 0)]);
            let file = OnnxFile::new(18)
                .input("x", FLOAT, &[size])
                .floats("one", &[1], &[1.0])
                .i64s("m", &[], &[trips / 10 + 1])
                .node_with("Loop", &["m", "", "x"], &["y"], &[grown.attribute("body")])
                .output_of("y", FLOAT, &["n"]);
            cases.push(case(
                "Loop",
                &format!("{size}, grows {} times", trips / 10 + 1),
                file,
            ));
        }
    }
    // Nothing but calls: a body that hands a scalar on.
    let body = Graph::new().inputs(&["i", "c", "s"]).outputs(&["c", "s"]);
    let file = OnnxFile::new(18)
        .input("x", FLOAT, &[])
        .i64s("m", &[], &[10_000])
        .node_with("Loop", &["m", "", "x"], &["y"], &[body.attribute("body")])
        .output("y", FLOAT);
    cases.push(case("Loop", "empty body, 10000 times", file));
    for (axis, steps, width) in [(0, 1000, 64), (1, 64, 1000), (1, 1000, 1)] {
        let shape = if axis == 0 { [steps, width] } else { [width, steps] }.map(|size: i64| size.to_string());
        let body = Graph::new()
            .inputs(&["s", "x"])
            .outputs(&["t", "y"])
            .node("Add", &["s", "x"], &["t"])
            .node("Neg", &["t"], &["y"]);
        let file = OnnxFile::new(18)
            .input("s", FLOAT, &[&width.to_string()])
            .input("x", FLOAT, &[&shape[0], &shape[1]])
            .node_with(
                "Scan",
                &["s", "x"],
                &["t", "y"],
                &[
                    body.attribute("body"),
                    attr_int("num_scan_inputs", 1),
                    attr_ints("scan_input_axes", &[axis]),
                    attr_ints("scan_output_axes", &[axis]),
                ],
            )
            .output("t", FLOAT)
            .output("y", FLOAT);
        cases.push(case(
            "Scan",
            &format!("{steps} steps of {width} along axis {axis}"),
            file,
        ));
    }
}

fn late(cases: &mut Vec<Case>) {
    for (code, shape) in [
        (FLOAT, &[1 << 20][..]),
        (BOOL, &[1024, 1024]),
        (FLOAT, &[4, 4, 4]),
        (FLOAT, &[1, 1, 1, 1, 1 << 16]),
    ] {
        cases.push(open(
            "NonZero",
            node("NonZero").typed(code, shape),
            &[("y", INT64, 2)],
        ));
    }
    for (shape, axis) in [
        (&[1 << 20, 1][..], 0),
        (&[1024, 1024], 1),
        (&[1024, 1024], 0),
        (&[8], 0),
    ] {
        let along = attr_int("axis", axis);
        cases.push(open(
            "Compress",
            node("Compress")
                .input(shape)
                .typed(BOOL, &[shape[axis as usize]])
                .attribute(along, &format!("axis {axis}")),
            &[("y", FLOAT, shape.len())],
        ));
    }
    let outputs = [("y", FLOAT, 1), ("i", INT64, 1), ("j", INT64, 1), ("n", INT64, 1)];
    for size in [8, 1 << 12, 1 << 20] {
        cases.push(open("Unique", node("Unique").input(&[size]), &outputs));
    }
    for (rows, columns) in [(1024, 256), (1 << 16, 4)] {
        cases.push(open(
            "Unique",
            node("Unique")
                .input(&[rows, columns])
                .attribute(attr_int("axis", 0), "axis 0"),
            &[("y", FLOAT, 2)],
        ));
    }
    for (classes, boxes, most) in [(1, 8, 4), (1, 1000, 1000), (80, 2000, 100)] {
        cases.push(open(
            "NonMaxSuppression",
            node("NonMaxSuppression")
                .input(&[1, boxes, 4])
                .input(&[1, classes, boxes])
                .i64s(&[most])
                // with the fewest boxes below what may be selected, all others are compared with them
                .data(if most < boxes as i64 {
                    Data::FewBars(most as usize - 1)
                } else {
                    Data::Bars
                }),
            &[("y", INT64, 2)],
        ));
    }
}

fn signals(cases: &mut Vec<Case>) {
    for (shape, axis) in [(&[1, 1024, 1][..], 1), (&[64, 257, 2], 1), (&[32, 32, 32, 2], 1)] {
        cases.push(
            Node {
                file: OnnxFile::new(20),
                ..node("DFT")
            }
            .input(shape)
            .i64s(&[shape[axis] as i64])
            .i64s(&[axis as i64])
            .case(),
        );
    }
    cases.push(
        node("STFT")
            .input(&[1, 16_000, 1])
            .i64s(&[160])
            .input(&[400])
            .case(),
    );
    for (channels, results, taps) in [(64, 64, 3), (3, 1, 1)] {
        cases.push(
            Node {
                file: OnnxFile::new(19),
                ..node("DeformConv")
            }
            .input(&[1, channels, 28, 28])
            .input(&[results, channels, taps, taps])
            .input(&[1, 2 * taps * taps, 29 - taps, 29 - taps])
            .case(),
        );
    }
    cases.push(
        node("TfIdfVectorizer")
            .typed(INT64, &[64, 1024])
            .attribute(attr_string("mode", "TF"), "2-grams")
            .attribute(attr_int("min_gram_length", 1), "")
            .attribute(attr_int("max_gram_length", 2), "")
            .attribute(attr_int("max_skip_count", 4), "skips 4")
            .attribute(attr_ints("ngram_counts", &[0, 4]), "")
            .attribute(attr_ints("ngram_indexes", &[0, 1, 2, 3, 4, 5]), "")
            .attribute(attr_ints("pool_int64s", &[1, 2, 3, 4, 0, 751, 751, 478]), "")
            .case(),
    );
}
