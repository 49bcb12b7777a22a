//! Trilu: the upper or lower triangle of matrices, the rest zero. ONNX `Trilu`, version 14.
//!
//! `k` moves the diagonal to the right; it is an input, read when the node runs.

use super::{Definition, Inputs, Kernel, OpError, Operator, TensorType, Work, data::by_size, kernel};
use crate::{DType, tensor::TensorViewMut};
use bytemuck::Pod;

/// `Trilu`
pub(super) const TRILU: Definition = Definition {
    name: "Trilu",
    since: &[14],
    inputs: 1..=2,
    outputs: 1..=1,
    parse: |node| {
        Ok(Box::new(Trilu {
            upper: node.attributes.flag("upper", true)?,
        }))
    },
};

#[derive(Debug, Clone, Copy)]
struct Trilu {
    upper: bool,
}

impl Operator for Trilu {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.required(0)?;
        if x.shape.len() < 2 {
            return Err(OpError::Shape(format!("{:?} is not a matrix", x.shape)));
        }
        if inputs.optional(1).is_some() && inputs.of_types(1, &[DType::I64])?.elements() != 1 {
            return Err(OpError::Shape("the diagonal is not one number".into()));
        }
        Ok(vec![x.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let rows = outputs[0].elements() / outputs[0].shape.last().map_or(1, |&last| last.max(1));
        let mut work = Work::elementwise(inputs, outputs, 16);
        work.arithmetic = work.arithmetic.saturating_add(rows as u64 * 200);
        work
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let x = inputs.required(0)?;
        let (upper, size) = (self.upper, x.dtype.size());
        let dims = [x.shape[x.shape.len() - 2], x.shape[x.shape.len() - 1]];
        Ok(kernel(move |io| {
            let diagonal = io.optional_input(1).map_or(0, |k| k.as_slice::<i64>()[0]);
            let x = io.input(0).bytes();
            let out = io.output(0).map_or(&mut [][..], TensorViewMut::bytes_mut);
            by_size!(size, Word => {
                triangle::<Word>(upper, diagonal, dims, bytemuck::cast_slice(x), bytemuck::cast_slice_mut(out));
            });
            Ok(())
        }))
    }
}

fn triangle<W: Pod>(upper: bool, diagonal: i64, [rows, columns]: [usize; 2], x: &[W], out: &mut [W]) {
    if rows * columns == 0 {
        return;
    }
    let lines = x.chunks_exact(columns).zip(out.chunks_exact_mut(columns));
    for (number, (x, out)) in lines.enumerate() {
        // the first column of the upper triangle, or the first one behind the lower
        let edge = (number % rows) as i64;
        let edge = edge.saturating_add(diagonal).saturating_add(i64::from(!upper));
        let edge = edge.clamp(0, columns as i64) as usize;
        let (kept, zero) = if upper {
            (edge..columns, 0..edge)
        } else {
            (0..edge, edge..columns)
        };
        out[kept.clone()].copy_from_slice(&x[kept]);
        out[zero].fill(W::zeroed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(upper: bool, diagonal: i64) -> [u8; 6] {
        let mut out = [9; 6];
        triangle(upper, diagonal, [2, 3], &[1, 2, 3, 4, 5, 6], &mut out);
        out
    }

    #[test]
    fn triangles_lie_on_either_side_of_the_diagonal() {
        assert_eq!(of(true, 0), [1, 2, 3, 0, 5, 6]);
        assert_eq!(of(false, 0), [1, 0, 0, 4, 5, 0]);
        assert_eq!(of(true, 1), [0, 2, 3, 0, 0, 6]);
        assert_eq!(of(false, -1), [0, 0, 0, 4, 0, 0]);
        assert_eq!(of(true, i64::MIN), [1, 2, 3, 4, 5, 6]);
        assert_eq!(of(false, i64::MAX), [1, 2, 3, 4, 5, 6]);
    }
}
