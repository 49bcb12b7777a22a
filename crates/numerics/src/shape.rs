//! The geometry of windows that slide over space: convolutions and pools.
//!
//! Space has up to three axes, depth, height and width. One- and two-dimensional operators use [`Axis::UNIT`]
//! for the leading ones: they then contribute one position and one tap and change nothing.

/// One axis of space under a sliding window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Axis {
    /// Elements of the input along this axis.
    pub input: usize,
    /// Elements of the output along this axis (settled by the caller: ONNX has several rules for it).
    pub output: usize,
    /// Taps of the window.
    pub kernel: usize,
    /// Distance between neighbouring windows, in elements.
    pub stride: usize,
    /// Distance between neighbouring taps, in elements.
    pub dilation: usize,
    /// Elements of padding before the first.
    pub pad_begin: usize,
    /// Elements of padding after the last.
    pub pad_end: usize,
}

impl Axis {
    /// An axis that is not there.
    pub const UNIT: Axis = Axis {
        input: 1,
        output: 1,
        kernel: 1,
        stride: 1,
        dilation: 1,
        pad_begin: 0,
        pad_end: 0,
    };

    /// The input element under tap `tap` of window `window`, or `None` where that is padding.
    #[inline(always)]
    pub fn element(&self, window: usize, tap: usize) -> Option<usize> {
        let padded = window * self.stride + tap * self.dilation;
        let element = padded.checked_sub(self.pad_begin)?;
        (element < self.input).then_some(element)
    }

    /// The windows whose tap `tap` lies on an element of the input, which are neighbours.
    #[inline(always)]
    pub(crate) fn windows_over_input(&self, tap: usize) -> std::ops::Range<usize> {
        let reach = tap * self.dilation;
        let first = self.pad_begin.saturating_sub(reach).div_ceil(self.stride);
        let end = (self.pad_begin + self.input)
            .saturating_sub(reach)
            .div_ceil(self.stride)
            .min(self.output);
        first.min(end)..end
    }

    /// Whether tap `tap` of window `window` lies within the input or its padding: with ONNX's `ceil_mode` the last
    /// window may reach beyond both.
    #[inline(always)]
    pub fn within_padding(&self, window: usize, tap: usize) -> bool {
        window * self.stride + tap * self.dilation < self.pad_begin + self.input + self.pad_end
    }

    /// For a transposed convolution, where input elements spread over windows of the output: the input element
    /// whose tap `tap` falls on output `position`.
    #[inline(always)]
    pub fn source(&self, position: usize, tap: usize) -> Source {
        let Some(offset) = (position + self.pad_begin).checked_sub(tap * self.dilation) else {
            return Source::of_remainder((tap * self.dilation - position - self.pad_begin) % self.stride);
        };
        if !offset.is_multiple_of(self.stride) {
            return Source::None;
        }
        let element = offset / self.stride;
        if element < self.input {
            Source::Element(element)
        } else {
            Source::Outside
        }
    }
}

/// Where a tap of a transposed convolution takes its input from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From this element.
    Element(usize),
    /// From beyond the input's ends: it counts as +0.0.
    Outside,
    /// From between two elements (stride > 1): there is no such tap.
    None,
}

impl Source {
    fn of_remainder(remainder: usize) -> Source {
        if remainder == 0 {
            Source::Outside
        } else {
            Source::None
        }
    }
}

/// A convolution or transposed convolution: x\[batch, groups·in_channels, space\] → y\[batch, groups·out_channels, space\].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Images.
    pub batch: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Input channels of one group.
    pub in_channels: usize,
    /// Output channels of one group.
    pub out_channels: usize,
    /// Depth, height and width.
    pub axes: [Axis; 3],
}

impl ConvShape {
    /// Elements of one channel of the input.
    pub fn input_size(&self) -> usize {
        self.axes.iter().map(|axis| axis.input).product()
    }

    /// Elements of one channel of the output.
    pub fn output_size(&self) -> usize {
        self.axes.iter().map(|axis| axis.output).product()
    }

    /// Taps of one channel.
    pub fn kernel_size(&self) -> usize {
        self.axes.iter().map(|axis| axis.kernel).product()
    }

    /// Terms of one output element: input channels of a group times taps.
    pub fn terms(&self) -> usize {
        self.in_channels * self.kernel_size()
    }

    pub(crate) fn check<T>(&self, x: &[T], w: &[T], bias: Option<&[T]>, out: &[T]) {
        let channels = self.groups * self.out_channels;
        assert_eq!(
            x.len(),
            self.batch * self.groups * self.in_channels * self.input_size(),
            "input of a convolution"
        );
        assert_eq!(w.len(), channels * self.terms(), "weights of a convolution");
        assert!(
            bias.is_none_or(|bias| bias.len() == channels),
            "one bias for each output channel"
        );
        assert_eq!(
            out.len(),
            self.batch * channels * self.output_size(),
            "output of a convolution"
        );
    }
}

/// A pool: x\[channels, space\] → y\[channels, space\], every channel (of every image) alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolShape {
    /// Images times channels.
    pub channels: usize,
    /// Depth, height and width.
    pub axes: [Axis; 3],
}

impl PoolShape {
    /// Elements of one channel of the input.
    pub fn input_size(&self) -> usize {
        self.axes.iter().map(|axis| axis.input).product()
    }

    /// Elements of one channel of the output.
    pub fn output_size(&self) -> usize {
        self.axes.iter().map(|axis| axis.output).product()
    }
}

/// A matrix within a slice: element (i, j) is at `i·row_stride + j·column_stride`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a, T> {
    /// The elements.
    pub data: &'a [T],
    /// Distance between rows.
    pub row_stride: usize,
    /// Distance between columns.
    pub column_stride: usize,
}

impl<'a, T: Copy> Matrix<'a, T> {
    /// A matrix with rows of `columns` elements, one after the other.
    pub fn row_major(data: &'a [T], columns: usize) -> Self {
        Matrix {
            data,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// The transpose of a matrix stored in rows of `rows` elements (rows of the result).
    pub fn transposed(data: &'a [T], rows: usize) -> Self {
        Matrix {
            data,
            row_stride: 1,
            column_stride: rows,
        }
    }

    /// Element (i, j).
    #[inline(always)]
    pub fn at(&self, i: usize, j: usize) -> T {
        self.data[i * self.row_stride + j * self.column_stride]
    }

    /// Whether every element of a `rows` × `columns` matrix lies within the slice.
    pub fn covers(&self, rows: usize, columns: usize) -> bool {
        rows == 0
            || columns == 0
            || (rows - 1) * self.row_stride + (columns - 1) * self.column_stride < self.data.len()
    }
}

/// A reduction of the middle axis: x\[outer, length, inner\] → y\[outer, inner\].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReduceShape {
    /// Product of the dimensions before.
    pub outer: usize,
    /// The reduced length.
    pub length: usize,
    /// Product of the dimensions after.
    pub inner: usize,
}
