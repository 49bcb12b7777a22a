//! Convolutions and pools whose vectors run across channels.
//!
//! Where an image's channels lie in *blocks* of sixteen,
//!
//! ```text
//! image │ block of channels │ row │ column │ channel of the block
//! ```
//!
//! a vector is sixteen channels of one pixel, so no lane is empty at the end of a row, however narrow the image; the pixels under a tap
//! are a constant distance apart and are multiplied where they lie; and what a convolution hands to the next needs no turning. A plan
//! keeps images so between operators that can (`Blocks::new`, [`max_pool`], [`global_average_pool`]); elementwise operators see
//! no difference.
//!
//! An input or an output may also have its channels apart, as ONNX has them: the elements of such an input are broadcast from their
//! planes, and such an output is computed in the thread's memory and turned. Where there is padding, rows are copied to the
//! thread's memory with zeros around them, once for all channels of the output: a *window*. A depthwise convolution reads every
//! pixel a few times only and does without.

mod conv;
mod depthwise;
mod pool;
mod tile;

pub(super) use conv::{Operands, conv};
pub use pool::{can_turn, global_average_pool, max_pool};

use std::ops::Range;

use super::kept::Kept;
use super::lanes::{first_lanes, on_isa};
use super::tile::{PANEL, VECTOR};
use crate::pool::BUFFER_BYTES;
use crate::shape::{Axis, ConvShape};

/// Elements of a window and of an output that is to be turned: together a thread's memory.
const WINDOW: usize = 5 * BUFFER_BYTES / 32;
const TURNED: usize = BUFFER_BYTES / 4 - WINDOW;
/// Channels of an output that are turned together: as many as a tile has at most.
const TOGETHER: usize = 2 * PANEL;
/// Pixels of a row where rows do not matter: they make whole tiles.
const ROW: usize = 28;
/// Terms at most: the table of their offsets takes 256 KiB.
const TERMS: usize = 1 << 16;

/// How a convolution of a concrete shape is computed with vectors of channels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Blocks {
    depthwise: bool,
    /// Elements of a pixel that lie together in the input: 16, or 1 where channels lie apart.
    cell: usize,
    /// Whether the channels of the output lie in blocks.
    output: bool,
    /// Pixels of the output, and of a row of it but perhaps the last.
    pixels: usize,
    width: usize,
    /// Elements from a pixel to the next of the same row, and from a row to the next.
    step: usize,
    pitch: usize,
    /// Where the terms lie from a pixel's first ([`Blocks::with_offsets`]), and the greatest of these.
    offsets: Kept<Vec<u32>>,
    reach: usize,
    /// Elements of a line and of a plane of the input, or of its copy.
    line: usize,
    plane: usize,
    /// Copies of the input with zeros around them, if it does not serve as it is.
    window: Option<Window>,
    /// Rows that are computed together: those of a window, or whose output is turned at once.
    band: usize,
}

/// Rows of the input and the zeros around them.
#[derive(Debug, Clone, PartialEq)]
struct Window {
    /// Rows of one plane (a block, or a channel) at most, elements of a row and of a plane.
    lines: usize,
    pitch: usize,
    plane: usize,
    /// Planes that are copied together.
    planes: usize,
    /// Zeros before a row, elements of the input's row that are wanted, zeros after it.
    before: usize,
    copied: usize,
    after: usize,
}

impl Blocks {
    /// Plans a convolution of at most two axes of space, whose input and output have their channels in blocks or not. `None` if that
    /// cannot be: channels do not make blocks, groups that are not of one channel, rows too long for a thread's memory.
    pub(super) fn new(shape: &ConvShape, input: bool, output: bool) -> Option<Self> {
        let [depth, height, width] = &shape.axes;
        let terms = shape.terms();
        let channels = [
            shape.groups * shape.in_channels,
            shape.groups * shape.out_channels,
        ];
        let fits = |in_blocks: bool, channels: usize| !in_blocks || channels.is_multiple_of(VECTOR);
        let depthwise = shape.groups > 1;
        if *depth != Axis::UNIT
            || !(1..=TERMS).contains(&terms)
            || shape.output_size() == 0
            || shape.input_size() == 0
            || !fits(input, channels[0])
            || !fits(output, channels[1])
            || (depthwise && !(input && output && shape.in_channels == 1 && shape.out_channels == 1))
        {
            return None;
        }
        let cell = if input { VECTOR } else { 1 };
        // the input serves as it is if no tap lies over padding, and a depthwise convolution knows of padding
        let direct = depthwise || [height, width].into_iter().all(lies_in_input);
        let planes = shape.in_channels / cell;
        let window = if direct {
            None
        } else {
            Some(Window::new(shape, cell, planes)?)
        };
        let (line, plane) = window
            .as_ref()
            .map_or((width.input * cell, shape.input_size() * cell), |window| {
                (window.pitch, window.plane)
            });
        let reach = last_offset(shape, [cell, line, plane])?;
        // the pixels of 1 × 1 taps lie in one row: any part of it is as good as a row
        let one_row = height.output == 1 && direct && !depthwise;
        let width_of_row = if one_row { ROW } else { width.output };
        let rows = shape.output_size().div_ceil(width_of_row);
        let mut band = window.as_ref().map_or(rows, |window| window.rows(height));
        if !output {
            // a part of a row would do as well, but such images are rare
            band = band.min(TURNED / TOGETHER / width_of_row);
        }
        if band == 0 {
            return None;
        }
        let step = width.stride * cell;
        Some(Blocks {
            depthwise,
            cell,
            output,
            pixels: shape.output_size(),
            width: width_of_row,
            step,
            pitch: if one_row { ROW * step } else { height.stride * line },
            reach: reach as usize,
            offsets: Kept::default(),
            line,
            plane,
            window,
            // bands as equal as possible
            band: rows.div_ceil(rows.div_ceil(band)),
        })
    }

    /// Lends where the terms lie from a pixel's first.
    fn with_offsets<R>(&self, shape: &ConvShape, f: impl FnOnce(&[u32]) -> R) -> R {
        let [_, height, width] = &shape.axes;
        let make = || {
            let lengths = [self.cell, self.line, self.plane];
            let mut offsets = Vec::with_capacity(shape.terms());
            for channel in 0..shape.in_channels {
                for kh in 0..height.kernel {
                    for kw in 0..width.kernel {
                        let offset = offset(shape, lengths, channel, [kh, kw]);
                        offsets.push(offset.expect("the greatest fits"));
                    }
                }
            }
            debug_assert_eq!(
                offsets.iter().max(),
                Some(&(self.reach as u32)),
                "the last is the greatest"
            );
            offsets
        };
        self.offsets
            .with(|| 4 * shape.terms(), make, |offsets| f(offsets))
    }

    /// Rows of the output.
    pub(super) fn rows(&self) -> usize {
        self.pixels.div_ceil(self.width)
    }

    /// The pixels of some rows.
    fn pixels_of(&self, rows: Range<usize>) -> Range<usize> {
        rows.start * self.width..self.pixels.min(rows.end * self.width)
    }

    /// Elements of the buffer that a piece of the work takes: for a window, and for an output to be turned.
    fn buffers(&self) -> [usize; 2] {
        let window = self
            .window
            .as_ref()
            .map_or(0, |window| window.planes * window.plane);
        let turned = (self.band * self.width).next_multiple_of(VECTOR) * TOGETHER;
        [window, if self.output { 0 } else { turned }]
    }
}

/// Whether no tap of an axis lies over padding.
fn lies_in_input(axis: &Axis) -> bool {
    let first = (axis.output - 1).checked_mul(axis.stride);
    let last = first
        .zip(reach(axis))
        .and_then(|(first, reach)| first.checked_add(reach));
    axis.pad_begin == 0 && last.is_some_and(|last| last < axis.input)
}

/// From the first tap of an axis to the last.
fn reach(axis: &Axis) -> Option<usize> {
    (axis.kernel - 1).checked_mul(axis.dilation)
}

/// Where a term lies from the element under an output's first tap, in planes of cells. It grows with the channel and the tap.
fn offset(
    shape: &ConvShape,
    [cell, line, plane]: [usize; 3],
    channel: usize,
    [kh, kw]: [usize; 2],
) -> Option<u32> {
    let [_, height, width] = &shape.axes;
    let down = kh.checked_mul(height.dilation)?.checked_mul(line)?;
    let across = kw.checked_mul(width.dilation)?.checked_mul(cell)?;
    let offset = (channel / cell)
        .checked_mul(plane)?
        .checked_add(channel % cell)?
        .checked_add(down)?
        .checked_add(across)?;
    u32::try_from(offset).ok()
}

/// The greatest of all [`offset`]s, if it fits.
fn last_offset(shape: &ConvShape, lengths: [usize; 3]) -> Option<u32> {
    let [_, height, width] = &shape.axes;
    let taps = [height.kernel - 1, width.kernel - 1];
    // within a cell the last channel of the last plane may not be the last of a full one
    let last = shape.in_channels - 1;
    let full = (last / lengths[0]).checked_mul(lengths[0])?.checked_sub(1);
    let of = |channel| offset(shape, lengths, channel, taps);
    match full {
        Some(full) => Some(of(last)?.max(of(full)?)),
        None => of(last),
    }
}

impl Window {
    /// Plans the window of as many rows as fit, if one does.
    fn new(shape: &ConvShape, cell: usize, planes: usize) -> Option<Self> {
        let [_, height, width] = &shape.axes;
        let (down, across) = (reach(height)?, reach(width)?);
        let columns = (width.output - 1)
            .checked_mul(width.stride)?
            .checked_add(across)?
            + 1;
        let pitch = columns.checked_mul(cell)?;
        let lines = |rows: usize| ((rows - 1) * height.stride).checked_add(down)?.checked_add(1);
        let elements = |rows: usize| lines(rows)?.checked_mul(pitch)?.checked_mul(planes);
        let mut rows = height.output;
        while rows > 1 && elements(rows).is_none_or(|elements| elements > WINDOW) {
            rows -= 1;
        }
        elements(rows).filter(|&elements| elements <= WINDOW)?;
        let lines = lines(rows)?;
        let before = width.pad_begin.min(columns);
        let copied = width.input.min(columns - before);
        Some(Window {
            lines,
            pitch,
            plane: lines * pitch,
            planes,
            before: before * cell,
            copied: copied * cell,
            after: (columns - before - copied) * cell,
        })
    }

    /// Rows of the output that are computed from one window.
    fn rows(&self, height: &Axis) -> usize {
        (self.lines - 1 - (height.kernel - 1) * height.dilation) / height.stride + 1
    }

    /// Copies what lies under the taps of some rows of the output. `x` has the planes, whose rows have `length` elements.
    fn fill(&self, height: &Axis, length: usize, x: &[f32], rows: Range<usize>, window: &mut [f32]) {
        let lines = (rows.len() - 1) * height.stride + (height.kernel - 1) * height.dilation + 1;
        let planes = x
            .chunks_exact(height.input * length)
            .zip(window.chunks_exact_mut(self.plane));
        for (x, window) in planes {
            for (line, to) in window.chunks_exact_mut(self.pitch).take(lines).enumerate() {
                let row = (rows.start * height.stride + line).wrapping_sub(height.pad_begin);
                if row >= height.input {
                    to.fill(0.0);
                    continue;
                }
                let (before, rest) = to.split_at_mut(self.before);
                let (elements, after) = rest.split_at_mut(self.copied);
                before.fill(0.0);
                elements.copy_from_slice(&x[row * length..][..self.copied]);
                after[..self.after].fill(0.0);
            }
        }
    }
}

on_isa! {
    /// Turns a block: out\[channel · stride + pixel\] = from\[pixel · width + channel\].
    ///
    /// # Safety
    /// `from` must have `width` elements, at least `channels` and a multiple of sixteen, for every pixel and for as many more as
    /// make their number one of sixteen; `out` must be valid for all channels and pixels, and nobody else's.
    #[allow(clippy::needless_range_loop, reason = "loops of constant length over registers are unrolled as they are")]
    unsafe fn turn<L>(from: *const f32, width: usize, channels: usize, pixels: usize, out: *mut f32, stride: usize) {
        let mut first = 0;
        while first < channels {
            let together = VECTOR.min(channels - first);
            let mut pixel = 0;
            while pixel < pixels {
                let mask = first_lanes(VECTOR.min(pixels - pixel));
                // SAFETY: by contract, and the mask keeps within the channel's pixels.
                unsafe {
                    let mut rows = [L::zero(); VECTOR];
                    for i in 0..VECTOR {
                        rows[i] = L::load(from.add((pixel + i) * width + first));
                    }
                    let columns = L::transpose(rows);
                    for channel in 0..VECTOR {
                        if channel < together {
                            columns[channel].store_some(out.add((first + channel) * stride + pixel), mask);
                        }
                    }
                }
                pixel += VECTOR;
            }
            first += VECTOR;
        }
    }
}
