//! Recurrent layers: LSTM, GRU, SimpleRNN, RNN over their cells, and both directions of them.
//!
//! A direction is a node of ONNX's own operator. With a mask, steps that do not count keep state and output; ONNX's operators cannot
//! say that of steps in the middle, so a Scan runs the operator step by step and chooses.

use super::super::{
    Context,
    call::Call,
    config::{Layer, object, text},
    hdf5::Array,
    tensor::{Layout, Tensor},
};
use super::{activation::hard_sigmoid, conv::permuted, core::known, incoming_mask, merge::joined};
use crate::{
    ImportError,
    onnx::{Attribute, Body, floats, int, ints, string, strings},
};
use serde_json::Value as Json;
use std::rc::Rc;
use synod_model::DType;

/// Which cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lstm,
    Gru { reset_after: bool },
    Simple,
}

impl Kind {
    fn of_class(layer: &Layer<'_>) -> Result<Option<Self>, ImportError> {
        Ok(Some(match layer.class {
            "LSTM" | "LSTMCell" => Self::Lstm,
            // The option came with TensorFlow 2; before there was one way.
            "GRU" | "GRUCell" => Self::Gru {
                reset_after: layer.flag("reset_after", layer.version >= 3)?,
            },
            "SimpleRNN" | "SimpleRNNCell" => Self::Simple,
            _ => return Ok(None),
        }))
    }

    fn op(self) -> &'static str {
        match self {
            Self::Lstm => "LSTM",
            Self::Gru { .. } => "GRU",
            Self::Simple => "RNN",
        }
    }

    /// For each gate in ONNX's order, its place in Keras'.
    fn gates(self) -> &'static [usize] {
        match self {
            // Keras: input, forget, cell, output. ONNX: input, output, forget, cell.
            Self::Lstm => &[0, 3, 1, 2],
            // update, reset, hidden in both
            Self::Gru { .. } => &[0, 1, 2],
            Self::Simple => &[0],
        }
    }

    /// Tensors of state.
    fn states(self) -> usize {
        if self == Self::Lstm { 2 } else { 1 }
    }
}

/// A cell with its weights as ONNX wants them.
struct Cell {
    kind: Kind,
    units: usize,
    /// (1, gates · units, inputs)
    kernel: Array,
    /// (1, gates · units, units)
    recurrent: Array,
    /// (1, 2 · gates · units): of the input, of the state
    bias: Option<Array>,
    attributes: Vec<Attribute>,
}

impl Cell {
    fn read(layer: &Layer<'_>, kind: Kind, inputs: usize) -> Result<Self, ImportError> {
        let units = layer.size("units")?;
        let gates = kind.gates();
        let width = gates.len() * units;
        let kernel = layer.weight("kernel", &[inputs, width])?;
        let recurrent = layer.weight("recurrent_kernel", &[units, width])?;
        let bias = if layer.flag("use_bias", true)? {
            Some(match kind {
                Kind::Gru { reset_after: true } => {
                    let both = layer.weight("bias", &[2, width])?;
                    [both.values[..width].to_vec(), both.values[width..].to_vec()]
                }
                _ => [layer.weight("bias", &[width])?.values, vec![0.0; width]],
            })
        } else {
            None
        };
        let by_gate = |values: &[f32], of_gate: usize| -> Vec<f32> {
            let blocks = gates
                .iter()
                .map(|&gate| &values[gate * of_gate..(gate + 1) * of_gate]);
            blocks.flatten().copied().collect()
        };
        let rows = |array: &Array, columns: usize| Array {
            shape: vec![1, width, columns],
            values: by_gate(&permuted(array, &[1, 0]).values, units * columns),
        };
        let mut attributes = activations(layer, kind)?;
        attributes.push(int("hidden_size", units as i64));
        if let Kind::Gru { reset_after } = kind {
            attributes.push(int("linear_before_reset", i64::from(reset_after)));
        }
        Ok(Self {
            kind,
            units,
            kernel: rows(&kernel, inputs),
            recurrent: rows(&recurrent, units),
            bias: bias.map(|parts| Array {
                shape: vec![1, 2 * width],
                values: parts.iter().flat_map(|part| by_gate(part, units)).collect(),
            }),
            attributes,
        })
    }
}

/// The attributes that name a cell's functions.
fn activations(layer: &Layer<'_>, kind: Kind) -> Result<Vec<Attribute>, ImportError> {
    let (mut names, mut alphas, mut betas) = (Vec::new(), Vec::new(), Vec::new());
    let options: &[&str] = match kind {
        // ONNX's third function is of the cell state where it becomes the output.
        Kind::Lstm => &["recurrent_activation", "activation", "activation"],
        Kind::Gru { .. } => &["recurrent_activation", "activation"],
        Kind::Simple => &["activation"],
    };
    for option in options {
        let default = if *option == "activation" {
            "tanh"
        } else {
            "sigmoid"
        };
        let named = match layer.config.get(*option) {
            None => default,
            Some(Json::Null) => "linear",
            Some(Json::String(name)) => name,
            Some(Json::Object(function)) => match function.get("config") {
                Some(Json::String(name)) => name,
                _ => "",
            },
            Some(_) => "",
        };
        names.push(match named {
            "tanh" => "Tanh",
            "sigmoid" => "Sigmoid",
            "relu" => "Relu",
            "softplus" => "Softplus",
            "softsign" => "Softsign",
            "linear" => {
                alphas.push(1.0);
                betas.push(0.0);
                "Affine"
            }
            "elu" => {
                alphas.push(1.0);
                "Elu"
            }
            "hard_sigmoid" => {
                let parameters = hard_sigmoid(layer.version);
                alphas.extend(parameters[0].f);
                betas.extend(parameters[1].f);
                "HardSigmoid"
            }
            _ => {
                return Err(layer.refuse(
                    option,
                    "ONNX's recurrent operators have tanh, sigmoid, hard_sigmoid, relu, elu, softplus, softsign and linear",
                ));
            }
        });
    }
    let mut attributes = vec![strings("activations", names)];
    if !alphas.is_empty() {
        attributes.push(floats("activation_alpha", alphas));
    }
    if !betas.is_empty() {
        attributes.push(floats("activation_beta", betas));
    }
    Ok(attributes)
}

/// How a cell runs over a sequence.
#[derive(Clone)]
struct Course {
    backwards: bool,
    mask: Option<Rc<Tensor>>,
    /// Whether outputs of steps that do not count are zero, instead of the output before.
    zero_where_masked: bool,
    /// Whether every step's output is wanted.
    sequence: bool,
}

/// What a run gives.
struct Outcome {
    /// Every step's output, at the step's place; of no meaning if it was not wanted.
    sequence: Option<Tensor>,
    /// The last output computed.
    last: Tensor,
    /// The states after it.
    states: Vec<Tensor>,
}

/// Runs a cell over a sequence (batch, time, features).
fn run(
    context: &mut Context,
    layer: &Layer<'_>,
    cell: Cell,
    x: &Tensor,
    initial: &[Tensor],
    course: &Course,
) -> Result<Outcome, ImportError> {
    if !initial.is_empty() && initial.len() != cell.kind.states() {
        return Err(layer.call_error(format!(
            "it is given {} initial states and has {}",
            initial.len(),
            cell.kind.states()
        )));
    }
    if let Some(state) = initial
        .iter()
        .find(|state| state.rank() != 2 || state.shape[1].is_some_and(|size| size != cell.units))
    {
        return Err(layer.call_error(format!(
            "an initial state has the shape {}, its cells {} units",
            state.shown(),
            cell.units
        )));
    }
    let graph = &mut context.writer.graph;
    let mut constant = |name: &str, array: &Array| graph.floats(name, &array.shape, &array.values);
    let weights = [
        constant("kernel", &cell.kernel),
        constant("recurrent_kernel", &cell.recurrent),
    ];
    let bias = cell
        .bias
        .as_ref()
        .map(|bias| constant("bias", bias))
        .unwrap_or_default();
    match &course.mask {
        None => run_whole(context, &cell, &weights, &bias, x, initial, course),
        Some(mask) => run_masked(context, &cell, &weights, &bias, x, mask, initial, course),
    }
}

fn direction(backwards: bool) -> Attribute {
    string("direction", if backwards { "reverse" } else { "forward" })
}

/// One node for all steps.
fn run_whole(
    context: &mut Context,
    cell: &Cell,
    weights: &[String; 2],
    bias: &str,
    x: &Tensor,
    initial: &[Tensor],
    course: &Course,
) -> Result<Outcome, ImportError> {
    let w = &mut context.writer;
    let value = w.value_as(x, Layout::TimeFirst)?;
    let first = w.graph.ints("axes", &[0]);
    let mut states = Vec::new();
    for state in initial {
        let value = w.keras(state)?;
        states.push(w.graph.node("Unsqueeze", &[&value, &first], vec![])?);
    }
    let mut inputs = vec![value.as_str(), &weights[0], &weights[1], bias];
    if !states.is_empty() {
        inputs.push("");
        inputs.extend(states.iter().map(String::as_str));
    }
    while inputs.last() == Some(&"") {
        inputs.pop();
    }
    let mut attributes = cell.attributes.clone();
    attributes.push(direction(course.backwards));
    let outputs = w
        .graph
        .node_with(cell.kind.op(), &inputs, 1 + cell.kind.states(), attributes)?;
    let shape = vec![x.shape[0], Some(cell.units)];
    let mut squeezed = Vec::new();
    for output in &outputs[1..] {
        let value = w.graph.node("Squeeze", &[output, &first], vec![])?;
        squeezed.push(w.tensor(value, Layout::Keras, shape.clone(), DType::F32));
    }
    let sequence = if course.sequence {
        let directions = w.graph.ints("axes", &[1]);
        let value = w.graph.node("Squeeze", &[&outputs[0], &directions], vec![])?;
        let shape = vec![x.shape[0], x.shape[1], Some(cell.units)];
        Some(w.tensor(value, Layout::TimeFirst, shape, DType::F32))
    } else {
        None
    };
    Ok(Outcome {
        sequence,
        last: squeezed[0].clone(),
        states: squeezed,
    })
}

/// A Scan of single steps, each of which counts or does not.
#[allow(clippy::too_many_arguments, reason = "what a run has")]
fn run_masked(
    context: &mut Context,
    cell: &Cell,
    weights: &[String; 2],
    bias: &str,
    x: &Tensor,
    mask: &Tensor,
    initial: &[Tensor],
    course: &Course,
) -> Result<Outcome, ImportError> {
    let w = &mut context.writer;
    let value = w.value_as(x, Layout::TimeFirst)?;
    let mask = w.value_as(mask, Layout::TimeFirst)?;
    let last_axis = w.graph.ints("axes", &[-1]);
    let mask = w.graph.node("Unsqueeze", &[&mask, &last_axis], vec![])?;
    // Zeros in the form of a state: the batch is known only when the model is called.
    let batch = w
        .graph
        .node("Shape", &[&value], vec![int("start", 1), int("end", 2)])?;
    let units = w.graph.ints("units", &[cell.units as i64]);
    let shape = w.graph.node("Concat", &[&batch, &units], vec![int("axis", 0)])?;
    let zeros = w.graph.node("ConstantOfShape", &[&shape], vec![])?;
    let mut carried = Vec::new();
    for place in 0..cell.kind.states() {
        carried.push(match initial.get(place) {
            Some(state) => w.keras(state)?,
            None => zeros.clone(),
        });
    }
    // The output before the first step is zero, whatever the state.
    carried.push(zeros);

    let first = w.graph.ints("axes", &[0]);
    let zero = w.graph.scalar("zero", 0.0);
    let wish = format!("{}/step", w.graph.scope());
    let mut body = Body::new(&w.graph.unique(&wish));
    let states: Vec<String> = (0..cell.kind.states())
        .map(|place| body.input(&format!("state{place}"), DType::F32))
        .collect();
    let before = body.input("output", DType::F32);
    let step = body.input("x", DType::F32);
    let counts = body.input("counts", DType::Bool);
    let lift = |body: &mut Body, value: &str, name: &str| {
        body.node("Unsqueeze", &[value, &first], &[name], vec![])
            .remove(0)
    };
    let long = lift(&mut body, &step, "x1");
    let lifted: Vec<String> = states
        .iter()
        .enumerate()
        .map(|(place, state)| lift(&mut body, state, &format!("state{place}_1")))
        .collect();
    let mut inputs = vec![long.as_str(), &weights[0], &weights[1], bias, ""];
    inputs.extend(lifted.iter().map(String::as_str));
    let names = ["", "next0", "next1"];
    let outputs = body.node(
        cell.kind.op(),
        &inputs,
        &names[..=cell.kind.states()],
        cell.attributes.clone(),
    );
    let mut flat = Vec::new();
    for (place, output) in outputs[1..].iter().enumerate() {
        flat.push(
            body.node("Squeeze", &[output, &first], &[&format!("flat{place}")], vec![])
                .remove(0),
        );
    }
    for (place, (new, old)) in flat.iter().zip(&states).enumerate() {
        let chosen = body
            .node("Where", &[&counts, new, old], &[&format!("kept{place}")], vec![])
            .remove(0);
        body.output(&chosen, DType::F32);
    }
    let otherwise = if course.zero_where_masked { &zero } else { &before };
    let output = body
        .node("Where", &[&counts, &flat[0], otherwise], &["kept_output"], vec![])
        .remove(0);
    body.output(&output, DType::F32);
    let copy = body
        .node("Identity", &[&output], &["every_output"], vec![])
        .remove(0);
    body.output(&copy, DType::F32);

    let mut inputs: Vec<&str> = carried.iter().map(String::as_str).collect();
    inputs.extend([value.as_str(), mask.as_str()]);
    let way = i64::from(course.backwards);
    let attributes = vec![
        body.attribute("body"),
        int("num_scan_inputs", 2),
        ints("scan_input_directions", [way, way]),
        ints("scan_output_directions", [way]),
    ];
    let outputs = w
        .graph
        .node_with("Scan", &inputs, cell.kind.states() + 2, attributes)?;
    let shape = vec![x.shape[0], Some(cell.units)];
    let mut tensor = |value: &str| w.tensor(value.to_owned(), Layout::Keras, shape.clone(), DType::F32);
    let states: Vec<Tensor> = outputs[..cell.kind.states()]
        .iter()
        .map(|value| tensor(value))
        .collect();
    let last = tensor(&outputs[cell.kind.states()]);
    let shape = vec![x.shape[0], x.shape[1], Some(cell.units)];
    let sequence = w.tensor(
        outputs[cell.kind.states() + 1].clone(),
        Layout::TimeFirst,
        shape,
        DType::F32,
    );
    Ok(Outcome {
        sequence: Some(sequence),
        last,
        states,
    })
}

/// The sequence and the initial states with which a layer is called.
fn inputs(
    context: &mut Context,
    layer: &Layer<'_>,
    call: &Call<'_>,
) -> Result<(Tensor, Vec<Tensor>), ImportError> {
    let mut tensors = call.tensors();
    if tensors.is_empty() {
        tensors = call.named_tensors("sequences");
    }
    if tensors.is_empty() {
        return Err(layer.call_error("it is called without a sequence"));
    }
    let x = tensors.remove(0);
    tensors.extend(call.named_tensors("initial_state"));
    if x.rank() != 3 {
        return Err(layer.call_error(format!(
            "its input has the shape {}, it takes (batch, time, features)",
            x.shown()
        )));
    }
    let x = context.writer.float(&x)?;
    Ok((x, tensors))
}

/// Refuses what a network on its own does not have.
fn check(layer: &Layer<'_>) -> Result<(), ImportError> {
    layer.refuse_flag(
        "stateful",
        "make the states inputs and outputs of the model (initial_state, return_state)",
    )?;
    layer.refuse_flag("time_major", "put a Permute before the layer instead")
}

/// A sequence in the opposite order.
fn reversed(context: &mut Context, x: &Tensor) -> Result<Tensor, ImportError> {
    let w = &mut context.writer;
    let layout = w.layout(x);
    let place = layout.place(1, 3) as i64;
    let parameters = [
        ("starts", -1),
        ("ends", i64::MIN + 1),
        ("axes", place),
        ("steps", -1),
    ]
    .map(|(name, value)| w.graph.ints(name, &[value]));
    let value = w.value(x);
    let mut inputs = vec![value.as_str()];
    inputs.extend(parameters.iter().map(String::as_str));
    let value = w.graph.node("Slice", &inputs, vec![])?;
    Ok(w.like(x, value))
}

/// What a layer gives: its output or outputs in time, then its states.
fn results(
    context: &mut Context,
    layer: &Layer<'_>,
    outcome: Outcome,
    mask: Option<Rc<Tensor>>,
) -> Result<Vec<Tensor>, ImportError> {
    let mut all = vec![match (layer.flag("return_sequences", false)?, outcome.sequence) {
        (true, Some(sequence)) => {
            // Keras leaves the outputs in the order in which they are computed.
            let sequence = if layer.flag("go_backwards", false)? {
                reversed(context, &sequence)?
            } else {
                sequence
            };
            sequence.masked(mask)
        }
        _ => outcome.last,
    }];
    if layer.flag("return_state", false)? {
        all.extend(outcome.states);
    }
    Ok(all)
}

/// The mask by which a layer runs. Keras 3 hands the sequence's own on where that is the only tensor that the layer is called with: beside an initial state
/// there is none, unless the call names it. What comes out carries the sequence's all the same.
fn mask_of_run(
    layer: &Layer<'_>,
    call: &Call<'_>,
    initial: &[Tensor],
    carried: Option<&Rc<Tensor>>,
) -> Option<Rc<Tensor>> {
    let handed_on = layer.version < 3 || initial.is_empty() || !call.named_tensors("mask").is_empty();
    carried.filter(|_| handed_on).cloned()
}

fn course(layer: &Layer<'_>, mask: Option<Rc<Tensor>>) -> Result<Course, ImportError> {
    Ok(Course {
        backwards: layer.flag("go_backwards", false)?,
        mask,
        zero_where_masked: layer.flag("zero_output_for_mask", false)?,
        sequence: layer.flag("return_sequences", false)?,
    })
}

fn single<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
    kind: Kind,
) -> Result<Vec<Tensor>, ImportError> {
    check(layer)?;
    let (x, initial) = inputs(context, layer, call)?;
    let mask = incoming_mask(call)?;
    let cell = Cell::read(
        &layer.with_weights(layer.weights.child(&["cell"])),
        kind,
        known(layer, &x, 2)?,
    )?;
    let of_run = mask_of_run(layer, call, &initial, mask.as_ref());
    let outcome = run(context, layer, cell, &x, &initial, &course(layer, of_run)?)?;
    results(context, layer, outcome, mask)
}

/// LSTM
pub(super) fn lstm<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    single(context, layer, call, Kind::Lstm)
}

/// GRU, with the reset gate before or after the product with the state.
pub(super) fn gru<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    match Kind::of_class(layer)? {
        Some(kind) => single(context, layer, call, kind),
        None => Err(layer.call_error("its class is not GRU")),
    }
}

/// SimpleRNN
pub(super) fn simple<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    single(context, layer, call, Kind::Simple)
}

/// The cells of an RNN layer, innermost first: one, or those of StackedRNNCells.
fn cells_of<'a>(layer: &Layer<'a>) -> Result<Vec<Layer<'a>>, ImportError> {
    let cell = layer.inner("cell", layer.weights.child(&["cell"]))?;
    if cell.class != "StackedRNNCells" {
        return Ok(vec![cell]);
    }
    let described = cell.get("cells").and_then(Json::as_array);
    let described = described.ok_or_else(|| cell.refuse("cells", "a list of cells is"))?;
    let weights = cell.weights.child(&["cells"]).into_list(&cell.name)?;
    let mut cells = Vec::with_capacity(described.len());
    for (index, described) in described.iter().enumerate() {
        let place = format!("layer `{}`, cell {index}", layer.name);
        let described = object(&place, described)?;
        let class = text(&place, "class_name", described)?;
        let config = described.get("config").unwrap_or(&Json::Null);
        let config = object(&place, config)?;
        let name = config.get("name").and_then(Json::as_str).unwrap_or_default();
        cells.push(Layer {
            name: format!("{}/{name}", layer.name),
            class,
            operation: false,
            config,
            version: layer.version,
            weights: weights.item(name, class, &cell.weights)?,
        });
    }
    Ok(cells)
}

/// RNN over a cell, or over several on top of each other.
pub(super) fn cells<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    check(layer)?;
    let (mut x, mut initial) = inputs(context, layer, call)?;
    let mask = incoming_mask(call)?;
    let of_run = mask_of_run(layer, call, &initial, mask.as_ref());
    let cells = cells_of(layer)?;
    let count = cells.len();
    let mut states = Vec::new();
    let mut outcome = None;
    let given = !initial.is_empty();
    for (index, described) in cells.into_iter().enumerate() {
        let kind = Kind::of_class(&described)?.ok_or_else(|| ImportError::UnsupportedLayer {
            layer: described.name.clone(),
            class: described.class.to_owned(),
            advice: "cells of LSTM, GRU and SimpleRNN are, and stacks of them",
        })?;
        let own: Vec<Tensor> = if given {
            let own = kind.states().min(initial.len());
            initial.drain(..own).collect()
        } else {
            Vec::new()
        };
        let cell = Cell::read(&described, kind, known(layer, &x, 2)?)?;
        let mut course = course(layer, of_run.clone())?;
        course.sequence |= index + 1 < count;
        let mut done = run(context, layer, cell, &x, &own, &course)?;
        states.append(&mut done.states.clone());
        if let Some(sequence) = &done.sequence {
            x = sequence.clone();
        }
        done.states.clear();
        outcome = Some(done);
    }
    let mut outcome = outcome.ok_or_else(|| layer.refuse("cell", "a stack of one cell or more is"))?;
    outcome.states = states;
    results(context, layer, outcome, mask)
}

/// Bidirectional: a layer forwards and one backwards, joined.
pub(super) fn bidirectional<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let forward = layer.inner("layer", layer.weights.child(&["forward_layer"]))?;
    let backward_weights = layer.weights.child(&["backward_layer"]);
    let backward = match layer.get("backward_layer") {
        Some(_) => layer.inner("backward_layer", backward_weights)?,
        None => layer.inner("layer", backward_weights)?,
    };
    let (x, initial) = inputs(context, layer, call)?;
    let mask = incoming_mask(call)?;
    let of_run = mask_of_run(layer, call, &initial, mask.as_ref());
    let half = initial.len() / 2;
    let sequence = forward.flag("return_sequences", false)?;
    let mut outcomes = Vec::new();
    for (own, backwards, states) in [
        (&forward, false, &initial[..half]),
        (&backward, true, &initial[half..]),
    ] {
        check(own)?;
        if own.flag("go_backwards", false)? != (backwards && layer.get("backward_layer").is_some()) {
            return Err(own.refuse(
                "go_backwards",
                "the first layer goes forwards, the second backwards",
            ));
        }
        let kind = Kind::of_class(own)?.ok_or_else(|| ImportError::UnsupportedLayer {
            layer: own.name.clone(),
            class: own.class.to_owned(),
            advice: "LSTM, GRU and SimpleRNN are inside Bidirectional",
        })?;
        let cell = Cell::read(
            &own.with_weights(own.weights.child(&["cell"])),
            kind,
            known(layer, &x, 2)?,
        )?;
        let course = Course {
            backwards,
            mask: of_run.clone(),
            zero_where_masked: sequence,
            sequence,
        };
        outcomes.push(run(context, own, cell, &x, states, &course)?);
    }
    let mut states = Vec::new();
    let mut both = Vec::new();
    for outcome in outcomes {
        // The states follow both outputs.
        states.extend(outcome.states);
        both.push(match (sequence, outcome.sequence) {
            (true, Some(steps)) => steps,
            _ => outcome.last,
        });
    }
    let op = match layer.config.get("merge_mode") {
        Some(Json::Null) => None,
        _ => Some(layer.text("merge_mode", "concat")?),
    };
    let elementwise =
        |context: &mut Context, op: &str| super::merge::binary(context, layer, op, &both[0], &both[1]);
    let mut outputs = match op {
        None => both,
        Some("concat") => vec![joined(context, layer, &both, -1)?],
        Some("sum") => vec![elementwise(context, "Add")?],
        Some("mul") => vec![elementwise(context, "Mul")?],
        Some("ave") => {
            let sum = elementwise(context, "Add")?;
            vec![context.writer.with_scalar("Div", &sum, 2.0)?]
        }
        Some(_) => return Err(layer.refuse("merge_mode", "concat, sum, mul, ave and null are")),
    };
    if sequence {
        outputs = outputs
            .into_iter()
            .map(|output| output.masked(mask.clone()))
            .collect();
    }
    if forward.flag("return_state", false)? {
        outputs.extend(states);
    }
    Ok(outputs)
}
