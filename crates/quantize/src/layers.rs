//! What can be computed with integers: the layers that have weights, and the values that are bytes between them.

use crate::{
    error::QuantizeError,
    fold::spread,
    graph::{Floats, Graph, float, input, int, is, output},
};
use std::collections::{BTreeMap, BTreeSet};
use synod_model::{BYTE_MOVERS, MAX_POOL_OF_BYTES, proto::NodeProto};

/// Terms of one sum, at most: beyond them 32 bits may overflow with the bias.
const MAX_TERMS: usize = 30_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Becomes QLinearConv, which gives bytes.
    Convolution,
    /// A Gemm or MatMul: becomes MatMulInteger, whose sums become floats.
    Product,
}

/// A node with weights.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    /// The node's name, or its output's if it has none.
    pub(crate) name: String,
    pub(crate) op_type: String,
    pub(crate) kind: Kind,
    pub(crate) node: usize,
    /// A node behind a convolution that only cuts its output off at zero, and perhaps above: the range of the bytes does the same.
    pub(crate) activation: Option<usize>,
    pub(crate) input: String,
    /// What is known as bytes (of a convolution), or as floats (of a product).
    pub(crate) output: String,
    /// For each output channel its weights, one channel behind the other.
    pub(crate) rows: Vec<f32>,
    /// The dimensions of a convolution's weights.
    pub(crate) dims: Vec<usize>,
    pub(crate) channels: usize,
    pub(crate) groups: usize,
    pub(crate) bias: Option<Vec<f32>>,
}

impl Layer {
    /// Terms of the sum of an output element.
    pub(crate) fn terms(&self) -> usize {
        self.rows.len() / self.channels
    }

    /// Terms that read one channel of the input.
    fn taps(&self) -> usize {
        self.dims.iter().skip(2).product()
    }

    /// The channel of the input that a term of an output channel reads.
    pub(crate) fn input_channel(&self, channel: usize, term: usize) -> usize {
        let first = channel / (self.channels / self.groups) * (self.terms() / self.taps());
        first + term / self.taps()
    }

    /// The axis of the input along which its channels lie, from the end if it is negative.
    pub(crate) fn input_axis(&self) -> i64 {
        match self.kind {
            Kind::Convolution => 1,
            Kind::Product => -1,
        }
    }
}

/// The layers of a graph, in its order.
pub(crate) fn find(graph: &Graph) -> Result<Vec<Layer>, QuantizeError> {
    let uses = graph.uses();
    let mut readers: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        for name in &node.input {
            readers.insert(name, index);
        }
    }
    let mut layers = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let Some(mut layer) = layer(graph, node, index) else {
            continue;
        };
        if let Some(&value) = layer.rows.iter().find(|value| !value.is_finite()) {
            return Err(QuantizeError::WeightNotFinite {
                layer: layer.name,
                value,
            });
        }
        if layer.kind == Kind::Convolution
            && uses.get(layer.output.as_str()) == Some(&1)
            && let Some(&reader) = readers.get(layer.output.as_str())
            && cuts_at_zero(graph, &graph.nodes[reader])
        {
            layer.activation = Some(reader);
            layer.output = output(&graph.nodes[reader]).to_owned();
        }
        layers.push(layer);
    }
    Ok(layers)
}

/// Whether a node is Relu, or Clip from zero on.
fn cuts_at_zero(graph: &Graph, node: &NodeProto) -> bool {
    if is(node, "Relu") {
        return true;
    }
    let low = || match input(node, 1) {
        Some(name) => graph.floats(name).map(|low| low.values),
        None => Some(vec![float(node, "min", f32::MIN)]),
    };
    is(node, "Clip") && low().is_some_and(|low| low == [0.0])
}

fn layer(graph: &Graph, node: &NodeProto, index: usize) -> Option<Layer> {
    let data = input(node, 0).filter(|name| !graph.is_constant(name))?;
    let weights = || graph.floats(input(node, 1)?);
    let name = node.name.as_deref().filter(|name| !name.is_empty());
    let base = Layer {
        name: name.unwrap_or(output(node)).to_owned(),
        op_type: node.op_type.clone().unwrap_or_default(),
        kind: Kind::Product,
        node: index,
        activation: None,
        input: data.to_owned(),
        output: output(node).to_owned(),
        rows: Vec::new(),
        dims: Vec::new(),
        channels: 0,
        groups: 1,
        bias: None,
    };
    let bias = |channels: usize, factor: f32| match input(node, 2) {
        None => Some(None),
        Some(name) => {
            let numbers = spread(&graph.floats(name)?, channels, 2, 1)?.into_iter();
            let bias: Vec<f32> = numbers
                .map(|number| (number * f64::from(factor)) as f32)
                .collect();
            bias.iter().all(|value| value.is_finite()).then_some(Some(bias))
        }
    };
    let layer = if is(node, "Conv") {
        let Floats { dims, values } = weights()?;
        let channels = *dims.first().filter(|_| dims.len() >= 3)?;
        let groups = usize::try_from(int(node, "group", 1)).ok()?;
        if groups == 0 || !channels.is_multiple_of(groups) {
            return None;
        }
        Layer {
            kind: Kind::Convolution,
            rows: values,
            bias: bias(channels, 1.0)?,
            dims,
            channels,
            groups,
            ..base
        }
    } else if is(node, "Gemm") && int(node, "transA", 0) == 0 {
        let Floats { dims, mut values } = weights()?;
        let alpha = float(node, "alpha", 1.0);
        values.iter_mut().for_each(|value| *value *= alpha);
        let &[first, second] = &dims[..] else {
            return None;
        };
        let transposed = int(node, "transB", 0) != 0;
        let channels = if transposed { first } else { second };
        Layer {
            rows: if transposed {
                values
            } else {
                transpose(&values, second)
            },
            bias: bias(channels, float(node, "beta", 1.0))?,
            channels,
            ..base
        }
    } else if is(node, "MatMul") {
        let Floats { dims, values } = weights()?;
        let &[_, channels] = &dims[..] else {
            return None;
        };
        Layer {
            rows: transpose(&values, channels),
            channels,
            ..base
        }
    } else {
        return None;
    };
    let terms = layer.rows.len().checked_div(layer.channels)?;
    (1..=MAX_TERMS).contains(&terms).then_some(layer)
}

/// A matrix of so many columns with rows and columns exchanged.
pub(crate) fn transpose<T: Copy>(matrix: &[T], columns: usize) -> Vec<T> {
    (0..columns)
        .flat_map(|column| matrix.iter().skip(column).step_by(columns).copied())
        .collect()
}

/// Whether a node gives elements of its first input, whatever they are.
pub(crate) fn moves(graph: &Graph, node: &NodeProto) -> bool {
    let one_output = node.output.iter().skip(1).all(String::is_empty);
    one_output
        && BYTE_MOVERS.iter().any(|op| is(node, op))
        && (!is(node, "MaxPool") || graph.opset() >= MAX_POOL_OF_BYTES)
}

/// Values that are bytes of one scale.
#[derive(Debug, Clone, Default)]
pub(crate) struct Classes {
    /// The class of each value that may be bytes.
    pub(crate) of: BTreeMap<String, usize>,
    /// For each class the values whose elements are those of all the others.
    pub(crate) roots: Vec<Vec<String>>,
}

impl Classes {
    /// Those of a graph, with all layers computed with integers. The inputs of the nodes of `tied`, which are concatenations, have
    /// one scale with the output.
    pub(crate) fn new(graph: &Graph, layers: &[Layer], tied: &BTreeSet<usize>) -> Self {
        let by_node: BTreeMap<usize, &Layer> = layers.iter().map(|layer| (layer.node, layer)).collect();
        let mut of: BTreeMap<String, usize> = BTreeMap::new();
        let mut roots: Vec<Vec<String>> = Vec::new();
        let mut made = BTreeSet::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            if let Some(layer) = by_node.get(&index) {
                let mut class_of = |value: &String| {
                    if !of.contains_key(value) {
                        of.insert(value.clone(), roots.len());
                        roots.push(vec![value.clone()]);
                    }
                };
                class_of(&layer.input);
                if layer.kind == Kind::Convolution {
                    class_of(&layer.output);
                    made.insert(layer.output.clone());
                }
                continue;
            }
            let result = output(node).to_owned();
            let is_made = |name: Option<&str>| name.is_some_and(|name| made.contains(name));
            if moves(graph, node) && is_made(input(node, 0)) {
                let class = of[&node.input[0]];
                of.insert(result.clone(), class);
                made.insert(result);
            } else if tied.contains(&index) && node.input.iter().all(|name| is_made(Some(name))) {
                let class = of[&node.input[0]];
                for name in &node.input {
                    let other = of[name];
                    if other != class {
                        let mut more = std::mem::take(&mut roots[other]);
                        roots[class].append(&mut more);
                        of.values_mut()
                            .filter(|of| **of == other)
                            .for_each(|of| *of = class);
                    }
                }
                of.insert(result.clone(), class);
                made.insert(result);
            }
        }
        Self { of, roots }
    }

    /// The concatenations whose inputs are all bytes.
    pub(crate) fn concatenations(&self, graph: &Graph, layers: &[Layer]) -> Vec<usize> {
        let made: BTreeSet<&str> = layers
            .iter()
            .filter(|layer| layer.kind == Kind::Convolution)
            .map(|layer| layer.output.as_str())
            .collect();
        let moved = |name: &str| {
            self.of
                .get(name)
                .is_some_and(|&class| self.roots[class].iter().any(|root| made.contains(root.as_str())))
        };
        let nodes = graph.nodes.iter().enumerate();
        nodes
            .filter(|(_, node)| is(node, "Concat") && node.input.iter().all(|name| moved(name)))
            .map(|(index, _)| index)
            .collect()
    }
}
