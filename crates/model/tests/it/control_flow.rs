//! Graphs within nodes, and shapes that depend on values: what they compute, what they cost, and what hostile ones may not do.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::build::*;
use synod_model::*;

fn import(file: OnnxFile) -> Result<CanonicalModel, ImportError> {
    import_onnx(&file.encode(), &NoExternalData, &ImportOptions::default())
}

fn load(file: OnnxFile) -> Model {
    let canonical = import(file).expect("it imports");
    Model::load(canonical.graph, canonical.weights).expect("what imports loads")
}

fn plan(model: &Model) -> Plan {
    let shapes: Vec<_> = model
        .signature()
        .inputs
        .iter()
        .map(TensorSignature::max_shape)
        .collect();
    model.plan(&shapes).expect("what loads plans")
}

fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_slice(DType::F32, shape, values).unwrap()
}

fn i64s(shape: &[usize], values: &[i64]) -> Tensor {
    Tensor::from_slice(DType::I64, shape, values).unwrap()
}

fn truth(value: bool) -> Tensor {
    Tensor::from_slice(DType::Bool, &[], &[u8::from(value)]).unwrap()
}

/// Remembers what was charged, and stops at limits.
#[derive(Default)]
struct Recorder {
    nodes: Vec<(usize, Work)>,
    planned: u64,
    reserved: u64,
    most: u64,
    max_nodes: Option<usize>,
    max_total: Option<u64>,
}

impl Meter for Recorder {
    fn charge(&mut self, node: usize, work: &Work) -> Result<(), Stop> {
        if self.max_nodes.is_some_and(|most| self.nodes.len() >= most) {
            return Err(Stop);
        }
        self.nodes.push((node, *work));
        Ok(())
    }

    fn plan(&mut self, work: &Work) -> Result<(), Stop> {
        self.planned += work.arithmetic;
        Ok(())
    }

    fn reserve(&mut self, bytes: u64, total: u64) -> Result<(), Stop> {
        if self.max_total.is_some_and(|most| total > most) {
            return Err(Stop);
        }
        self.reserved += bytes;
        self.most = self.most.max(total);
        Ok(())
    }
}

/// Runs on both arithmetics with the same charges.
fn run(plan: &Plan, inputs: &[Tensor]) -> (Vec<Tensor>, Recorder) {
    let (mut fast, mut reference) = (Recorder::default(), Recorder::default());
    let outputs = plan.run(inputs, &mut fast).expect("it runs");
    assert_eq!(plan.run_reference(inputs, &mut reference).as_ref(), Ok(&outputs));
    assert_eq!(fast.nodes, reference.nodes);
    assert_eq!(
        (fast.planned, fast.reserved),
        (reference.planned, reference.reserved)
    );
    (outputs, fast)
}

/// Charges as a plan states them.
fn stated(plan: &Plan) -> Vec<(usize, Work)> {
    let mut stated: Vec<_> = plan
        .cost()
        .nodes
        .iter()
        .flat_map(|cost| vec![(cost.node, cost.work); cost.times as usize])
        .collect();
    stated.sort_by_key(|(node, work)| (*node, work.arithmetic, work.bytes));
    stated
}

fn sorted(mut charged: Vec<(usize, Work)>) -> Vec<(usize, Work)> {
    charged.sort_by_key(|(node, work)| (*node, work.arithmetic, work.bytes));
    charged
}

/// y = c ? x + x : x × x, with x from outside the branches.
fn branches() -> OnnxFile {
    let then = Graph::new().outputs(&["t"]).node("Add", &["x", "x"], &["t"]);
    // The same name for another value in the other branch, and a value of its own for the name of one outside.
    let otherwise = Graph::new()
        .outputs(&["t"])
        .node("Abs", &["x"], &["unused"])
        .node("Mul", &["x", "x"], &["t"]);
    OnnxFile::new(17)
        .input("c", BOOL, &[])
        .input("x", FLOAT, &["2"])
        .node_with(
            "If",
            &["c"],
            &["y"],
            &[then.attribute("then_branch"), otherwise.attribute("else_branch")],
        )
        .output("y", FLOAT)
}

#[test]
fn a_branch_runs_and_the_other_is_not_paid() {
    let model = load(branches());
    assert_eq!(model.operators().collect::<Vec<_>>(), ["If", "Mul", "Add"]);
    let plan = plan(&model);
    assert_eq!(plan.cost().bound, Bound::AtMost);
    assert_eq!(plan.cost().output_shapes, Some(vec![vec![2]]));
    let x = f32s(&[2], &[3.0, -0.5]);
    let (outputs, meter) = run(&plan, &[truth(true), x.clone()]);
    assert_eq!(outputs, [f32s(&[2], &[6.0, -1.0])]);
    assert_eq!(
        meter.nodes.iter().map(|(node, _)| *node).collect::<Vec<_>>(),
        [0, 2]
    );
    let (outputs, meter) = run(&plan, &[truth(false), x]);
    assert_eq!(outputs, [f32s(&[2], &[9.0, 0.25])]);
    assert_eq!(
        meter.nodes.iter().map(|(node, _)| *node).collect::<Vec<_>>(),
        [0, 1]
    );
    assert_eq!((meter.planned, meter.reserved), (0, 0));
    assert!(meter.nodes.iter().all(|charged| stated(&plan).contains(charged)));
}

#[test]
fn a_branch_for_other_shapes_only_fails_where_it_is_taken() {
    let fits = Graph::new().outputs(&["t"]).node("Neg", &["x"], &["t"]);
    let wrong = Graph::new().outputs(&["t"]).node("Add", &["x", "w"], &["t"]);
    let both = |then: &Graph, otherwise: &Graph| {
        OnnxFile::new(17)
            .input("c", BOOL, &[])
            .input("x", FLOAT, &["2"])
            .floats("w", &[3], &[1.0; 3])
            .node_with(
                "If",
                &["c"],
                &["y"],
                &[
                    then.clone().attribute("then_branch"),
                    otherwise.clone().attribute("else_branch"),
                ],
            )
            .output("y", FLOAT)
    };
    let plan = plan(&load(both(&wrong, &fits)));
    assert_eq!(plan.cost().bound, Bound::AtMost);
    let x = f32s(&[2], &[3.0, -0.5]);
    let (outputs, _) = run(&plan, &[truth(false), x.clone()]);
    assert_eq!(outputs, [f32s(&[2], &[-3.0, 0.5])]);
    let inputs = [truth(true), x];
    let refused = plan.run(&inputs, &mut Recorder::default()).unwrap_err();
    assert!(refused.to_string().contains("do not broadcast"), "{refused}");
    assert_eq!(
        plan.run_reference(&inputs, &mut Recorder::default()),
        Err(refused)
    );
    assert!(import(both(&wrong, &wrong)).is_err());
}

#[test]
fn the_canonical_form_names_everything_and_keeps_constants_outside() {
    let branch = |value: f32| {
        Graph::new()
            .outputs(&["r"])
            .floats("c", &[2], &[value, 1.0])
            .node("Add", &["x", "c"], &["r"])
    };
    let file = OnnxFile::new(17)
        .input("k", BOOL, &[])
        .input("x", FLOAT, &["2"])
        .node_with(
            "If",
            &["k"],
            &["y"],
            &[
                branch(1.0).attribute("then_branch"),
                branch(2.0).attribute("else_branch"),
            ],
        )
        .output("y", FLOAT);
    let canonical = import(file).unwrap();
    // One of the two constants of the same name has got another: both are the model's, in the order of their use.
    assert_eq!(canonical.weights.len(), 64 + 8);
    assert_eq!(&canonical.weights[..4], 2f32.to_le_bytes());
    let text = String::from_utf8_lossy(&canonical.graph);
    assert!(
        text.contains("v0") && text.contains("v1") && !text.contains("v2"),
        "{text}"
    );
    let model = Model::load(canonical.graph, canonical.weights).unwrap();
    let (outputs, _) = run(&plan(&model), &[truth(true), f32s(&[2], &[1.0, 2.0])]);
    assert_eq!(outputs, [f32s(&[2], &[2.0, 3.0])]);
}

#[test]
fn branches_of_different_shapes_are_planned_when_the_condition_is_there() {
    let then = Graph::new().outputs(&["t"]).node("Identity", &["x"], &["t"]);
    let otherwise =
        Graph::new()
            .outputs(&["t"])
            .node_with("Concat", &["x", "x"], &["t"], &[attr_int("axis", 0)]);
    let file = OnnxFile::new(17)
        .input("c", BOOL, &[])
        .input("x", FLOAT, &["2"])
        .node_with(
            "If",
            &["c"],
            &["z"],
            &[then.attribute("then_branch"), otherwise.attribute("else_branch")],
        )
        .node("Neg", &["z"], &["y"]);
    let undeclared = import(file.clone().output("y", FLOAT)).unwrap_err();
    assert_eq!(
        undeclared.to_string(),
        "the shape of output `y` depends on the inputs' values, and the file does not declare even its number of dimensions"
    );
    let model = load(file.output_of("y", FLOAT, &["n"]));
    assert_eq!(
        model.signature().outputs[0].dims,
        [Dim::Open { name: "n".into() }]
    );
    let plan = plan(&model);
    assert_eq!(
        (plan.cost().bound, &plan.cost().output_shapes),
        (Bound::Open, &None)
    );
    let x = f32s(&[2], &[1.0, 2.0]);
    let (outputs, meter) = run(&plan, &[truth(true), x.clone()]);
    assert_eq!(outputs, [f32s(&[2], &[-1.0, -2.0])]);
    assert!(meter.planned > 0 && meter.reserved > 0);
    let (outputs, _) = run(&plan, &[truth(false), x]);
    assert_eq!(outputs, [f32s(&[4], &[-1.0, -2.0, -1.0, -2.0])]);
}

/// s(0) = x; s(i + 1) = s(i) + k for each of m iterations; collects i and s.
fn counting(trips: Option<&[i64]>) -> OnnxFile {
    let body = Graph::new()
        .inputs(&["i", "c", "s"])
        .outputs(&["c", "t", "j", "t2"])
        .node("Add", &["s", "k"], &["t"])
        .node("Identity", &["i"], &["j"])
        .node("Mul", &["t", "t"], &["t2"]);
    let file = OnnxFile::new(17)
        .input("s0", FLOAT, &["2"])
        .floats("k", &[1], &[0.5]);
    let file = match trips {
        Some(trips) => file.i64s("m", &[1], trips),
        None => file.input("m", INT64, &["1"]),
    };
    file.node_with(
        "Loop",
        &["m", "", "s0"],
        &["s", "is", "squares"],
        &[body.attribute("body")],
    )
    .output_of("s", FLOAT, &["2"])
    .output_of("is", INT64, &["n"])
    .output_of("squares", FLOAT, &["n", "2"])
}

#[test]
fn a_loop_of_known_length_is_planned_whole_and_costs_what_it_says() {
    let model = load(counting(Some(&[3])));
    let plan = plan(&model);
    assert_eq!(plan.cost().bound, Bound::Exact);
    let (outputs, meter) = run(&plan, &[f32s(&[2], &[1.0, 2.0])]);
    let squares = f32s(&[3, 2], &[2.25, 6.25, 4.0, 9.0, 6.25, 12.25]);
    assert_eq!(
        outputs,
        [f32s(&[2], &[2.5, 3.5]), i64s(&[3], &[0, 1, 2]), squares]
    );
    assert_eq!(sorted(meter.nodes), stated(&plan));
    // Its length as an input gives the same.
    let open = load(counting(None));
    let late = open.plan(&[vec![2], vec![1]]).unwrap();
    assert_eq!(late.cost().bound, Bound::Open);
    let (again, _) = run(&late, &[f32s(&[2], &[1.0, 2.0]), i64s(&[1], &[3])]);
    assert_eq!(again, outputs);
    let (none, _) = run(&late, &[f32s(&[2], &[1.0, 2.0]), i64s(&[1], &[-7])]);
    assert_eq!(
        none,
        [f32s(&[2], &[1.0, 2.0]), i64s(&[0], &[]), f32s(&[0, 2], &[])]
    );
}

#[test]
fn a_condition_ends_a_loop() {
    // while x < 100: x = x + x
    let body = Graph::new()
        .inputs(&["i", "c", "x"])
        .outputs(&["d", "y"])
        .node("Add", &["x", "x"], &["y"])
        .node("Less", &["y", "hundred"], &["d"]);
    let file = OnnxFile::new(17)
        .input("x", FLOAT, &[])
        .floats("hundred", &[], &[100.0])
        .node("Less", &["x", "hundred"], &["c"])
        .node_with("Loop", &["", "c", "x"], &["y"], &[body.attribute("body")])
        .output("y", FLOAT);
    let plan = plan(&load(file));
    assert_eq!(plan.cost().bound, Bound::Open);
    let (outputs, meter) = run(&plan, &[f32s(&[], &[3.0])]);
    assert_eq!(outputs, [f32s(&[], &[192.0])]);
    assert_eq!(meter.planned, 0, "shapes are the same in every iteration");
    let mut poor = Recorder {
        max_nodes: Some(1_000),
        ..Recorder::default()
    };
    let endless = plan.run(&[f32s(&[], &[0.0])], &mut poor);
    assert!(matches!(endless, Err(RunError::Stopped { .. })), "{endless:?}");
}

#[test]
fn a_loop_without_end_stops_at_the_meter() {
    for trips in [i64::MAX, 1 << 40] {
        let body = Graph::new().inputs(&["i", "c"]).outputs(&["c"]);
        let nested = Graph::new()
            .inputs(&["i", "c", "x"])
            .outputs(&["c", "y"])
            .node("Neg", &["x"], &["y"]);
        let outer = Graph::new()
            .inputs(&["i", "c", "x"])
            .outputs(&["c", "y"])
            .node_with("Loop", &["m", "", "x"], &["y"], &[nested.attribute("body")]);
        let file = OnnxFile::new(17)
            .input("x", FLOAT, &["1"])
            .i64s("m", &[], &[trips])
            .node_with("Loop", &["m", "", "x"], &["y"], &[outer.attribute("body")])
            .output("y", FLOAT);
        let plan = plan(&load(file));
        let mut poor = Recorder {
            max_nodes: Some(10_000),
            ..Recorder::default()
        };
        let stopped = plan.run(&[f32s(&[1], &[1.0])], &mut poor);
        assert!(matches!(stopped, Err(RunError::Stopped { .. })), "{stopped:?}");
        assert_eq!(poor.nodes.len(), 10_000);
        // A body that hands on and gives nothing has no outputs, which a node must have.
        let file = OnnxFile::new(17)
            .input("x", FLOAT, &["1"])
            .i64s("m", &[], &[trips])
            .node_with("Loop", &["m", ""], &["y"], &[body.attribute("body")])
            .output("y", FLOAT);
        assert!(import(file).is_err());
    }
}

#[test]
fn a_value_that_grows_is_planned_anew_and_its_memory_asked_for_before() {
    let body = Graph::new()
        .inputs(&["i", "c", "x"])
        .outputs(&["c", "y"])
        .node_with("Concat", &["x", "x"], &["y"], &[attr_int("axis", 0)]);
    let file = OnnxFile::new(17)
        .input("x", FLOAT, &["1"])
        .input("m", INT64, &[])
        .node_with("Loop", &["m", "", "x"], &["y"], &[body.attribute("body")])
        .output_of("y", FLOAT, &["n"]);
    let plan = plan(&load(file));
    let (outputs, meter) = run(&plan, &[f32s(&[1], &[7.0]), i64s(&[], &[4])]);
    assert_eq!(outputs, [f32s(&[16], &[7.0; 16])]);
    let (_, longer) = run(&plan, &[f32s(&[1], &[7.0]), i64s(&[], &[5])]);
    assert!(longer.planned > meter.planned);
    let cap = 1 << 20;
    let mut poor = Recorder {
        max_total: Some(cap),
        ..Recorder::default()
    };
    let stopped = plan.run(&[f32s(&[1], &[7.0]), i64s(&[], &[60])], &mut poor);
    assert!(matches!(stopped, Err(RunError::Stopped { .. })), "{stopped:?}");
    assert!(cap / 4 < poor.most && poor.most <= cap);
}

#[test]
fn a_scan_walks_along_an_axis() {
    // Running sums along the second axis, from the back.
    let body = Graph::new()
        .inputs(&["s", "x"])
        .outputs(&["t", "y"])
        .node("Add", &["s", "x"], &["t"])
        .node("Identity", &["t"], &["y"]);
    let file = OnnxFile::new(17)
        .input("s", FLOAT, &["2"])
        .input("x", FLOAT, &["2", "3"])
        .node_with(
            "Scan",
            &["s", "x"],
            &["t", "y"],
            &[
                body.attribute("body"),
                attr_int("num_scan_inputs", 1),
                attr_ints("scan_input_axes", &[1]),
                attr_ints("scan_input_directions", &[1]),
                attr_ints("scan_output_axes", &[-1]),
                attr_ints("scan_output_directions", &[1]),
            ],
        )
        .output("t", FLOAT)
        .output("y", FLOAT);
    let plan = plan(&load(file));
    assert_eq!(plan.cost().bound, Bound::Exact);
    let (outputs, meter) = run(
        &plan,
        &[
            f32s(&[2], &[0.0, 100.0]),
            f32s(&[2, 3], &[1.0, 2.0, 3.0, 10.0, 20.0, 30.0]),
        ],
    );
    assert_eq!(outputs[0], f32s(&[2], &[6.0, 160.0]));
    assert_eq!(outputs[1], f32s(&[2, 3], &[6.0, 5.0, 3.0, 160.0, 150.0, 130.0]));
    assert_eq!(sorted(meter.nodes), stated(&plan));
}

#[test]
fn values_decide_shapes_from_stage_to_stage() {
    // The places of what is above 1, as a matrix; then one row of x for each.
    let file = OnnxFile::new(17)
        .input("x", FLOAT, &["4"])
        .floats("one", &[], &[1.0])
        .node("Greater", &["x", "one"], &["above"])
        .node("NonZero", &["above"], &["places"])
        .node("Shape", &["places"], &["shape"])
        .node("Expand", &["x", "wide"], &["rows"])
        .i64s("wide", &[2], &[2, 4])
        .node("ConstantOfShape", &["shape"], &["zeros"])
        .node("Gather", &["x", "places"], &["gathered"])
        .node("Add", &["zeros", "gathered"], &["y"])
        .output_of("y", FLOAT, &["1", "n"])
        .node("ReduceSum", &["rows"], &["sum"])
        .output_of("sum", FLOAT, &["1", "1"]);
    let plan = plan(&load(file));
    assert_eq!(plan.cost().bound, Bound::Open);
    let (outputs, _) = run(&plan, &[f32s(&[4], &[2.0, 0.0, 3.0, f32::NAN])]);
    assert_eq!(outputs[0], f32s(&[1, 2], &[2.0, 3.0]));
    let (outputs, _) = run(&plan, &[f32s(&[4], &[0.0; 4])]);
    assert_eq!(outputs, [f32s(&[1, 0], &[]), f32s(&[1, 1], &[0.0])]);
    let mut poor = Recorder {
        max_total: Some(40),
        ..Recorder::default()
    };
    let stopped = plan.run(&[f32s(&[4], &[2.0; 4])], &mut poor);
    assert!(matches!(stopped, Err(RunError::Stopped { .. })), "{stopped:?}");
}

#[test]
fn an_output_that_is_not_as_declared_is_an_error_of_the_run() {
    let file = OnnxFile::new(17)
        .input("x", FLOAT, &["4"])
        .node("NonZero", &["x"], &["y"])
        .output_of("y", INT64, &["1", "2"]);
    let plan = plan(&load(file));
    assert!(
        plan.run(&[f32s(&[4], &[1.0, 0.0, 1.0, 0.0])], &mut Unmetered)
            .is_ok()
    );
    assert_eq!(
        plan.run(&[f32s(&[4], &[1.0; 4])], &mut Unmetered)
            .unwrap_err()
            .to_string(),
        "output `y` has shape [1, 4] here; it is declared as [1, 2]"
    );
}

#[test]
fn what_graphs_may_not_do_is_refused() {
    let refusal = |file: OnnxFile| import(file).unwrap_err().to_string();
    let with = |attributes: &[Vec<u8>]| {
        OnnxFile::new(17)
            .input("c", BOOL, &[])
            .input("x", FLOAT, &["2"])
            .node_with("If", &["c"], &["y"], attributes)
            .output("y", FLOAT)
    };
    let neg = |input: &str| Graph::new().outputs(&["r"]).node("Neg", &[input], &["r"]);
    let good = || neg("x").attribute("then_branch");
    assert_eq!(
        refusal(with(&[good()])),
        "node 0 (If `y`): attribute `else_branch` is required"
    );
    assert_eq!(
        refusal(with(&[good(), neg("nothing").attribute("else_branch")])),
        "node 0 (Neg `r`) reads `nothing`, which nothing defines"
    );
    // A value of the other branch is not seen, nor the node's own result.
    let other = Graph::new()
        .outputs(&["r"])
        .node("Neg", &["x"], &["inner"])
        .node("Neg", &["inner"], &["r"]);
    assert_eq!(
        refusal(with(&[
            other.attribute("then_branch"),
            neg("inner").attribute("else_branch")
        ])),
        "node 0 (Neg `r`) reads `inner`, which nothing defines"
    );
    assert_eq!(
        refusal(with(&[good(), neg("y").attribute("else_branch")])),
        "the graph has a cycle through node 0 (If `y`)"
    );
    let circle = Graph::new()
        .outputs(&["r"])
        .node("Add", &["x", "r"], &["s"])
        .node("Neg", &["s"], &["r"]);
    assert_eq!(
        refusal(with(&[good(), circle.attribute("else_branch")])),
        "the graph has a cycle through node 0 (Add `s`)"
    );
    assert_eq!(
        refusal(with(&[good(), neg("x").inputs(&["z"]).attribute("else_branch")])),
        "node 0 (If `y`): else_branch has 1 inputs and 1 outputs; the node takes none and gives 1"
    );
    let twice = Graph::new()
        .outputs(&["r"])
        .node("Neg", &["x"], &["r"])
        .node("Abs", &["x"], &["r"]);
    assert_eq!(
        refusal(with(&[good(), twice.attribute("else_branch")])),
        "`r` is defined twice"
    );
    let mut deep = neg("x");
    for _ in 0..limits::MAX_GRAPH_DEPTH - 2 {
        deep = Graph::new().outputs(&["r"]).node_with(
            "If",
            &["c"],
            &["r"],
            &[deep.attribute("then_branch"), neg("x").attribute("else_branch")],
        );
    }
    let just = with(&[
        deep.clone().attribute("then_branch"),
        neg("x").attribute("else_branch"),
    ]);
    assert!(import(just).is_ok());
    let deeper = Graph::new().outputs(&["r"]).node_with(
        "If",
        &["c"],
        &["r"],
        &[deep.attribute("then_branch"), neg("x").attribute("else_branch")],
    );
    assert_eq!(
        refusal(with(&[
            deeper.attribute("then_branch"),
            neg("x").attribute("else_branch")
        ])),
        "graphs are nested deeper than 8"
    );
    // A bomb of nesting: small, and refused before anything is built.
    let mut bomb = Vec::new();
    for _ in 0..2_000 {
        let attribute = attr_graph("body", &bomb);
        bomb = field(1, &field(5, &attribute));
    }
    assert_eq!(
        refusal(OnnxFile::new(17).raw(&bomb)),
        "graphs are nested deeper than 8"
    );
}

#[test]
fn functions_are_inlined() {
    // twice(a; factor) = (a + a) × factor, factor with a default; four(a) = twice(twice(a))
    let string = |number: u32, text: &str| field(number, text.as_bytes());
    let reference = |name: &str, target: &str| [string(1, name), int(20, 1), string(21, target)].concat();
    let twice = [
        string(1, "twice"),
        string(4, "a"),
        string(5, "b"),
        field(7, &node("", "Add", &["a", "a"], &["t"], &[])),
        field(
            7,
            &node("", "Constant", &[], &["k"], &[reference("value_float", "factor")]),
        ),
        field(7, &node("", "Mul", &["t", "k"], &["b"], &[])),
        field(9, &int(2, 17)),
        string(10, "own"),
        field(11, &attr_float("factor", 1.0)),
    ]
    .concat();
    let four = [
        string(1, "four"),
        string(4, "a"),
        string(5, "b"),
        field(7, &node("own", "twice", &["a"], &["t"], &[])),
        field(
            7,
            &node("own", "twice", &["t"], &["b"], &[attr_float("factor", 0.5)]),
        ),
        field(9, &int(2, 17)),
        string(10, "own"),
    ]
    .concat();
    let file = OnnxFile::new(17)
        .input("t", FLOAT, &["1"])
        .node_of("own", "four", &["t"], &["y"], &[])
        .output("y", FLOAT);
    let bytes = [file.clone().encode(), field(25, &twice), field(25, &four)].concat();
    let canonical = import_onnx(&bytes, &NoExternalData, &ImportOptions::default()).unwrap();
    let model = Model::load(canonical.graph, canonical.weights).unwrap();
    assert_eq!(
        model.operators().collect::<Vec<_>>(),
        ["Add", "Mul", "Add", "Mul"]
    );
    let (outputs, _) = run(&plan(&model), &[f32s(&[1], &[3.0])]);
    assert_eq!(outputs, [f32s(&[1], &[6.0])]);
    // Itself.
    let four = [
        string(1, "four"),
        string(4, "a"),
        string(5, "b"),
        field(7, &node("own", "four", &["a"], &["b"], &[])),
        string(10, "own"),
    ]
    .concat();
    let bytes = [file.encode(), field(25, &four)].concat();
    assert_eq!(
        import_onnx(&bytes, &NoExternalData, &ImportOptions::default())
            .unwrap_err()
            .to_string(),
        "node 0 (four `b`) calls a function of the file, but functions call each other too deeply, or themselves"
    );
}
