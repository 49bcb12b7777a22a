//! The nodes of a function under construction, and what most functions are made of.

use super::Declared;
use crate::{
    DType,
    limits::MAX_RANK,
    proto::{AttributeProto, NodeProto, TensorProto, attribute_type},
};

/// The nodes of a function under construction. Its inputs are named by their numbers.
pub(super) struct Body<'c> {
    pub(super) call: &'c NodeProto,
    /// The version of ONNX's operators.
    pub(super) opset: i64,
    pub(super) nodes: Vec<NodeProto>,
    declared: &'c [Option<&'c Declared>],
}

impl<'c> Body<'c> {
    pub(super) fn new(call: &'c NodeProto, opset: i64, declared: &'c [Option<&'c Declared>]) -> Self {
        Self {
            call,
            opset,
            nodes: Vec::new(),
            declared,
        }
    }

    /// Adds a node and gives the name of its output. An input that the call does not give is left out.
    pub(super) fn node(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        attributes: impl IntoIterator<Item = AttributeProto>,
    ) -> String {
        let [output] = self.node_with(op_type, inputs, attributes);
        output
    }

    pub(super) fn node_with<const OUTPUTS: usize>(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        attributes: impl IntoIterator<Item = AttributeProto>,
    ) -> [String; OUTPUTS] {
        let number = self.nodes.len();
        let outputs = std::array::from_fn(|output| format!("{op_type}{number}.{output}"));
        let mut input: Vec<String> = inputs
            .iter()
            .map(|name| {
                if self.gives(name) {
                    (*name).to_owned()
                } else {
                    String::new()
                }
            })
            .collect();
        while input.last().is_some_and(String::is_empty) {
            input.pop();
        }
        let of_call = self.call.name.clone().filter(|name| !name.is_empty());
        let of_call = of_call.or_else(|| self.call.output.first().cloned());
        self.nodes.push(NodeProto {
            input,
            output: outputs.to_vec(),
            name: of_call,
            op_type: Some(op_type.into()),
            attribute: attributes.into_iter().collect(),
            ..Default::default()
        });
        outputs
    }

    /// Whether a value exists: a node's always does, an input if the call gives it.
    pub(super) fn gives(&self, name: &str) -> bool {
        match name.parse::<usize>() {
            Ok(number) => self.call.input.get(number).is_some_and(|name| !name.is_empty()),
            Err(_) => !name.is_empty(),
        }
    }

    /// Refuses a file whose opset is older than the function needs.
    pub(super) fn needs_opset(&self, opset: i64) -> Result<(), String> {
        if self.opset < opset {
            return Err(format!("that needs opset {opset}, the file has {}", self.opset));
        }
        Ok(())
    }

    /// Refuses a call that gives one of these inputs.
    pub(super) fn without(&self, inputs: &[(&str, &str)]) -> Result<(), String> {
        match inputs.iter().find(|(input, _)| self.gives(input)) {
            Some((_, name)) => Err(format!("its input `{name}` is not supported")),
            None => Ok(()),
        }
    }

    /// Refuses a call whose attribute of integers is there and is not this.
    pub(super) fn only(&self, name: &str, value: i64) -> Result<(), String> {
        match self.int(name) {
            Some(other) if other != value => Err(format!(
                "attribute `{name}` is {other}; only {value} is supported"
            )),
            _ => Ok(()),
        }
    }

    /// A number that counts something, and has to be there.
    pub(super) fn count(&self, name: &str) -> Result<i64, String> {
        match self.int(name) {
            Some(count) if (1..=1 << 31).contains(&count) => Ok(count),
            Some(count) => Err(format!("attribute `{name}` is {count}; it counts something")),
            None => Err(format!("attribute `{name}` is missing")),
        }
    }

    /// The element type of an input, if the file declares it.
    pub(super) fn dtype(&self, input: &str) -> Option<DType> {
        self.declared(input)?.dtype
    }

    /// Whether an input is a constant of 2 or 4 bits, which lie in bytes of their own here.
    pub(super) fn is_narrow(&self, input: &str) -> bool {
        self.declared(input).is_some_and(|declared| declared.is_narrow)
    }

    /// The shape of an input, if the file declares it; without sizes that are free.
    pub(super) fn shape(&self, input: &str) -> Option<&[Option<usize>]> {
        self.declared(input)?.shape.as_deref()
    }

    fn declared(&self, input: &str) -> Option<&Declared> {
        self.declared.get(input.parse::<usize>().ok()?).copied().flatten()
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        let is_it = |attribute: &&AttributeProto| attribute.name.as_deref() == Some(name);
        self.call.attribute.iter().find(is_it)
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name)?.i
    }

    pub(super) fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name)?.f
    }

    pub(super) fn ints(&self, name: &str) -> Vec<i64> {
        self.attribute(name)
            .map_or_else(Vec::new, |found| found.ints.clone())
    }

    pub(super) fn floats(&self, name: &str) -> Vec<f32> {
        self.attribute(name)
            .map_or_else(Vec::new, |found| found.floats.clone())
    }

    /// The attributes of the call but these, as they are.
    pub(super) fn all_but(&self, names: &[&str]) -> Vec<AttributeProto> {
        let mut attributes = self.call.attribute.clone();
        attributes.retain(|attribute| !names.contains(&attribute.name.as_deref().unwrap_or_default()));
        attributes
    }

    /// ONNX's operator of this name, with the call's inputs and attributes.
    pub(super) fn same(&mut self, op_type: &str) -> Result<Vec<String>, String> {
        let inputs: Vec<String> = (0..self.call.input.len())
            .map(|number| number.to_string())
            .collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Ok(vec![self.node(op_type, &inputs, self.call.attribute.clone())])
    }

    /// A float of the type of `like`, which is that of all floats of the call.
    pub(super) fn constant(&mut self, value: f32, like: &str) -> String {
        let made = self.node("Constant", &[], [float("value_float", value)]);
        self.typed(made, like)
    }

    /// An f32 as the type of `like`, which is that of all floats of the call.
    pub(super) fn typed(&mut self, x: String, like: &str) -> String {
        const CAST_LIKE: i64 = 15;
        let mut of_call = (0..self.call.input.len()).filter_map(|input| self.dtype(&input.to_string()));
        match of_call.find(|dtype| dtype.is_float()) {
            Some(DType::F32) => x,
            Some(other) => self.node("Cast", &[&x], [int("to", other.onnx_code().into())]),
            None if self.opset >= CAST_LIKE => self.node("CastLike", &[&x, like], []),
            // what most files are of
            None => x,
        }
    }

    /// A list of integers.
    pub(super) fn numbers(&mut self, values: &[i64]) -> String {
        self.node("Constant", &[], [ints("value_ints", values)])
    }

    /// An integer without dimensions.
    pub(super) fn number(&mut self, value: i64) -> String {
        self.node("Constant", &[], [int("value_int", value)])
    }

    /// Bytes of a shape.
    pub(super) fn byte_values(&mut self, shape: &[i64], values: &[u8]) -> String {
        let tensor = TensorProto {
            dims: shape.to_vec(),
            data_type: Some(DType::U8.onnx_code()),
            raw_data: Some(values.to_vec().into()),
            ..Default::default()
        };
        let value = AttributeProto {
            t: Some(tensor),
            ..attribute("value", attribute_type::TENSOR)
        };
        self.node("Constant", &[], [value])
    }

    /// The size of an axis, as a list of one.
    pub(super) fn size(&mut self, x: &str, axis: i64) -> String {
        let shape = self.node("Shape", &[x], []);
        let axis = self.numbers(&[axis]);
        self.node("Gather", &[&shape, &axis], [])
    }

    /// The number of dimensions, as a list of one.
    pub(super) fn rank(&mut self, x: &str) -> String {
        let shape = self.node("Shape", &[x], []);
        self.node("Shape", &[&shape], [])
    }

    /// The integers below one that is a list of one.
    pub(super) fn range(&mut self, end: &str) -> String {
        let (zero, one) = (self.number(0), self.number(1));
        let end = self.node("Gather", &[end, &zero], []);
        self.node("Range", &[&zero, &end, &one], [])
    }

    /// With this shape; 0 for the size that is there, -1 for what is left.
    pub(super) fn reshaped(&mut self, x: &str, shape: &[i64]) -> String {
        let shape = self.numbers(shape);
        self.node("Reshape", &[x, &shape], [])
    }

    /// With a shape of sizes that are lists of one.
    pub(super) fn reshaped_to(&mut self, x: &str, sizes: &[&str]) -> String {
        let shape = self.joined(sizes, 0);
        self.node("Reshape", &[x, &shape], [])
    }

    pub(super) fn joined(&mut self, parts: &[&str], axis: i64) -> String {
        self.node("Concat", parts, [int("axis", axis)])
    }

    pub(super) fn transposed(&mut self, x: &str, axes: &[i64]) -> String {
        self.node("Transpose", &[x], [ints("perm", axes)])
    }

    /// What an operator on channels first makes of a value with channels last, its own channels last again. The rank is that of `kernel_shape`,
    /// or the one that the file declares of the first input.
    pub(super) fn with_channels_first(
        &mut self,
        x: &str,
        of: impl FnOnce(&mut Self, &str) -> String,
    ) -> Result<String, String> {
        let kernel = self.ints("kernel_shape").len();
        let rank = if kernel > 0 {
            kernel + 2
        } else {
            self.shape("0").map_or(0, <[_]>::len)
        };
        if !(3..=MAX_RANK).contains(&rank) {
            return Err("nothing tells how many dimensions it has: `kernel_shape` would".into());
        }
        let (last, inner) = (rank as i64 - 1, 1..rank as i64 - 1);
        let first: Vec<i64> = [0, last].into_iter().chain(inner).collect();
        let back: Vec<i64> = std::iter::once(0).chain(2..=last).chain([1]).collect();
        let x = self.transposed(x, &first);
        let y = of(self, &x);
        Ok(self.transposed(&y, &back))
    }

    /// The same if the call has `channels_last`, else what the operator makes of the value itself.
    pub(super) fn maybe_channels_first(
        &mut self,
        x: &str,
        of: impl FnOnce(&mut Self, &str) -> String,
    ) -> Result<String, String> {
        match self.int("channels_last") {
            None | Some(0) => Ok(of(self, x)),
            Some(_) => self.with_channels_first(x, of),
        }
    }

    /// With an axis of size 1 before this one.
    pub(super) fn with_axis(&mut self, x: &str, axis: i64) -> String {
        const AXES_ARE_AN_INPUT: i64 = 13;
        if self.opset < AXES_ARE_AN_INPUT {
            return self.node("Unsqueeze", &[x], [ints("axes", &[axis])]);
        }
        let axes = self.numbers(&[axis]);
        self.node("Unsqueeze", &[x, &axes], [])
    }

    /// The part between two places of an axis, which are lists of one.
    pub(super) fn part(&mut self, x: &str, axis: i64, from: &str, to: &str) -> String {
        let axis = self.numbers(&[axis]);
        self.node("Slice", &[x, from, to, &axis], [])
    }

    /// What lies at one place of an axis, without that axis.
    pub(super) fn at(&mut self, x: &str, axis: i64, place: i64) -> String {
        let place = self.number(place);
        self.node("Gather", &[x, &place], [int("axis", axis)])
    }

    pub(super) fn times(&mut self, x: &str, factor: f32) -> String {
        let factor = self.constant(factor, x);
        self.node("Mul", &[x, &factor], [])
    }

    /// x + y, or x if there is no y.
    pub(super) fn plus(&mut self, x: &str, y: &str) -> String {
        if self.gives(y) {
            self.node("Add", &[x, y], [])
        } else {
            x.to_owned()
        }
    }

    pub(super) fn mean(&mut self, x: &str, axes: &[i64], keep: i64) -> String {
        self.over("ReduceMean", 18, x, axes, keep)
    }

    /// A reduction over axes, which are an input from some opset on.
    pub(super) fn over(
        &mut self,
        op_type: &str,
        axes_are_an_input: i64,
        x: &str,
        axes: &[i64],
        keep: i64,
    ) -> String {
        let keep = int("keepdims", keep);
        if self.opset < axes_are_an_input {
            return self.node(op_type, &[x], [ints("axes", axes), keep]);
        }
        let axes = self.numbers(axes);
        self.node(op_type, &[x, &axes], [keep])
    }
}

/// ONNX's codes of element types, for Cast.
pub(super) const FLOAT: i64 = 1;
pub(super) const INT32: i64 = 6;
pub(super) const INT64: i64 = 7;

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        r#type: Some(kind),
        ..Default::default()
    }
}

pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        f: Some(value),
        ..attribute(name, attribute_type::FLOAT)
    }
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        i: Some(value),
        ..attribute(name, attribute_type::INT)
    }
}

pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        ints: values.to_vec(),
        ..attribute(name, attribute_type::INTS)
    }
}

pub(super) fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        s: Some(value.as_bytes().to_vec().into()),
        ..attribute(name, attribute_type::STRING)
    }
}
