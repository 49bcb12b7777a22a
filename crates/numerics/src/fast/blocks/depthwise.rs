//! Depthwise convolutions: sixteen channels of a pixel times as many weights, tap by tap.
//!
//! Lines of the input are read where they lie. What of a line lies over padding, some cells at its ends or all of it, counts as +0.0, as
//! the definition wants: a tile knows which cells there are.
//!
//! Two kernels. One loads each pixel for each tap that lies over it: any taps, strides and dilations. As a load is all that a
//! multiply-add of it waits for, the other, for the usual windows and where there are registers for a row of weights, loads a pixel
//! once for all taps of the row: 16 loads for 42 multiply-adds of three taps and fourteen pixels.

use std::ops::Range;
use std::ptr;

use super::super::convolution::Layout;
#[cfg(target_arch = "x86_64")]
use super::super::lanes::{Avx2, Avx512};
use super::super::lanes::{Lanes, Portable};
use super::super::matrix::nanoseconds;
use super::super::share::even;
use super::super::tile::{VECTOR, tiles};
use super::conv::{CLEAN, Part, Split};
use super::tile::{Output, begin, end};
use crate::isa::Isa;
use crate::pool;

/// Lines of the input that a tile is computed from at most: where there are more, its chains wait in the output.
const LINES: usize = 8;

impl Part<'_> {
    /// Shares a depthwise convolution out.
    pub(super) fn depthwise(&self) {
        let shape = self.of.shape;
        // a term of sixteen channels is a multiply-add and a load
        let of_channel = nanoseconds(self.isa, [2, shape.output_size(), shape.terms()]);
        let all = pool::pieces(of_channel.saturating_mul((shape.groups * shape.batch) as u64));
        let (images, rows) = (shape.groups / VECTOR, 0..self.blocks.rows());
        // a convolution that widens an image to these channels shares its work out in the same way
        let more_channels = shape.groups > CLEAN * shape.input_size();
        match Split::of(rows.len(), images, more_channels, all) {
            Split::Rows(pieces) if shape.batch == 1 => pool::run(pieces, &|piece| {
                let rows = pool::part(rows.len(), 1, pieces, piece);
                (0..images).for_each(|image| self.depthwise_rows(image, rows.clone()));
            }),
            _ => {
                let images = shape.batch * images;
                let pieces = even(images, all);
                pool::run(pieces, &|piece| {
                    pool::part(images, 1, pieces, piece)
                        .for_each(|image| self.depthwise_rows(image, rows.clone()));
                });
            }
        }
    }

    /// Some rows of one block of channels of an image.
    fn depthwise_rows(&self, image: usize, rows: Range<usize>) {
        let shape = self.of.shape;
        let [_, height, width] = &shape.axes;
        let of_image = shape.groups / VECTOR;
        let (image, block) = (image / of_image, image % of_image);
        let channel = block * VECTOR;
        let line = width.input * VECTOR;
        let x = &self.of.x[(image * of_image + block) * height.input * line..][..height.input * line];
        let Layout::Plain { blocks: w, .. } = &self.of.w.layout else {
            unreachable!("a depthwise convolution has its weights as they are and in blocks");
        };
        let w = &w[block * shape.terms() * VECTOR..][..shape.terms() * VECTOR];
        for row in rows {
            let pixel = self.element(image, channel, row * width.output);
            let _ = self.out.pointer(pixel + width.output * VECTOR);
            let (out, finish) = (
                self.out.pointer(pixel),
                self.finish(image, channel, row * width.output),
            );
            for first in (0..height.kernel).step_by(LINES) {
                let taps = first..height.kernel.min(first + LINES);
                let lines = taps.clone().map(|tap| {
                    let at = (row * height.stride + tap * height.dilation).checked_sub(height.pad_begin);
                    at.filter(|at| *at < height.input)
                        .map(|at| &x[at * line..][..line])
                });
                let w = &w[first * width.kernel * VECTOR..][..taps.len() * width.kernel * VECTOR];
                let (mut pointers, count) = ([ptr::null(); LINES], taps.len());
                for (pointer, line) in pointers.iter_mut().zip(lines) {
                    *pointer = line.map_or(ptr::null(), <[f32]>::as_ptr);
                }
                let is_whole = !pointers[..count].contains(&ptr::null());
                for (column, pixels) in tiles(self.isa, width.output) {
                    let at = column * width.stride;
                    let tile = Tile {
                        lines: &pointers[..count],
                        is_whole,
                        first: at as isize - width.pad_begin as isize,
                        cells: width.pad_begin.saturating_sub(at)
                            ..(width.pad_begin + width.input).saturating_sub(at),
                        taps: width.kernel,
                        stride: width.stride,
                        dilation: width.dilation,
                        w,
                        output: Output {
                            first: out.wrapping_add(column * VECTOR),
                            block: 0,
                            resume: first > 0,
                            finish: finish
                                .filter(|_| taps.end == height.kernel)
                                .map(|finish| finish.further(column * VECTOR)),
                        },
                    };
                    // SAFETY: `cells` are those of the lines; the outputs are there (above) and this block's.
                    unsafe { run(self.isa, pixels, &tile) };
                }
            }
            if self.simple.is_none() {
                self.finish_rows(image, row..row + 1, channel..channel + VECTOR);
            }
        }
    }
}

/// Some pixels of a row of the output, for one block of channels.
struct Tile<'a> {
    /// The first cells of the lines of the input, one for each row of taps; null where one lies over padding.
    lines: &'a [*const f32],
    /// Whether none of them is null.
    is_whole: bool,
    /// The cell of a line that lies under the first pixel's first tap; before the line if that lies over padding.
    first: isize,
    /// The cells that a line has, counted from `first` on.
    cells: Range<usize>,
    /// Of the taps of a row: how many, and cells from one to the next; cells from a pixel to the next.
    taps: usize,
    dilation: usize,
    stride: usize,
    /// Sixteen for each tap of each line.
    w: &'a [f32],
    output: Output,
}

impl Tile<'_> {
    /// Whether no pixel of so many has a tap over padding.
    fn is_inside(&self, pixels: usize) -> bool {
        let last = (pixels - 1) * self.stride + (self.taps - 1) * self.dilation;
        self.is_whole && self.cells.start == 0 && last < self.cells.end
    }

    /// Whether the taps of a row lie side by side, and no pixel of so many has all of them over padding beside a line.
    #[cfg(target_arch = "x86_64")]
    fn is_between(&self, pixels: usize) -> bool {
        let last = (pixels - 1) * self.stride;
        self.dilation == 1 && self.cells.start < self.taps && last < self.cells.end
    }
}

/// Continues or starts the chains of some pixels.
///
/// # Panics
/// If there is no kernel for so many pixels, or weights are missing.
///
/// # Safety
/// Lines must have their cells; the elements of the output, and what its `finish` names for them, must be valid and the former be
/// nobody else's; `isa` must come from [`Isa::current`].
unsafe fn run(isa: Isa, pixels: usize, tile: &Tile<'_>) {
    assert!(
        tile.lines.len() * tile.taps * VECTOR <= tile.w.len(),
        "every tap has its weights"
    );
    macro_rules! choose {
        ($kernel:ident: $($r:literal)*) => {
            match (pixels, tile.is_inside(pixels)) {
                // SAFETY: the contract.
                $(($r, true) => unsafe { $kernel::<$r, false>(tile) },
                // SAFETY: as above.
                ($r, false) => unsafe { $kernel::<$r, true>(tile) },)*
                _ => unreachable!("there is a kernel for every tile"),
            }
        };
    }
    #[cfg(target_arch = "x86_64")]
    macro_rules! together {
        ($($r:literal)*) => {
            match (pixels, tile.taps, tile.stride) {
                // SAFETY: as above.
                $(($r, 3, 1) => return unsafe { together_avx512::<$r, 3, 1>(tile) },
                // SAFETY: as above.
                ($r, 3, 2) => return unsafe { together_avx512::<$r, 3, 2>(tile) },
                // SAFETY: as above.
                ($r, 5, 1) => return unsafe { together_avx512::<$r, 5, 1>(tile) },
                // SAFETY: as above.
                ($r, 5, 2) => return unsafe { together_avx512::<$r, 5, 2>(tile) },
                // SAFETY: as above.
                ($r, 7, 1) => return unsafe { together_avx512::<$r, 7, 1>(tile) },)*
                _ => {}
            }
        };
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            if tile.is_between(pixels) {
                together!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
            }
            choose!(one_by_one_avx512: 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => choose!(one_by_one_avx2: 1 2 3 4 5 6),
        _ => choose!(one_by_one_portable: 1 2 3 4 5 6),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn together_avx512<const R: usize, const TAPS: usize, const STRIDE: usize>(tile: &Tile<'_>) {
    // SAFETY: the contract of `run`.
    unsafe { together::<Avx512, R, TAPS, STRIDE>(tile) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn one_by_one_avx512<const R: usize, const EDGES: bool>(tile: &Tile<'_>) {
    // SAFETY: the contract of `run`.
    unsafe { by_stride::<Avx512, R, EDGES>(tile) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn one_by_one_avx2<const R: usize, const EDGES: bool>(tile: &Tile<'_>) {
    // SAFETY: the contract of `run`.
    unsafe { by_stride::<Avx2, R, EDGES>(tile) }
}

unsafe fn one_by_one_portable<const R: usize, const EDGES: bool>(tile: &Tile<'_>) {
    // SAFETY: the contract of `run`.
    unsafe { by_stride::<Portable, R, EDGES>(tile) }
}

/// [`one_by_one`] with the usual strides as constants of the code, so that one address serves all pixels.
#[inline(always)]
unsafe fn by_stride<L: Lanes, const R: usize, const EDGES: bool>(tile: &Tile<'_>) {
    // SAFETY: the contract of `run`.
    unsafe {
        match tile.stride {
            1 => one_by_one::<L, R, EDGES>(tile, 1),
            2 => one_by_one::<L, R, EDGES>(tile, 2),
            stride => one_by_one::<L, R, EDGES>(tile, stride),
        }
    }
}

/// Each pixel loaded for each tap. Without `EDGES` none lies over padding.
#[inline(always)]
#[expect(
    clippy::needless_range_loop,
    reason = "loops of constant length over registers are unrolled as they are"
)]
unsafe fn one_by_one<L: Lanes, const R: usize, const EDGES: bool>(tile: &Tile<'_>, stride: usize) {
    // SAFETY: the contract of `run`; cells that are not there are not loaded.
    unsafe {
        let mut chains = begin::<L, R, 1>(&tile.output);
        let mut w = tile.w.as_ptr();
        for &line in tile.lines {
            let there = if line.is_null() { 0 } else { tile.cells.len() };
            let line = line.wrapping_offset(tile.first * VECTOR as isize);
            for tap in 0..tile.taps {
                let weights = L::load(w);
                let first = tap * tile.dilation;
                for i in 0..R {
                    let cell = first + i * stride;
                    let x = line.wrapping_add(cell * VECTOR);
                    let x = if EDGES && cell.wrapping_sub(tile.cells.start) >= there {
                        NOTHING.as_ptr()
                    } else {
                        x
                    };
                    chains[i][0] = weights.fma(L::load(x), chains[i][0]);
                }
                w = w.wrapping_add(VECTOR);
            }
        }
        end::<L, R, 1>(&tile.output, chains);
    }
}

/// Cells of a line that is not there, as many as [`together`] reads.
static NOTHING: [f32; CELLS * VECTOR] = [0.0; CELLS * VECTOR];
/// Cells under fourteen pixels two apart and their five taps.
const CELLS: usize = 31;

/// Each pixel loaded once for all taps of a row, if they lie [side by side](Tile::is_between). For each chain they come in ascending
/// order.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn together<L: Lanes, const R: usize, const TAPS: usize, const STRIDE: usize>(tile: &Tile<'_>) {
    const { assert!((R - 1) * STRIDE + TAPS <= CELLS) };
    // SAFETY: the contract of `run`; of a cell that is not there no lane is loaded.
    unsafe {
        let mut chains = begin::<L, R, 1>(&tile.output);
        let mut w = tile.w.as_ptr();
        for &line in tile.lines {
            let x = if line.is_null() {
                NOTHING.as_ptr()
            } else {
                line.wrapping_offset(tile.first * VECTOR as isize)
            };
            let mut weights = [L::zero(); TAPS];
            for (tap, weights) in weights.iter_mut().enumerate() {
                *weights = L::load(w.add(tap * VECTOR));
            }
            w = w.wrapping_add(TAPS * VECTOR);
            // compilers leave so long a loop as it is, and then its chains are no registers
            macro_rules! cells {
                ($($cell:literal)*) => {
                    $(if $cell < (R - 1) * STRIDE + TAPS {
                        let at = x.wrapping_add($cell * VECTOR);
                        // no pixel lies beside the line: padding begins under the last one's taps or ends under the first one's
                        let elements = if $cell + 1 < TAPS || $cell + TAPS > (R - 1) * STRIDE + TAPS {
                            let is_there = tile.cells.contains(&$cell);
                            L::load_some(at, if is_there { u16::MAX } else { 0 })
                        } else {
                            L::load(at)
                        };
                        for tap in 0..TAPS {
                            if $cell >= tap && ($cell - tap) % STRIDE == 0 && ($cell - tap) / STRIDE < R {
                                let chain = &mut chains[($cell - tap) / STRIDE][0];
                                *chain = weights[tap].fma(elements, *chain);
                            }
                        }
                    })*
                };
            }
            cells!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30);
        }
        end::<L, R, 1>(&tile.output, chains);
    }
}
