//! Windows of 3×3 by Winograd's minimal filtering F(4×4, 3×3), exact: a quarter of the multiplications.
//!
//! Sixteen neighbouring results of a channel depend on 6×6 elements of the input. With the transforms of Lavin and Gray, "Fast Algorithms
//! for Convolutional Neural Networks" (2015), at the points 0, 1, −1, 2, −2 and ∞, they are
//!
//! ```text
//! Y = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ x B) ] A,       the product summed over the channels of the input
//! ```
//!
//! so each of the 36 points is a product of matrices: tiles × channels by channels × filters. In floats that rounds otherwise than the sum that is
//! defined. In integers it does not:
//!
//! - G has fractions. Its rows are multiplied until they are integers and no more, and Aᵀ makes up for it: the rows of the result come out
//!   24, 12, 6 and 6 times too large ([`SHIFTS`]).
//! - Elements of Bᵀ x B are at most 68 × 255 and those of G w Gᵀ 49 × 128: words of 16 bits.
//! - Everything else is computed modulo 2³², where 9 has an inverse. What is 2ᵏ × 9 times too large is then known modulo 2³²⁻ᵏ, k ≤ 6: exactly,
//!   if it is known to be within ±2²⁵. Filters whose weights could reach beyond are not transformed.

use super::super::aligned::Aligned;
use super::super::kept::{Budget, Room};
use super::super::tile::Next;
use super::epilogue::{Requantize, requantize_row};
use super::pack::{self, PANEL};
use super::tile::{self, COLUMNS, ROWS, Rows};
use super::unit::Unit;
use crate::isa::multiversion;
use crate::pool;
use crate::quantize::Byte;
use crate::shape::{Axis, ConvShape};
use std::ops::Range;

/// Results along a side of a tile.
const SIDE: usize = 4;
/// Elements of the input along a side of a tile, and points along a side.
const REACH: usize = 6;
/// Points: products of matrices.
const POINTS: usize = REACH * REACH;
/// Taps of a channel of a filter.
const TAPS: usize = 9;
/// Channels that are transformed at a time, and words of a panel: a pair of channels of each column.
const LANES: usize = 32;
/// The most channels of an input: a thread's buffer holds a dozen tiles of so many.
const MOST_CHANNELS: usize = 512;
/// Bytes of a thread's buffer that are used: what the second cache holds beside weights.
const BUFFER: usize = 704 << 10;
/// Tiles that are worth reading transformed weights for: where the second cache holds these, and where they come from beyond it.
const LEAST_TILES: usize = 16;
const LEAST_TILES_BEYOND: usize = 48;
/// Bytes of transformed weights that the second cache holds most of.
const WITHIN: usize = 5 << 18;
/// Bytes that they take for each weight.
const BYTES_OF_WEIGHT: usize = 2 * POINTS / TAPS;
/// All that are kept in this process: those of a few networks. Others are not transformed.
static KEPT: Budget = Budget::new(256 << 20);

/// The rows of a result are so many times 2 too large, beside 3.
const SHIFTS: [u32; SIDE] = [3, 2, 1, 1];
/// 1/9 modulo 2³².
const NINTH: i32 = 954_437_177;

/// Whether windows of this shape are worth being transformed.
pub(super) fn applies(shape: &ConvShape, unit: Unit) -> bool {
    let [depth, height, width] = &shape.axes;
    let size = shape.out_channels * shape.terms() * BYTES_OF_WEIGHT;
    let least = if size <= WITHIN {
        LEAST_TILES
    } else {
        LEAST_TILES_BEYOND
    };
    // of fewer channels a direct sum with VNNI is as short as the transforms
    let channels = if unit.has_wide_vnni() { 2 * LANES } else { LANES };
    let plain = |axis: &Axis| (axis.kernel, axis.stride, axis.dilation) == (3, 1, 1);
    tile::multiplies_words(unit)
        && shape.groups == 1
        && *depth == Axis::UNIT
        && plain(height)
        && plain(width)
        && (channels..=MOST_CHANNELS).contains(&shape.in_channels)
        && shape.in_channels.is_multiple_of(2)
        && shape.out_channels >= 2 * PANEL
        && tiles(shape) >= least
}

/// Tiles of an image.
pub(super) fn tiles(shape: &ConvShape) -> usize {
    let [_, height, width] = &shape.axes;
    height.output.div_ceil(SIDE) * width.output.div_ceil(SIDE)
}

/// Transformed weights: for each block of columns, for each point, for each pair of channels, for each panel, the pair of each of sixteen columns.
#[derive(Debug)]
pub(super) struct Transformed {
    words: Aligned<i16>,
    _room: Room,
}

impl Transformed {
    /// Transforms filters of a shape that [`applies`]; `None` if sums could leave what is computed exactly, or if there is no
    /// room for them.
    pub(super) fn new<W: Byte>(shape: &ConvShape, w: &[W]) -> Option<Self> {
        let (columns, channels) = (shape.out_channels, shape.in_channels);
        if !are_small(w, TAPS * channels) {
            return None;
        }
        let padded = columns.next_multiple_of(PANEL);
        let room = KEPT.take(padded * channels * TAPS * BYTES_OF_WEIGHT)?;
        let mut words = Aligned::zeroed(padded * channels * POINTS);
        for index in 0..pack::blocks(columns) {
            let block = pack::block(columns, index);
            let of_block = &mut words.get_mut()[block.first * channels * POINTS..];
            let step = channels / 2 * block.panels * LANES;
            for panel in 0..block.panels {
                let first = block.first + panel * PANEL;
                for pair in 0..channels / 2 {
                    let mut taps = [[0i16; LANES]; TAPS];
                    for (lane, column) in (first..columns.min(first + PANEL)).enumerate() {
                        let both = &w[(column * channels + 2 * pair) * TAPS..][..2 * TAPS];
                        for (channel, of_channel) in both.chunks_exact(TAPS).enumerate() {
                            for (taps, tap) in taps.iter_mut().zip(of_channel) {
                                taps[2 * lane + channel] = tap.shifted_signed().into();
                            }
                        }
                    }
                    let at = (pair * block.panels + panel) * LANES;
                    transform_weights(&taps, step, &mut of_block[at..]);
                }
            }
        }
        Some(Transformed { words, _room: room })
    }
}

/// Whether no sum of a filter's products with bytes leaves what is computed exactly. A filter has so many weights.
fn are_small<W: Byte>(w: &[W], weights: usize) -> bool {
    let bound = |filter: &[W]| {
        let [mut least, mut most] = [0i64; 2];
        for w in filter {
            let product = 255 * i64::from(w.shifted_signed());
            least += product.min(0);
            most += product.max(0);
        }
        least >= -1 << 25 && most < 1 << 25
    };
    weights > 0 && w.chunks_exact(weights).all(bound)
}

/// The columns of G w or the rows of w Gᵀ, the first and the last point six times as large, the others 24, 24, 6 and 6 times less: [`SHIFTS`].
#[inline(always)]
fn of_weights([a, b, c]: [i16; 3]) -> [i16; REACH] {
    let (outer, far) = (a + c, a + 4 * c);
    [6 * a, outer + b, outer - b, far + 2 * b, far - 2 * b, 6 * c]
}

multiversion! {
    /// G w Gᵀ of a pair of channels of sixteen filters, the points so many words apart.
    fn transform_weights[](taps: &[[i16; LANES]; TAPS], step: usize, points: &mut [i16]) {
        let mut along = [[[0i16; LANES]; 3]; REACH];
        for row in 0..3 {
            for lane in 0..LANES {
                let tap = |column: usize| taps[3 * row + column][lane];
                let out = of_weights([tap(0), tap(1), tap(2)]);
                for column in 0..REACH {
                    along[column][row][lane] = out[column];
                }
            }
        }
        for (column, along) in along.iter().enumerate() {
            let mut outs = [[0i16; LANES]; REACH];
            for lane in 0..LANES {
                let out = of_weights([along[0][lane], along[1][lane], along[2][lane]]);
                for row in 0..REACH {
                    outs[row][lane] = out[row];
                }
            }
            for (row, out) in outs.iter().enumerate() {
                points[(row * REACH + column) * step..][..LANES].copy_from_slice(out);
            }
        }
    }
}

/// The columns of Bᵀ x or the rows of x B.
#[inline(always)]
fn of_inputs([a, b, c, d, e, f]: [i16; REACH]) -> [i16; REACH] {
    let (ce, bd) = (e - c, d - b);
    [
        4 * (a - c) + ce,
        d + e - 4 * (b + c),
        e - d + 4 * (b - c),
        ce + 2 * bd,
        ce - 2 * bd,
        f - d - 4 * bd,
    ]
}

/// The columns of Aᵀ m or the rows of m A, as many times too large as [`SHIFTS`] says, modulo 2³².
#[inline(always)]
fn of_products([a, b, c, d, e, f]: [i32; REACH]) -> [i32; SIDE] {
    let sum = i32::wrapping_add;
    let difference = i32::wrapping_sub;
    let (plus, minus, outer_plus, outer_minus) = (sum(b, c), difference(b, c), sum(d, e), difference(d, e));
    [
        difference(sum(a, outer_plus), plus.wrapping_mul(4)),
        difference(outer_minus, minus.wrapping_mul(2)),
        difference(outer_plus, plus),
        sum(f, difference(outer_minus.wrapping_mul(2), minus)),
    ]
}

/// Where a tile is transformed. On lines: vectors that lie across two take twice as long.
#[repr(align(64))]
struct Scratch {
    /// The rows of x B, of each column.
    along: [[[i16; LANES]; REACH]; REACH],
    /// The rows of Aᵀ m.
    down: [[[i32; COLUMNS]; REACH]; SIDE],
    sums: [[i32; COLUMNS]; SIDE * SIDE],
    /// What sums start at.
    starts: [i32; COLUMNS],
}

multiversion! {
    /// Bᵀ x B of a tile: point after point, all channels. `starts` are the pixels' first bytes, `None` those of padding.
    fn transform_inputs[](
        x: &[u8],
        starts: &[Option<usize>; POINTS],
        channels: usize,
        flip: u8,
        blank: u8,
        scratch: &mut Scratch,
        points: &mut [i16],
    ) {
        let points = &mut points[..POINTS * channels];
        let blank = [blank; LANES];
        for chunk in 0..channels.div_ceil(LANES) {
            // the last chunk may lie over the one before: it does again what that has done
            let first = (chunk * LANES).min(channels - LANES);
            for row in 0..REACH {
                let mut pixels = [&blank; REACH];
                for (pixel, start) in pixels.iter_mut().zip(&starts[row * REACH..][..REACH]) {
                    if let Some(start) = start {
                        *pixel = x[start + first..].first_chunk().expect("a pixel has its channels");
                    }
                }
                let mut outs = [[0i16; LANES]; REACH];
                for lane in 0..LANES {
                    let at = |column: usize| i16::from(pixels[column][lane] ^ flip);
                    let out = of_inputs([at(0), at(1), at(2), at(3), at(4), at(5)]);
                    for column in 0..REACH {
                        outs[column][lane] = out[column];
                    }
                }
                for (along, out) in scratch.along.iter_mut().zip(outs) {
                    along[row] = out;
                }
            }
            for (column, along) in scratch.along.iter().enumerate() {
                let mut outs = [[0i16; LANES]; REACH];
                for lane in 0..LANES {
                    let at = |row: usize| along[row][lane];
                    let out = of_inputs([at(0), at(1), at(2), at(3), at(4), at(5)]);
                    for row in 0..REACH {
                        outs[row][lane] = out[row];
                    }
                }
                for (row, out) in outs.iter().enumerate() {
                    points[(row * REACH + column) * channels + first..][..LANES].copy_from_slice(out);
                }
            }
        }
    }
}

multiversion! {
    /// The results of a tile, row by row, from its points.
    fn transform_outputs[](points: &[[i32; COLUMNS]; POINTS], scratch: &mut Scratch) {
        let Scratch { down, sums, starts, .. } = scratch;
        for column in 0..REACH {
            let mut outs = [[0i32; COLUMNS]; SIDE];
            for lane in 0..COLUMNS {
                let at = |row: usize| points[row * REACH + column][lane];
                let out = of_products([at(0), at(1), at(2), at(3), at(4), at(5)]);
                for row in 0..SIDE {
                    outs[row][lane] = out[row];
                }
            }
            for (down, out) in down.iter_mut().zip(outs) {
                down[column] = out;
            }
        }
        for (row, down) in down.iter().enumerate() {
            for lane in 0..COLUMNS {
                let at = |column: usize| down[column][lane];
                let out = of_products([at(0), at(1), at(2), at(3), at(4), at(5)]);
                for column in 0..SIDE {
                    let sum = out[column].wrapping_mul(NINTH) >> (SHIFTS[row] + SHIFTS[column]);
                    sums[row * SIDE + column][lane] = sum.wrapping_add(starts[lane]);
                }
            }
        }
    }
}

/// A convolution of an image whose channels lie together, to bytes whose channels do.
pub(super) struct Winograd<'a> {
    pub(super) unit: Unit,
    pub(super) shape: &'a ConvShape,
    pub(super) weights: &'a Transformed,
    /// Whether the input is i8, and what padding holds.
    pub(super) signed: bool,
    pub(super) blank: u8,
    pub(super) requantize: Requantize<'a>,
}

impl Winograd<'_> {
    /// Computes some tiles of an image `x`, some blocks of columns; the results go to their places in the image at `out`.
    ///
    /// # Safety
    /// The unit must be available. `out` must have room for the image's results, and nobody else may use those of these tiles and blocks.
    pub(super) unsafe fn run(&self, x: &[u8], tiles: Range<usize>, blocks: Range<usize>, out: *mut u8) {
        let of_inputs = POINTS * self.shape.in_channels / 2;
        let of_tile = of_inputs + POINTS * COLUMNS;
        let parts = tiles.len().div_ceil(BUFFER / 4 / of_tile);
        for part in 0..parts {
            let own = pool::part(tiles.len(), 1, parts, part);
            let (first, count) = (tiles.start + own.start, own.len());
            pool::with_buffer(count * of_tile, |buffer: &mut [i32]| {
                let (inputs, products) = buffer.split_at_mut(count * of_inputs);
                let products = products.as_chunks_mut().0.as_chunks_mut().0;
                let inputs = words(inputs);
                self.transform(x, first, inputs);
                for index in blocks.clone() {
                    let block = pack::block(self.shape.out_channels, index);
                    self.multiply(block, inputs, products);
                    // SAFETY: by the contract.
                    unsafe { self.place(block, first, products, out) };
                }
            });
        }
    }

    /// The first row and column of a tile.
    fn corner(&self, tile: usize) -> (usize, usize) {
        let across = self.shape.axes[2].output.div_ceil(SIDE);
        (tile / across * SIDE, tile % across * SIDE)
    }

    /// Transforms tiles, from number `first` on.
    fn transform(&self, x: &[u8], first: usize, inputs: &mut [i16]) {
        let ([_, height, width], channels) = (&self.shape.axes, self.shape.in_channels);
        let flip = if self.signed { 0x80 } else { 0 };
        let mut scratch = Scratch::new();
        for (index, points) in inputs.chunks_exact_mut(POINTS * channels).enumerate() {
            let (top, left) = self.corner(first + index);
            let columns: [_; REACH] = std::array::from_fn(|column| element(width, left + column));
            let mut starts = [None; POINTS];
            for (row, starts) in starts.as_chunks_mut::<REACH>().0.iter_mut().enumerate() {
                if let Some(row) = element(height, top + row) {
                    let start = |column: usize| (row * width.input + column) * channels;
                    *starts = columns.map(|column| column.map(start));
                }
            }
            transform_inputs(x, &starts, channels, flip, self.blank, &mut scratch, points);
        }
    }

    /// The products of all tiles and a block of weights, point by point.
    fn multiply(&self, block: pack::Block, inputs: &[i16], products: &mut [[[i32; COLUMNS]; POINTS]]) {
        let channels = self.shape.in_channels;
        let of_point = channels * block.panels * PANEL;
        let weights = &self.weights.words.get()[block.first * channels * POINTS..][..POINTS * of_point];
        let count = products.len();
        let parts = count.div_ceil(tile::rows_of_words(self.unit, block.panels));
        for (point, weights) in weights.chunks_exact(of_point).enumerate() {
            // the next point's, or those of the next block's first
            let next = Next::shared(weights.as_ptr_range().end, 4 * block.panels * PANEL, parts);
            for part in 0..parts {
                let rows = pool::part(count, 1, parts, part);
                let mut starts = [inputs.as_ptr().cast::<u8>(); ROWS];
                for (start, row) in starts.iter_mut().zip(rows.clone()) {
                    *start = start.wrapping_add((row * POINTS + point) * channels * 2);
                }
                let out = products[rows.start][point].as_mut_ptr();
                let rows = Rows {
                    starts: &starts[..rows.len()],
                    offsets: &[0],
                    quads: channels / 2,
                    signed: false,
                    next: next.after(part * (channels / 2)),
                };
                // SAFETY: each row has the channels, in pairs; each of so many tiles has room for the block's columns at each point.
                unsafe { tile::words(self.unit, rows, weights, block.panels, out, POINTS * COLUMNS) };
            }
        }
    }

    /// Puts the results of tiles, from number `first` on, where they belong: those of a block.
    ///
    /// # Safety
    /// As [`Self::run`].
    unsafe fn place(
        &self,
        block: pack::Block,
        first: usize,
        products: &[[[i32; COLUMNS]; POINTS]],
        out: *mut u8,
    ) {
        let ([_, height, width], columns) = (&self.shape.axes, self.shape.out_channels);
        let (column, wide) = (block.first, block.panels * PANEL);
        let exists = (columns - column).min(wide);
        let in_registers = self.unit.has_wide_vnni() && self.requantize.finite;
        let mut scratch = Scratch::new();
        if in_registers {
            scratch.starts[..wide].copy_from_slice(&self.requantize.starts[column..][..wide]);
        }
        for (index, points) in products.iter().enumerate() {
            transform_outputs(points, &mut scratch);
            let (top, left) = self.corner(first + index);
            let place = |at: usize| {
                let (row, line) = (top + at / SIDE, left + at % SIDE);
                let position = row * width.output + line;
                (row < height.output && line < width.output)
                    .then(|| out.wrapping_add(position * columns + column))
            };
            let places: [_; SIDE * SIDE] = std::array::from_fn(place);
            #[cfg(target_arch = "x86_64")]
            if in_registers {
                let factors = &self.requantize.factors[column..][..wide];
                let mask = if exists == COLUMNS {
                    u64::MAX
                } else {
                    (1 << exists) - 1
                };
                let sums = scratch.sums.as_ptr().cast();
                // SAFETY: the unit is available, there are as many rows as places, the factors are finite, and the image has these columns at
                // its places.
                unsafe { tile::avx512::finish(sums, block.panels, factors, &self.requantize, mask, &places) };
                continue;
            }
            for (sums, place) in scratch.sums.iter().zip(places) {
                let Some(place) = place else { continue };
                // SAFETY: by the contract the image has these columns here.
                let out = unsafe { std::slice::from_raw_parts_mut(place, exists) };
                requantize_row(sums, &self.requantize, column, out);
            }
        }
    }
}

impl Scratch {
    fn new() -> Self {
        Self {
            along: [[[0; LANES]; REACH]; REACH],
            down: [[[0; COLUMNS]; REACH]; SIDE],
            sums: [[0; COLUMNS]; SIDE * SIDE],
            starts: [0; COLUMNS],
        }
    }
}

/// Pairs of words.
fn words(pairs: &mut [i32]) -> &mut [i16] {
    // SAFETY: an i32 is two words of 16 bits, of which every bit pattern is valid.
    unsafe { std::slice::from_raw_parts_mut(pairs.as_mut_ptr().cast(), 2 * pairs.len()) }
}

/// The element of the input at a place that is counted from the first of padding.
fn element(axis: &Axis, place: usize) -> Option<usize> {
    place
        .checked_sub(axis.pad_begin)
        .filter(|&element| element < axis.input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_multiplied_fits_sixteen_bits_and_sums_are_exact_up_to_the_bound() {
        // each point is as far from 0 as it can be where bytes follow the signs of its transform
        let factors = |point: usize| -> [i16; REACH] {
            std::array::from_fn(|at| of_inputs(std::array::from_fn(|i| i16::from(i == at)))[point])
        };
        for point in 0..POINTS {
            let [down, along] = [point / REACH, point % REACH].map(factors);
            let factor = |at: usize| i32::from(down[at / REACH] * along[at % REACH]);
            for sign in [1, -1] {
                let byte = |at: usize| if sign * factor(at) > 0 { 255 } else { 0 };
                let x: Vec<u8> = (0..POINTS).flat_map(|at| [byte(at); LANES]).collect();
                let starts = std::array::from_fn(|at| Some(at * LANES));
                let mut points = vec![0; POINTS * LANES];
                transform_inputs(&x, &starts, LANES, 0, 0, &mut Scratch::new(), &mut points);
                let expected: i32 = (0..POINTS).map(|at| factor(at) * i32::from(byte(at))).sum();
                assert_eq!(i32::from(points[point * LANES]), expected);
            }
        }
        // results from −2²⁵ to 2²⁵ − 1 come back from products that have wrapped: those of an input (1, 0, …) and a filter (w, 0, 0)
        for expected in [0, 1, -1, 12_345_678, (1 << 25) - 1, -(1 << 25)] {
            let one = of_inputs([1, 0, 0, 0, 0, 0]).map(i32::from);
            let filter = of_weights([1, 0, 0]).map(i32::from);
            let product =
                |at: usize| one[at / REACH] * filter[at / REACH] * one[at % REACH] * filter[at % REACH];
            let points = std::array::from_fn(|at| [product(at).wrapping_mul(expected); COLUMNS]);
            let mut scratch = Scratch::new();
            transform_outputs(&points, &mut scratch);
            let sums = scratch.sums.map(|sums| sums[COLUMNS - 1]);
            assert_eq!(sums, std::array::from_fn(|at| if at == 0 { expected } else { 0 }));
        }
    }

    #[test]
    fn filters_that_could_reach_beyond_the_bound_are_told() {
        // 255 × 127 × 9 × 114 < 2²⁵ < 255 × 127 × 9 × 116
        for (channels, weight, fits) in [
            (114, 127i8, true),
            (116, 127, false),
            (114, -128, true),
            (116, -128, false),
        ] {
            let mut w = vec![0; 2 * TAPS * channels];
            w[TAPS * channels..].fill(weight);
            assert_eq!(are_small(&w, TAPS * channels), fits, "{channels} × {weight}");
        }
        // as many of both signs
        let w: Vec<i8> = (0..TAPS * 116)
            .map(|at| if at % 2 == 0 { 127 } else { -128 })
            .collect();
        assert!(are_small(&w, w.len()));
    }
}
