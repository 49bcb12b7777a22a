//! From real numbers to small integers and back, as ONNX's quantised operators define it.
//!
//! A quantised number q stands for (q − zero point) × scale. Quantising divides, rounds to the nearest integer (ties to
//! even), adds the zero point and holds the result within the range of its type.

use crate::isa::multiversion;

/// The integers that a quantised type has, and which of them stands for 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Stands for 0.
    pub zero: i32,
    /// The least.
    pub low: i32,
    /// The greatest.
    pub high: i32,
}

/// 1.5·2^23: its sum with a number below 2^22 is an integer.
const ROUND: f32 = 12_582_912.0;

impl Grid {
    /// The integer for a number of steps from 0: rounded to even, plus the zero point, held within the range. NaN is 0 steps.
    #[must_use]
    #[inline(always)]
    pub fn place(self, steps: f32) -> i32 {
        // differences of integers of at most 16 bits are exact in f32
        let (low, high) = ((self.low - self.zero) as f32, (self.high - self.zero) as f32);
        let steps = if steps.is_nan() { 0.0 } else { steps };
        // both ends are integers: holding before rounding is the same
        let steps = if steps < low { low } else { steps };
        let steps = if steps > high { high } else { steps };
        // the sum is rounded to an integer, ties to even, which its low bits hold. A cast, which saturates, would be made one by one
        (steps + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i32 + self.zero
    }
}

/// A type of 8-bit integers.
pub trait Byte: Copy + Send + Sync + 'static {
    /// As 16 bits.
    fn widen(self) -> i16;
    /// The low 8 bits.
    fn narrow(value: i32) -> Self;
    /// As i8, minus [`Self::SHIFT`].
    fn shifted_signed(self) -> i8;
    /// The bytes of a slice.
    fn bytes(slice: &[Self]) -> &[u8];
    /// The bytes of a slice.
    fn bytes_mut(slice: &mut [Self]) -> &mut [u8];
    /// The least and the greatest.
    const RANGE: (i32, i32);
    /// What makes the range that of i8 when it is taken off.
    const SHIFT: i32 = Self::RANGE.0 + 128;
}

impl Byte for u8 {
    const RANGE: (i32, i32) = (0, 255);
    #[inline(always)]
    fn shifted_signed(self) -> i8 {
        (self ^ 0x80) as i8
    }
    fn bytes(slice: &[Self]) -> &[u8] {
        slice
    }
    fn bytes_mut(slice: &mut [Self]) -> &mut [u8] {
        slice
    }
    #[inline(always)]
    fn widen(self) -> i16 {
        self.into()
    }
    #[inline(always)]
    fn narrow(value: i32) -> Self {
        value as Self
    }
}

impl Byte for i8 {
    const RANGE: (i32, i32) = (-128, 127);
    #[inline(always)]
    fn shifted_signed(self) -> i8 {
        self
    }
    fn bytes(slice: &[Self]) -> &[u8] {
        // SAFETY: i8 and u8 have the same size, alignment and bit patterns.
        unsafe { std::slice::from_raw_parts(slice.as_ptr().cast(), slice.len()) }
    }
    fn bytes_mut(slice: &mut [Self]) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(slice.as_mut_ptr().cast(), slice.len()) }
    }
    #[inline(always)]
    fn widen(self) -> i16 {
        self.into()
    }
    #[inline(always)]
    fn narrow(value: i32) -> Self {
        value as Self
    }
}

multiversion! {
    /// y = grid.place(x ÷ scale), the quotient rounded.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn quantize[](x: &[f32], scale: f32, grid: Grid, out: &mut [i32]) {
        assert_eq!(x.len(), out.len(), "as many results as numbers");
        for (out, &x) in out.iter_mut().zip(x) {
            *out = grid.place(x / scale);
        }
    }
}

multiversion! {
    /// [`quantize`] with a scale and a zero point for each element, of a type that ranges from `low` to `high`.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn quantize_each[](x: &[f32], scales: &[f32], zeros: &[i32], low: i32, high: i32, out: &mut [i32]) {
        assert!(
            x.len() == out.len() && scales.len() == out.len() && zeros.len() == out.len(),
            "as many results, scales and zero points as numbers"
        );
        for (((out, &x), &scale), &zero) in out.iter_mut().zip(x).zip(scales).zip(zeros) {
            *out = Grid { zero, low, high }.place(x / scale);
        }
    }
}

multiversion! {
    /// y = grid.place(f32(sum) × factor): what a quantised product makes of its exact sums.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn requantize[B: Byte](sums: &[i32], factor: f32, grid: Grid, out: &mut [B]) {
        assert_eq!(sums.len(), out.len(), "as many results as sums");
        for (out, &sum) in out.iter_mut().zip(sums) {
            *out = B::narrow(grid.place(sum as f32 * factor));
        }
    }
}

multiversion! {
    /// [`requantize`] with a factor for each element.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn requantize_each[B: Byte](sums: &[i32], factors: &[f32], grid: Grid, out: &mut [B]) {
        assert!(sums.len() == out.len() && factors.len() == out.len(), "as many results as sums");
        for ((out, &sum), &factor) in out.iter_mut().zip(sums).zip(factors) {
            *out = B::narrow(grid.place(sum as f32 * factor));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_find_their_place() {
        let grid = Grid {
            zero: 128,
            low: 0,
            high: 255,
        };
        for (steps, place) in [
            (0.0, 128),
            (-0.0, 128),
            (0.5, 128),
            (1.5, 130),
            (-0.5, 128),
            (-1.5, 126),
            (126.5, 254),
            (127.5, 255),
            (1e30, 255),
            (-1e30, 0),
            (f32::INFINITY, 255),
            (f32::NEG_INFINITY, 0),
            (f32::NAN, 128),
            (1e-45, 128),
            (0.499_999_97, 128),
            (-0.500_000_06, 127),
            (2.5, 130),
            (-2.5, 126),
        ] {
            assert_eq!(grid.place(steps), place, "{steps}");
        }
    }

    #[test]
    fn every_step_of_every_type_is_its_rounding() {
        for (low, high) in [(-128, 127), (0, 255), (-32_768, 32_767), (0, 65_535)] {
            for zero in [low, (low + high + 1) / 2, high] {
                let grid = Grid { zero, low, high };
                for half in -140_000..140_000_i32 {
                    let steps = half as f32 / 2.0;
                    let expected = (steps.round_ties_even() as i32 + zero).clamp(low, high);
                    assert_eq!(grid.place(steps), expected, "{steps} on {grid:?}");
                }
            }
        }
    }

    #[test]
    fn division_by_zero_saturates() {
        let grid = Grid {
            zero: 3,
            low: -128,
            high: 127,
        };
        let mut out = [0; 3];
        quantize(&[1.0, -1.0, 0.0], 0.0, grid, &mut out);
        assert_eq!(out, [127, -128, 3]);
    }
}
