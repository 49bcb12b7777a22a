//! Writing the graph with integers.
//!
//! A value has up to two forms: floats under its own name, and bytes under another. Each node is written with the form that it
//! needs, and a conversion where that is missing, once. So what stays in float stays as it was written, down to its names.
//!
//! | in the graph of floats | with integers |
//! |---|---|
//! | Conv, with the Relu or Clip behind it | QLinearConv, whose range does the cutting |
//! | Gemm, MatMul | MatMulInteger, Cast, Mul with a scale for each column, Add of the bias |
//! | what moves elements, and Concat of one scale | itself, on bytes |
//! | all else | itself, between DequantizeLinear and QuantizeLinear where its neighbours are bytes |

use crate::{
    graph::{
        FLOAT, Graph, INT8, INT32, UINT8, float_tensor, int_attribute, is, node, output, reads, tensor,
        unique,
    },
    layers::{Classes, Kind, Layer, moves, transpose},
    range::Grid,
    weights::{Rounded, bias_steps},
};
use std::collections::{BTreeMap, BTreeSet};
use synod_model::proto::{ModelProto, NodeProto, TensorProto};

/// Everything that is decided before writing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scheme {
    pub(crate) classes: Classes,
    /// The range of each class.
    pub(crate) grids: Vec<Grid>,
    /// What becomes of each layer's weights.
    pub(crate) rounded: Vec<Rounded>,
}

/// The model with these of its layers computed with integers, and these values passed through the bytes of their range.
pub(crate) fn write(
    graph: &Graph,
    layers: &[Layer],
    scheme: &Scheme,
    with_integers: &BTreeSet<usize>,
    through_bytes: &[String],
) -> ModelProto {
    let chosen = with_integers.iter().map(|&index| (layers[index].node, index));
    let by_node: BTreeMap<usize, usize> = chosen.collect();
    let absorbed: BTreeSet<usize> = with_integers
        .iter()
        .filter_map(|&index| layers[index].activation)
        .collect();
    let mut writer = Writer {
        scheme,
        nodes: Vec::new(),
        constants: Vec::new(),
        taken: graph.names().into_iter().map(str::to_owned).collect(),
        bytes: BTreeMap::new(),
        only_bytes: BTreeSet::new(),
        scales: BTreeMap::new(),
        instead: BTreeMap::new(),
    };
    for name in through_bytes.iter().filter(|name| graph.is_input(name)) {
        writer.pass_through_bytes(name);
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        if absorbed.contains(&index) {
            continue;
        }
        if let Some(&layer) = by_node.get(&index) {
            let rounded = &scheme.rounded[layer];
            match layers[layer].kind {
                Kind::Convolution => writer.convolution(node, &layers[layer], rounded),
                Kind::Product => writer.product(&layers[layer], rounded),
            }
        } else if writer.stays_bytes(graph, node) {
            writer.on_bytes(node);
        } else {
            writer.in_float(node);
        }
        for name in node.output.iter().filter(|name| through_bytes.contains(name)) {
            writer.pass_through_bytes(name);
        }
    }
    let outputs: Vec<String> = graph.outputs().map(str::to_owned).collect();
    for name in &outputs {
        writer.float(name);
    }
    graph.with_nodes(writer.nodes, writer.constants)
}

struct Writer<'a> {
    scheme: &'a Scheme,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    taken: BTreeSet<String>,
    /// The name that a value has as bytes.
    bytes: BTreeMap<String, String>,
    /// Values that are not there in float.
    only_bytes: BTreeSet<String>,
    /// The names of the scale and zero point of a class.
    scales: BTreeMap<usize, [String; 2]>,
    /// Values that nodes in float read instead of others.
    instead: BTreeMap<String, String>,
}

impl Writer<'_> {
    fn name(&mut self, wish: &str) -> String {
        let name = unique(wish, &|name| self.taken.contains(name));
        self.taken.insert(name.clone());
        name
    }

    fn constant(&mut self, wish: &str, kind: i32, dims: &[usize], raw: Vec<u8>) -> String {
        let name = self.name(wish);
        self.constants.push(tensor(&name, kind, dims, raw.into()));
        name
    }

    fn float_constant(&mut self, wish: &str, dims: &[usize], values: &[f32]) -> String {
        let name = self.name(wish);
        self.constants.push(float_tensor(&name, dims, values));
        name
    }

    fn grid(&self, value: &str) -> Grid {
        self.scheme.grids[self.scheme.classes.of[value]]
    }

    /// The names of the scale and zero point of a value.
    fn scale(&mut self, value: &str) -> [String; 2] {
        let class = self.scheme.classes.of[value];
        if let Some(names) = self.scales.get(&class) {
            return names.clone();
        }
        let grid = self.scheme.grids[class];
        let scale = self.float_constant(&format!("{value}/scale"), &[], &[grid.scale]);
        let zero = self.constant(&format!("{value}/zero"), UINT8, &[], vec![grid.zero]);
        let names = [scale, zero];
        self.scales.insert(class, names.clone());
        names
    }

    fn push(&mut self, op_type: &str, inputs: &[&str], output: &str) {
        self.nodes.push(node(op_type, inputs, output));
    }

    /// A value that is made as bytes.
    fn made_bytes(&mut self, value: &str) -> String {
        let name = self.name(&format!("{value}/u8"));
        self.bytes.insert(value.to_owned(), name.clone());
        self.only_bytes.insert(value.to_owned());
        name
    }

    /// Makes sure that a value is there in float.
    fn float(&mut self, value: &str) {
        if self.only_bytes.remove(value) {
            let bytes = self.bytes[value].clone();
            let [scale, zero] = self.scale(value);
            self.push("DequantizeLinear", &[&bytes, &scale, &zero], value);
        }
    }

    /// The name of a value as bytes.
    fn bytes(&mut self, value: &str) -> String {
        if let Some(name) = self.bytes.get(value) {
            return name.clone();
        }
        let [scale, zero] = self.scale(value);
        let name = self.name(&format!("{value}/u8"));
        let read = self.instead.get(value).cloned();
        self.push(
            "QuantizeLinear",
            &[read.as_deref().unwrap_or(value), &scale, &zero],
            &name,
        );
        self.bytes.insert(value.to_owned(), name.clone());
        name
    }

    fn pass_through_bytes(&mut self, value: &str) {
        if self.only_bytes.contains(value) {
            return;
        }
        let bytes = self.bytes(value);
        let [scale, zero] = self.scale(value);
        let rounded = self.name(&format!("{value}/rounded"));
        self.push("DequantizeLinear", &[&bytes, &scale, &zero], &rounded);
        self.instead.insert(value.to_owned(), rounded);
    }

    fn in_float(&mut self, node: &NodeProto) {
        let read: Vec<String> = reads(node).map(str::to_owned).collect();
        read.iter().for_each(|name| self.float(name));
        let mut node = node.clone();
        for name in &mut node.input {
            if let Some(instead) = self.instead.get(name) {
                name.clone_from(instead);
            }
        }
        self.nodes.push(node);
    }

    /// Whether a node can be computed on bytes that are there.
    fn stays_bytes(&self, graph: &Graph, node: &NodeProto) -> bool {
        let classes = &self.scheme.classes.of;
        let made = |name: &String| self.only_bytes.contains(name) || self.bytes.contains_key(name);
        let Some(class) = classes.get(output(node)) else {
            return false;
        };
        let same = |name: &String| classes.get(name) == Some(class) && made(name);
        if is(node, "Concat") {
            node.input.iter().all(same)
        } else {
            moves(graph, node) && node.input.first().is_some_and(same)
        }
    }

    fn on_bytes(&mut self, node: &NodeProto) {
        let data = if is(node, "Concat") { node.input.len() } else { 1 };
        let mut node = node.clone();
        for (place, name) in node.input.iter_mut().enumerate() {
            if place < data {
                *name = self.bytes(name);
            } else {
                self.float(name);
            }
        }
        let name = output(&node).to_owned();
        node.output = vec![self.made_bytes(&name)];
        self.nodes.push(node);
    }

    fn convolution(&mut self, of: &NodeProto, layer: &Layer, rounded: &Rounded) {
        let x = self.bytes(&layer.input);
        let input_scale = self.grid(&layer.input).scale;
        let [x_scale, x_zero] = self.scale(&layer.input);
        let [y_scale, y_zero] = self.scale(&layer.output);
        let name = &layer.output;
        let raw = rounded.weights.iter().map(|&byte| byte as u8).collect();
        let w = self.constant(&format!("{name}/weights"), INT8, &layer.dims, raw);
        let w_scale = self.float_constant(
            &format!("{name}/weights/scale"),
            &[layer.channels],
            &rounded.scales,
        );
        let w_zero = self.constant(&format!("{name}/weights/zero"), INT8, &[], vec![0]);
        let mut inputs = vec![x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero];
        if let Some(bias) = &rounded.bias {
            let steps = bias.iter().zip(&rounded.scales);
            let raw = steps.flat_map(|(&bias, &scale)| bias_steps(bias, input_scale, scale).to_le_bytes());
            inputs.push(self.constant(&format!("{name}/bias"), INT32, &[layer.channels], raw.collect()));
        }
        let y = self.made_bytes(name);
        self.nodes.push(NodeProto {
            op_type: Some("QLinearConv".to_owned()),
            input: inputs,
            output: vec![y],
            ..of.clone()
        });
    }

    fn product(&mut self, layer: &Layer, rounded: &Rounded) {
        let x = self.bytes(&layer.input);
        let input_scale = self.grid(&layer.input).scale;
        let [_, x_zero] = self.scale(&layer.input);
        let name = &layer.output;
        let columns: Vec<u8> = transpose(&rounded.weights, layer.terms())
            .into_iter()
            .map(|byte| byte as u8)
            .collect();
        let (terms, channels) = (layer.terms(), layer.channels);
        let w = self.constant(&format!("{name}/weights"), INT8, &[terms, channels], columns);
        let scales: Vec<f32> = rounded.scales.iter().map(|scale| input_scale * scale).collect();
        let scale = self.float_constant(&format!("{name}/weights/scale"), &[channels], &scales);
        let [sums, floats] = ["sums", "floats"].map(|part| self.name(&format!("{name}/{part}")));
        self.push("MatMulInteger", &[&x, &w, &x_zero], &sums);
        self.push("Cast", &[&sums], &floats);
        let cast = self.nodes.last_mut();
        cast.into_iter()
            .for_each(|cast| cast.attribute = vec![int_attribute("to", FLOAT.into())]);
        match &rounded.bias {
            None => self.push("Mul", &[&floats, &scale], name),
            Some(bias) => {
                let scaled = self.name(&format!("{name}/scaled"));
                self.push("Mul", &[&floats, &scale], &scaled);
                let bias = self.float_constant(&format!("{name}/bias"), &[channels], bias);
                self.push("Add", &[&scaled, &bias], name);
            }
        }
    }
}
