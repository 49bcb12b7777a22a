//! Convolutions of bytes: products of the pixels under windows, read where they lie, and packed weights.
//!
//! Images are computed with their channels together. Where they come so and have no padding they are read in place; else
//! each piece of the work copies the part that its windows lie over, padded, into the thread's buffer. Only where that
//! does not fit it (three axes of space, vast windows) are the terms of each position gathered.

use super::super::share::{Direction, grid};
use super::depthwise::{Depthwise, Taps};
use super::epilogue::Requantize;
use super::image::{Layout, Window, gather, pixel, terms, weight_of};
use super::pack::{self, PANEL, Store, Terms, packed_len};
use super::product::{Columns, Product, Sink, Walk};
use super::tile::COLUMNS;
use super::transpose::{Lines, transpose};
use super::unit::Unit;
use super::winograd::{self, Transformed, Winograd};
use super::{Operand, Prepared};
use crate::pool::{self, Disjoint};
use crate::quantize::Byte;
use crate::shape::{Axis, ConvShape};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a window that a piece of the work copies, if it can choose: what the second cache holds beside the weights.
const WINDOW: usize = 128 << 10;
/// At most.
const LARGEST_WINDOW: usize = 512 << 10;
/// Positions whose results are transposed at a time.
const TRANSPOSED: usize = 512;
/// Positions that are worth reading the weights for.
const POSITIONS: usize = 24;

/// The weights of a convolution, packed.
#[derive(Debug, Clone)]
pub struct PackedFilters {
    weights: Weights,
    /// The weights once more, if windows are transformed.
    transformed: Option<Arc<Transformed>>,
    /// The sums of each output channel's weights, as packed.
    sums: Vec<i32>,
    /// What was taken off the weights to make them i8.
    shift: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Weights {
    Panels(Store),
    Taps(Taps),
}

/// Whether channels are computed alone, [`DEPTHWISE_LANES`] side by side.
#[must_use]
pub fn conv_is_depthwise(shape: &ConvShape) -> bool {
    shape.groups > 1 && shape.in_channels == 1 && shape.out_channels == 1 && !conv_gathers(shape)
}

/// Channels that are computed side by side where each is computed alone.
pub const DEPTHWISE_LANES: usize = COLUMNS;

/// Lines and columns of the output that a piece of the work computes from the window that it copies.
fn piece(shape: &ConvShape) -> Option<(usize, usize)> {
    Window::fitting(shape, WINDOW).or(Window::fitting(shape, LARGEST_WINDOW))
}

/// Bytes that all pieces of an image copy together: windows overlap. `None` if none fits a thread's buffer.
#[must_use]
pub fn conv_copies(shape: &ConvShape) -> Option<usize> {
    let [_, height, width] = &shape.axes;
    let (lines, columns) = piece(shape)?;
    let window = Window::of(shape, &(0..lines), &(0..columns));
    let pieces = height
        .output
        .div_ceil(lines.max(1))
        .saturating_mul(width.output.div_ceil(columns.max(1)));
    Some(window.bytes(shape).saturating_mul(pieces))
}

/// Whether the terms of each position are gathered: there are three axes of space, or windows are so vast beside their taps
/// (dilated, of many channels) that copying them would take longer.
#[must_use]
pub fn conv_gathers(shape: &ConvShape) -> bool {
    let terms = shape.output_size().saturating_mul(shape.groups * shape.terms());
    shape.axes[0] != Axis::UNIT
        || conv_copies(shape).is_none_or(|copied| copied > COPIED_FOR_TERM.saturating_mul(terms).max(WINDOW))
}

/// Bytes that are copied in the time in which a term is gathered.
const COPIED_FOR_TERM: usize = 32;

/// Columns of a group with what fills up panels.
fn padded_columns(shape: &ConvShape) -> usize {
    shape.out_channels.next_multiple_of(PANEL)
}

/// Numbers that go with the output channels of a convolution, with what fills up panels: see [`PackedFilters::prepare`].
#[must_use]
pub fn conv_columns(shape: &ConvShape) -> usize {
    if conv_is_depthwise(shape) {
        shape.groups.next_multiple_of(COLUMNS)
    } else {
        shape.groups * padded_columns(shape)
    }
}

/// The place of each output channel among [`conv_columns`].
pub fn conv_places(shape: &ConvShape) -> impl Fn(usize) -> usize + use<> {
    // channels that are computed alone lie side by side, as in one group
    let (of_group, padded) = if conv_is_depthwise(shape) {
        (shape.groups, shape.groups)
    } else {
        (shape.out_channels, padded_columns(shape))
    };
    move |channel| channel / of_group * padded + channel % of_group
}

impl PackedFilters {
    /// What the packed form depends on besides the weights: filters may be used for any shape with the same.
    #[must_use]
    pub fn parameters(shape: &ConvShape) -> Vec<usize> {
        let terms = terms(shape);
        vec![
            shape.groups,
            shape.out_channels,
            shape.in_channels,
            terms.runs,
            terms.length,
            conv_is_depthwise(shape).into(),
            winograd::applies(shape, Unit::current()).into(),
            Unit::current() as usize,
        ]
    }

    /// Bytes that the packed weights take at most.
    #[must_use]
    pub fn bytes(shape: &ConvShape) -> usize {
        let weights = if conv_is_depthwise(shape) {
            shape.groups.next_multiple_of(COLUMNS) * shape.kernel_size().next_multiple_of(4)
        } else {
            shape.groups * packed_len(shape.out_channels, terms(shape))
        };
        2 * weights + 4 * conv_columns(shape)
    }

    /// Packs the weights of all groups.
    ///
    /// # Panics
    /// If they do not fit the shape.
    #[must_use]
    pub fn new<W: Byte>(shape: &ConvShape, w: &[W]) -> Self {
        let (channels, own) = (shape.out_channels, shape.terms());
        assert_eq!(w.len(), shape.groups * channels * own, "weights of a convolution");
        let mut sums = vec![0; conv_columns(shape)];
        let weights = if conv_is_depthwise(shape) {
            Weights::Taps(Taps::new(shape.groups, own, w, &mut sums))
        } else {
            let terms = terms(shape);
            let size = packed_len(channels, terms);
            let mut store = Store::new(shape.groups * size);
            for group in 0..shape.groups {
                let w = &w[group * channels * own..][..channels * own];
                let at = |column: usize, run: usize, term: usize| {
                    weight_of(shape, run, term).map(|weight| w[column * own + weight])
                };
                let sums = &mut sums[group * padded_columns(shape)..];
                store.pack(group * size, channels, terms, at, sums);
            }
            Weights::Panels(store)
        };
        PackedFilters {
            weights,
            transformed: None,
            sums,
            shift: W::SHIFT,
        }
    }

    /// The same for weights that are used many times: also transformed, where that makes a convolution faster and as long as there is room
    /// for them.
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub fn kept<W: Byte>(shape: &ConvShape, w: &[W]) -> Self {
        let transformed = winograd::applies(shape, Unit::current()).then(|| Transformed::new(shape, w));
        PackedFilters {
            transformed: transformed.flatten().map(Arc::new),
            ..Self::new(shape, w)
        }
    }

    /// What each output channel's sum starts at, for these zero points and this bias; writes [`conv_columns`] numbers in each of
    /// `starts` and `zeros`.
    ///
    /// # Panics
    /// If slices are shorter.
    pub fn prepare<'a>(
        &self,
        shape: &ConvShape,
        x: Operand,
        w_zeros: &[i32],
        bias: Option<&[i32]>,
        starts: &'a mut [i32],
        zeros: &'a mut [i32],
    ) -> Prepared<'a> {
        let columns = conv_columns(shape);
        let (starts, zeros) = (&mut starts[..columns], &mut zeros[..columns]);
        starts.fill(0);
        zeros.fill(0);
        let (count, place) = (shape.terms() as i32, conv_places(shape));
        for channel in 0..shape.groups * shape.out_channels {
            let column = place(channel);
            let zero = w_zeros[if w_zeros.len() == 1 { 0 } else { channel }] - self.shift;
            let per_zero = self.sums[column].wrapping_sub(count.wrapping_mul(zero));
            let bias = bias.map_or(0, |bias| bias[channel]);
            starts[column] = bias.wrapping_sub(x.shifted_zero().wrapping_mul(per_zero));
            zeros[column] = zero;
        }
        Prepared::new(starts, zeros)
    }
}

/// Where the results of a convolution go.
#[derive(Debug)]
pub enum ConvOutput<'a> {
    /// The sums, channels first.
    Sums(&'a mut [i32]),
    /// Requantised: y = place(f32(sum) × factor).
    Bytes {
        /// The results, as bytes.
        out: &'a mut [u8],
        /// How they lie.
        layout: Layout,
        /// A factor for each of [`conv_columns`].
        factors: &'a [f32],
        /// Their zero point, and whether they are i8.
        of: Operand,
    },
}

/// Bytes of scratch memory of [`integer_conv`]: none but for windows beyond what a thread's buffer holds.
#[must_use]
pub fn integer_conv_scratch(shape: &ConvShape) -> usize {
    let terms = terms(shape).padded();
    if conv_gathers(shape) && terms > GATHERED {
        terms
    } else {
        0
    }
}

/// Bytes of gathered terms of a piece of work.
const GATHERED: usize = 128 << 10;

/// Whether windows can be read in place: no padding, and no reading beyond what is there.
fn in_place(shape: &ConvShape, layout: Layout, terms: Terms) -> bool {
    let within = |axis: &Axis| {
        axis.pad_begin == 0
            && (axis.output.max(1) - 1) * axis.stride + (axis.kernel - 1) * axis.dilation < axis.input
    };
    layout == Layout::ChannelsLast
        && pixel(shape) == shape.groups * shape.in_channels
        && (terms.length.is_multiple_of(4) || conv_is_depthwise(shape))
        && shape.axes.iter().all(within)
}

/// The results' memory, which pieces of the work write apart from each other.
enum Target<'a> {
    Sums(Disjoint<'a, i32>),
    Bytes(Disjoint<'a, u8>, Layout, Requantize<'a>),
}

struct Convolution<'a> {
    shape: &'a ConvShape,
    unit: Unit,
    filters: &'a PackedFilters,
    prepared: Prepared<'a>,
    terms: Terms,
    signed: bool,
    target: Target<'a>,
}

/// The bits of [`crate::reference::integer_conv`] with a bias, and of requantisation.
///
/// # Panics
/// If a slice does not fit the shape, or the filters were packed for another one.
#[expect(clippy::too_many_arguments, reason = "a convolution has this many operands")]
pub fn integer_conv(
    shape: &ConvShape,
    x: &[u8],
    of: Operand,
    layout: Layout,
    filters: &PackedFilters,
    prepared: Prepared<'_>,
    output: ConvOutput<'_>,
    scratch: &mut [u8],
) {
    let image = shape.groups * shape.in_channels * shape.input_size();
    let (channels, positions) = (shape.groups * shape.out_channels, shape.output_size());
    assert_eq!(x.len(), shape.batch * image, "input of a convolution");
    if positions == 0 || channels == 0 || shape.batch == 0 {
        return;
    }
    let expected = shape.batch * channels * positions;
    let target = match output {
        ConvOutput::Sums(out) => {
            assert_eq!(out.len(), expected, "output of a convolution");
            Target::Sums(Disjoint::new(out))
        }
        ConvOutput::Bytes {
            out,
            layout,
            factors,
            of,
        } => {
            assert_eq!(out.len(), expected, "output of a convolution");
            let requantize = Requantize::new(prepared.starts, factors, of);
            Target::Bytes(Disjoint::new(out), layout, requantize)
        }
    };
    let convolution = Convolution {
        shape,
        unit: Unit::current(),
        filters,
        prepared,
        terms: terms(shape),
        signed: of.signed,
        target,
    };
    let gathers = conv_gathers(shape) || shape.groups * shape.in_channels == 0;
    for index in 0..shape.batch {
        let x = &x[index * image..][..image];
        if let Some(winograd) = convolution.winograd(of, layout) {
            convolution.transformed(index, x, &winograd);
        } else if gathers {
            convolution.gathered(index, x, of, layout, scratch);
        } else {
            convolution.windowed(index, x, of, layout);
        }
    }
}

impl Convolution<'_> {
    /// About how long an image takes one thread.
    fn nanoseconds(&self) -> u64 {
        let terms = self.terms.padded() as u64;
        let outputs = (self.shape.output_size() * self.shape.groups * self.shape.out_channels) as u64;
        outputs.saturating_mul(terms + 8) / self.unit.per_nanosecond()
    }

    fn blocks(&self) -> usize {
        match self.filters.weights {
            Weights::Panels(_) => pack::blocks(self.shape.out_channels),
            Weights::Taps(_) => self.shape.groups.div_ceil(COLUMNS),
        }
    }

    /// How windows are transformed, if the filters, the zero points and the layouts are those for it.
    fn winograd(&self, of: Operand, layout: Layout) -> Option<Winograd<'_>> {
        let weights = self.filters.transformed.as_deref()?;
        let Target::Bytes(_, Layout::ChannelsLast, requantize) = self.target else {
            return None;
        };
        let applies = layout == Layout::ChannelsLast
            && self.prepared.zeros.is_none()
            && winograd::applies(self.shape, self.unit);
        applies.then_some(Winograd {
            unit: self.unit,
            shape: self.shape,
            weights,
            signed: of.signed,
            blank: of.zero as u8,
            requantize,
        })
    }

    /// An image whose windows are transformed.
    fn transformed(&self, index: usize, x: &[u8], winograd: &Winograd<'_>) {
        let Target::Bytes(out, ..) = &self.target else {
            unreachable!("windows are transformed to bytes");
        };
        let tiles = winograd::tiles(self.shape);
        let image = self.shape.output_size() * self.shape.out_channels;
        let rows = Direction {
            units: tiles,
            least: 1,
            most: tiles.div_ceil(TOGETHER),
        };
        let blocks = Direction {
            units: self.blocks(),
            least: 1,
            most: self.blocks(),
        };
        /// Tiles that are worth reading the weights for.
        const TOGETHER: usize = 24;
        let wanted = pool::pieces(self.nanoseconds() / 2);
        let [down, splits] = grid(wanted, 1, [rows, blocks]);
        pool::run(down * splits, &|piece| {
            let tiles = pool::part(tiles, 1, down, piece / splits);
            let blocks = pool::part(self.blocks(), 1, splits, piece % splits);
            let _ = out.pointer((index + 1) * image);
            // SAFETY: the output has this image (above), and pieces have their own tiles and blocks of it.
            unsafe { winograd.run(x, tiles, blocks, out.pointer(index * image)) };
        });
    }

    /// An image whose windows are read in place or copied.
    fn windowed(&self, index: usize, x: &[u8], of: Operand, layout: Layout) {
        let [_, height, width] = &self.shape.axes;
        let in_place = in_place(self.shape, layout, self.terms);
        let wanted = pool::pieces(self.nanoseconds());
        let (lines, columns) = piece(self.shape).expect("the caller checked that a window fits");
        let across = width.output.div_ceil(columns);
        let rows = Direction {
            units: height.output,
            least: height.output.div_ceil(lines),
            most: height.output.div_ceil(POSITIONS.div_ceil(width.output)),
        };
        let blocks = Direction {
            units: self.blocks(),
            least: 1,
            most: self.blocks(),
        };
        // rows first: what is copied for some of them is copied once
        let [down, splits] = grid(wanted, across, [rows, blocks]);
        pool::run(across * down * splits, &|piece| {
            let (piece, split) = (piece / splits, piece % splits);
            let (down_index, across_index) = (piece / across, piece % across);
            let part = |index: usize, parts: usize, length: usize| {
                index * length / parts..(index + 1) * length / parts
            };
            let blocks = part(split, splits, self.blocks());
            let lines = part(down_index, down, height.output);
            let columns = part(across_index, across, width.output);
            let window = Window::of(self.shape, &lines, &columns);
            let first = lines.start * width.output + columns.start;
            let count = lines.len() * columns.len();
            let pixel = pixel(self.shape);
            let walk = |start: *const u8, line: usize| Walk {
                start,
                width: columns.len(),
                row: width.stride * pixel,
                line: height.stride * line * pixel,
            };
            if in_place {
                let start = (window.top * width.input + window.left) * pixel;
                pool::with_buffer(COLUMNS * TRANSPOSED, |turned| {
                    let walk = walk(x[start..].as_ptr(), width.input);
                    self.part(index, walk, width.input, first, count, blocks, turned);
                });
            } else {
                let bytes = window.bytes(self.shape);
                pool::with_buffer(COLUMNS * TRANSPOSED + bytes, |buffer| {
                    let (turned, copied) = buffer.split_at_mut(COLUMNS * TRANSPOSED);
                    window.copy(self.shape, x, layout, of.zero as u8, copied);
                    let walk = walk(copied.as_ptr(), window.width);
                    self.part(index, walk, window.width, first, count, blocks, turned);
                });
            }
        });
    }

    /// Some positions of an image from pixels that a walk goes along; `line` is the number of pixels of a line of them.
    #[expect(clippy::too_many_arguments, reason = "what it works on")]
    fn part(
        &self,
        index: usize,
        walk: Walk,
        line: usize,
        first: usize,
        count: usize,
        blocks: Range<usize>,
        turned: &mut [u8],
    ) {
        let (shape, pixel) = (self.shape, pixel(self.shape));
        let [_, height, width] = &shape.axes;
        let runs = match self.filters.weights {
            Weights::Taps(_) => shape.kernel_size(),
            Weights::Panels(_) => self.terms.runs,
        };
        let taps = width.kernel / if runs == height.kernel { width.kernel } else { 1 };
        let offset = |run: usize| (run / taps * height.dilation * line + run % taps * width.dilation) * pixel;
        with_offsets(runs, offset, |offsets| {
            let groups = match self.filters.weights {
                Weights::Taps(_) => 1,
                Weights::Panels(_) => shape.groups,
            };
            for group in 0..groups {
                let walk = Walk {
                    start: walk.start.wrapping_add(group * shape.in_channels),
                    ..walk
                };
                // SAFETY: the windows of these positions lie within the pixels, with what is read beyond.
                unsafe { self.compute(index, group, walk, offsets, first, count, blocks.clone(), turned) };
            }
        });
    }

    /// Computes positions of an image, some blocks of the output channels of a group, and puts them where they belong.
    ///
    /// # Safety
    /// As [`Product::run`]; nobody else may write these results.
    #[expect(clippy::too_many_arguments, reason = "what it works on")]
    unsafe fn compute(
        &self,
        index: usize,
        group: usize,
        walk: Walk,
        offsets: &[usize],
        first: usize,
        count: usize,
        blocks: Range<usize>,
        turned: &mut [u8],
    ) {
        let shape = self.shape;
        let channels = shape.groups * shape.out_channels;
        let (positions, of_group) = (shape.output_size(), group * shape.out_channels);
        let at_column = if let Weights::Taps(_) = self.filters.weights {
            0
        } else {
            group * padded_columns(shape)
        };
        let run = |first: usize, count: usize, blocks: Range<usize>, sink: Sink<'_>| {
            let with = Columns {
                starts: &self.prepared.starts[at_column..],
                sums: &self.filters.sums[at_column..],
                zeros: self.prepared.zeros.map(|zeros| &zeros[at_column..]),
                row_zeros: None,
            };
            match &self.filters.weights {
                Weights::Taps(taps) => {
                    let depthwise = Depthwise {
                        unit: self.unit,
                        taps,
                        channels: shape.groups,
                        offsets,
                        signed: self.signed,
                        with,
                    };
                    // SAFETY: by the contract.
                    unsafe { depthwise.run(walk, first, count, blocks, sink) };
                }
                Weights::Panels(store) => {
                    let size = packed_len(shape.out_channels, self.terms);
                    let product = Product {
                        unit: self.unit,
                        panels: store.panels().part(group * size, size),
                        columns: shape.out_channels,
                        terms: self.terms,
                        offsets,
                        signed: self.signed,
                        filled: shape.groups == 1 && shape.in_channels != pixel(shape),
                        with,
                    };
                    // SAFETY: by the contract.
                    unsafe { product.run(walk, first, count, blocks, sink) };
                }
            }
        };
        match &self.target {
            Target::Sums(out) => {
                let sink = Sink::Sums {
                    out: out.pointer((index * channels + of_group) * positions + first),
                    row: 1,
                    column: positions,
                };
                run(0, count, blocks, sink);
            }
            Target::Bytes(out, Layout::ChannelsLast, requantize) => {
                let sink = Sink::Bytes {
                    out: out.pointer((index * positions + first) * channels + of_group),
                    row: channels,
                    requantize: requantize.from(at_column),
                };
                run(0, count, blocks, sink);
            }
            Target::Bytes(out, Layout::ChannelsFirst, requantize) => {
                for block in blocks {
                    let (from, width) = match self.filters.weights {
                        Weights::Taps(_) => (block * COLUMNS, COLUMNS),
                        Weights::Panels(_) => {
                            let block = pack::block(shape.out_channels, block);
                            (block.first, block.panels * PANEL)
                        }
                    };
                    let all = if let Weights::Taps(_) = self.filters.weights {
                        shape.groups
                    } else {
                        shape.out_channels
                    };
                    let width = width.min(all - from);
                    for start in (0..count).step_by(TRANSPOSED) {
                        let count = TRANSPOSED.min(count - start);
                        let turned = &mut turned[..count * COLUMNS];
                        let sink = Sink::Bytes {
                            // the block's columns begin at the buffer's
                            out: turned.as_mut_ptr().wrapping_sub(from),
                            row: COLUMNS,
                            requantize: requantize.from(at_column),
                        };
                        run(start, count, block..block + 1, sink);
                        let at = (index * channels + of_group + from) * positions + first + start;
                        let _ = out.pointer(at + (width - 1) * positions + count);
                        // SAFETY: `turned` has `count` rows of 64 bytes; the output has `width` rows of `count` bytes from `at`
                        // (above), which nobody else writes.
                        unsafe {
                            transpose(
                                turned.as_ptr(),
                                COLUMNS,
                                Lines::one(out.pointer(at), positions),
                                count,
                                width,
                            )
                        };
                    }
                }
            }
        }
    }

    /// An image whose terms are gathered.
    fn gathered(&self, index: usize, x: &[u8], of: Operand, layout: Layout, scratch: &mut [u8]) {
        let (shape, terms) = (self.shape, self.terms);
        let (positions, row) = (shape.output_size(), terms.padded());
        let together = if row > GATHERED {
            1
        } else {
            (GATHERED / row.max(1)).min(positions)
        };
        let piece = |piece: usize, buffer: &mut [u8], turned: &mut [u8]| {
            let first = piece * together;
            let count = together.min(positions - first);
            for group in 0..shape.groups {
                if row > 0 {
                    for (i, out) in buffer[..count * row].chunks_exact_mut(row).enumerate() {
                        gather(shape, x, layout, of.zero as u8, group, first + i, out);
                    }
                }
                let walk = Walk {
                    start: buffer.as_ptr(),
                    width: usize::MAX,
                    row,
                    line: 0,
                };
                let offset = |run: usize| run * terms.quads() * 4;
                with_offsets(terms.runs, offset, |offsets| {
                    let blocks = 0..self.blocks();
                    // SAFETY: `buffer` has the terms of these positions.
                    unsafe { self.compute(index, group, walk, offsets, first, count, blocks, turned) };
                });
            }
        };
        let pieces = positions.div_ceil(together);
        if row > GATHERED {
            for index in 0..pieces {
                pool::with_buffer(COLUMNS * TRANSPOSED, |turned| piece(index, scratch, turned));
            }
        } else {
            pool::run(pieces, &|index| {
                pool::with_buffer(COLUMNS * TRANSPOSED + GATHERED, |buffer| {
                    let (turned, gathered) = buffer.split_at_mut(COLUMNS * TRANSPOSED);
                    piece(index, gathered, turned);
                });
            });
        }
    }
}

/// Calls a function with the offset of each run, without allocating memory for what is usual.
fn with_offsets(runs: usize, offset: impl Fn(usize) -> usize, f: impl FnOnce(&[usize])) {
    const FEW: usize = 64;
    if runs <= FEW {
        let offsets: [usize; FEW] = std::array::from_fn(|run| if run < runs { offset(run) } else { 0 });
        f(&offsets[..runs]);
    } else {
        f(&(0..runs).map(offset).collect::<Vec<_>>());
    }
}

/// Exchanges rows and columns of bytes of images: from one layout to the other.
///
/// # Panics
/// If the slices differ in length or are no whole number of images.
pub fn change_layout(x: &[u8], channels: usize, pixels: usize, to: Layout, out: &mut [u8]) {
    assert_eq!(x.len(), out.len());
    if x.is_empty() {
        return;
    }
    assert!(x.len().is_multiple_of(channels * pixels), "whole images");
    let images = x
        .chunks_exact(channels * pixels)
        .zip(out.chunks_exact_mut(channels * pixels));
    for (x, out) in images {
        let (rows, columns) = match to {
            Layout::ChannelsLast => (channels, pixels),
            Layout::ChannelsFirst => (pixels, channels),
        };
        // SAFETY: both have rows × columns elements.
        unsafe {
            transpose(
                x.as_ptr(),
                columns,
                Lines::one(out.as_mut_ptr(), rows),
                rows,
                columns,
            )
        };
    }
}
