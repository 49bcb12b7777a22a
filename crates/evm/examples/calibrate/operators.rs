//! Every operator over shapes that are good and bad for it: what validators run, and what an attacker would pick.

mod breadth;
mod flow;
mod networks;
mod types;

use crate::{
    Measured,
    build::{FLOAT, INT64, OnnxFile, attr_int, attr_ints},
    clock,
};
use synod_evm::gas;
use synod_model::{
    DType, ImportOptions, Meter, Model, NoExternalData, Stop, Tensor, Unmetered, Work, import_onnx,
};

/// A model of one node.
struct Case {
    operator: &'static str,
    case: String,
    file: OnnxFile,
    data: Data,
}

/// What the floats are that a call gives: where time depends on values, those that take longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Data {
    /// Between -1 and 1, of either sign.
    Small,
    /// From 1 on.
    FromOne,
    /// The first input is as large as its type can be, the second as small.
    FarApart,
    /// Integers are as large as their type can be.
    Greatest,
    /// Four numbers each are the corners of boxes that lie side by side.
    Bars,
    /// As many of them as come apart, then the same ones again.
    FewBars(usize),
}

/// A node under construction: inputs that a call gives, and constants.
struct Node {
    domain: &'static str,
    operator: &'static str,
    file: OnnxFile,
    inputs: Vec<String>,
    attributes: Vec<Vec<u8>>,
    case: Vec<String>,
    outputs: Vec<(&'static str, i32)>,
    data: Data,
}

fn node(operator: &'static str) -> Node {
    node_of(18, operator)
}

fn node_of(opset: i64, operator: &'static str) -> Node {
    node_in("", opset, operator)
}

fn node_in(domain: &'static str, opset: i64, operator: &'static str) -> Node {
    Node {
        domain,
        operator,
        file: OnnxFile::new(opset).with_ml(if domain.is_empty() { 0 } else { 3 }),
        inputs: vec![],
        attributes: vec![],
        case: vec![],
        outputs: vec![("y", FLOAT)],
        data: Data::Small,
    }
}

fn name_of_shape(dims: &[usize]) -> String {
    dims.iter().map(usize::to_string).collect::<Vec<_>>().join("×")
}

impl Node {
    fn typed(mut self, code: i32, dims: &[usize]) -> Self {
        let name = format!("x{}", self.inputs.len());
        let sizes: Vec<String> = dims.iter().map(usize::to_string).collect();
        self.file = self
            .file
            .input(&name, code, &sizes.iter().map(String::as_str).collect::<Vec<_>>());
        self.inputs.push(name);
        self.case.push(if dims.is_empty() {
            "scalar".into()
        } else {
            name_of_shape(dims)
        });
        self
    }

    fn input(self, dims: &[usize]) -> Self {
        self.typed(FLOAT, dims)
    }

    fn weights(mut self, dims: &[usize]) -> Self {
        let name = format!("w{}", self.inputs.len());
        let sizes: Vec<i64> = dims.iter().map(|&dim| dim as i64).collect();
        let count = dims.iter().product::<usize>();
        self.file = self.file.floats(&name, &sizes, &pseudorandom(count, 0.1));
        self.inputs.push(name);
        self.case.push(format!("weights {}", name_of_shape(dims)));
        self
    }

    fn i64s(mut self, values: &[i64]) -> Self {
        let name = format!("i{}", self.inputs.len());
        self.file = self.file.i64s(&name, &[values.len() as i64], values);
        self.inputs.push(name);
        self
    }

    fn attribute(mut self, attribute: Vec<u8>, words: &str) -> Self {
        self.attributes.push(attribute);
        self.case.push(words.into());
        self
    }

    fn note(mut self, words: &str) -> Self {
        self.case.push(words.into());
        self
    }

    fn data(mut self, data: Data) -> Self {
        self.data = data;
        self
    }

    fn gives(mut self, outputs: &[(&'static str, i32)]) -> Self {
        self.outputs = outputs.to_vec();
        self
    }

    fn case(self) -> Case {
        let inputs: Vec<&str> = self.inputs.iter().map(String::as_str).collect();
        let outputs: Vec<&str> = self.outputs.iter().map(|(name, _)| *name).collect();
        let mut file = self
            .file
            .node_of(self.domain, self.operator, &inputs, &outputs, &self.attributes);
        for (name, code) in self.outputs {
            file = file.output(name, code);
        }
        Case {
            operator: self.operator,
            case: self.case.join(", "),
            file,
            data: self.data,
        }
    }
}

/// Values in `[-scale, scale)`, away from zero.
fn pseudorandom(count: usize, scale: f32) -> Vec<f32> {
    let mut state = 1u64;
    (0..count)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let unit = (state >> 40) as f32 / (1u64 << 24) as f32;
            (2.0 * unit - 1.0) * scale + if unit < 0.5 { -1e-3 } else { 1e-3 }
        })
        .collect()
}

/// Sizes from what fits a register file to what streams from memory.
const SIZES: [usize; 4] = [1, 64, 4096, 1 << 20];

fn elementwise(cases: &mut Vec<Case>) {
    let unary = [
        "Neg",
        "Abs",
        "Sqrt",
        "Exp",
        "Log",
        "Reciprocal",
        "Floor",
        "Ceil",
        "Sign",
        "Erf",
        "Relu",
        "LeakyRelu",
        "Elu",
        "Selu",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Tanh",
        "Softplus",
        "Identity",
    ];
    for operator in unary {
        cases.extend(SIZES.map(|size| node(operator).input(&[size]).case()));
    }
    // Gelu came with opset 20.
    cases.extend(SIZES.map(|size| {
        Node {
            file: OnnxFile::new(20),
            ..node("Gelu")
        }
        .input(&[size])
        .case()
    }));
    for operator in ["Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "PRelu"] {
        cases.extend(SIZES.map(|size| node(operator).input(&[size]).input(&[size]).case()));
        cases.push(node(operator).input(&[1024, 1024]).input(&[1024]).case());
        cases.push(node(operator).input(&[1024, 1024]).input(&[1024, 1]).case());
        if operator != "PRelu" {
            // slopes broadcast one way only
            cases.push(
                node(operator)
                    .input(&[64, 1, 64, 1])
                    .input(&[1, 16, 1, 16])
                    .case(),
            );
        }
    }
    for operator in ["Equal", "Greater", "Less"] {
        cases.extend(SIZES.map(|size| {
            node(operator)
                .input(&[size])
                .input(&[size])
                .gives(&[("y", 9)])
                .case()
        }));
    }
    for operator in ["And", "Or"] {
        cases.extend(SIZES.map(|size| {
            node(operator)
                .typed(9, &[size])
                .typed(9, &[size])
                .gives(&[("y", 9)])
                .case()
        }));
    }
    cases.extend(SIZES.map(|size| node("Not").typed(9, &[size]).gives(&[("y", 9)]).case()));
    cases.extend(SIZES.map(|size| {
        node("Where")
            .typed(9, &[size])
            .input(&[size])
            .input(&[size])
            .case()
    }));
    cases.push(
        node("Where")
            .typed(9, &[64, 1, 64, 1])
            .input(&[1, 16, 1, 16])
            .input(&[1])
            .case(),
    );
    cases.extend(SIZES.map(|size| node("Clip").input(&[size]).weights(&[]).case()));
    for (code, name) in [
        (11, "to f64"),
        (10, "to f16"),
        (16, "to bf16"),
        (INT64, "to i64"),
        (2, "to u8"),
    ] {
        let to = || attr_int("to", code.into());
        cases.extend(SIZES.map(|size| {
            node("Cast")
                .input(&[size])
                .attribute(to(), name)
                .gives(&[("y", code)])
                .case()
        }));
    }
}

fn reductions(cases: &mut Vec<Case>) {
    for operator in ["Softmax", "LogSoftmax"] {
        for (shape, axis) in [
            (&[1, 10][..], -1),
            (&[64, 1000], -1),
            (&[1000, 64], 0),
            (&[4096, 1], -1),
            (&[1, 1 << 20], -1),
        ] {
            let attribute = attr_int("axis", axis);
            cases.push(
                node(operator)
                    .input(shape)
                    .attribute(attribute, &format!("axis {axis}"))
                    .case(),
            );
        }
    }
    for operator in ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"] {
        for (shape, axis) in [
            (&[1024, 1024][..], 1),
            (&[1024, 1024], 0),
            (&[1 << 20, 1], 1),
            (&[64, 64, 64], 1),
        ] {
            // Axes became an input at opset 13 for sums and at 18 for the others.
            cases.push(
                node(operator)
                    .input(shape)
                    .i64s(&[axis])
                    .note(&format!("axis {axis}"))
                    .case(),
            );
        }
    }
    for operator in ["ArgMax", "ArgMin"] {
        for (shape, axis) in [(&[1024, 1024][..], 1), (&[1024, 1024], 0), (&[1 << 20, 1], 1)] {
            let attribute = attr_int("axis", axis);
            let case = node(operator)
                .input(shape)
                .attribute(attribute, &format!("axis {axis}"));
            cases.push(case.gives(&[("y", INT64)]).case());
        }
    }
    for (rows, columns) in [(1, 64), (512, 768), (1 << 16, 8)] {
        cases.push(
            node("LayerNormalization")
                .input(&[rows, columns])
                .weights(&[columns])
                .weights(&[columns])
                .case(),
        );
    }
    for shape in [[1, 64, 56, 56], [1, 1024, 2, 2]] {
        let channels = shape[1];
        let norm = node("BatchNormalization").input(&shape);
        cases.push((0..4).fold(norm, |norm, _| norm.weights(&[channels])).case());
        cases.push(
            node("InstanceNormalization")
                .input(&shape)
                .weights(&[channels])
                .weights(&[channels])
                .case(),
        );
        cases.push(node("GlobalAveragePool").input(&shape).case());
        cases.push(node("GlobalMaxPool").input(&shape).case());
    }
}

fn products(cases: &mut Vec<Case>) {
    let shapes = [
        [1, 1, 1],
        [1, 1, 1 << 20],
        [1 << 20, 1, 1],
        [1, 1 << 20, 1],
        [1, 1024, 1024],
        [1024, 1, 1024],
        [7, 9, 11],
        [64, 64, 64],
        [256, 256, 256],
        [512, 512, 512],
        [3, 1000, 512],
        [1, 4096, 4096],
    ];
    for [m, n, k] in shapes {
        cases.push(node("MatMul").input(&[m, k]).input(&[k, n]).case());
        if n * k <= 1 << 22 {
            cases.push(node("MatMul").input(&[m, k]).weights(&[k, n]).case());
            for transpose in [0, 1] {
                let weights = if transpose == 1 { [n, k] } else { [k, n] };
                let attribute = attr_int("transB", transpose);
                let gemm = node("Gemm").input(&[m, k]).weights(&weights).weights(&[n]);
                cases.push(gemm.attribute(attribute, &format!("transB {transpose}")).case());
            }
        }
    }
    cases.push(node("MatMul").input(&[256, 8, 8]).input(&[256, 8, 8]).case());
    cases.push(node("MatMul").input(&[4096, 1, 1]).input(&[4096, 1, 1]).case());
    cases.push(
        node("MatMul")
            .typed(INT64, &[128, 128])
            .typed(INT64, &[128, 128])
            .gives(&[("y", INT64)])
            .case(),
    );
    cases.push(
        node("MatMul")
            .typed(11, &[128, 128])
            .typed(11, &[128, 128])
            .gives(&[("y", 11)])
            .case(),
    );
    cases.push(
        node("MatMul")
            .typed(10, &[128, 128])
            .typed(10, &[128, 128])
            .gives(&[("y", 10)])
            .case(),
    );
}

fn windows(cases: &mut Vec<Case>) {
    // Input, weights, groups, stride, padding.
    type Convolution = (&'static [usize], &'static [usize], i64, i64, i64);
    let convolutions: [Convolution; 11] = [
        (&[1, 3, 224, 224], &[64, 3, 7, 7], 1, 2, 3),
        (&[1, 64, 56, 56], &[64, 64, 3, 3], 1, 1, 1),
        (&[1, 256, 14, 14], &[256, 256, 3, 3], 1, 1, 1),
        (&[1, 64, 56, 56], &[256, 64, 1, 1], 1, 1, 0),
        (&[1, 96, 56, 56], &[96, 1, 3, 3], 96, 1, 1),
        (&[1, 960, 7, 7], &[960, 1, 3, 3], 960, 1, 1),
        (&[1, 1, 1, 1], &[1, 1, 1, 1], 1, 1, 0),
        (&[1, 1, 512, 512], &[1, 1, 1, 1], 1, 1, 0),
        (&[1, 1024, 1, 1], &[1024, 1024, 1, 1], 1, 1, 0),
        (&[1, 1, 64, 64], &[1, 1, 32, 32], 1, 1, 0),
        (&[1, 8, 9, 9], &[8, 4, 3, 3], 2, 1, 1),
    ];
    for (input, weights, groups, stride, pad) in convolutions {
        for operator in ["Conv", "ConvTranspose"] {
            // Of a transposed convolution the weights are [inputs, outputs / groups, …].
            let mut weights = weights.to_vec();
            if operator == "ConvTranspose" {
                weights[0] = input[1];
                weights[1] = if groups > 1 { 1 } else { weights[1].min(64) };
            }
            let conv = node(operator).input(input).weights(&weights);
            let conv = conv
                .attribute(attr_int("group", groups), &format!("groups {groups}"))
                .attribute(attr_ints("strides", &[stride; 2]), &format!("stride {stride}"))
                .attribute(attr_ints("pads", &[pad; 4]), &format!("pad {pad}"));
            cases.push(conv.case());
        }
    }
    for (input, weights) in [([1, 6, 100], [16, 6, 5]), ([1, 1, 1 << 16], [1, 1, 3])] {
        cases.push(node("Conv").input(&input).weights(&weights).case());
    }
    for operator in ["MaxPool", "AveragePool"] {
        for (input, kernel, stride) in [
            ([1, 64, 112, 112], 3, 2),
            ([1, 64, 56, 56], 2, 2),
            ([1, 8, 64, 64], 16, 1),
            ([1, 512, 4, 4], 4, 1),
        ] {
            let pool = node(operator)
                .input(&input)
                .attribute(
                    attr_ints("kernel_shape", &[kernel; 2]),
                    &format!("kernel {kernel}"),
                )
                .attribute(attr_ints("strides", &[stride; 2]), &format!("stride {stride}"));
            cases.push(pool.case());
        }
    }
}

fn movements(cases: &mut Vec<Case>) {
    for (shape, order) in [
        (&[1024, 1024][..], &[1, 0][..]),
        (&[64, 64, 64, 4], &[0, 2, 3, 1]),
        (&[1 << 18, 4], &[1, 0]),
        (&[2; 8], &[7, 6, 5, 4, 3, 2, 1, 0]),
    ] {
        let attribute = attr_ints("perm", order);
        cases.push(
            node("Transpose")
                .input(shape)
                .attribute(attribute, &format!("to {order:?}"))
                .case(),
        );
    }
    cases.push(node("Reshape").input(&[1024, 1024]).i64s(&[-1]).case());
    cases.push(node("Flatten").input(&[16, 64, 1024]).case());
    cases.push(node("Squeeze").input(&[1, 1 << 20]).i64s(&[0]).case());
    cases.push(node("Unsqueeze").input(&[1 << 20]).i64s(&[0]).case());
    for axis in [0, 1] {
        let concat = node("Concat").input(&[512, 512]).input(&[512, 512]);
        cases.push(
            concat
                .attribute(attr_int("axis", axis), &format!("axis {axis}"))
                .case(),
        );
        let split = node("Split").input(&[512, 512]).i64s(&[256, 256]);
        let split = split.attribute(attr_int("axis", axis), &format!("axis {axis}"));
        cases.push(split.gives(&[("y", FLOAT), ("z", FLOAT)]).case());
    }
    cases.push(
        node("Concat")
            .input(&[1 << 16, 1])
            .input(&[1 << 16, 1])
            .attribute(attr_int("axis", 1), "axis 1")
            .case(),
    );
    cases.push(
        node("Slice")
            .input(&[1024, 1024])
            .i64s(&[1])
            .i64s(&[1 << 30])
            .i64s(&[1])
            .i64s(&[2])
            .case(),
    );
    cases.push(
        node("Slice")
            .input(&[1 << 18, 4])
            .i64s(&[0])
            .i64s(&[2])
            .i64s(&[1])
            .case(),
    );
    cases.push(node("Gather").input(&[1024, 1024]).typed(INT64, &[1024]).case());
    cases.push(
        node("Gather")
            .input(&[1024, 1024])
            .typed(INT64, &[1024])
            .attribute(attr_int("axis", 1), "axis 1")
            .case(),
    );
    cases.push(node("Gather").input(&[1 << 16]).typed(INT64, &[1 << 16]).case());
    cases.push(node("Expand").input(&[1024, 1]).i64s(&[1024, 1024]).case());
    cases.push(node("Expand").input(&[1, 1024]).i64s(&[1024, 1024]).case());
    cases.push(node("Tile").input(&[32, 32]).i64s(&[32, 32]).case());
    cases.push(node("Tile").input(&[1, 1]).i64s(&[1024, 1024]).case());
    cases.push(
        node("Pad")
            .input(&[1, 64, 56, 56])
            .i64s(&[0, 0, 1, 1, 0, 0, 1, 1])
            .case(),
    );
    cases.push(node("Pad").input(&[1]).i64s(&[0, 1 << 20]).case());
    cases.push(node("Dropout").input(&[1 << 20]).case());
}

/// The gas and time of one case, `None` if the engine does not take the model (yet).
fn time(case: Case) -> Option<Measured> {
    let subject = case.operator.to_owned();
    let file = case.file.encode();
    let model = import_onnx(&file, &NoExternalData, &ImportOptions::default())
        .map_err(|error| error.to_string())
        .and_then(|canonical| {
            Model::load(canonical.graph, canonical.weights).map_err(|error| error.to_string())
        });
    let model = match model {
        Ok(model) => model,
        Err(error) => {
            eprintln!("skipped {subject} {}: {error}", case.case);
            return None;
        }
    };
    let signature = model.signature();
    let shapes = signature.max_shapes();
    let tensors: Vec<Tensor> = signature
        .inputs
        .iter()
        .zip(&shapes)
        .enumerate()
        .map(|(number, (input, shape))| values(case.data, number, input.dtype, shape))
        .collect();
    let plan = model
        .plan(&shapes)
        .map_err(|error| eprintln!("skipped {subject} {}: {error}", case.case))
        .ok()?;
    // memory is priced, and measured, apart: here it is mapped once and used again
    let mut meter = Counter {
        gas: 0,
        work: Work::default(),
    };
    let mut failed = plan.run(&tensors, &mut meter).is_err();
    let Counter { gas, work } = meter;
    let nanoseconds = clock::nanoseconds(|| failed |= plan.run(&tensors, &mut Unmetered).is_err());
    if failed {
        eprintln!("skipped {subject} {}: it does not run", case.case);
        return None;
    }
    eprintln!("{subject} {}: {nanoseconds:.0} ns, {gas} gas", case.case);
    Some(Measured {
        subject,
        case: case.case,
        gas,
        nanoseconds,
        work: Some(work),
    })
}

/// Adds up the gas and the work of a run.
struct Counter {
    gas: u64,
    work: Work,
}

impl Meter for Counter {
    fn charge(&mut self, _node: usize, work: &Work) -> Result<(), Stop> {
        self.gas += gas::node(work);
        self.work += *work;
        Ok(())
    }

    fn plan(&mut self, work: &Work) -> Result<(), Stop> {
        self.gas += gas::plan_node(work);
        self.work += *work;
        Ok(())
    }

    fn reserve(&mut self, _bytes: u64, _total: u64) -> Result<(), Stop> {
        Ok(())
    }
}

/// Elements of an input: floats as `data` says, indices that are in range.
fn values(data: Data, number: usize, dtype: DType, shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    let floats: Vec<f64> = pseudorandom(count, 1.0)
        .into_iter()
        .enumerate()
        .map(|(index, x)| match (data, number) {
            (Data::Bars, 0) => bar(index / 4)[index % 4],
            (Data::FewBars(few), 0) => bar(index / 4 % few)[index % 4],
            (Data::Small | Data::Greatest | Data::Bars | Data::FewBars(_), _) => x.into(),
            (Data::FromOne, _) => 1.0 + 10.0 * f64::from(x.abs()),
            (Data::FarApart, 0) => f64::from(x) * largest(dtype),
            (Data::FarApart, _) => f64::from(x) / largest(dtype) * 4.0,
        })
        .collect();
    let bytes: Vec<u8> = match dtype {
        DType::F32 => floats.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect(),
        DType::F64 => floats.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::F16 => floats
            .iter()
            .flat_map(|x| half(*x, if data == Data::FromOne { 0x41 } else { 0x38 }).to_le_bytes())
            .collect(),
        DType::BF16 => floats
            .iter()
            .flat_map(|x| half(*x, if data == Data::FromOne { 0x40 } else { 0x3f }).to_le_bytes())
            .collect(),
        DType::I64 if data == Data::Greatest => (0..count)
            .flat_map(|i| (i64::MAX - i as i64).to_le_bytes())
            .collect(),
        DType::I64 => (0..count)
            .flat_map(|i| (i as i64 * 7919 % 1024).to_le_bytes())
            .collect(),
        DType::Bool => floats.iter().map(|x| u8::from(*x > 0.0)).collect(),
        other => vec![1; count * other.size()],
    };
    Tensor::from_le_bytes(dtype, shape, &bytes).expect("as many bytes as the shape asks for")
}

/// The corners of a box beside others.
fn bar(number: usize) -> [f64; 4] {
    [number as f64, 0.0, number as f64 + 0.5, 9.0]
}

/// A large number of a float type.
fn largest(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e307,
        _ => 1e37,
    }
}

/// One of two 16-bit floats with this high byte, by the sign of a number.
fn half(x: f64, high: u16) -> u16 {
    if x < 0.0 {
        0x8000 | high << 8
    } else {
        high << 8 | 1
    }
}

/// Measures all cases, or those of these operators.
pub(crate) fn measure(wanted: &[String]) -> Vec<Measured> {
    let mut cases = Vec::new();
    elementwise(&mut cases);
    reductions(&mut cases);
    products(&mut cases);
    windows(&mut cases);
    movements(&mut cases);
    networks::all(&mut cases);
    breadth::all(&mut cases);
    types::all(&mut cases);
    flow::all(&mut cases);
    cases.retain(|case| wanted.is_empty() || wanted.iter().any(|name| name == case.operator));
    cases.into_iter().filter_map(time).collect()
}
