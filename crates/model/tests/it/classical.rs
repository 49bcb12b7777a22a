//! Classical models (`ai.onnx.ml`): trees that are none are refused, domains have versions, random nodes agree on both
//! arithmetics. Numbers are checked against scikit-learn's in `sklearn.rs`.

use crate::build::{random::Random, *};
use synod_model::*;

fn import(file: OnnxFile) -> Result<Model, String> {
    let canonical = import_onnx(&file.encode(), &NoExternalData, &ImportOptions::default())
        .map_err(|error| error.to_string())?;
    let again = Model::load(canonical.graph.clone(), canonical.weights.clone());
    assert!(again.is_ok(), "what imports loads: {again:?}");
    again.map_err(|error| error.to_string())
}

/// Runs on both arithmetics.
fn run(model: &Model, inputs: &[Tensor]) -> Vec<Tensor> {
    let shapes: Vec<_> = inputs.iter().map(|input| input.shape().to_vec()).collect();
    let plan = model.plan(&shapes).expect("it plans");
    let outputs = plan.run(inputs, &mut Unmetered).expect("it runs");
    assert_eq!(Ok(&outputs), plan.run_reference(inputs, &mut Unmetered).as_ref());
    outputs
}

fn floats(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_slice(DType::F32, shape, values).expect("they fit")
}

/// A tree of versions 1 and 3: a row for each node with its id, mode, feature, value and children.
struct Tree(Vec<Row>);

type Row = (i64, &'static str, i64, f32, [i64; 2]);

impl Tree {
    fn attributes(&self, tree_of: impl Fn(usize) -> i64) -> Vec<Vec<u8>> {
        let column = |of: fn(&Row) -> i64| -> Vec<i64> { self.0.iter().map(of).collect() };
        let trees: Vec<i64> = (0..self.0.len()).map(tree_of).collect();
        let modes: Vec<&str> = self.0.iter().map(|node| node.1).collect();
        let values: Vec<f32> = self.0.iter().map(|node| node.3).collect();
        let leaves: Vec<usize> = (0..self.0.len()).filter(|&i| modes[i] == "LEAF").collect();
        let of_leaves = |of: &dyn Fn(usize) -> i64| leaves.iter().map(|&i| of(i)).collect::<Vec<_>>();
        let weights: Vec<f32> = leaves.iter().map(|&i| values[i]).collect();
        vec![
            attr_ints("nodes_treeids", &trees),
            attr_ints("nodes_nodeids", &column(|node| node.0)),
            attr_ints("nodes_featureids", &column(|node| node.2)),
            attr_ints("nodes_truenodeids", &column(|node| node.4[0])),
            attr_ints("nodes_falsenodeids", &column(|node| node.4[1])),
            attr_strings("nodes_modes", &modes),
            attr_floats("nodes_values", &values),
            attr_ints("target_treeids", &of_leaves(&|i| trees[i])),
            attr_ints("target_nodeids", &of_leaves(&|i| self.0[i].0)),
            attr_ints("target_ids", &of_leaves(&|_| 0)),
            attr_floats("target_weights", &weights),
        ]
    }
}

fn ensemble(features: &str, attributes: &[Vec<u8>]) -> OnnxFile {
    OnnxFile::new(18)
        .with_ml(3)
        .input("x", FLOAT, &["3", features])
        .node_of(ML, "TreeEnsembleRegressor", &["x"], &["y"], attributes)
        .output("y", FLOAT)
}

const ML: &str = ops::ML_DOMAIN;

fn sound() -> Tree {
    Tree(vec![
        (0, "BRANCH_LEQ", 1, 0.5, [1, 2]),
        (1, "LEAF", 0, 10.0, [0, 0]),
        (2, "BRANCH_GT", 0, -1.0, [3, 4]),
        (3, "LEAF", 0, 20.0, [0, 0]),
        (4, "LEAF", 0, 30.0, [0, 0]),
    ])
}

#[test]
fn a_tree_is_followed() {
    let model = import(ensemble("2", &sound().attributes(|_| 0))).unwrap();
    let x = floats(&[3, 2], &[0.0, 0.5, 0.0, f32::NAN, f32::NEG_INFINITY, 1.0]);
    let outputs = run(&model, &[x]);
    // NaN answers no to every question
    assert_eq!(outputs[0].as_slice::<f32>(), [10.0, 20.0, 30.0]);
}

#[test]
fn trees_that_are_none_are_refused() {
    let refused = |change: fn(&mut Tree), reason: &str| {
        let mut tree = sound();
        change(&mut tree);
        let why = import(ensemble("2", &tree.attributes(|_| 0))).expect_err(reason);
        assert!(why.contains(reason), "{why}");
    };
    refused(|tree| tree.0[2].4 = [3, 3], "roots");
    refused(|tree| tree.0[2].4 = [0, 4], "nothing leads to");
    refused(|tree| tree.0[2].4 = [3, 9], "which is not there");
    refused(|tree| tree.0[2].4 = [3, i64::MIN], "which is not there");
    refused(|tree| tree.0[4].0 = 3, "given twice");
    refused(|tree| tree.0[0].2 = -1, "an index");
    refused(|tree| tree.0[0].2 = i64::MAX, "an index");
    refused(|tree| tree.0[0].2 = 2, "feature 2");
    refused(|tree| tree.0[0].1 = "BRANCH_SOMETIMES", "BRANCH_SOMETIMES");
    // nodes 2, 3 and 4 are a tree of their own that nothing leads to
    refused(|tree| tree.0[0].4 = [1, 1], "roots");
    // a ring beside the tree
    refused(
        |tree| {
            tree.0[0].4 = [1, 3];
            tree.0[2].4 = [2, 4];
        },
        "nothing leads to",
    );
    let mut attributes = sound().attributes(|_| 0);
    attributes[3] = attr_ints("nodes_truenodeids", &[1]);
    assert!(
        import(ensemble("2", &attributes))
            .unwrap_err()
            .contains("5 nodes")
    );
    let mut attributes = sound().attributes(|_| 0);
    attributes[9] = attr_ints("target_ids", &[0, 1, 0]);
    assert!(
        import(ensemble("2", &attributes))
            .unwrap_err()
            .contains("target 1 of 1")
    );
}

/// Version 5: nodes by position, sets of members.
#[test]
fn trees_by_position() {
    let tensor_attribute = |name: &str, code: i32, count: usize, raw: &[u8]| {
        let value = tensor("", code, &[count as i64], raw);
        [field(1, name.as_bytes()), field(5, &value), int(20, 4)].concat()
    };
    let raw = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
    let file = |yes: &[i64], roots: &[i64]| {
        let attributes = [
            tensor_attribute("nodes_splits", FLOAT, 2, &raw(&[0.0, 1.5])),
            tensor_attribute("nodes_modes", 2, 2, &[6, 0]),
            tensor_attribute("membership_values", FLOAT, 3, &raw(&[7.0, 9.0, f32::NAN])),
            tensor_attribute("leaf_weights", FLOAT, 3, &raw(&[1.0, 2.0, 4.0])),
            attr_ints("nodes_featureids", &[0, 0]),
            attr_ints("nodes_truenodeids", yes),
            attr_ints("nodes_falsenodeids", &[1, 2]),
            attr_ints("nodes_trueleafs", &[1, 1]),
            attr_ints("nodes_falseleafs", &[0, 1]),
            attr_ints("leaf_targetids", &[0, 1, 1]),
            attr_ints("tree_roots", roots),
            attr_int("n_targets", 2),
        ];
        OnnxFile::new(18)
            .with_ml(5)
            .input("x", FLOAT, &["3", "1"])
            .node_of(ML, "TreeEnsemble", &["x"], &["y"], &attributes)
            .output("y", FLOAT)
    };
    let model = import(file(&[0, 1], &[0])).unwrap();
    let outputs = run(&model, &[floats(&[3, 1], &[9.0, 1.0, 2.0])]);
    assert_eq!(outputs[0].as_slice::<f32>(), [1.0, 0.0, 0.0, 2.0, 0.0, 4.0]);
    for (yes, roots) in [
        ([0, 3], vec![0]),
        ([-1, 1], vec![0]),
        ([0, 1], vec![2]),
        ([0, 1], vec![0, 0]),
    ] {
        assert!(import(file(&yes, &roots)).is_err(), "{yes:?} {roots:?}");
    }
}

#[test]
fn names_of_classes_are_numbers_and_domains_are_refused_with_their_versions() {
    let labels = [
        attr_floats("coefficients", &[1.0, -1.0]),
        attr_strings("classlabels_strings", &["no", "yes"]),
    ];
    let file = |version: i64| {
        OnnxFile::new(18)
            .with_ml(version)
            .input("x", FLOAT, &["1", "1"])
            .node_of(ML, "LinearClassifier", &["x"], &["l", "p"], &labels)
            .output("p", FLOAT)
    };
    let model = import(file(3).output("l", INT64)).unwrap();
    for (x, class) in [(2.0, 0), (-2.0, 1)] {
        let outputs = run(&model, &[floats(&[1, 1], &[x])]);
        assert_eq!(outputs[1].as_slice::<i64>(), [class], "{x}");
    }
    assert!(import(file(0)).unwrap_err().contains("does not import it"));
    assert!(import(file(99)).unwrap_err().contains("version 99"));
}

/// The table of labels: a default for what is not in it, NaN as a key, one sign of zero.
#[test]
fn labels_are_looked_up() {
    let attributes = [
        attr_floats("keys_floats", &[1.0, f32::NAN, 0.0]),
        attr_ints("values_int64s", &[10, 20, 30]),
        attr_int("default_int64", -7),
    ];
    let file = OnnxFile::new(18)
        .with_ml(2)
        .input("x", FLOAT, &["4"])
        .node_of(ML, "LabelEncoder", &["x"], &["y"], &attributes)
        .output("y", INT64);
    let outputs = run(
        &import(file).unwrap(),
        &[floats(&[4], &[f32::NAN, 2.0, 1.0, -0.0])],
    );
    assert_eq!(outputs[0].as_slice::<i64>(), [20, -7, 10, 30]);
}

#[test]
fn features_are_prepared() {
    let file = OnnxFile::new(18)
        .with_ml(1)
        .input("x", FLOAT, &["2", "2"])
        .node_of(
            ML,
            "Imputer",
            &["x"],
            &["a"],
            &[
                attr_floats("imputed_value_floats", &[5.0, 6.0]),
                attr_float("replaced_value_float", f32::NAN),
            ],
        )
        .node_of(
            ML,
            "Scaler",
            &["a"],
            &["b"],
            &[attr_floats("offset", &[1.0]), attr_floats("scale", &[2.0, 0.5])],
        )
        .node_of(ML, "Normalizer", &["b"], &["c"], &[attr_string("norm", "L1")])
        .node_of(
            ML,
            "FeatureVectorizer",
            &["a", "c"],
            &["d"],
            &[attr_ints("inputdimensions", &[2, 2])],
        )
        .output("b", FLOAT)
        .output("d", FLOAT);
    let outputs = run(
        &import(file).unwrap(),
        &[floats(&[2, 2], &[f32::NAN, 3.0, 1.0, 1.0])],
    );
    assert_eq!(outputs[0].as_slice::<f32>(), [8.0, 1.0, 0.0, 0.0]);
    let (a, b) = ((8.0_f64 / 9.0) as f32, (1.0_f64 / 9.0) as f32);
    assert_eq!(outputs[1].as_slice::<f32>(), [5.0, 3.0, a, b, 1.0, 1.0, 0.0, 0.0]);
}

/// Whatever the attributes' numbers: refused or run, never a panic.
#[test]
fn random_trees_never_panic() {
    let mut accepted = 0;
    for seed in 0..4000 {
        let mut random = Random(seed);
        let count = 1 + random.below(7);
        let sane = random.below(2) == 0;
        let mut tree = Tree(Vec::new());
        for id in 0..count {
            // a complete binary tree, sometimes spoilt
            let is_leaf = 2 * id + 2 >= count;
            let mut pick = |fits: i64| {
                if sane || random.below(8) > 0 {
                    fits
                } else {
                    random.next() as i64 % 9 - 1
                }
            };
            let children = [pick(2 * id as i64 + 1), pick(2 * id as i64 + 2)];
            let (own, feature) = (pick(id as i64), pick(id as i64 % 2));
            let mode = if is_leaf {
                "LEAF"
            } else {
                random.pick(&["BRANCH_LEQ", "BRANCH_GT", "BRANCH_NEQ"])
            };
            tree.0.push((own, mode, feature, random.float(), children));
        }
        let trees = if sane { 1 } else { 1 + random.below(2) };
        if let Ok(model) = import(ensemble("2", &tree.attributes(|i| (i % trees) as i64))) {
            accepted += 1;
            let values: Vec<f32> = (0..6).map(|_| random.float()).collect();
            run(&model, &[floats(&[3, 2], &values)]);
        }
    }
    assert!(accepted > 500, "only {accepted} trees were tried");
}
