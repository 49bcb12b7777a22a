//! What operators that move data share. They move bits: the element type matters only by its size.

use super::{Kernel, OpError, kernel};
use crate::{shape::broadcast_strides, tensor::TensorViewMut};
use bytemuck::Pod;
use std::ops::Range;
use synod_numerics::pool;

/// Copies input 0 to output 0, whatever their shapes: both have the same number of bytes.
pub(super) fn copy() -> Box<dyn Kernel> {
    kernel(|io| {
        let from = io.input(0).bytes();
        if let Some(output) = io.output(0) {
            output.bytes_mut().copy_from_slice(from);
        }
        Ok(())
    })
}

/// Calls `$body` with `$word` standing for the unsigned integer of `$size` bytes.
macro_rules! by_size {
    ($size:expr, $word:ident => $body:expr) => {
        match $size {
            1 => {
                type $word = u8;
                $body
            }
            2 => {
                type $word = u16;
                $body
            }
            4 => {
                type $word = u32;
                $body
            }
            _ => {
                type $word = u64;
                $body
            }
        }
    };
}
pub(super) use by_size;

/// Bytes that one thread reads or writes in a nanosecond where little is computed, roughly.
pub(super) const BYTES_OF_A_NANOSECOND: u64 = 10;

/// Walks the elements of an output in row-major order, row by row, beside `N` operands that are read with strides of their
/// own (0 where they repeat, negative where they run backwards). Adjacent axes that every operand walks evenly are merged,
/// so that rows are as long as they can be.
#[derive(Debug, Clone)]
pub(crate) struct Rows<const N: usize> {
    /// Sizes of the axes around a row, outermost first.
    outer: Vec<usize>,
    /// Strides of each operand along them.
    outer_strides: [Vec<isize>; N],
    /// Elements of a row.
    pub(crate) length: usize,
    /// Stride of each operand within a row.
    pub(crate) strides: [isize; N],
}

impl<const N: usize> Rows<N> {
    /// Rows of an output of `shape`; `strides` has one for each axis and operand.
    pub(crate) fn new(shape: &[usize], strides: [Vec<isize>; N]) -> Self {
        let mut axes: Vec<(usize, [isize; N])> = Vec::with_capacity(shape.len());
        for (axis, &size) in shape.iter().enumerate() {
            let own = std::array::from_fn(|operand| strides[operand][axis]);
            if size == 1 {
                continue;
            }
            match axes.last_mut() {
                Some((outer, outer_strides))
                    if (0..N).all(|operand| outer_strides[operand] == own[operand] * size as isize) =>
                {
                    *outer *= size;
                    *outer_strides = own;
                }
                _ => axes.push((size, own)),
            }
        }
        let (length, row_strides) = axes.pop().unwrap_or((1, [1; N]));
        Self {
            outer: axes.iter().map(|(size, _)| *size).collect(),
            outer_strides: std::array::from_fn(|operand| axes.iter().map(|(_, s)| s[operand]).collect()),
            length,
            strides: row_strides,
        }
    }

    /// Rows of an output of `shape` that operands of these shapes are broadcast to.
    pub(crate) fn broadcast(shape: &[usize], operands: [&[usize]; N]) -> Self {
        let strides = operands.map(|operand| {
            broadcast_strides(operand, shape)
                .into_iter()
                .map(|stride| stride as isize)
                .collect()
        });
        Self::new(shape, strides)
    }

    /// Number of rows.
    pub(crate) fn count(&self) -> usize {
        self.outer.iter().copied().fold(1, usize::saturating_mul)
    }

    /// Calls `visit` for each row, with the position of each operand's first element relative to its start.
    pub(crate) fn for_each(&self, visit: impl FnMut([isize; N])) {
        self.for_each_of(0..self.count(), visit);
    }

    /// [`Self::for_each`] of some rows.
    pub(crate) fn for_each_of(&self, rows: Range<usize>, mut visit: impl FnMut([isize; N])) {
        if self.length == 0 || rows.is_empty() {
            return;
        }
        // seldom are there more axes, and a run should not allocate
        let (mut few, mut many) = ([0; 8], Vec::new());
        let coordinates = match few.get_mut(..self.outer.len()) {
            Some(few) => few,
            None => {
                many.resize(self.outer.len(), 0);
                &mut many[..]
            }
        };
        let mut at = [0isize; N];
        let mut rest = rows.start;
        for axis in (0..self.outer.len()).rev() {
            coordinates[axis] = rest % self.outer[axis];
            rest /= self.outer[axis];
            for (operand, at) in at.iter_mut().enumerate() {
                *at += self.outer_strides[operand][axis] * coordinates[axis] as isize;
            }
        }
        for _ in rows {
            visit(at);
            for axis in (0..self.outer.len()).rev() {
                coordinates[axis] += 1;
                for (operand, at) in at.iter_mut().enumerate() {
                    *at += self.outer_strides[operand][axis];
                }
                if coordinates[axis] < self.outer[axis] {
                    break;
                }
                for (operand, at) in at.iter_mut().enumerate() {
                    *at -= self.outer_strides[operand][axis] * self.outer[axis] as isize;
                }
                coordinates[axis] = 0;
            }
        }
    }
}

/// Reads an input with strides into a dense output: Transpose, Slice, Expand and others.
#[derive(Debug, Clone)]
pub(super) struct Strided {
    rows: Rows<1>,
    start: usize,
    /// Where rows of the output are columns of the input.
    planes: Option<Planes>,
}

/// Transposed planes: elements that lie side by side in the input are `apart` in the output.
#[derive(Debug, Clone)]
struct Planes {
    /// Their first elements, in the input and in the output.
    firsts: Rows<2>,
    /// Elements side by side in the input.
    across: usize,
    apart: usize,
}

/// Elements along each side of a square of a plane that is moved at once: its lines stay in the first-level cache.
const SQUARE: usize = 16;

impl Planes {
    fn of(rows: &Rows<1>) -> Option<Self> {
        let strides = &rows.outer_strides[0];
        let axis = (0..rows.outer.len()).rfind(|&axis| strides[axis] == 1 && rows.outer[axis] >= 4)?;
        if matches!(rows.strides[0], 0 | 1) || rows.length < 4 {
            return None;
        }
        let mut apart = rows.length;
        let (mut shape, mut from, mut to) = (Vec::new(), Vec::new(), Vec::new());
        let mut own = 0;
        for other in (0..rows.outer.len()).rev() {
            if other == axis {
                own = apart;
            } else {
                shape.insert(0, rows.outer[other]);
                from.insert(0, strides[other]);
                to.insert(0, apart as isize);
            }
            apart *= rows.outer[other];
        }
        Some(Self {
            firsts: Rows::new(&shape, [from, to]),
            across: rows.outer[axis],
            apart: own,
        })
    }

    /// Number of planes.
    fn count(&self) -> usize {
        self.firsts.count() * self.firsts.length
    }

    /// Some planes, and some of the elements side by side, of which each has a run of the output; `output` begins with element `begin`.
    fn run<W: Pod>(
        &self,
        planes: Range<usize>,
        across: Range<usize>,
        [start, begin]: [usize; 2],
        rows: &Rows<1>,
        input: &[W],
        output: &mut [W],
    ) {
        let (length, stride) = (rows.length, rows.strides[0]);
        let [step_in, step_out] = self.firsts.strides;
        let of_row = self.firsts.length;
        let mut row = planes.start / of_row;
        self.firsts
            .for_each_of(row..planes.end.div_ceil(of_row), |[from, to]| {
                let first = row * of_row;
                row += 1;
                for plane in planes.start.max(first) - first..planes.end.min(first + of_row) - first {
                    let from = start.wrapping_add_signed(from + plane as isize * step_in);
                    let to = (to + plane as isize * step_out) as usize;
                    for j in across.clone().step_by(SQUARE) {
                        for i in (0..length).step_by(SQUARE) {
                            let (end_j, end_i) = (across.end.min(j + SQUARE), length.min(i + SQUARE));
                            for j in j..end_j {
                                let row = &mut output[to + j * self.apart + i - begin..][..end_i - i];
                                let mut at = from.wrapping_add_signed(i as isize * stride) + j;
                                for element in row {
                                    *element = input[at];
                                    at = at.wrapping_add_signed(stride);
                                }
                            }
                        }
                    }
                }
            });
    }
}

impl Strided {
    /// Element (i, j, …) of the output of `shape` is the input's element `start + i·strides[0] + j·strides[1] + …`, which
    /// must lie inside the input.
    pub(super) fn new(shape: &[usize], strides: Vec<isize>, start: usize) -> Self {
        let rows = Rows::new(shape, [strides]);
        let planes = Planes::of(&rows).filter(|_| !shape.contains(&0));
        Self { rows, start, planes }
    }

    /// Reads `input` into `output`, which has an element for each of the shape.
    pub(super) fn run<W: Pod + Send + Sync>(&self, input: &[W], output: &mut [W]) {
        let rows = &self.rows;
        let (length, stride) = (rows.length, rows.strides[0]);
        if let Some(planes) = &self.planes {
            let (all, count) = (output.len(), planes.count());
            // elements side by side that are outermost in the output, else planes
            let outermost = planes.across * planes.apart == all;
            let unit = if outermost {
                planes.apart
            } else {
                all / rows.outer[0]
            };
            return pool::share(output, unit, all as u64, |begin, output| {
                let units = begin / unit..(begin + output.len()) / unit;
                let (of_planes, across) = if outermost {
                    (0..count, units)
                } else {
                    let of_unit = count / rows.outer[0];
                    (units.start * of_unit..units.end * of_unit, 0..planes.across)
                };
                planes.run(of_planes, across, [self.start, begin], rows, input, output);
            });
        }
        let bytes = 2 * size_of_val(output) as u64;
        pool::share(
            output,
            length.max(1),
            bytes / BYTES_OF_A_NANOSECOND,
            |begin, output| {
                let first = begin / length.max(1);
                let count = output.len() / length.max(1);
                let mut of_output = output.chunks_exact_mut(length.max(1));
                rows.for_each_of(first..first + count, |[at]| {
                    let from = self.start.wrapping_add_signed(at);
                    let Some(row) = of_output.next() else { return };
                    match stride {
                        1 => row.copy_from_slice(&input[from..from + length]),
                        0 => row.fill(input[from]),
                        _ => {
                            let mut from = from;
                            for element in row {
                                *element = input[from];
                                from = from.wrapping_add_signed(stride);
                            }
                        }
                    }
                });
            },
        );
    }

    /// The kernel that applies this to input 0 and output 0, of elements of `size` bytes.
    pub(super) fn into_kernel(self, size: usize) -> Box<dyn Kernel> {
        kernel(move |io| {
            let input = io.input(0).bytes();
            let output = io.output(0).map_or(&mut [][..], TensorViewMut::bytes_mut);
            by_size!(size, Word => {
                self.run::<Word>(bytemuck::cast_slice(input), bytemuck::cast_slice_mut(output));
            });
            Ok(())
        })
    }
}

/// Row-major strides as signed numbers.
pub(super) fn signed_strides(shape: &[usize]) -> Vec<isize> {
    crate::shape::strides(shape)
        .into_iter()
        .map(|stride| stride as isize)
        .collect()
}

/// Axes from an attribute or a known input: normalised, without repetition.
pub(super) fn distinct_axes(axes: &[i64], rank: usize) -> Result<Vec<usize>, OpError> {
    let mut seen = vec![false; rank];
    axes.iter()
        .map(|&axis| {
            let axis = super::normalize_axis(axis, rank)?;
            if std::mem::replace(&mut seen[axis], true) {
                return Err(OpError::Shape(format!("axis {axis} is named twice in {axes:?}")));
            }
            Ok(axis)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(rows: &Rows<1>) -> Vec<isize> {
        let mut all = Vec::new();
        rows.for_each(|[at]| all.extend((0..rows.length as isize).map(|i| at + i * rows.strides[0])));
        all
    }

    #[test]
    fn rows_merge_axes_and_visit_every_element() {
        let dense = Rows::broadcast(&[2, 3, 4], [&[2, 3, 4]]);
        assert_eq!(dense.length, 24);
        assert_eq!(positions(&dense), (0..24).collect::<Vec<_>>());
        let repeated = Rows::broadcast(&[2, 3], [&[3]]);
        assert_eq!(positions(&repeated), [0, 1, 2, 0, 1, 2]);
        let transposed = Rows::new(&[3, 2], [vec![1, 3]]);
        assert_eq!(positions(&transposed), [0, 3, 1, 4, 2, 5]);
        assert_eq!(positions(&Rows::broadcast(&[], [&[]])), [0]);
        assert_eq!(positions(&Rows::broadcast(&[2, 0, 3], [&[1, 1, 3]])), [0isize; 0]);
    }

    #[test]
    fn strided_reads_run_backwards_too() {
        let strided = Strided::new(&[2, 2], vec![-2, 1], 2);
        let mut output = [0u8; 4];
        strided.run(&[1, 2, 3, 4], &mut output);
        assert_eq!(output, [3, 4, 1, 2]);
    }

    #[test]
    fn rows_are_shared_out() {
        pool::set_threads(3);
        let shape = [90, 7, 130];
        // the middle axis first, then runs of the last
        let strided = Strided::new(&[7, 90, 130], vec![130, 7 * 130, 1], 0);
        assert!(strided.planes.is_none());
        let input: Vec<u32> = (0..shape.iter().product::<usize>() as u32).collect();
        let mut output = vec![0; input.len()];
        strided.run(&input, &mut output);
        let expected = (0..7 * 90).flat_map(|row| {
            let at = (row % 90 * 7 + row / 90) * 130;
            input[at..at + 130].iter().copied()
        });
        assert!(output.iter().copied().eq(expected));
    }

    #[test]
    fn transposed_planes_hold_what_every_element_says() {
        // orders of three axes whose sizes fill squares and do not, on several threads those that are worth it; the last one runs
        // backwards along the first axis
        pool::set_threads(3);
        for ([a, b, c], order, backwards) in [
            ([12, 67, 72], [0, 2, 1], false),
            ([70, 33, 25], [2, 1, 0], false),
            ([5, 130, 80], [1, 2, 0], false),
            ([3, 17, 40], [0, 2, 1], false),
            ([33, 5, 4], [2, 1, 0], false),
            ([4, 6, 35], [2, 0, 1], false),
            ([20, 1, 21], [2, 1, 0], true),
        ] {
            let (sizes, own) = ([a, b, c], [b * c, c, 1]);
            let shape = order.map(|axis: usize| sizes[axis]);
            let strides = order.map(|axis| {
                let stride = own[axis] as isize;
                if backwards && axis == 0 { -stride } else { stride }
            });
            let start = if backwards { (a - 1) * b * c } else { 0 };
            let input: Vec<u32> = (0..(a * b * c) as u32).collect();
            let mut output = vec![0; input.len()];
            let strided = Strided::new(&shape, strides.to_vec(), start);
            assert!(strided.planes.is_some());
            strided.run(&input, &mut output);
            let expected = (0..output.len()).map(|index| {
                let at = [
                    index / (shape[1] * shape[2]),
                    index / shape[2] % shape[1],
                    index % shape[2],
                ];
                let place: isize = at
                    .iter()
                    .zip(strides)
                    .map(|(&i, stride)| i as isize * stride)
                    .sum();
                input[start.wrapping_add_signed(place)]
            });
            assert!(output.iter().copied().eq(expected), "{shape:?}");
        }
    }
}
