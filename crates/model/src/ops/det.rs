//! Det: determinants of square matrices. ONNX versions 11 and 22.
//!
//! Elimination with the largest element of each column as pivot, the topmost of equals; products and differences are fused.

use super::{
    Definition, FLOATS, Inputs, Kernel, OpError, Operator, Path, TensorType, Work,
    floats::{Compute, FloatKernel, FloatOperation, Known, on_floats, required},
    streamed,
};
use synod_numerics::float::Float;

/// `Det`
pub(super) const DET: Definition = Definition {
    name: "Det",
    since: &[11, 22],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Det)),
};

#[derive(Debug)]
struct Det;

/// Leading dimensions, and the rows of a matrix.
fn matrices(shape: &[usize]) -> Result<(&[usize], usize), OpError> {
    match shape {
        [front @ .., rows, columns] if rows == columns => Ok((front, *rows)),
        _ => Err(OpError::Shape(format!("{shape:?} are not square matrices"))),
    }
}

impl Operator for Det {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        Ok(vec![TensorType::new(x.dtype, matrices(x.shape)?.0.to_vec())?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let rows = inputs
            .optional(0)
            .and_then(|x| x.shape.last().copied())
            .unwrap_or(0) as u64;
        let squares = rows.saturating_mul(rows);
        let each = squares
            .saturating_mul(rows)
            .saturating_mul(32)
            .saturating_add(squares.saturating_mul(200))
            .saturating_add(1_000);
        Work {
            arithmetic: (outputs[0].elements() as u64).saturating_mul(each),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (_, rows) = matrices(inputs.required(0)?.shape)?;
        Ok(on_floats(&Elimination { rows }, inputs, outputs))
    }
}

#[derive(Clone)]
struct Elimination {
    rows: usize,
}

impl FloatOperation for Elimination {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for Elimination {
    fn scratch(&self) -> usize {
        self.rows * self.rows
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, _path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], scratch: &mut [T]) {
        let (x, size) = (required(inputs, 0), self.rows * self.rows);
        for (number, y) in outputs[0].iter_mut().enumerate() {
            let matrix = &mut scratch[..size];
            matrix.copy_from_slice(&x[number * size..][..size]);
            *y = determinant(matrix, self.rows).canonical();
        }
    }
}

/// The determinant of a matrix of `rows` rows, which is consumed; 1 of an empty one.
fn determinant<T: Float>(matrix: &mut [T], rows: usize) -> T {
    let mut product = T::ONE;
    for column in 0..rows {
        let mut pivot = column;
        for row in column + 1..rows {
            if matrix[row * rows + column].abs() > matrix[pivot * rows + column].abs() {
                pivot = row;
            }
        }
        if pivot != column {
            for at in 0..rows {
                matrix.swap(pivot * rows + at, column * rows + at);
            }
            product = -product;
        }
        let leading = matrix[column * rows + column];
        product = product * leading;
        if leading == T::ZERO {
            return T::ZERO;
        }
        let (above, below) = matrix.split_at_mut((column + 1) * rows);
        let above = &above[column * rows..];
        for line in below.chunks_exact_mut(rows) {
            let factor = -(line[column] / leading);
            for (y, &x) in line[column + 1..].iter_mut().zip(&above[column + 1..]) {
                *y = factor.fma(x, *y);
            }
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn determinants_of_small_matrices() {
        assert_eq!(determinant::<f32>(&mut [], 0), 1.0);
        assert_eq!(determinant(&mut [0.0_f64, 2.0, 3.0, 4.0], 2), -6.0);
        assert_eq!(determinant(&mut [1.0_f32, 2.0, 2.0, 4.0], 2).to_bits(), 0);
        assert_eq!(
            determinant(&mut [2.0_f64, 0.0, 1.0, 1.0, 3.0, 2.0, 1.0, 1.0, 4.0], 3),
            18.0
        );
        assert!(determinant(&mut [f32::NAN, 1.0, 1.0, 1.0], 2).is_nan());
    }
}
