//! Quantised graphs as exporters write them, every operator between DequantizeLinear and QuantizeLinear, brought to the operators
//! that compute with integers.
//!
//! ```text
//!   x ─ DequantizeLinear ─ Conv ─ QuantizeLinear ─ y   becomes   x ─ QLinearConv ─ y
//! ```
//!
//! What the file says is a computation in floats, which rounds every term; the integers are exact and rounded once, at the end. The two
//! differ where a float's rounding decides between two neighbours. So this is another model, made on import if it is
//! [asked for](crate::ImportOptions::integers): what runtimes make of such files when they load them.
//!
//! | between DequantizeLinear and QuantizeLinear | becomes |
//! |---|---|
//! | Conv, with a bias of scale x × w | QLinearConv |
//! | MatMul | QLinearMatMul |
//! | Gemm of alpha = beta = 1, with a bias of scale x × w | MatMulInteger, Add, DequantizeLinear |
//! | what only moves or selects elements, with equal scales and zero points on both sides | itself, of integers |

use super::{Source, SourceConstant, SourceNode};
use crate::{Attribute, DType, Tensor, constant::Constant};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use synod_numerics::quantize::Grid;

/// Operators of a quantised network that move or select elements of their first input, and so take bytes as they take floats
/// (MaxPool from version 12 on).
pub const BYTE_MOVERS: &[&str] = &[
    "Flatten",
    "Gather",
    "Identity",
    "MaxPool",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// The opset from which MaxPool takes bytes.
pub const MAX_POOL_OF_BYTES: i64 = 12;
/// The version from which DequantizeLinear has an axis.
const SCALES_ALONG_AN_AXIS: i64 = 13;

impl Source {
    /// Replaces what can be computed with integers.
    pub(crate) fn compute_with_integers(&mut self) {
        let mut made = Vec::new();
        let rewriting = Rewriting::new(self);
        let mut replaced: BTreeMap<usize, Vec<SourceNode>> = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let Some(quantizes) = rewriting.numbers_of(node, "QuantizeLinear") else {
                continue;
            };
            let Some(&inner) = rewriting.producers.get(quantizes.value) else {
                continue;
            };
            if rewriting.uses.get(quantizes.value) != Some(&1) {
                continue;
            }
            let inner_node = &self.nodes[inner];
            if !inner_node.domain.is_empty() || !inner_node.graphs.is_empty() {
                continue;
            }
            let output = node.outputs[0].clone();
            let rewritten = match inner_node.op_type.as_str() {
                "Conv" => rewriting.convolution(inner_node, &quantizes, output),
                "MatMul" => rewriting.product(inner_node, &quantizes, output),
                "Gemm" => {
                    if let Some(nodes) = rewriting.product_with_bias(inner_node, &mut made) {
                        replaced.insert(inner, nodes);
                    }
                    None
                }
                moving if BYTE_MOVERS.contains(&moving) => rewriting.moving(inner_node, &quantizes, output),
                _ => None,
            };
            if let Some(new) = rewritten {
                replaced.insert(inner, Vec::new());
                replaced.insert(index, vec![new]);
            }
        }
        let nodes = std::mem::take(&mut self.nodes).into_iter().enumerate();
        self.nodes = nodes
            .flat_map(|(index, node)| replaced.remove(&index).unwrap_or_else(|| vec![node]))
            .collect();
        self.constants.append(&mut made);
    }
}

/// What is known of a graph while it is rewritten.
struct Rewriting<'a> {
    opset: i64,
    nodes: &'a [SourceNode],
    constants: BTreeMap<&'a str, &'a Arc<Constant>>,
    producers: BTreeMap<&'a str, usize>,
    uses: BTreeMap<&'a str, usize>,
}

/// A value with the numbers that a node of QuantizeLinear or DequantizeLinear gives it.
struct Numbers<'a> {
    value: &'a str,
    scale: &'a str,
    zero: &'a str,
    scales: &'a Tensor,
    zeros: &'a Tensor,
    axis: i64,
}

impl Numbers<'_> {
    fn is_of_bytes(&self) -> bool {
        matches!(self.zeros.dtype(), DType::I8 | DType::U8)
    }

    fn has_one_scale(&self) -> bool {
        self.scales.elements() == 1
    }
}

impl<'a> Rewriting<'a> {
    fn new(source: &'a Source) -> Self {
        let mut producers = BTreeMap::new();
        let mut uses = BTreeMap::new();
        for (index, node) in source.nodes.iter().enumerate() {
            for output in &node.outputs {
                producers.insert(output.as_str(), index);
            }
            let captured = if node.graphs.is_empty() {
                Vec::new()
            } else {
                node.reads()
            };
            for input in node.inputs.iter().map(String::as_str).chain(captured) {
                *uses.entry(input).or_default() += 1;
            }
        }
        for output in &source.outputs {
            *uses.entry(output.name.as_str()).or_default() += 1;
        }
        let constants = source
            .constants
            .iter()
            .map(|constant| (constant.name.as_str(), &constant.value));
        Self {
            opset: source.opset,
            nodes: &source.nodes,
            constants: constants.collect(),
            producers,
            uses,
        }
    }

    fn constant(&self, name: &str) -> Option<&'a Tensor> {
        self.constants.get(name).map(|constant| constant.tensor())
    }

    /// The numbers of a node of this operator, if they are known.
    fn numbers_of(&self, node: &'a SourceNode, op_type: &str) -> Option<Numbers<'a>> {
        let [value, scale, zero] = &node.inputs[..] else {
            return None;
        };
        let axis = match node.attributes.get("axis") {
            Some(Attribute::Int(axis)) => *axis,
            _ => 1,
        };
        let plain = |name: &String| matches!(name.as_str(), "axis" | "saturate");
        let (scales, zeros) = (self.constant(scale)?, self.constant(zero)?);
        let fits = node.op_type == op_type
            && node.domain.is_empty()
            && node.attributes.keys().all(plain)
            && scales.dtype() == DType::F32
            && scales.elements() == zeros.elements();
        fits.then_some(Numbers {
            value,
            scale,
            zero,
            scales,
            zeros,
            axis,
        })
    }

    /// Of a value that DequantizeLinear gives.
    fn dequantized(&self, name: &str) -> Option<Numbers<'a>> {
        self.numbers_of(&self.nodes[*self.producers.get(name)?], "DequantizeLinear")
    }

    /// The integers of a bias whose scale is that of the products it is added to.
    fn bias(&self, name: &str, x: &Numbers<'_>, w: &Numbers<'_>) -> Option<&'a str> {
        let node = &self.nodes[*self.producers.get(name)?];
        let (value, scale, zero) = match &node.inputs[..] {
            [value, scale] => (value, scale, None),
            [value, scale, zero] => (value, scale, Some(zero)),
            _ => return None,
        };
        let scales = self.constant(scale)?;
        let is_bias = node.op_type == "DequantizeLinear"
            && node.domain.is_empty()
            && self.constant(value)?.dtype() == DType::I32
            && scales.dtype() == DType::F32
            && scales.elements() == w.scales.elements()
            && zero.is_none_or(|zero| {
                self.constant(zero)
                    .is_some_and(|zeros| zeros.bytes().iter().all(|&byte| byte == 0))
            });
        let x_scale = x.scales.as_slice::<f32>()[0];
        let expected = w.scales.as_slice::<f32>().iter().map(|w| x_scale * w);
        (is_bias && scales.as_slice::<f32>().iter().copied().eq(expected)).then_some(value)
    }

    /// Whether the weights' scales are one for all or one for each place of this axis.
    fn along(&self, numbers: &Numbers<'_>, axis: usize) -> bool {
        let Some(value) = self.constant(numbers.value) else {
            return numbers.has_one_scale();
        };
        let rank = value.shape().len() as i64;
        let from_front = if numbers.axis < 0 {
            numbers.axis + rank
        } else {
            numbers.axis
        };
        numbers.has_one_scale()
            || (from_front == axis as i64 && value.shape().get(axis) == Some(&numbers.scales.elements()))
    }

    fn convolution(&self, node: &SourceNode, y: &Numbers<'_>, output: String) -> Option<SourceNode> {
        let x = self.dequantized(node.inputs.first()?)?;
        let w = self.dequantized(node.inputs.get(1)?)?;
        self.constant(w.value)?;
        let bytes = x.is_of_bytes() && w.is_of_bytes() && y.is_of_bytes();
        if !bytes || !x.has_one_scale() || !y.has_one_scale() || !self.along(&w, 0) {
            return None;
        }
        let mut inputs = vec![
            x.value, x.scale, x.zero, w.value, w.scale, w.zero, y.scale, y.zero,
        ];
        if let Some(bias) = node.inputs.get(2).filter(|name| !name.is_empty()) {
            inputs.push(self.bias(bias, &x, &w)?);
        }
        Some(SourceNode {
            op_type: "QLinearConv".into(),
            inputs: inputs.into_iter().map(String::from).collect(),
            outputs: vec![output],
            ..node.clone()
        })
    }

    fn product(&self, node: &SourceNode, y: &Numbers<'_>, output: String) -> Option<SourceNode> {
        let a = self.dequantized(node.inputs.first()?)?;
        let b = self.dequantized(node.inputs.get(1)?)?;
        let bytes = a.is_of_bytes() && b.is_of_bytes() && y.is_of_bytes();
        let matrix = self
            .constant(b.value)
            .is_some_and(|value| value.shape().len() == 2);
        let scales = b.has_one_scale() || (matrix && self.along(&b, 1));
        if !bytes || !a.has_one_scale() || !y.has_one_scale() || !scales {
            return None;
        }
        let inputs = [
            a.value, a.scale, a.zero, b.value, b.scale, b.zero, y.scale, y.zero,
        ];
        Some(SourceNode {
            op_type: "QLinearMatMul".into(),
            inputs: inputs.map(String::from).to_vec(),
            outputs: vec![output],
            ..node.clone()
        })
    }

    /// What takes the place of a Gemm; the QuantizeLinear behind it stays.
    fn product_with_bias(
        &self,
        node: &SourceNode,
        made: &mut Vec<SourceConstant>,
    ) -> Option<Vec<SourceNode>> {
        let x = self.dequantized(node.inputs.first()?)?;
        let w = self.dequantized(node.inputs.get(1)?)?;
        let weights = self.constant(w.value)?;
        let flag = |name: &str| match node.attributes.get(name) {
            None => Some(false),
            Some(Attribute::Int(value)) => Some(*value != 0),
            Some(_) => None,
        };
        let factor = |name: &str| matches!(node.attributes.get(name), None | Some(Attribute::Float(1.0)));
        let transposed = flag("transB")?;
        let along = usize::from(!transposed);
        let fits = !flag("transA")?
            && factor("alpha")
            && factor("beta")
            && x.is_of_bytes()
            && w.is_of_bytes()
            && x.has_one_scale()
            && weights.shape().len() == 2
            && self.along(&w, along)
            && (w.has_one_scale() || self.opset >= SCALES_ALONG_AN_AXIS);
        if !fits {
            return None;
        }
        let bias = match node.inputs.get(2).filter(|name| !name.is_empty()) {
            Some(name) => Some(self.bias(name, &x, &w)?),
            None => None,
        };
        let mut make = |tensor: Tensor| {
            let name = self.free_name(made);
            made.push(SourceConstant {
                name: name.clone(),
                value: Arc::new(Constant::new(tensor)),
            });
            name
        };
        let matrix = if transposed {
            make(transpose(weights)?)
        } else {
            w.value.to_owned()
        };
        let x_scale = x.scales.as_slice::<f32>()[0];
        let scales: Vec<f32> = w.scales.as_slice::<f32>().iter().map(|w| x_scale * w).collect();
        let scale = make(Tensor::from_slice(DType::F32, w.scales.shape(), &scales).ok()?);
        let output = node.outputs.first()?;
        let (sums, biased) = (format!("{output}/sums"), format!("{output}/biased"));
        let new = |op_type: &str, inputs: Vec<String>, output: &str, attributes: &[(&str, i64)]| SourceNode {
            name: node.name.clone(),
            domain: String::new(),
            op_type: op_type.into(),
            inputs,
            outputs: vec![output.to_owned()],
            attributes: attributes
                .iter()
                .map(|&(name, value)| (name.to_owned(), Attribute::Int(value)))
                .collect(),
            graphs: BTreeMap::new(),
        };
        let zeros = [x.zero, w.zero].map(String::from);
        let [x_zero, w_zero] = zeros;
        let mut nodes = vec![new(
            "MatMulInteger",
            vec![x.value.to_owned(), matrix, x_zero, w_zero],
            &sums,
            &[],
        )];
        let last = match bias {
            Some(bias) => {
                nodes.push(new("Add", vec![sums, bias.to_owned()], &biased, &[]));
                biased
            }
            None => sums,
        };
        let axis: &[(&str, i64)] = if w.has_one_scale() { &[] } else { &[("axis", 1)] };
        nodes.push(new("DequantizeLinear", vec![last, scale], output, axis));
        Some(nodes)
    }

    fn moving(&self, node: &SourceNode, y: &Numbers<'_>, output: String) -> Option<SourceNode> {
        let (data, rest) = node.inputs.split_first()?;
        let x = self.dequantized(data)?;
        let same = x.scales.as_slice::<f32>() == y.scales.as_slice::<f32>() && x.zeros == y.zeros;
        let one_output = node.outputs.iter().skip(1).all(String::is_empty);
        let typed = node.op_type != "MaxPool" || self.opset >= MAX_POOL_OF_BYTES;
        if !(x.is_of_bytes() && x.has_one_scale() && same && one_output && typed && comes_back(&x)) {
            return None;
        }
        Some(SourceNode {
            inputs: [&[x.value.to_owned()], rest].concat(),
            outputs: vec![output],
            ..node.clone()
        })
    }

    /// A name that nothing has.
    fn free_name(&self, made: &[SourceConstant]) -> String {
        let taken: BTreeSet<&str> = made.iter().map(|constant| constant.name.as_str()).collect();
        let is_free = |name: &String| {
            !self.uses.contains_key(name.as_str())
                && !self.producers.contains_key(name.as_str())
                && !self.constants.contains_key(name.as_str())
                && !taken.contains(name.as_str())
        };
        (made.len()..)
            .map(|number| format!("integers/{number}"))
            .find(is_free)
            .unwrap_or_default()
    }
}

/// Whether every byte, made a float and quantised again, is itself, and the floats are in the order of the bytes.
fn comes_back(numbers: &Numbers<'_>) -> bool {
    let scale = numbers.scales.as_slice::<f32>()[0];
    let (low, high) = if numbers.zeros.dtype() == DType::I8 {
        (-128, 127)
    } else {
        (0, 255)
    };
    let zero = numbers.zeros.to_i64s().map_or(0, |zeros| zeros[0]) as i32;
    let grid = Grid { zero, low, high };
    scale > 0.0 && (low..=high).all(|byte| grid.place((byte - zero) as f32 * scale / scale) == byte)
}

/// A matrix of bytes with rows and columns exchanged.
fn transpose(matrix: &Tensor) -> Option<Tensor> {
    let &[rows, columns] = matrix.shape() else {
        return None;
    };
    let bytes = matrix.bytes();
    let turned: Vec<u8> = (0..columns)
        .flat_map(|column| (0..rows).map(move |row| bytes[row * columns + column]))
        .collect();
    Tensor::from_le_bytes(matrix.dtype(), &[columns, rows], &turned).ok()
}
