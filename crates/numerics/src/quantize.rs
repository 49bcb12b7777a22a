//! From real numbers to small integers and back, as ONNX's quantised operators define it.
//!
//! A quantised number q stands for (q − zero point) × scale. Quantising divides, rounds to the nearest integer (ties to
//! even), adds the zero point and holds the result within the range of its type.

use crate::float::Float;
use crate::isa::{self, multiversion};
use crate::quotient::Divisor;

mod sum;
pub use sum::Sum;

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
        self.place_about(if steps.is_nan() { 0.0 } else { steps }).0
    }
}

/// Elements that are settled together.
const BLOCK: usize = 64;

/// How far a number of steps may be from an integer for an approximation to be rounded to the same: a product with a rounded reciprocal
/// is within 2^−23 of the quotient, relatively, and at most 256 steps of a byte count, so that 2^−15 would do.
const SETTLED: f32 = 0.5 - 1.0 / 8_192.0;

impl Grid {
    /// Whether no two bytes are more than 256 steps apart, as [`SETTLED`] has it.
    fn is_of_bytes(self) -> bool {
        self.high - self.low < 256 && (self.low..=self.high).contains(&self.zero)
    }

    /// [`Self::place`] of what is no NaN, and whether about so many steps ([`SETTLED`]) have the same place.
    #[inline(always)]
    fn place_about(self, steps: f32) -> (i32, bool) {
        // differences of integers of at most 16 bits are exact in f32
        let (low, high) = ((self.low - self.zero) as f32, (self.high - self.zero) as f32);
        // both ends are integers: holding before rounding is the same
        let steps = if steps < low { low } else { steps };
        let steps = if steps > high { high } else { steps };
        // the sum is rounded to an integer, ties to even, which its low bits hold. A cast, which saturates, would be made one by one
        let rounded = steps + ROUND;
        let place = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32 + self.zero;
        // of NaN nothing is settled
        (place, (steps - (rounded - ROUND)).abs() < SETTLED)
    }
}

/// What the bytes of a tensor stand for: (q − zero point) × scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steps {
    /// The difference that one step makes.
    pub scale: f32,
    /// Which bytes there are, u8 or i8, and which of them stands for 0.
    pub grid: Grid,
}

impl Steps {
    /// Whether the value of every byte, and the sum of two of them, is finite.
    #[must_use]
    pub fn are_finite(self) -> bool {
        self.scale.abs() <= 1e30
    }

    /// What turns the bytes to u8, and the zero point of these.
    fn as_unsigned(self) -> (u8, i32) {
        if self.grid.low < 0 {
            (0x80, self.grid.zero + 128)
        } else {
            (0, self.grid.zero)
        }
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

/// y = grid.place(x ÷ scale), the quotient rounded.
///
/// # Panics
/// If the slices differ in length.
pub fn quantize(x: &[f32], scale: f32, grid: Grid, out: &mut [i32]) {
    match Divisor::new(scale) {
        Some(scale) => isa::apply(x, out, move |x: f32| grid.place(scale.quotient(x))),
        None => isa::apply(x, out, move |x: f32| grid.place(x / scale)),
    }
}

/// [`quantize`] to a type of bytes.
///
/// # Panics
/// If the slices differ in length.
pub fn quantize_bytes(x: &[f32], scale: f32, grid: Grid, out: &mut [u8]) {
    match Divisor::new(scale) {
        Some(scale) if grid.is_of_bytes() => place_each(x, scale, grid, out),
        Some(scale) => isa::apply(x, out, move |x: f32| grid.place(scale.quotient(x)) as u8),
        None => isa::apply(x, out, move |x: f32| grid.place(x / scale) as u8),
    }
}

multiversion! {
    /// The bytes of x ÷ scale. A product with the reciprocal is rounded to the same integer as the quotient unless it is close to a
    /// half: only blocks in which one is are divided.
    fn place_each[](x: &[f32], scale: Divisor, grid: Grid, out: &mut [u8]) {
        assert_eq!(x.len(), out.len(), "an elementwise function has as many outputs as inputs");
        for (x, out) in x.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
            let mut open = 0;
            for (out, &x) in out.iter_mut().zip(x) {
                let (place, settled) = grid.place_about(x * scale.reciprocal);
                *out = place as u8;
                open |= u32::from(!settled);
            }
            if open != 0 {
                for (out, &x) in out.iter_mut().zip(x) {
                    *out = grid.place(scale.quotient(x)) as u8;
                }
            }
        }
    }
}

/// y = f32(q − zero) × scale, the difference wrapping, NaNs canonical.
///
/// # Panics
/// If the slices differ in length.
pub fn dequantize(q: &[i32], scale: f32, zero: i32, out: &mut [f32]) {
    isa::apply(q, out, move |q: i32| {
        (q.wrapping_sub(zero) as f32 * scale).canonical()
    });
}

multiversion! {
    /// [`dequantize`] with a scale and a zero point for each element.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn dequantize_each[](q: &[i32], scales: &[f32], zeros: &[i32], out: &mut [f32]) {
        assert!(
            q.len() == out.len() && scales.len() == out.len() && zeros.len() == out.len(),
            "as many results, scales and zero points as integers"
        );
        for (((out, &q), &scale), &zero) in out.iter_mut().zip(q).zip(scales).zip(zeros) {
            *out = (q.wrapping_sub(zero) as f32 * scale).canonical();
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

    /// Around the halves, where the last bit of a quotient decides, at the ends and beyond, and anywhere.
    #[test]
    fn quotients_by_multiplication_find_the_place_of_divisions() {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state
        };
        let grid = Grid {
            zero: -3,
            low: -32_768,
            high: 32_767,
        };
        for round in 0..300 {
            let scale = match round {
                0 => 1.0 / 3.0,
                1 => f32::from_bits(0x3f7f_ffff),
                2 => 1e-18,
                3 => 1e18,
                4 => -0.1,
                5 => f32::from_bits(1.0_f32.to_bits() + 1),
                // any mantissa
                _ => f32::from_bits((next() & 0x007f_ffff) | (100 + round % 40) << 23),
            };
            let mut x: Vec<f32> = (-600..600)
                .flat_map(|half: i32| {
                    let near = half as f32 / 2.0 * scale;
                    (-3..=3).map(move |ulps: i32| f32::from_bits(near.to_bits().wrapping_add_signed(ulps)))
                })
                .collect();
            x.extend((0..2_000).map(|_| f32::from_bits(next())));
            x.extend((0..2_000).map(|_| (next() as f32 / 65_536.0 - 32_768.0) * scale));
            x.extend([
                0.0,
                -0.0,
                f32::MAX,
                f32::MIN,
                f32::INFINITY,
                f32::NEG_INFINITY,
                f32::NAN,
                1e-45,
            ]);
            let expected: Vec<i32> = x.iter().map(|x| grid.place(x / scale)).collect();
            let mut out = vec![9; x.len()];
            quantize(&x, scale, grid, &mut out);
            for ((x, out), expected) in x.iter().zip(&out).zip(&expected) {
                assert_eq!(out, expected, "{x:e} / {scale:e}");
            }
            let mut bytes = vec![9; x.len()];
            let of_bytes = Grid {
                zero: 128,
                low: 0,
                high: 255,
            };
            quantize_bytes(&x, scale, of_bytes, &mut bytes);
            for (x, byte) in x.iter().zip(bytes) {
                assert_eq!(i32::from(byte), of_bytes.place(x / scale), "{x:e} / {scale:e}");
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
