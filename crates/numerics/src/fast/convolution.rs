//! Convolutions of `f32`.
//!
//! A group of a convolution is the product of its weights (out channels × terms) and the matrix whose column for each output
//! position holds the elements under its taps, in the order of the terms (input channel, depth, height and width tap). That matrix is
//! never made: blocks of it are packed while the product runs, sixteen positions of a tap at a time (`patches`); of 1 × 1
//! taps it is the input as it lies. The weights are packed once and serve any extent of space.
//!
//! Which way a convolution goes ([`Geometry`]):
//!
//! | way | when | vectors hold | broadcast |
//! |---|---|---|---|
//! | by windows (`windows`) | fewer than 4 output channels in a group, or as few input channels and several taps; at most two axes of space | positions | weights |
//! | tap by tap (`depthwise`) | fewer than 4 output channels in a group, three axes of space or vast windows | positions | weights |
//! | by positions | many positions | positions | weights |
//! | by channels ([`super::blocks`]) | several taps and many terms; 1 × 1 taps and few positions, of which whole vectors would leave lanes empty; channels of the input or output in blocks ([`Geometry::in_blocks`]) | output channels | elements |
//!
//! A transposed convolution adds each term to a whole row of output positions.

use std::cell::Cell;
use std::ops::Range;

use super::blocks::{self, Blocks};
use super::depthwise::{self, Job};
use super::epilogue::{self, Epilogue};
use super::kept::Kept;
use super::lanes::on_isa;
use super::matrix::{Columns, PackedColumns, TERMS, nanoseconds};
use super::patches::{self, Run, Table};
use super::share::{even, even_after};
use super::tile::{self, Left, PANEL, VECTOR};
use super::windows::{self, Windows};
use crate::float::Float;
use crate::isa::{Isa, multiversion};
use crate::pool::{self, Disjoint};
use crate::reference;
use crate::shape::{Axis, ConvShape, Matrix, Source};

/// From as many output channels in a group on, a convolution is a product of matrices.
pub const CHANNELS_OF_A_PRODUCT: usize = 4;
/// Positions up to which a convolution of 1 × 1 taps may go by channels: its matrix lies as it is, so turning the output has to pay.
const FEW_POSITIONS: usize = 112;
/// Terms from which on packing costs more than turning the output.
const MANY_TERMS: usize = 64;
/// Runs times taps up to which a table of patches is made once for all runs: 256 KiB.
const TABLE: usize = 1 << 15;

/// Weights of a convolution, arranged for the kernel that will use them. They serve any extent of space.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvWeights {
    groups: usize,
    out_channels: usize,
    terms: usize,
    pub(super) layout: Layout,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Layout {
    /// One packed matrix for each group: a column for each output channel.
    Products(Vec<PackedColumns>),
    /// Of few channels in a group.
    Plain {
        /// As ONNX has them.
        w: Vec<f32>,
        /// Of a depthwise convolution whose channels make blocks: \[block of channels, term, channel\].
        blocks: Vec<f32>,
    },
}

impl ConvWeights {
    /// Arranges the weights w\[groups·out channels, terms\], terms being the input channels of a group times the taps.
    ///
    /// # Panics
    /// If there are not as many weights as that.
    #[must_use]
    pub fn new(groups: usize, out_channels: usize, terms: usize, w: &[f32]) -> Self {
        let size = out_channels * terms;
        assert_eq!(w.len(), groups * size, "weights of a convolution");
        let layout = if is_product(out_channels, terms) {
            let pack = |w| PackedColumns::new(terms, out_channels, Matrix::transposed(w, terms));
            Layout::Products(w.chunks_exact(size).map(pack).collect())
        } else {
            Layout::Plain {
                w: w.to_vec(),
                blocks: in_blocks(groups, out_channels, terms, w),
            }
        };
        ConvWeights {
            groups,
            out_channels,
            terms,
            layout,
        }
    }
}

/// The weights of a depthwise convolution by blocks of channels; nothing of others.
fn in_blocks(groups: usize, out_channels: usize, terms: usize, w: &[f32]) -> Vec<f32> {
    if out_channels != 1 || !groups.is_multiple_of(VECTOR) {
        return Vec::new();
    }
    let at = |i: usize| {
        let (block, term, channel) = (i / (terms * VECTOR), i / VECTOR % terms, i % VECTOR);
        w[(block * VECTOR + channel) * terms + term]
    };
    (0..w.len()).map(at).collect()
}

fn is_product(out_channels: usize, terms: usize) -> bool {
    out_channels >= CHANNELS_OF_A_PRODUCT && terms > 0
}

/// Whether each output position sees the input's elements at the same position alone.
fn is_pointwise(shape: &ConvShape) -> bool {
    let untouched = |axis: &Axis| {
        *axis
            == (Axis {
                input: axis.input,
                output: axis.input,
                ..Axis::UNIT
            })
    };
    shape.axes.iter().all(untouched)
}

/// Whether windows are worth copying for several output channels: a packed panel would hold few terms for each of their elements, and
/// the rows of the output fill vectors.
fn has_few_inputs(shape: &ConvShape) -> bool {
    let width = shape.axes[2].output;
    shape.kernel_size() > 1 && shape.in_channels <= 4 && 8 * width >= 7 * width.next_multiple_of(VECTOR)
}

/// How a convolution of a concrete shape is computed, with the tables that its first run makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Geometry {
    /// With as few axes as possible.
    shape: ConvShape,
    way: Way,
    /// If it goes by windows.
    windows: Kept<Windows>,
    /// If it goes by channels.
    blocks: Option<Blocks>,
    /// The patches of all runs and taps, unless they are too many or not needed.
    table: Kept<Table>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ByWindows,
    TapByTap,
    ByPositions,
    ByChannels,
}

impl Geometry {
    /// Looks at a shape.
    #[must_use]
    pub fn new(shape: &ConvShape) -> Self {
        let shape = shape.simplified();
        let (channels, positions) = (shape.out_channels, shape.output_size());
        // the share of lanes that are of use; turning the output round costs a little
        let filled = |x: usize| x as f32 / x.next_multiple_of(VECTOR).max(1) as f32;
        let by_windows =
            (!is_product(channels, shape.terms()) || has_few_inputs(&shape)) && windows::possible(&shape);
        let by_channels = if is_pointwise(&shape) {
            positions <= FEW_POSITIONS && 0.94 * filled(channels) > filled(positions)
        } else {
            shape.terms() >= MANY_TERMS && filled(channels) >= 0.94 * filled(positions)
        };
        let blocks = if !by_windows && is_product(channels, shape.terms()) && by_channels {
            Blocks::new(&shape, false, false)
        } else {
            None
        };
        let way = if by_windows {
            Way::ByWindows
        } else if !is_product(channels, shape.terms()) {
            Way::TapByTap
        } else if blocks.is_some() {
            Way::ByChannels
        } else {
            Way::ByPositions
        };
        Geometry {
            shape,
            way,
            windows: Kept::default(),
            blocks,
            table: Kept::default(),
        }
    }

    /// Looks at a shape whose input or output has its channels in blocks of sixteen (see [`super::blocks`]); `None` if it cannot be
    /// computed so.
    #[must_use]
    pub fn in_blocks(shape: &ConvShape, input: bool, output: bool) -> Option<Self> {
        let shape = shape.simplified();
        if shape.groups == 1 && !is_product(shape.out_channels, shape.terms()) {
            return None;
        }
        Some(Geometry {
            shape,
            way: Way::ByChannels,
            windows: Kept::default(),
            blocks: Some(Blocks::new(&shape, input, output)?),
            table: Kept::default(),
        })
    }

    /// Whether the matrix of a product lies in memory as it is.
    fn is_plain(&self) -> bool {
        self.way == Way::ByPositions && is_pointwise(&self.shape)
    }

    /// Runs of positions: by windows a run is a row of the output.
    fn runs(&self) -> usize {
        if self.way == Way::ByWindows {
            return self.shape.axes[1].output;
        }
        self.shape.output_size().div_ceil(VECTOR)
    }

    fn run(&self, index: usize) -> Run {
        let positions = self.shape.output_size();
        let length = if self.way == Way::ByWindows {
            self.shape.axes[2].output
        } else {
            VECTOR
        };
        let first = index * length;
        Run {
            first,
            count: length.min(positions - first),
        }
    }

    /// The patches of all runs and taps, unless they are too many or not needed.
    fn table(&self) -> Option<&Table> {
        let (runs, taps) = (self.runs(), self.shape.kernel_size());
        let wanted = !self.is_plain()
            && matches!(self.way, Way::ByPositions | Way::TapByTap)
            && taps <= TERMS
            && runs.saturating_mul(taps) <= TABLE
            && Table::possible(&self.shape);
        if !wanted {
            return None;
        }
        self.table.get(
            || Table::bytes(runs, taps),
            || {
                let mut table = Table::default();
                table.fill(&self.shape, (0..runs).map(|index| self.run(index)), 0..taps);
                table
            },
        )
    }

    /// Lends the patches of some runs and taps and the number of the first run in the table.
    fn with_table<R>(&self, runs: Range<usize>, taps: Range<usize>, f: impl FnOnce(&Table, usize) -> R) -> R {
        thread_local! {
            static TABLE: Cell<Option<Table>> = const { Cell::new(None) };
        }
        if let Some(table) = self.table() {
            return f(table, runs.start);
        }
        let mut table = TABLE.take().unwrap_or_default();
        table.fill(&self.shape, runs.map(|index| self.run(index)), taps);
        let result = f(&table, 0);
        TABLE.set(Some(table));
        result
    }
}

/// Scratch elements that a plan sets aside for a convolution (`docs/spec/work.md` §5). The kernels have their blocks in memory that each
/// thread keeps ([`pool::with_buffer`]) and do not use them.
#[must_use]
pub fn conv_scratch(shape: &ConvShape) -> usize {
    if is_product(shape.out_channels, shape.terms()) {
        256.min(shape.output_size().next_multiple_of(16)) * TERMS.min(shape.terms())
    } else {
        let extent = |axis: &Axis| {
            axis.output.saturating_sub(1) * axis.stride + (axis.kernel.saturating_sub(1)) * axis.dilation + 1
        };
        shape.axes.iter().map(extent).fold(1, usize::saturating_mul)
    }
}

/// Whether terms are added tap by tap, from elements that have to be found for every sixteen positions.
#[must_use]
pub fn adds_tap_by_tap(shape: &ConvShape) -> bool {
    let shape = shape.simplified();
    !is_product(shape.out_channels, shape.terms()) && !windows::possible(&shape)
}

/// y = conv(x, w) + bias; the bits of [`reference::conv`].
///
/// # Panics
/// If a slice does not fit the shape.
pub fn conv(shape: &ConvShape, x: &[f32], w: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    shape.check(x, w, bias, out);
    if Isa::current() == Isa::Scalar {
        return reference::conv(shape, x, w, bias, out);
    }
    let w = ConvWeights::new(shape.groups, shape.out_channels, shape.terms(), w);
    conv_packed(&Geometry::new(shape), &w, x, bias, None, out);
}

/// y = conv(x, w) + bias with the weights arranged before, then the epilogue of every element; without one the bits of
/// [`reference::conv`].
///
/// # Panics
/// If a slice or the weights do not fit the shape.
pub fn conv_packed(
    geometry: &Geometry,
    w: &ConvWeights,
    x: &[f32],
    bias: Option<&[f32]>,
    epilogue: Option<&dyn Epilogue>,
    out: &mut [f32],
) {
    let shape = &geometry.shape;
    assert_eq!(
        (w.groups, w.out_channels, w.terms),
        (shape.groups, shape.out_channels, shape.terms()),
        "weights arranged for this convolution"
    );
    let (input, output) = (shape.input_size(), shape.output_size());
    let channels = shape.groups * shape.out_channels;
    assert_eq!(
        x.len(),
        shape.batch * shape.groups * shape.in_channels * input,
        "input of a convolution"
    );
    assert_eq!(
        out.len(),
        shape.batch * channels * output,
        "output of a convolution"
    );
    assert!(
        bias.is_none_or(|bias| bias.len() == channels),
        "one bias for each output channel"
    );
    if out.is_empty() {
        return;
    }
    if let Some(plan) = &geometry.blocks {
        let of = blocks::Operands {
            shape,
            w,
            x,
            bias,
            epilogue,
        };
        return blocks::conv(plan, &of, out);
    }
    let out = &Disjoint::new(out);
    let by = |windows: Option<&Windows>| {
        compute(&Part {
            isa: Isa::current(),
            geometry,
            windows,
            w,
            x,
            out,
            bias,
            epilogue,
        });
    };
    if geometry.way == Way::ByWindows {
        let make = || Windows::new(shape).expect("the way was chosen because they are possible");
        geometry
            .windows
            .with(|| windows::bytes(shape), make, |windows| by(Some(windows)));
    } else {
        by(None);
    }
}

/// Shares the work of a convolution out.
fn compute(part: &Part<'_>) {
    let geometry = part.geometry;
    let shape = &geometry.shape;
    let output = shape.output_size();
    let images = shape.batch * shape.groups;
    let cost = nanoseconds(part.isa, [shape.out_channels.max(2), output, shape.terms()]);
    let pieces = pool::pieces(cost.saturating_mul(images as u64));
    if images >= 2 * pool::threads() || pieces == 1 {
        let pieces = even(images, pieces);
        pool::run(pieces, &|piece| {
            let images = pool::part(images, 1, pieces, piece);
            part.compute(images, 0..geometry.runs(), 0..shape.out_channels);
        });
        return;
    }
    // an image's work is shared out by positions if these are many, else by channels
    let pieces = pool::pieces(cost);
    let runs = geometry.runs().div_ceil(2);
    let panels = shape.out_channels.div_ceil(PANEL);
    let by_positions = runs >= 4 * pool::threads() || runs >= panels;
    let pieces = if by_positions {
        even(runs, pieces)
    } else {
        // each packs the whole image, in the time of a panel
        even_after(panels, pieces, 1)
    };
    for image in 0..images {
        pool::run(pieces, &|piece| {
            if by_positions {
                let runs = pool::part(geometry.runs(), 2, pieces, piece);
                part.compute(image..image + 1, runs, 0..shape.out_channels);
            } else {
                let channels = pool::part(shape.out_channels, PANEL, pieces, piece);
                part.compute(image..image + 1, 0..geometry.runs(), channels);
            }
        });
    }
}

/// A convolution while it is computed. An *image* is one group of one.
struct Part<'a> {
    isa: Isa,
    geometry: &'a Geometry,
    /// If it goes by windows.
    windows: Option<&'a Windows>,
    w: &'a ConvWeights,
    x: &'a [f32],
    out: &'a Disjoint<'a, f32>,
    bias: Option<&'a [f32]>,
    epilogue: Option<&'a dyn Epilogue>,
}

/// Terms that are added together: all taps of some channels, or some taps of one.
#[derive(Clone)]
struct Block {
    channels: Range<usize>,
    taps: Range<usize>,
    first: usize,
    terms: usize,
}

/// All terms, in ascending order, at most [`TERMS`] at a time.
fn blocks(shape: &ConvShape) -> impl Iterator<Item = Block> {
    let taps = shape.kernel_size();
    let (channels, together) = if taps <= TERMS {
        (TERMS / taps, taps)
    } else {
        (1, TERMS)
    };
    let in_channels = shape.in_channels;
    (0..in_channels).step_by(channels).flat_map(move |channel| {
        (0..taps).step_by(together).map(move |tap| {
            let channels = channel..in_channels.min(channel + channels);
            let of_block = tap..taps.min(tap + together);
            Block {
                first: channel * taps + tap,
                terms: channels.len() * of_block.len(),
                channels,
                taps: of_block,
            }
        })
    })
}

impl Part<'_> {
    /// Some runs of positions and some output channels (from a panel on) of some images.
    fn compute(&self, images: Range<usize>, runs: Range<usize>, channels: Range<usize>) {
        if let Some(windows) = self.windows {
            let size = windows.size(&self.geometry.shape);
            return pool::with_buffer(size, |buffer: &mut [f32]| {
                for image in images {
                    self.by_windows(windows, image, runs.clone(), channels.clone(), buffer);
                }
            });
        }
        for image in images {
            self.compute_image(image, runs.clone(), channels.clone());
        }
    }

    /// The input channels of an image.
    fn input(&self, image: usize) -> &[f32] {
        let size = self.geometry.shape.in_channels * self.geometry.shape.input_size();
        &self.x[image * size..][..size]
    }

    fn compute_image(&self, image: usize, runs: Range<usize>, channels: Range<usize>) {
        let shape = &self.geometry.shape;
        let group = image % shape.groups;
        let x = self.input(image);
        match &self.w.layout {
            Layout::Products(w) => self.by_positions(image, x, &w[group], runs, channels),
            Layout::Plain { w, .. } => {
                let terms = shape.terms();
                for channel in channels {
                    let w = &w[(group * shape.out_channels + channel) * terms..][..terms];
                    self.tap_by_tap(image, x, w, runs.clone(), channel);
                }
            }
        }
    }

    /// Where the outputs of a channel begin.
    fn start(&self, image: usize, channel: usize) -> usize {
        let shape = &self.geometry.shape;
        (image * shape.out_channels + channel) * shape.output_size()
    }

    /// Bias and epilogue of some positions of a channel.
    fn finish(&self, image: usize, channel: usize, positions: Range<usize>) {
        let shape = &self.geometry.shape;
        let start = self.start(image, channel);
        let of_group = image % shape.groups * shape.out_channels;
        // SAFETY: these outputs are the caller's piece.
        let y = unsafe { self.out.slice(start + positions.start..start + positions.end) };
        epilogue::add_bias(y, self.bias.map(|bias| bias[of_group + channel]));
        if let Some(epilogue) = self.epilogue {
            epilogue.apply(start + positions.start, y);
        }
    }

    /// The positions of some runs.
    fn positions(&self, runs: Range<usize>) -> Range<usize> {
        let of_run = if self.geometry.way == Way::ByWindows {
            self.geometry.shape.axes[2].output
        } else {
            VECTOR
        };
        runs.start * of_run..self.geometry.shape.output_size().min(runs.end * of_run)
    }

    fn by_windows(
        &self,
        windows: &Windows,
        image: usize,
        rows: Range<usize>,
        channels: Range<usize>,
        buffer: &mut [f32],
    ) {
        let shape = &self.geometry.shape;
        let (x, output, terms) = (self.input(image), shape.output_size(), shape.terms());
        let of_group = image % shape.groups * shape.out_channels;
        for first in rows.clone().step_by(windows.rows()) {
            let rows = first..rows.end.min(first + windows.rows());
            let positions = self.positions(rows.clone());
            for columns in windows.columns(shape) {
                windows.fill(self.isa, shape, x, rows.clone(), columns.clone(), buffer);
                let run = |channel: usize, count: usize, w: &[f32], stride: usize| {
                    let start = self.start(image, channel) + positions.start + columns.start;
                    let extent = [rows.len(), columns.len(), count];
                    let to = self.out.pointer(start);
                    // SAFETY: these outputs are this piece's; channels are `output` apart.
                    unsafe { windows.run(self.isa, shape, extent, buffer, w, stride, to, output) }
                };
                match &self.w.layout {
                    Layout::Plain { w, .. } => {
                        for channel in channels.clone() {
                            run(channel, 1, &w[(of_group + channel) * terms..][..terms], 1);
                        }
                    }
                    Layout::Products(w) => {
                        let w = w[image % shape.groups].operand();
                        for first in channels.clone().step_by(PANEL) {
                            let panel = first..channels.end.min(first + PANEL);
                            let Some((_, right)) = w.parts(panel.clone(), 0).next() else {
                                continue;
                            };
                            for (row, height) in tile::tiles(self.isa, panel.len()) {
                                run(first + row, height, &right.data[row..], right.stride);
                            }
                        }
                    }
                }
            }
            for channel in channels.clone() {
                self.finish(image, channel, positions.clone());
            }
        }
    }

    fn tap_by_tap(&self, image: usize, x: &[f32], w: &[f32], runs: Range<usize>, channel: usize) {
        /// Runs for which a table is made at a time.
        const TOGETHER: usize = 64;
        let geometry = self.geometry;
        let whole = geometry.table().is_some();
        let step = if whole { runs.len().max(1) } else { TOGETHER };
        let start = self.start(image, channel);
        for first in runs.clone().step_by(step) {
            let runs = first..runs.end.min(first + step);
            let positions = self.positions(runs.clone());
            // SAFETY: these outputs are this piece's.
            let out = unsafe { self.out.slice(start + positions.start..start + positions.end) };
            if geometry.shape.terms() == 0 {
                out.fill(0.0);
            }
            for block in blocks(&geometry.shape) {
                geometry.with_table(runs.clone(), block.taps.clone(), |table, first| {
                    let job = Job {
                        shape: &geometry.shape,
                        x,
                        channels: block.channels.clone(),
                        taps: block.taps.clone(),
                        w,
                        table,
                        first,
                        resume: block.first > 0,
                    };
                    depthwise::add_terms(self.isa, &job, out);
                });
            }
            self.finish(image, channel, positions);
        }
    }

    fn by_positions(
        &self,
        image: usize,
        x: &[f32],
        w: &PackedColumns,
        runs: Range<usize>,
        channels: Range<usize>,
    ) {
        let shape = &self.geometry.shape;
        let (size, output) = (shape.input_size(), shape.output_size());
        let plain = self.geometry.is_plain();
        // of few terms more positions fit the second-level cache
        let most = (TERMS / shape.kernel_size()).clamp(1, shape.in_channels) * shape.kernel_size().min(TERMS);
        let together = ((1 << 16) / (most * PANEL)).clamp(8, 32) * 2;
        let buffer = if plain { 0 } else { together * VECTOR * most };
        pool::with_buffer(buffer, |buffer: &mut [f32]| {
            for first in runs.clone().step_by(together) {
                let runs = first..runs.end.min(first + together);
                let positions = self.positions(runs.clone());
                for block in blocks(shape) {
                    let terms = block.terms;
                    let right = if plain {
                        let data = &x[block.channels.start * size + positions.start..];
                        Columns::Plain { data, stride: size }
                    } else {
                        let packed = &mut buffer[..runs.len() * VECTOR * terms];
                        self.pack(x, &block, runs.clone(), packed);
                        Columns::Panels {
                            data: packed,
                            n: positions.len(),
                            k: terms,
                            finite: false,
                        }
                    };
                    for first in channels.clone().step_by(PANEL) {
                        let rows = PANEL.min(channels.end - first);
                        let Some((_, panel)) = w.operand().parts(first..first + rows, block.first).next()
                        else {
                            continue;
                        };
                        for (row, height) in tile::tiles(self.isa, rows) {
                            let left = Left {
                                data: &panel.data[row..],
                                stride: panel.stride,
                            };
                            let start = self.start(image, first + row) + positions.start;
                            for (columns, right) in right.parts(0..positions.len(), 0) {
                                let to = self.out.pointer(start + columns.start);
                                // SAFETY: these outputs are this piece's; channels are `output` apart.
                                unsafe {
                                    tile::run(
                                        self.isa,
                                        [height, columns.len(), terms],
                                        left,
                                        right,
                                        to,
                                        output,
                                        block.first > 0,
                                    );
                                }
                            }
                            if block.first + terms == shape.terms() {
                                for channel in first + row..first + row + height {
                                    self.finish(image, channel, positions.clone());
                                }
                            }
                        }
                    }
                }
            }
        });
    }

    /// Packs the elements under some taps of some runs as panels of a right operand.
    fn pack(&self, x: &[f32], block: &Block, runs: Range<usize>, to: &mut [f32]) {
        let shape = &self.geometry.shape;
        let size = shape.input_size();
        assert!(
            to.len() >= runs.len() * VECTOR * block.terms,
            "room for every run"
        );
        let x = &x[block.channels.start * size..block.channels.end * size];
        self.geometry
            .with_table(runs.clone(), block.taps.clone(), |table, first| {
                let runs = first..first + runs.len();
                let taps = block.taps.len();
                // SAFETY: the patches, made for this shape, name elements of a channel, and there is room for every run and term.
                unsafe {
                    match shape.axes[2].stride {
                        1 => pack_runs::<1>(self.isa, x, size, 1, taps, table, runs, to),
                        2 => pack_runs::<2>(self.isa, x, size, 2, taps, table, runs, to),
                        stride => pack_runs::<3>(self.isa, x, size, stride, taps, table, runs, to),
                    }
                }
            });
    }
}

on_isa! {
    /// # Safety
    /// See [`Part::pack`].
    unsafe fn pack_runs<L, const STRIDE: usize>(
        x: &[f32],
        size: usize,
        stride: usize,
        taps: usize,
        table: &Table,
        runs: Range<usize>,
        to: &mut [f32],
    ) {
        let channels = x.len().checked_div(size).unwrap_or(0);
        let terms = channels * taps;
        let count = runs.len();
        for channel in 0..channels {
            for (index, run) in runs.clone().enumerate() {
                let (start, width) = match index % 2 {
                    0 if index + 1 == count => (index * VECTOR * terms, VECTOR),
                    half => (index / 2 * PANEL * terms + half * VECTOR, PANEL),
                };
                let patches = table.run(run).as_ptr();
                let mut used = 0;
                // SAFETY: the contract: every tap has its patches and every run its room.
                unsafe {
                    let plane = x.as_ptr().add(channel * size);
                    let mut to = to.as_mut_ptr().add(start + channel * taps * width);
                    for _ in 0..taps {
                        patches::load::<L, STRIDE>(plane, stride, patches, &mut used).store(to);
                        to = to.add(width);
                    }
                }
            }
        }
    }
}

impl ConvShape {
    /// The same convolution with as few axes as possible, the last of them first: one of 1 × 1 taps sees no neighbours, so its space
    /// is one axis; one whose rows have one element has columns for rows.
    fn simplified(&self) -> ConvShape {
        let [depth, height, width] = self.axes;
        let no_width = Axis {
            stride: 1,
            dilation: 1,
            ..width
        } == Axis::UNIT;
        if no_width && height != Axis::UNIT {
            let axes = [Axis::UNIT, depth, height];
            return ConvShape { axes, ..*self }.simplified();
        }
        let plain = |axis: &Axis| Axis {
            kernel: 1,
            stride: 1,
            dilation: 1,
            pad_begin: 0,
            ..*axis
        };
        let pointwise = self.axes.iter().all(|axis| {
            axis.output == axis.input
                && Axis {
                    dilation: 1,
                    pad_end: 0,
                    ..*axis
                } == Axis {
                    pad_end: 0,
                    ..plain(axis)
                }
        });
        if !pointwise {
            return *self;
        }
        let size = self.input_size();
        ConvShape {
            axes: [
                Axis::UNIT,
                Axis::UNIT,
                Axis {
                    input: size,
                    output: size,
                    ..Axis::UNIT
                },
            ],
            ..*self
        }
    }
}

/// y = transposed conv(x, w) + bias; the bits of [`reference::conv_transpose`].
///
/// # Panics
/// If a slice does not fit the shape.
pub fn conv_transpose<T: Float>(shape: &ConvShape, x: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T]) {
    shape.check(x, w, bias, out);
    if out.is_empty() {
        return;
    }
    let output = shape.output_size();
    for (channel, plane) in out.chunks_exact_mut(output).enumerate() {
        let (image, co) = (channel / shape.out_channels, channel % shape.out_channels);
        let group = image % shape.groups;
        let size = shape.in_channels * shape.input_size();
        let bias = bias.map(|bias| bias[group * shape.out_channels + co]);
        let w = &w[group * shape.in_channels * shape.out_channels * shape.kernel_size()..];
        transpose_channel(shape, &x[image * size..][..size], w, co, bias, plane);
    }
}

multiversion! {
    /// One output channel of a transposed convolution, from its group's input and weights.
    fn transpose_channel[T: Float](
        shape: &ConvShape, x: &[T], w: &[T], co: usize, bias: Option<T>, plane: &mut [T]
    ) {
        let [depth, height, width] = &shape.axes;
        let taps = shape.kernel_size();
        for (row, line) in plane.chunks_exact_mut(width.output).enumerate() {
            let (od, oh) = (row / height.output, row % height.output);
            line.fill(T::ZERO);
            for ci in 0..shape.in_channels {
                let weights = &w[(ci * shape.out_channels + co) * taps..][..taps];
                for (tap, &weight) in weights.iter().enumerate() {
                    let (kd, kh) = (tap / (height.kernel * width.kernel), tap / width.kernel % height.kernel);
                    let source = match (depth.source(od, kd), height.source(oh, kh)) {
                        (Source::None, _) | (_, Source::None) => continue,
                        (Source::Element(d), Source::Element(h)) => {
                            &x[((ci * depth.input + d) * height.input + h) * width.input..][..width.input]
                        }
                        _ => &[],
                    };
                    spread(width, tap % width.kernel, weight, source, line);
                }
            }
            for y in line {
                *y = bias.map_or(*y, |bias| *y + bias).canonical();
            }
        }
    }
}

/// Adds a tap's products to the chains of a row of outputs; an empty `source` stands for a line beyond the input.
#[inline(always)]
fn spread<T: Float>(width: &Axis, tap: usize, weight: T, source: &[T], line: &mut [T]) {
    // the tap falls on every stride-th output from the first whose distance to it is a multiple of the stride
    let shift = tap * width.dilation;
    let first = (shift % width.stride + width.stride - width.pad_begin % width.stride) % width.stride;
    for (i, chain) in line.iter_mut().skip(first).step_by(width.stride).enumerate() {
        let element = (first + i * width.stride + width.pad_begin).wrapping_sub(shift);
        let x = if (element as isize) < 0 {
            None
        } else {
            source.get(element / width.stride)
        };
        *chain = weight.fma(x.copied().unwrap_or(T::ZERO), *chain);
    }
}
