//! The loops around the tiles: bands of rows, panels of channels, blocks of terms, rows, tiles.

use std::ops::Range;

use super::super::convolution::{ConvWeights, Layout};
use super::super::epilogue::{self, Epilogue, Simple};
use super::super::matrix::nanoseconds;
use super::super::share::even;
use super::super::tile::{Finish, Next, PANEL, Right, VECTOR, tiles};
use super::tile::{Output, Tile, most_vectors, rows_together, run};
use super::{Blocks, TOGETHER, turn};
use crate::isa::Isa;
use crate::pool::{self, Disjoint};
use crate::shape::ConvShape;

/// Terms that are added together: 32 channels of their weights are 288 KiB, a part of the second-level cache.
const TERMS: usize = 2304;

/// What a convolution is computed from, checked by the caller.
pub(in super::super) struct Operands<'a> {
    pub(in super::super) shape: &'a ConvShape,
    pub(in super::super) w: &'a ConvWeights,
    pub(in super::super) x: &'a [f32],
    pub(in super::super) bias: Option<&'a [f32]>,
    pub(in super::super) epilogue: Option<&'a dyn Epilogue>,
}

/// Computes a convolution as it was planned.
///
/// # Panics
/// If the weights do not fit the shape.
pub(in super::super) fn conv(blocks: &Blocks, of: &Operands<'_>, out: &mut [f32]) {
    let simple = match of.epilogue {
        Some(epilogue) => epilogue.simple(),
        None => Some(Simple::default()),
    };
    let simple = simple.filter(|simple| blocks.output && simple.row.is_none());
    assert!(
        simple
            .and_then(|simple| simple.add)
            .is_none_or(|add| add.len() == out.len()),
        "an operand of the output's shape"
    );
    let out = &Disjoint::new(out);
    let part = Part {
        isa: Isa::current(),
        blocks,
        offsets: &[],
        of,
        simple,
        out,
    };
    if blocks.depthwise {
        part.depthwise();
    } else {
        blocks.with_offsets(of.shape, |offsets| compute(&Part { offsets, ..part }));
    }
}

/// Shares the work of a convolution that is no depthwise one out.
fn compute(part: &Part<'_>) {
    let (blocks, of) = (part.blocks, part.of);
    let shape = of.shape;
    let [m, n, k] = [shape.out_channels, shape.output_size(), shape.terms()];
    let cost = nanoseconds(part.isa, [m.max(2), n, k]);
    let all = pool::pieces(cost.saturating_mul(shape.batch as u64));
    if shape.batch >= 2 * pool::threads() || all == 1 {
        let pieces = even(shape.batch, all);
        return pool::run(pieces, &|piece| {
            for image in pool::part(shape.batch, 1, pieces, piece) {
                part.dense(image, 0..blocks.rows(), 0..m);
            }
        });
    }
    let pieces = pool::pieces(cost);
    for image in 0..shape.batch {
        match Split::of(
            blocks.rows(),
            m.div_ceil(PANEL),
            m * k > CLEAN * (of.x.len() / shape.batch),
            pieces,
        ) {
            Split::Rows(pieces) => pool::run(pieces, &|piece| {
                part.dense(image, pool::part(blocks.rows(), 1, pieces, piece), 0..m);
            }),
            Split::Channels(pieces) => pool::run(pieces, &|piece| {
                part.dense(image, 0..blocks.rows(), pool::part(m, PANEL, pieces, piece));
            }),
        }
    }
}

/// How many weights are read in the time of an element of the input, of which the better part comes from where another processor has
/// just written it. Weights stay in the caches of every processor from run to run.
pub(super) const CLEAN: usize = 4;

/// How an image's work is shared out, and in how many pieces.
pub(super) enum Split {
    Rows(usize),
    Channels(usize),
}

impl Split {
    /// The way that ends sooner; if there is none, the one for which processors read less that is not in their caches.
    pub(super) fn of(rows: usize, panels: usize, more_weights: bool, pieces: usize) -> Self {
        let threads = pool::threads();
        let by = |units: usize| {
            let parts = even(units, pieces);
            // the share of the work that the busiest thread has
            let share = (parts.div_ceil(threads) * units.div_ceil(parts)) as f64 / units as f64;
            (parts, share)
        };
        let ((of_rows, share_of_rows), (of_panels, share_of_panels)) = (by(rows), by(panels));
        let close = (share_of_rows - share_of_panels).abs() < 0.03;
        if (close && more_weights) || (!close && share_of_panels < share_of_rows) {
            Split::Channels(of_panels)
        } else {
            Split::Rows(of_rows)
        }
    }
}

/// A convolution while it is computed.
pub(super) struct Part<'a> {
    pub(super) isa: Isa,
    pub(super) blocks: &'a Blocks,
    /// Where the terms lie from a pixel's first; of a depthwise convolution nowhere.
    offsets: &'a [u32],
    pub(super) of: &'a Operands<'a>,
    /// The epilogue, if tiles do it.
    pub(super) simple: Option<Simple<'a>>,
    pub(super) out: &'a Disjoint<'a, f32>,
}

/// Where the rows of a band are read, and where a panel of their output is written.
struct Band<'a> {
    rows: Range<usize>,
    /// Of the first row, and so on.
    x: &'a [f32],
    /// The first row's first channel that `channel` stands for.
    out: *mut f32,
    channel: usize,
    /// Elements from sixteen channels to the next.
    block: usize,
    /// The channels that the same thread computes afterwards end here.
    end: usize,
}

impl Part<'_> {
    /// Some rows and channels (from a panel on) of an image.
    fn dense(&self, image: usize, rows: Range<usize>, channels: Range<usize>) {
        let blocks = self.blocks;
        let size = self.of.x.len() / self.of.shape.batch;
        let x = &self.of.x[image * size..][..size];
        let [window, turned] = blocks.buffers();
        pool::with_buffer(window + turned, |buffer: &mut [f32]| {
            let (window, turned) = buffer.split_at_mut(window);
            for first in rows.clone().step_by(blocks.band) {
                let rows = first..rows.end.min(first + blocks.band);
                let x = self.band(x, rows.clone(), window);
                let end = channels.end;
                for first in channels.clone().step_by(TOGETHER) {
                    let channels = first..end.min(first + TOGETHER);
                    if blocks.output {
                        let at = self.element(image, channels.start, rows.start * blocks.width);
                        let band = Band {
                            rows: rows.clone(),
                            x,
                            out: self.out.pointer(at),
                            channel: channels.start,
                            block: blocks.pixels * VECTOR,
                            end,
                        };
                        self.panel(image, &band, channels);
                    } else {
                        self.panel_to_turn(image, x, rows.clone(), channels, turned);
                    }
                }
            }
        });
    }

    /// Where a pixel of a block of channels of the output begins.
    pub(super) fn element(&self, image: usize, channel: usize, pixel: usize) -> usize {
        let shape = self.of.shape;
        let block = (image * shape.groups * shape.out_channels + channel) / VECTOR;
        (block * self.blocks.pixels + pixel) * VECTOR
    }

    /// What the rows of a band are computed from: the planes from their first row on, or a window of them.
    fn band<'b>(&self, x: &'b [f32], rows: Range<usize>, window: &'b mut [f32]) -> &'b [f32] {
        let [_, height, width] = &self.of.shape.axes;
        match &self.blocks.window {
            Some(of_rows) => {
                of_rows.fill(height, width.input * self.blocks.cell, x, rows, window);
                window
            }
            None => &x[rows.start * self.blocks.pitch..],
        }
    }

    /// Some channels of a band into the thread's memory, and from there turned into their planes.
    fn panel_to_turn(
        &self,
        image: usize,
        x: &[f32],
        rows: Range<usize>,
        channels: Range<usize>,
        turned: &mut [f32],
    ) {
        let (blocks, shape) = (self.blocks, self.of.shape);
        let pixels = blocks.pixels_of(rows.clone());
        let block = pixels.len().next_multiple_of(VECTOR) * VECTOR;
        assert!(
            channels.len().div_ceil(VECTOR) * block <= turned.len(),
            "room for the channels of a band"
        );
        let band = Band {
            rows,
            x,
            out: turned.as_mut_ptr(),
            channel: channels.start,
            block,
            end: channels.end,
        };
        self.panel(image, &band, channels.clone());
        for first in channels.clone().step_by(VECTOR) {
            let from = &turned[(first - channels.start) / VECTOR * block..][..block];
            let together = VECTOR.min(channels.end - first);
            let at = |channel: usize| (image * shape.out_channels + channel) * blocks.pixels + pixels.start;
            let to = self.out.pointer(at(first));
            // SAFETY: the block has whole vectors of pixels; these outputs are this piece's.
            unsafe {
                turn(
                    self.isa,
                    from.as_ptr(),
                    VECTOR,
                    together,
                    pixels.len(),
                    to,
                    blocks.pixels,
                )
            };
            for channel in first..first + together {
                // SAFETY: as above.
                let y = unsafe { self.out.slice(at(channel)..at(channel) + pixels.len()) };
                epilogue::add_bias(y, self.of.bias.map(|bias| bias[channel]));
                if let Some(epilogue) = self.of.epilogue {
                    epilogue.apply(at(channel), y);
                }
            }
        }
    }

    /// All terms of some channels of a band.
    fn panel(&self, image: usize, band: &Band<'_>, channels: Range<usize>) {
        let Layout::Products(w) = &self.of.w.layout else {
            unreachable!("a convolution that is no depthwise one has its weights as a product");
        };
        let terms = self.offsets.len();
        for first in (0..terms).step_by(TERMS) {
            let some = first..terms.min(first + TERMS);
            let together = rows_together(self.isa, self.blocks.width, self.blocks.step);
            let of_row = tiles(self.isa, self.blocks.width * together).count();
            let all = band.rows.len().div_ceil(together) * of_row;
            for (index, first_row) in band.rows.clone().step_by(together).enumerate() {
                let rows = first_row..band.rows.end.min(first_row + together);
                for (part, right) in w[0].operand().parts(channels.clone(), first) {
                    self.rows(
                        image,
                        band,
                        rows.clone(),
                        part,
                        right,
                        some.clone(),
                        [index * of_row, all],
                    );
                }
                if some.end == terms && self.blocks.output && self.simple.is_none() {
                    self.finish_rows(image, rows, channels.clone());
                }
            }
        }
    }

    /// Some terms of some channels of a row, or of two that make one tile: `right` has the weights from the first of the channels on.
    /// The band has `all` tiles of a panel, `before` of them before this row's.
    #[expect(clippy::too_many_arguments, reason = "a row has this many numbers")]
    fn rows(
        &self,
        image: usize,
        band: &Band<'_>,
        rows: Range<usize>,
        channels: Range<usize>,
        right: Right<'_>,
        terms: Range<usize>,
        [before, all]: [usize; 2],
    ) {
        let blocks = self.blocks;
        let (pixels, of_row) = (
            blocks.pixels_of(rows.clone()),
            blocks.pixels_of(rows.start..rows.start + 1),
        );
        let second_row = (rows.len() == 2).then_some(blocks.pitch);
        let start = (rows.start - band.rows.start) * blocks.width;
        let x = &band.x[(rows.start - band.rows.start) * blocks.pitch..];
        for (index, (column, count)) in tiles(self.isa, pixels.len()).enumerate() {
            let last = column + count.min(of_row.len()) - 1;
            assert!(
                last * blocks.step + blocks.reach + second_row.unwrap_or(0) < x.len(),
                "every term of every pixel is there"
            );
            let mut channel = channels.start;
            while channel < channels.end {
                let left = (channels.end - channel).div_ceil(VECTOR);
                let mut vectors = most_vectors(self.isa, count);
                while vectors > left {
                    vectors /= 2;
                }
                let from = channel - channels.start;
                let w = Right {
                    data: &right.data[from / PANEL * right.panel + from % PANEL..],
                    ..right
                };
                let tile = Tile {
                    x: x[column * blocks.step..].as_ptr(),
                    offsets: &self.offsets[terms.clone()],
                    w,
                    step: blocks.step,
                    second_row,
                    output: Output {
                        first: band.out.wrapping_add(
                            (channel - band.channel) / VECTOR * band.block + (start + column) * VECTOR,
                        ),
                        block: band.block,
                        resume: terms.start > 0,
                        finish: self
                            .finish(image, channel, pixels.start + column)
                            .filter(|_| terms.end == self.offsets.len()),
                    },
                    next: self.next(w, channel..band.end, &terms, [before + index, all]),
                };
                // SAFETY: the terms are there (checked above); the outputs are this piece's, in blocks of `band.block`.
                unsafe { run(self.isa, [count, vectors], &tile) };
                channel += vectors * VECTOR;
            }
        }
    }

    /// What tile `index` of a band's `all` has fetched of the weights that come after those of its own, `w`: further terms of these
    /// channels, or the first of those that the thread computes next.
    fn next(
        &self,
        w: Right<'_>,
        channels: Range<usize>,
        terms: &Range<usize>,
        [index, all]: [usize; 2],
    ) -> Next {
        let first = w.data.as_ptr();
        let from = if terms.end < self.offsets.len() {
            first.wrapping_add(terms.len() * w.stride)
        } else if channels.len() > TOGETHER {
            first
                .wrapping_add(TOGETHER / PANEL * w.panel)
                .wrapping_sub(terms.start * w.stride)
        } else {
            return Next::NOTHING;
        };
        Next::shared(from, size_of::<f32>() * w.stride, all).after(index * terms.len())
    }

    /// What a tile does at its end, from this channel and pixel on: nothing where the output is to be turned.
    pub(super) fn finish(&self, image: usize, channel: usize, pixel: usize) -> Option<Finish> {
        if !self.blocks.output {
            return None;
        }
        let simple = self.simple.unwrap_or_default();
        let add = simple
            .add
            .map(|add| add[self.element(image, channel, pixel)..].as_ptr());
        Some(Finish {
            row: self.of.bias.map(|bias| bias[channel..].as_ptr()),
            add,
            relu: simple.relu,
            at_most: simple.at_most,
        })
    }

    /// The epilogue of some channels of some rows, where tiles do not do it.
    pub(super) fn finish_rows(&self, image: usize, rows: Range<usize>, channels: Range<usize>) {
        let pixels = self.blocks.pixels_of(rows);
        for channel in channels.step_by(VECTOR) {
            let start = self.element(image, channel, pixels.start);
            // SAFETY: these outputs are this piece's.
            let y = unsafe { self.out.slice(start..start + pixels.len() * VECTOR) };
            if let Some(epilogue) = self.of.epilogue {
                epilogue.apply(start, y);
            }
        }
    }
}
