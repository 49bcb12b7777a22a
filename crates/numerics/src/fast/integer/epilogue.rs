//! What becomes of sums: y = place(f32(sum) × factor), the sum having started at what zero points and bias make of it.

use super::Operand;
use super::tile::COLUMNS;
use crate::isa::multiversion;
use crate::quantize::{Byte, Grid};

/// Requantisation of the columns of a product.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requantize<'a> {
    /// What each column's sum starts at.
    pub(super) starts: &'a [i32],
    /// What each column's sum is multiplied by.
    pub(super) factors: &'a [f32],
    /// The zero point of the result.
    pub(super) zero: i16,
    /// Whether the result is i8.
    pub(super) signed: bool,
    /// Whether all factors are finite: no product is NaN then.
    pub(super) finite: bool,
    /// Whether a product may be beyond 2³¹.
    pub(super) large: bool,
}

impl<'a> Requantize<'a> {
    pub(super) fn new(starts: &'a [i32], factors: &'a [f32], of: Operand) -> Self {
        Requantize {
            starts,
            factors,
            zero: of.zero as i16,
            signed: of.signed,
            finite: factors.iter().all(|factor| factor.is_finite()),
            large: !factors.iter().all(|factor| factor.abs() <= 0.5),
        }
    }

    /// That of the columns from one on.
    pub(super) fn from(&self, column: usize) -> Self {
        Requantize {
            starts: &self.starts[column..],
            factors: &self.factors[column..],
            ..*self
        }
    }

    pub(super) fn grid(&self) -> Grid {
        let (low, high) = if self.signed { i8::RANGE } else { u8::RANGE };
        Grid {
            zero: self.zero.into(),
            low,
            high,
        }
    }
}

multiversion! {
    /// A row of a tile from column `first`, added to the starts and requantised.
    pub(super) fn requantize_row[](sums: &[i32; COLUMNS], requantize: &Requantize<'_>, first: usize, out: &mut [u8]) {
        let grid = requantize.grid();
        let starts = &requantize.starts[first..][..out.len()];
        let factors = &requantize.factors[first..][..out.len()];
        for (((out, &sum), &start), &factor) in out.iter_mut().zip(sums).zip(starts).zip(factors) {
            *out = grid.place(sum.wrapping_add(start) as f32 * factor) as u8;
        }
    }
}
