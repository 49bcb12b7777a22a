//! Images of bytes: from planes, one for each channel, to pixels, all channels together, and back; and the pixels under windows.

use super::pack::Terms;
use super::transpose::{Lines, transpose};
use crate::isa::multiversion;
use crate::shape::{Axis, ConvShape};
use std::ops::Range;

/// How the elements of images lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// Planes of channels: ONNX's order.
    #[default]
    ChannelsFirst,
    /// The channels of each pixel together.
    ChannelsLast,
}

/// Bytes of a pixel of an image that is copied: three channels take four, which is copied faster, unless rows of a window are so
/// long that without them they take fewer quads.
pub(super) fn pixel(shape: &ConvShape) -> usize {
    let channels = shape.groups * shape.in_channels;
    if shape.groups == 1 && channels == 3 && shape.axes[2].kernel < 4 {
        4
    } else {
        channels
    }
}

/// The terms of a convolution: whole rows of a window where its pixels lie side by side and all channels count, else single
/// pixels' channels.
pub(super) fn terms(shape: &ConvShape) -> Terms {
    let [depth, height, width] = &shape.axes;
    if shape.groups == 1 && width.dilation == 1 {
        Terms {
            runs: depth.kernel * height.kernel,
            length: width.kernel * pixel(shape),
        }
    } else {
        Terms {
            runs: shape.kernel_size(),
            length: shape
                .in_channels
                .max(if shape.groups == 1 { pixel(shape) } else { 0 }),
        }
    }
}

/// Which weight of a channel a term is: its place among `in_channels × taps`. `None` for what fills up a pixel.
pub(super) fn weight_of(shape: &ConvShape, run: usize, term: usize) -> Option<usize> {
    let pixel = if shape.groups == 1 {
        pixel(shape)
    } else {
        shape.in_channels
    };
    let (within, channel) = (term / pixel, term % pixel);
    let merged = terms(shape).length / pixel;
    (channel < shape.in_channels).then(|| channel * shape.kernel_size() + run * merged + within)
}

/// A part of an image with its padding, channels together: what some windows lie over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Its first line, counted from the first line of padding, and the number of lines.
    pub(super) top: usize,
    pub(super) lines: usize,
    /// Its first column, counted from the first column of padding, and the number of columns.
    pub(super) left: usize,
    pub(super) width: usize,
}

/// Elements under so many windows.
fn reach(axis: &Axis, windows: usize) -> usize {
    (windows.max(1) - 1)
        .saturating_mul(axis.stride)
        .saturating_add((axis.kernel.max(1) - 1).saturating_mul(axis.dilation))
        .saturating_add(1)
}

/// Pixels of a line under so many windows. With stride 2 an even number, so that windows of all lines are equally far apart.
fn line(axis: &Axis, windows: usize) -> usize {
    let pixels = reach(axis, windows);
    if axis.stride == 2 {
        pixels.saturating_add(pixels % 2)
    } else {
        pixels
    }
}

impl Window {
    /// What the windows of some lines and columns of the output lie over.
    pub(super) fn of(shape: &ConvShape, lines: &Range<usize>, columns: &Range<usize>) -> Self {
        let [_, height, width] = &shape.axes;
        Window {
            top: lines.start.saturating_mul(height.stride),
            lines: reach(height, lines.len()),
            left: columns.start.saturating_mul(width.stride),
            width: line(width, columns.len()),
        }
    }

    /// How many lines and columns of the output may be computed from a window of so many bytes: full lines, or a part of one;
    /// `None` if not a single position.
    pub(super) fn fitting(shape: &ConvShape, bytes: usize) -> Option<(usize, usize)> {
        let [_, height, width] = &shape.axes;
        let room = (bytes - 4) / pixel(shape).max(1);
        let fit = |room: usize, axis: &Axis| {
            let least = reach(axis, 1);
            (room >= least).then(|| ((room - least) / axis.stride + 1).min(axis.output))
        };
        match fit(room / line(width, width.output), height) {
            Some(lines) => Some((lines, width.output)),
            None => {
                let columns = room / reach(height, 1);
                // of an odd number the last is there for nothing
                let columns = if width.stride == 2 {
                    columns / 2 * 2
                } else {
                    columns
                };
                Some((1, fit(columns, width)?))
            }
        }
    }

    /// Bytes that it takes, with what the kernel may read beyond.
    pub(super) fn bytes(&self, shape: &ConvShape) -> usize {
        self.lines * self.width * pixel(shape) + 4
    }

    /// Copies it from an image; padding becomes `zero`.
    pub(super) fn copy(&self, shape: &ConvShape, x: &[u8], layout: Layout, zero: u8, out: &mut [u8]) {
        let [_, height, width] = &shape.axes;
        let (channels, pixel) = (shape.groups * shape.in_channels, pixel(shape));
        assert!(out.len() >= self.bytes(shape), "a window has room for its pixels");
        assert_eq!(
            x.len(),
            channels * height.input * width.input,
            "the input of a convolution"
        );
        // columns of the window that lie over the image, and the first of the image's
        let begin = width.pad_begin.saturating_sub(self.left).min(self.width);
        let end = (width.pad_begin + width.input)
            .saturating_sub(self.left)
            .min(self.width);
        let source_column = self.left.saturating_sub(width.pad_begin);
        // lines that lie side by side in the image and whole in the window are exchanged together; three channels are joined instead
        let whole = layout == Layout::ChannelsFirst
            && pixel == channels
            && channels != 3
            && end - begin.min(end) == width.input
            && self.lines > 1;
        let over = |line: usize| {
            let source = (self.top + line).checked_sub(height.pad_begin);
            source.filter(|&source| source < height.input && begin < end)
        };
        if whole && let Some(first) = (0..self.lines).find(|&line| over(line).is_some()) {
            let lines = (first..self.lines)
                .take_while(|&line| over(line).is_some())
                .count();
            let plane = height.input * width.input;
            let at = over(first).expect("it was found") * width.input;
            let pixels = lines * width.input;
            let to = (first * self.width + begin) * pixel;
            assert!((channels - 1) * plane + at + pixels <= x.len());
            assert!(to + ((lines - 1) * self.width + width.input) * pixel <= out.len());
            let lines = Lines {
                start: out[to..].as_mut_ptr(),
                length: width.input,
                step: pixel,
                line: self.width * pixel,
            };
            // SAFETY: `channels` rows of `pixels` bytes are in `x`, and the window has its lines (above).
            unsafe { transpose(x.as_ptr().add(at), plane, lines, channels, pixels) };
        }
        for line in 0..self.lines {
            let out = &mut out[line * self.width * pixel..][..self.width * pixel];
            let Some(source) = over(line) else {
                out.fill(zero);
                continue;
            };
            out[..begin * pixel].fill(zero);
            out[end * pixel..].fill(zero);
            if whole {
                continue;
            }
            let out = &mut out[begin * pixel..end * pixel];
            let (pixels, at) = (end - begin, source * width.input + source_column);
            match layout {
                Layout::ChannelsLast if pixel == channels => {
                    out.copy_from_slice(&x[at * channels..][..pixels * channels]);
                }
                Layout::ChannelsLast => {
                    let line = x[at * channels..].chunks_exact(channels);
                    for (out, x) in out.chunks_exact_mut(pixel).zip(line) {
                        out[..channels].copy_from_slice(x);
                    }
                }
                Layout::ChannelsFirst => {
                    let plane = height.input * width.input;
                    if channels == 3 {
                        let lines = [0, 1, 2].map(|channel| &x[channel * plane + at..][..pixels]);
                        if pixel == 3 {
                            join_three(lines, out.as_chunks_mut::<3>().0);
                        } else {
                            join_three_of_four(lines, out.as_chunks_mut::<4>().0);
                        }
                        continue;
                    }
                    assert!((channels - 1) * plane + at + pixels <= x.len() && out.len() == pixels * pixel);
                    // SAFETY: `channels` rows of `pixels` bytes are in `x`, `pixels` rows of as many bytes in `out` (above).
                    unsafe {
                        let x = x.as_ptr().add(at);
                        transpose(x, plane, Lines::one(out.as_mut_ptr(), pixel), channels, pixels);
                    }
                }
            }
        }
        let used = self.lines * self.width * pixel;
        out[used..used + 4].fill(0);
    }
}

multiversion! {
    /// Pixels of three bytes from three lines.
    fn join_three[](lines: [&[u8]; 3], out: &mut [[u8; 3]]) {
        let [a, b, c] = lines.map(|line| &line[..out.len()]);
        for (i, out) in out.iter_mut().enumerate() {
            *out = [a[i], b[i], c[i]];
        }
    }
}

multiversion! {
    /// Pixels of four bytes from three lines. The fourth byte, whose weights are 0, is the third once more.
    fn join_three_of_four[](lines: [&[u8]; 3], out: &mut [[u8; 4]]) {
        let [a, b, c] = lines.map(|line| &line[..out.len()]);
        for (i, out) in out.iter_mut().enumerate() {
            *out = [a[i], b[i], c[i], c[i]];
        }
    }
}

/// The terms of one position, one run after another, each filled up to quads.
pub(super) fn gather(
    shape: &ConvShape,
    x: &[u8],
    layout: Layout,
    zero: u8,
    group: usize,
    position: usize,
    out: &mut [u8],
) {
    let [depth, height, width] = &shape.axes;
    let terms = terms(shape);
    let pixel = if shape.groups == 1 {
        pixel(shape)
    } else {
        shape.in_channels
    };
    let (input, channels) = (shape.input_size(), shape.groups * shape.in_channels);
    let [od, oh, ow] = [
        position / width.output / height.output,
        position / width.output % height.output,
        position % width.output,
    ];
    let merged = terms.length / pixel;
    for (run, out) in out
        .chunks_exact_mut(terms.quads() * 4)
        .take(terms.runs)
        .enumerate()
    {
        out[terms.length..].fill(0);
        for within in 0..merged {
            let out = &mut out[within * pixel..][..shape.in_channels];
            let tap = run * merged + within;
            let [kd, kh, kw] = [
                tap / width.kernel / height.kernel,
                tap / width.kernel % height.kernel,
                tap % width.kernel,
            ];
            let (Some(d), Some(h), Some(v)) = (
                depth.element(od, kd),
                height.element(oh, kh),
                width.element(ow, kw),
            ) else {
                out.fill(zero);
                continue;
            };
            let at = (d * height.input + h) * width.input + v;
            let first = group * shape.in_channels;
            match layout {
                Layout::ChannelsLast => out.copy_from_slice(&x[at * channels + first..][..shape.in_channels]),
                Layout::ChannelsFirst => {
                    for (c, out) in out.iter_mut().enumerate() {
                        *out = x[(first + c) * input + at];
                    }
                }
            }
        }
    }
}
