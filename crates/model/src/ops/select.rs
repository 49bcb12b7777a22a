//! Where: picks between two tensors element by element, with NumPy's broadcasting. ONNX `Where`, versions 9 and 16.

use super::{
    Definition, Inputs, Kernel, OpError, Operator, TensorType, Work,
    data::{Rows, by_size},
    elementwise::elementwise_work,
    kernel,
};
use crate::{DType, shape::broadcast, tensor::TensorViewMut};
use bytemuck::Pod;

/// `Where`
pub(super) const WHERE: Definition = Definition {
    name: "Where",
    since: &[9, 16],
    inputs: 3..=3,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Where)),
};

#[derive(Debug)]
struct Where;

impl Operator for Where {
    fn copies_bits(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let condition = inputs.of_types(0, &[DType::Bool])?;
        let yes = inputs.required(1)?;
        let no = inputs.like(2, yes.dtype)?;
        let shapes = [condition.shape, yes.shape, no.shape];
        let shape = broadcast(&shapes)
            .ok_or_else(|| OpError::Shape(format!("shapes {shapes:?} do not broadcast")))?;
        Ok(vec![TensorType::new(yes.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        elementwise_work(inputs, outputs, 8)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let shapes = [
            inputs.required(0)?.shape,
            inputs.required(1)?.shape,
            inputs.required(2)?.shape,
        ];
        let rows = Rows::broadcast(&outputs[0].shape, shapes);
        let size = outputs[0].dtype.size();
        Ok(kernel(move |io| {
            let (condition, yes, no) = (io.input(0).bytes(), io.input(1).bytes(), io.input(2).bytes());
            let output = io.output(0).map_or(&mut [][..], TensorViewMut::bytes_mut);
            by_size!(size, Word => {
                pick::<Word>(
                    &rows,
                    condition,
                    bytemuck::cast_slice(yes),
                    bytemuck::cast_slice(no),
                    bytemuck::cast_slice_mut(output),
                );
            });
            Ok(())
        }))
    }
}

fn pick<W: Bits>(rows: &Rows<3>, condition: &[u8], yes: &[W], no: &[W], output: &mut [W]) {
    let mut output = output.chunks_exact_mut(rows.length.max(1));
    // Broadcast strides are never negative.
    let strides = rows.strides.map(|stride| stride as usize);
    rows.for_each(|at| {
        let Some(row) = output.next() else { return };
        let [c, y, n] = at.map(|at| at as usize);
        let (condition, yes, no) = (&condition[c..], &yes[y..], &no[n..]);
        match strides {
            [1, 1, 1] => pick_row::<W, 1, 1, 1>(condition, yes, no, row),
            [1, 0, 1] => pick_row::<W, 1, 0, 1>(condition, yes, no, row),
            [1, 1, 0] => pick_row::<W, 1, 1, 0>(condition, yes, no, row),
            [1, 0, 0] => pick_row::<W, 1, 0, 0>(condition, yes, no, row),
            [c, y, n] => {
                for (i, element) in row.iter_mut().enumerate() {
                    *element = choose(condition[i * c], yes[i * y], no[i * n]);
                }
            }
        }
    });
}

/// Both were read: a choice between registers, where a jump would be guessed wrongly every other time.
#[inline(always)]
fn choose<W: Bits>(condition: u8, yes: W, no: W) -> W {
    W::choose(condition != 0, yes, no)
}

/// An element as its bits.
trait Bits: Pod {
    /// One of two, without a jump.
    fn choose(condition: bool, yes: Self, no: Self) -> Self;
}

macro_rules! words {
    ($($t:ty)+) => {$(
        impl Bits for $t {
            #[inline(always)]
            fn choose(condition: bool, yes: Self, no: Self) -> Self {
                no ^ ((yes ^ no) & <$t>::from(condition).wrapping_neg())
            }
        }
    )+};
}
words!(u8 u16 u32 u64);

/// A row of operands whose elements lie side by side (a step of 1) or are one (0).
fn pick_row<W: Bits, const C: usize, const Y: usize, const N: usize>(
    condition: &[u8],
    yes: &[W],
    no: &[W],
    row: &mut [W],
) {
    let last = row.len().saturating_sub(1);
    let (condition, yes, no) = (&condition[..=last * C], &yes[..=last * Y], &no[..=last * N]);
    for (i, element) in row.iter_mut().enumerate() {
        *element = choose(condition[i * C], yes[i * Y], no[i * N]);
    }
}
