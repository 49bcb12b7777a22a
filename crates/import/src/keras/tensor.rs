//! Tensors while a model is converted: what Keras thinks they are, and how they really lie.

use crate::{
    ImportError,
    onnx::{self, GraphWriter, OnnxDim},
};
use std::{collections::BTreeMap, rc::Rc};
use synod_model::DType;

/// A dimension: `None` is known only when the model is called.
pub(crate) type Dim = Option<usize>;

/// The order in which the axes of a tensor lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// As Keras has them.
    Keras,
    /// The last axis second, the others as Keras has them: what ONNX's convolutions want of images with channels last.
    ChannelsSecond,
    /// The second axis first: what ONNX's recurrent operators want of sequences.
    TimeFirst,
}

impl Layout {
    /// For each axis as it lies, which of Keras' axes it is.
    pub(crate) fn axes(self, rank: usize) -> Vec<usize> {
        match self {
            Self::ChannelsSecond if rank > 2 => [0, rank - 1].into_iter().chain(1..rank - 1).collect(),
            Self::TimeFirst if rank > 1 => [1, 0].into_iter().chain(2..rank).collect(),
            _ => (0..rank).collect(),
        }
    }

    /// Where one of Keras' axes lies.
    pub(crate) fn place(self, axis: usize, rank: usize) -> usize {
        let axes = self.axes(rank);
        axes.iter().position(|&of| of == axis).unwrap_or(axis)
    }

    /// Something of each of Keras' axes, in the order in which they lie.
    pub(crate) fn order<T: Clone>(self, of_axes: &[T]) -> Vec<T> {
        let axes = self.axes(of_axes.len());
        axes.into_iter().map(|axis| of_axes[axis].clone()).collect()
    }
}

/// A tensor. Shape and axes are Keras'; how it lies is the writer's to know.
#[derive(Debug, Clone)]
pub(crate) struct Tensor {
    id: usize,
    pub(crate) shape: Vec<Dim>,
    pub(crate) dtype: DType,
    /// Keras' mask: for each sample and step, whether it counts.
    pub(crate) mask: Option<Rc<Tensor>>,
}

impl Tensor {
    pub(crate) fn rank(&self) -> usize {
        self.shape.len()
    }

    /// One of its axes, counted from the end if below zero.
    pub(crate) fn axis(&self, axis: i64) -> Option<usize> {
        axis_of(axis, self.rank())
    }

    /// The same with a mask.
    pub(crate) fn masked(mut self, mask: Option<Rc<Tensor>>) -> Self {
        self.mask = mask;
        self
    }

    /// The shape for a message: `?` is what only a call tells.
    pub(crate) fn shown(&self) -> String {
        let dim = |dim: &Dim| dim.map_or_else(|| "?".to_owned(), |size| size.to_string());
        format!("[{}]", self.shape.iter().map(dim).collect::<Vec<_>>().join(", "))
    }
}

/// An axis of so many, counted from the end if below zero.
pub(crate) fn axis_of(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 {
        axis.checked_add(rank as i64)?
    } else {
        axis
    };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}

/// The product of dimensions, if all are known and it can be computed with.
pub(crate) fn product(dims: &[Dim]) -> Dim {
    dims.iter()
        .try_fold(1usize, |product, dim| product.checked_mul((*dim)?))
        .filter(|&product| product < 1 << 48)
}

/// Writes nodes and keeps track of how tensors lie.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) graph: GraphWriter,
    /// Of each tensor the values that hold it, the one that was computed first.
    forms: Vec<Vec<(Layout, String)>>,
    /// Tensors that are others with zeros around them: which, and how many before and behind each of Keras' axes.
    padded: BTreeMap<usize, (Tensor, Vec<(usize, usize)>)>,
}

impl Writer {
    /// A tensor for a value.
    pub(crate) fn tensor(&mut self, value: String, layout: Layout, shape: Vec<Dim>, dtype: DType) -> Tensor {
        self.forms.push(vec![(layout, value)]);
        Tensor {
            id: self.forms.len() - 1,
            shape,
            dtype,
            mask: None,
        }
    }

    /// Notes that a tensor is another with zeros around it.
    pub(crate) fn note_padding(&mut self, padded: &Tensor, from: Tensor, sides: Vec<(usize, usize)>) {
        self.padded.insert(padded.id, (from, sides));
    }

    /// What a tensor is with zeros around it, if that has been noted.
    pub(crate) fn padding_of(&self, tensor: &Tensor) -> Option<&(Tensor, Vec<(usize, usize)>)> {
        self.padded.get(&tensor.id)
    }

    /// How a tensor was computed.
    pub(crate) fn layout(&self, tensor: &Tensor) -> Layout {
        self.forms[tensor.id][0].0
    }

    /// The value that holds a tensor as it was computed.
    pub(crate) fn value(&self, tensor: &Tensor) -> String {
        self.forms[tensor.id][0].1.clone()
    }

    /// The value that holds a tensor in this order; transposed, if it has not been needed so before.
    pub(crate) fn value_as(&mut self, tensor: &Tensor, layout: Layout) -> Result<String, ImportError> {
        let rank = tensor.rank();
        let wanted = layout.axes(rank);
        let forms = &self.forms[tensor.id];
        if let Some((_, value)) = forms.iter().find(|(form, _)| form.axes(rank) == wanted) {
            return Ok(value.clone());
        }
        let (computed, value) = forms[0].clone();
        let from = computed.axes(rank);
        // What moves no element past another is a change of shape.
        let long = |axes: &[usize]| -> Vec<usize> {
            let of_many = |axis: &&usize| tensor.shape[**axis] != Some(1);
            axes.iter().filter(of_many).copied().collect()
        };
        let value = if long(&from) == long(&wanted) {
            let sizes: Option<Vec<i64>> = one_free(&layout.order(&tensor.shape));
            match sizes {
                Some(sizes) => {
                    let shape = self.graph.ints("shape", &sizes);
                    self.graph.node("Reshape", &[&value, &shape], Vec::new())?
                }
                None => self.transpose(&value, &from, &wanted)?,
            }
        } else {
            self.transpose(&value, &from, &wanted)?
        };
        self.forms[tensor.id].push((layout, value.clone()));
        Ok(value)
    }

    fn transpose(&mut self, value: &str, from: &[usize], wanted: &[usize]) -> Result<String, ImportError> {
        let place = |axis: &usize| from.iter().position(|of| of == axis).unwrap_or_default() as i64;
        let perm = onnx::ints("perm", wanted.iter().map(place));
        self.graph.node("Transpose", &[value], vec![perm])
    }

    /// The value that holds a tensor in Keras' order.
    pub(crate) fn keras(&mut self, tensor: &Tensor) -> Result<String, ImportError> {
        self.value_as(tensor, Layout::Keras)
    }

    /// An operator on each element, in whatever order the tensor was computed.
    pub(crate) fn pointwise(
        &mut self,
        op: &str,
        tensor: &Tensor,
        attributes: Vec<onnx::Attribute>,
    ) -> Result<Tensor, ImportError> {
        let value = self.graph.node(op, &[&self.forms[tensor.id][0].1], attributes)?;
        Ok(self.like(tensor, value))
    }

    /// A tensor of a value computed element by element from another, in the order in which that was computed.
    pub(crate) fn like(&mut self, tensor: &Tensor, value: String) -> Tensor {
        let layout = self.layout(tensor);
        self.tensor(value, layout, tensor.shape.clone(), tensor.dtype)
    }

    /// A binary operator with one float.
    pub(crate) fn with_scalar(
        &mut self,
        op: &str,
        tensor: &Tensor,
        scalar: f32,
    ) -> Result<Tensor, ImportError> {
        let constant = self.graph.scalar("constant", scalar);
        let value = self
            .graph
            .node(op, &[&self.value(tensor), &constant], Vec::new())?;
        Ok(self.like(tensor, value))
    }

    /// The tensor in another element type.
    pub(crate) fn cast(&mut self, tensor: &Tensor, dtype: DType) -> Result<Tensor, ImportError> {
        if tensor.dtype == dtype {
            return Ok(tensor.clone());
        }
        let to = onnx::int("to", onnx::code(dtype).into());
        let mut cast = self.pointwise("Cast", tensor, vec![to])?;
        cast.dtype = dtype;
        Ok(cast.masked(tensor.mask.clone()))
    }

    /// The tensor as floats, which Keras makes of integers wherever a layer computes.
    pub(crate) fn float(&mut self, tensor: &Tensor) -> Result<Tensor, ImportError> {
        self.cast(tensor, DType::F32)
    }

    /// The order that operators on several tensors of one rank use: that of an image or sequence among them.
    pub(crate) fn common_layout(&self, tensors: &[Tensor]) -> Layout {
        let layouts = || tensors.iter().map(|tensor| self.layout(tensor));
        [Layout::ChannelsSecond, Layout::TimeFirst]
            .into_iter()
            .find(|&layout| layouts().any(|of| of == layout))
            .unwrap_or(Layout::Keras)
    }

    /// A constant along the last of Keras' axes, in a shape that broadcasts in this order.
    pub(crate) fn along_last(&mut self, name: &str, values: &[f32], layout: Layout, rank: usize) -> String {
        let place = layout.place(rank.saturating_sub(1), rank);
        let dims: Vec<usize> = std::iter::once(values.len())
            .chain(std::iter::repeat_n(
                1,
                rank.saturating_sub(1).saturating_sub(place),
            ))
            .collect();
        self.graph.floats(name, &dims, values)
    }

    /// A tensor in another shape with its elements in Keras' order. At most one dimension besides the first may be unknown.
    pub(crate) fn reshape(
        &mut self,
        tensor: &Tensor,
        shape: Vec<Dim>,
    ) -> Result<Option<Tensor>, ImportError> {
        let layout = if is_vector(&shape) && self.layout(tensor) == Layout::Keras {
            // A vector for each sample as an image of one pixel: channels may as well lie second.
            Layout::ChannelsSecond
        } else {
            Layout::Keras
        };
        let layout = if shape.len() > 2 { layout } else { Layout::Keras };
        let value = if is_vector(&tensor.shape) && self.layout(tensor) != Layout::TimeFirst {
            self.value(tensor)
        } else {
            self.keras(tensor)?
        };
        let same_batch = tensor.shape.first() == shape.first();
        let sizes = match one_free(&layout.order(&shape)) {
            Some(sizes) => sizes,
            None if same_batch => {
                // The batch is copied from the input: ONNX's 0.
                let rest = one_free(&layout.order(&shape)[1..]);
                match rest {
                    Some(rest) => std::iter::once(0).chain(rest).collect(),
                    None => return Ok(None),
                }
            }
            None => return Ok(None),
        };
        let sizes = self.graph.ints("shape", &sizes);
        let value = self.graph.node("Reshape", &[&value, &sizes], Vec::new())?;
        Ok(Some(self.tensor(value, layout, shape, tensor.dtype)))
    }

    /// Names for the dimensions of an input or output.
    pub(crate) fn dims(&self, name: &str, shape: &[Dim]) -> Vec<OnnxDim> {
        let dim = |(axis, dim): (usize, &Dim)| match (axis, dim) {
            (_, Some(size)) => OnnxDim::Size(*size),
            (0, None) => OnnxDim::Name("batch".to_owned()),
            (axis, None) => OnnxDim::Name(format!("{name}.{axis}")),
        };
        shape.iter().enumerate().map(dim).collect()
    }
}

/// Whether all axes between the first and the last have length 1: then Keras' order and channels second are the same.
fn is_vector(shape: &[Dim]) -> bool {
    match shape {
        [_, middle @ .., _] => middle.iter().all(|dim| *dim == Some(1)),
        _ => true,
    }
}

/// The shape for ONNX's Reshape, if at most one dimension is unknown.
pub(crate) fn one_free(shape: &[Dim]) -> Option<Vec<i64>> {
    let free = shape.iter().filter(|dim| dim.is_none()).count();
    let size = |dim: &Dim| dim.map_or(-1, |size| size as i64);
    (free <= 1).then(|| shape.iter().map(size).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_lie_where_the_layout_says() {
        assert_eq!(Layout::ChannelsSecond.axes(4), [0, 3, 1, 2]);
        assert_eq!(Layout::ChannelsSecond.place(3, 4), 1);
        assert_eq!(Layout::ChannelsSecond.place(1, 4), 2);
        assert_eq!(Layout::TimeFirst.axes(3), [1, 0, 2]);
        assert_eq!(Layout::ChannelsSecond.axes(2), [0, 1]);
        assert_eq!(
            Layout::ChannelsSecond.order(&['n', 'h', 'w', 'c']),
            ['n', 'c', 'h', 'w']
        );
    }

    #[test]
    fn a_tensor_is_transposed_once_and_back_for_nothing() {
        let mut writer = Writer::default();
        let image = writer.tensor(
            "x".into(),
            Layout::Keras,
            vec![None, Some(4), Some(4), Some(3)],
            DType::F32,
        );
        let first = writer.value_as(&image, Layout::ChannelsSecond).unwrap();
        assert_eq!(writer.value_as(&image, Layout::ChannelsSecond).unwrap(), first);
        assert_eq!(writer.keras(&image).unwrap(), "x");
        let pixel = writer.tensor(
            "p".into(),
            Layout::Keras,
            vec![None, Some(1), Some(1), Some(3)],
            DType::F32,
        );
        assert!(
            writer
                .value_as(&pixel, Layout::ChannelsSecond)
                .unwrap()
                .contains("Reshape")
        );
    }
}
