//! What follows from constants alone is made once, when a model is loaded: results and charges stay those of the nodes.
#![allow(clippy::unwrap_used, reason = "a failure is the test's")]

use crate::build::{random::Random, *};
use synod_model::*;

/// Charges as they come.
#[derive(Default, PartialEq, Debug)]
struct Record(Vec<(usize, Work)>);

impl Meter for Record {
    fn charge(&mut self, node: usize, work: &Work) -> Result<(), Stop> {
        self.0.push((node, *work));
        Ok(())
    }

    fn plan(&mut self, _work: &Work) -> Result<(), Stop> {
        Ok(())
    }

    fn reserve(&mut self, _bytes: u64, _total: u64) -> Result<(), Stop> {
        Ok(())
    }
}

fn load(file: &OnnxFile) -> Model {
    let canonical = import_onnx(&file.clone().encode(), &NoExternalData, &ImportOptions::default()).unwrap();
    Model::load(canonical.graph, canonical.weights).unwrap()
}

/// A network whose weights are cut from a constant, turned and joined again, more often than there is room to remember.
fn network(random: &mut Random) -> OnnxFile {
    let (rows, columns) = (40 + random.below(20), 40 + random.below(20));
    let mut file = OnnxFile::new(13)
        .input("x", FLOAT, &["3", &rows.to_string()])
        .floats(
            "w",
            &[rows as i64, columns as i64],
            &random.floats(rows * columns),
        )
        .floats("b", &[columns as i64], &random.floats(columns))
        .i64s("axis", &[1], &[0])
        .i64s("start", &[1], &[0])
        .i64s("end", &[1], &[i64::MAX]);
    // values of the shape of w, and of x times w
    let mut weights = vec!["w".to_owned()];
    let mut products = Vec::new();
    for step in 0..3 + random.below(8) {
        let from = weights[random.below(weights.len())].clone();
        let name = format!("w{step}");
        let part = |part: &str| format!("{name}/{part}");
        match random.below(4) {
            0 => {
                let cut = format!("cut{step}");
                file = file
                    .i64s(&cut, &[1], &[1 + random.below(rows - 1) as i64])
                    .node("Slice", &[&from, "start", &cut, "axis"], &[&part("a")])
                    .node("Slice", &[&from, &cut, "end", "axis"], &[&part("b")])
                    .node_with(
                        "Concat",
                        &[&part("b"), &part("a")],
                        &[&name],
                        &[attr_int("axis", 0)],
                    );
                weights.push(name);
            }
            1 => {
                file = file.node("Transpose", &[&from], &[&part("a")]).node(
                    "Transpose",
                    &[&part("a")],
                    &[&name],
                );
                weights.push(name);
            }
            2 => {
                file = file.node("Unsqueeze", &[&from, "axis"], &[&part("a")]).node(
                    "Squeeze",
                    &[&part("a"), "axis"],
                    &[&name],
                );
                weights.push(name);
            }
            _ => {
                let inputs = ["x", &from[..], "b"];
                let (op, count) = random.pick(&[("MatMul", 2), ("Gemm", 3)]);
                file = file.node(op, &inputs[..count], &[&name]);
                products.push(name);
            }
        }
    }
    let last = weights[weights.len() - 1].clone();
    file = file.node("MatMul", &["x", &last], &["y"]).output("y", FLOAT);
    for name in products {
        file = file.output(&name, FLOAT);
    }
    // derived values may be outputs too
    if random.below(2) == 0 && last != "w" {
        file = file.output(&last, FLOAT);
    }
    file
}

#[test]
fn what_follows_from_constants_is_made_once_and_does_not_show() {
    for seed in 0..200 {
        let random = &mut Random(seed);
        let file = network(random);
        let model = load(&file);
        let shape = model.signature().inputs[0].max_shape();
        let x = random.floats(shape.iter().product());
        let input = [Tensor::from_slice(DType::F32, &shape, &x).unwrap()];
        let plan = model.plan(&[shape]).unwrap();
        let mut meters = [Record::default(), Record::default()];
        let got = plan.run(&input, &mut meters[0]).unwrap();
        let expected = plan.run_reference(&input, &mut meters[1]).unwrap();
        assert_eq!(got, expected, "seed {seed}");
        assert_eq!(meters[0], meters[1], "every node is charged");
        let again = plan.run(&input, &mut Unmetered).unwrap();
        assert_eq!(again, expected, "seed {seed}, again");
    }
}

#[test]
fn what_is_made_ahead_takes_no_more_than_the_constants() {
    for seed in 0..200 {
        let file = network(&mut Random(seed));
        let model = load(&file);
        // floats, and a few integers
        let constants = 4 * model.parameters() + 4 * 20;
        assert!(model.constant_bytes() <= 2 * constants, "seed {seed}");
    }
}
