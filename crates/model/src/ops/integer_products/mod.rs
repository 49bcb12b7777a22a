//! Products and convolutions of 8-bit integers: MatMulInteger, ConvInteger (version 10), QLinearMatMul (versions 10, 21),
//! QLinearConv (version 10).
//!
//! Sums are exact in 32 bits: they wrap and never saturate, whatever the order. The QLinear operators then quantise again:
//! with factor = (scale of a × scale of b) ÷ scale of y, two roundings in f32, y is f32(sum) × factor rounded to an integer (ties
//! to even), plus y's zero point, held within the range of its type. Padding stands for the real number 0.

mod convolution;
mod product;

pub(in crate::ops) use convolution::{CONV_INTEGER, Q_LINEAR_CONV};
pub(in crate::ops) use product::{MAT_MUL_INTEGER, Q_LINEAR_MAT_MUL};

use super::{
    DType, Inputs, Io, OpError,
    quantize::{integer_range, read_floats, read_integers},
};
use crate::tensor::{Element, TensorView};
use synod_numerics::quantize::Grid;

const BYTES: &[DType] = &[DType::U8, DType::I8];

/// Multiply-add equivalents of a product of bytes: a column of the right operand takes its place among sixteen, a term among four,
/// and a sum of terms costs as much as some more. Eight terms are worth three of `f32`.
fn arithmetic(rows: usize, columns: usize, terms: usize) -> u64 {
    let terms = (terms as u64).next_multiple_of(4).saturating_mul(3) / 8;
    (rows as u64)
        .saturating_mul(columns.next_multiple_of(16) as u64)
        .saturating_mul(terms.saturating_add(10))
}

/// Of what becomes of a sum: it is quantised, or written.
const PER_SUM: u64 = 10;

/// Where an operator lists its operands.
#[derive(Debug, Clone, Copy)]
struct Places {
    /// The two operands.
    values: [usize; 2],
    /// Their zero points.
    zeros: [usize; 2],
}

/// Of MatMulInteger and ConvInteger.
const PLAIN: Places = Places {
    values: [0, 1],
    zeros: [2, 3],
};
/// Of the QLinear operators; scales come before zero points, y's at 6 and 7.
const QUANTIZING: Places = Places {
    values: [0, 3],
    zeros: [2, 5],
};
const A_SCALE: usize = 1;
const B_SCALE: usize = 4;
const Y_SCALE: usize = 6;
const Y_ZERO: usize = 7;

/// Checks that an operand is a single number.
fn single(inputs: &Inputs<'_>, index: usize) -> Result<(), OpError> {
    let operand = inputs.required(index)?;
    if operand.elements() == 1 {
        Ok(())
    } else {
        Err(OpError::Shape(format!(
            "input {index} has the shape {:?}; a single number is needed",
            operand.shape
        )))
    }
}

/// Pieces of scratch memory, one after another.
struct Pieces<'a>(&'a mut [u8]);

impl<'a> Pieces<'a> {
    fn take<T: Element>(&mut self, count: usize) -> &'a mut [T] {
        let (piece, rest) = std::mem::take(&mut self.0).split_at_mut(count * size_of::<T>());
        self.0 = rest;
        bytemuck::cast_slice_mut(piece)
    }

    fn integers(&mut self, view: Option<TensorView<'_>>, count: usize) -> &'a [i32] {
        let out = self.take(count);
        match view {
            Some(view) => read_integers(&view, 0, out),
            None => out.fill(0),
        }
        out
    }

    fn floats(&mut self, view: &TensorView<'_>, count: usize) -> &'a [f32] {
        let out = self.take(count);
        read_floats(view, 0, out);
        out
    }
}

/// Calls a generic function with the Rust type of a byte type.
macro_rules! with_byte {
    ($dtype:expr, $t:ident => $body:expr) => {
        if $dtype == DType::U8 {
            type $t = u8;
            $body
        } else {
            type $t = i8;
            $body
        }
    };
}

fn grid(io: &Io<'_, '_>, dtype: DType) -> Grid {
    let mut zero = [0];
    read_integers(&io.input(Y_ZERO), 0, &mut zero);
    let (low, high) = integer_range(dtype).expect("inference checked the type");
    Grid {
        zero: zero[0],
        low,
        high,
    }
}

fn number(view: &TensorView<'_>) -> f32 {
    let mut out = [0.0];
    read_floats(view, 0, &mut out);
    out[0]
}

/// The number of a line: one for all, or one for each.
fn of_line<T: Copy>(numbers: &[T], line: usize) -> T {
    numbers[if numbers.len() == 1 { 0 } else { line }]
}

use with_byte;
