//! BatchNormalization, and factors and summands of channels, into the convolution or product before them.
//!
//! In floats: roundings change, the function does not. Factors are computed in f64 and rounded once.

use crate::graph::{Floats, Graph, float, input, int, is, output};
use synod_model::proto::NodeProto;

/// `y[c] = x[c] · factors[c] + summands[c]`
struct Affine {
    factors: Vec<f64>,
    summands: Vec<f64>,
}

/// Folds what can be folded; tells how many nodes went.
pub(crate) fn fold(graph: &mut Graph) -> usize {
    let mut folded = 0;
    let mut index = 0;
    while index < graph.nodes.len() {
        match fold_node(graph, index) {
            Some(()) => {
                graph.nodes.remove(index);
                folded += 1;
            }
            None => index += 1,
        }
    }
    folded
}

/// Folds this node into the one before it, if that is possible.
fn fold_node(graph: &mut Graph, index: usize) -> Option<()> {
    let node = graph.nodes[index].clone();
    let (place, value) = data_input(graph, &node)?;
    let producer = *graph.producers().get(value)?;
    let before = graph.nodes[producer].clone();
    if graph.uses().get(value) != Some(&1) || output(&before) != value || node.output.len() != 1 {
        return None;
    }
    let weights = graph.floats(input(&before, 1)?)?;
    let bias = match input(&before, 2) {
        Some(name) => Some(graph.floats(name)?),
        None => None,
    };
    // which axis of the weights counts output channels, and how many axes the output has
    let (axis, rank, beta) = if is(&before, "Conv") && weights.dims.len() >= 3 {
        (0, weights.dims.len(), 1.0)
    } else if is(&before, "Gemm") && weights.dims.len() == 2 {
        let axis = usize::from(int(&before, "transB", 0) == 0);
        (axis, 2, f64::from(float(&before, "beta", 1.0)))
    } else {
        return None;
    };
    let channels = weights.dims[axis];
    let bias = match bias {
        Some(bias) => spread(&bias, channels, 2, 1)?
            .into_iter()
            .map(|b| b * beta)
            .collect(),
        None => vec![0.0; channels],
    };
    let affine = affine(graph, &node, place, channels, rank)?;
    let inner: usize = weights.dims[axis + 1..].iter().product();
    let scaled = |(at, &w): (usize, &f32)| (f64::from(w) * affine.factors[at / inner % channels]) as f32;
    let new_weights = Floats {
        values: weights.values.iter().enumerate().map(scaled).collect(),
        dims: weights.dims.clone(),
    };
    let summed = (0..channels).map(|c| (bias[c] * affine.factors[c] + affine.summands[c]) as f32);
    let new_bias = Floats {
        values: summed.collect(),
        dims: vec![channels],
    };
    let finite = |floats: &Floats| floats.values.iter().all(|value| value.is_finite());
    if !finite(&new_weights) || !finite(&new_bias) {
        return None;
    }
    let name = output(&node).to_owned();
    let weights = graph.add_floats(&format!("{name}/weights"), &new_weights);
    let bias = graph.add_floats(&format!("{name}/bias"), &new_bias);
    let folded = &mut graph.nodes[producer];
    folded.input.resize(3, String::new());
    folded.input[1] = weights;
    folded.input[2] = bias;
    folded.output[0] = name;
    folded
        .attribute
        .retain(|attribute| attribute.name.as_deref() != Some("beta"));
    Some(())
}

/// Where a node reads what it changes, and what that is.
fn data_input<'n>(graph: &Graph, node: &'n NodeProto) -> Option<(usize, &'n str)> {
    let place = match input(node, 1) {
        Some(_) if is(node, "BatchNormalization") => 0,
        Some(other) if ["Add", "Mul", "Sub", "Div"].iter().any(|op| is(node, op)) => {
            let first = input(node, 0)?;
            match (graph.is_constant(first), graph.is_constant(other)) {
                (false, true) => 0,
                (true, false) if is(node, "Add") || is(node, "Mul") => 1,
                _ => return None,
            }
        }
        _ => return None,
    };
    Some((place, input(node, place)?))
}

/// What a node does to the channels of an output of this rank.
fn affine(graph: &Graph, node: &NodeProto, place: usize, channels: usize, rank: usize) -> Option<Affine> {
    if is(node, "BatchNormalization") {
        if int(node, "training_mode", 0) != 0 || int(node, "spatial", 1) != 1 {
            return None;
        }
        let numbers = |place: usize| {
            let floats = graph.floats(input(node, place)?)?;
            (floats.values.len() == channels).then_some(floats.values)
        };
        let (scale, shift, mean, variance) = (numbers(1)?, numbers(2)?, numbers(3)?, numbers(4)?);
        let epsilon = f64::from(float(node, "epsilon", 1e-5));
        let factors: Vec<f64> = (0..channels)
            .map(|c| f64::from(scale[c]) / (f64::from(variance[c]) + epsilon).sqrt())
            .collect();
        let summands = (0..channels).map(|c| f64::from(shift[c]) - f64::from(mean[c]) * factors[c]);
        return Some(Affine {
            summands: summands.collect(),
            factors,
        });
    }
    let constant = graph.floats(input(node, 1 - place)?)?;
    let numbers = spread(&constant, channels, rank, 1)?;
    let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
    let (factors, summands) = match node.op_type.as_deref()? {
        "Add" => (ones, numbers),
        "Sub" => (ones, numbers.into_iter().map(|number| -number).collect()),
        "Mul" => (numbers, zeros),
        "Div" => (numbers.into_iter().map(|number| 1.0 / number).collect(), zeros),
        _ => return None,
    };
    Some(Affine { factors, summands })
}

/// The number that a constant gives each place along an axis of a tensor of this rank, if it is the same along all others, and the
/// constant adds no axis.
pub(crate) fn spread(constant: &Floats, channels: usize, rank: usize, axis: usize) -> Option<Vec<f64>> {
    let missing = rank.checked_sub(constant.dims.len())?;
    let along = axis
        .checked_sub(missing)
        .and_then(|at| constant.dims.get(at).copied());
    let others = constant.dims.iter().enumerate();
    let flat = others
        .filter(|(at, _)| at + missing != axis)
        .all(|(_, &dim)| dim == 1);
    let mut numbers = constant.values.iter().map(|&value| f64::from(value));
    match along.unwrap_or(1) {
        _ if !flat => None,
        1 => Some(vec![numbers.next()?; channels]),
        size if size == channels => Some(numbers.collect()),
        _ => None,
    }
}
