//! Convolutions of few channels: the elements under their windows are copied once, padded, and every tap is read from there.
//!
//! A packed panel of a product holds every element once for each tap that sees it. That pays where many channels of the output share
//! the panel; a depthwise convolution has one. Here a piece of the work copies the part of the input that its windows lie over into
//! the thread's buffer, zeros around it, and takes sixteen positions of a row under a tap with one load:
//!
//! ```text
//! channel │ row │ columns 0, s, 2s …  │ columns 1, s + 1 …  │ … of stride s: side by side what one tap sees
//! ```
//!
//! Where a term lies relative to its position is the same for all positions and makes a table of offsets.

use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{Lanes, Portable, first_lanes, on_isa};
use super::tile::{VECTOR, most_rows};
use crate::isa::Isa;
use crate::pool;
use crate::shape::{Axis, ConvShape};

/// Elements of a window that is copied at a time, if it can be chosen: most of a first-level cache; a part of the second-level cache
/// where many channels are computed from them.
const WINDOW: usize = 6 << 10;
const WINDOW_OF_MANY: usize = 24 << 10;
/// At most.
const LARGEST: usize = pool::BUFFER_BYTES / 4;
/// Terms of an output at most: the table of their offsets takes 256 KiB.
const TERMS: usize = 1 << 16;
/// Copies of rows at most: the table of them takes 384 KiB.
const COPIES: usize = 1 << 15;
/// Positions of a row that are computed from one window.
const COLUMNS: usize = 512;

/// How the elements under the windows of some positions lie in the buffer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Windows {
    extent: Extent,
    /// Where the terms of an output lie.
    offsets: Vec<u32>,
    /// How a row is copied for each piece of the output's columns, one after another.
    copies: Vec<Vec<Copy>>,
}

/// Up to sixteen elements of a row on their way to the buffer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Copy {
    /// Where lane 0 would lie in the row; it may lie outside if it is not among the lanes.
    from: i32,
    /// Where it goes in the row of the window.
    to: u32,
    /// The lanes within the row as bits. With a stride of 2 a copy has 32 lanes, every second of which goes to the next sequence.
    lanes: u32,
}

/// How large windows are.
#[derive(Debug, Clone, PartialEq)]
struct Extent {
    /// Rows and columns of the output that are computed from one window.
    rows: usize,
    columns: usize,
    /// Elements of a channel, of a row, and of every s-th element of it.
    plane: usize,
    pitch: usize,
    phase: usize,
    /// How many such sequences a row has: the stride, or less if no tap sees the others.
    phases: usize,
}

impl Extent {
    /// That of a convolution of at most two axes of space, if its windows fit the buffer.
    fn new(shape: &ConvShape) -> Option<Self> {
        let [depth, height, width] = &shape.axes;
        if *depth != Axis::UNIT || shape.terms() == 0 || shape.terms() > TERMS {
            return None;
        }
        let reach = |axis: &Axis| (axis.kernel - 1).checked_mul(axis.dilation);
        let (down, across) = (reach(height)?, reach(width)?);
        let columns = width.output.min(COLUMNS);
        let phases = width.stride.min(across.checked_add(1)?);
        let mut phase = columns.checked_add(across / width.stride)?;
        if phases > 1 {
            // two are written side by side, in whole vectors
            phase = phase.checked_next_multiple_of(VECTOR)?;
        }
        let pitch = phase.checked_mul(phases)?;
        let elements = |rows: usize| {
            let lines = (rows - 1)
                .checked_mul(height.stride)?
                .checked_add(down)?
                .checked_add(1)?;
            let plane = lines.checked_mul(pitch)?;
            let all = plane.checked_mul(shape.in_channels)?.checked_add(2 * VECTOR)?;
            (all <= LARGEST).then_some((plane, all))
        };
        let enough = if shape.out_channels > 1 {
            WINDOW_OF_MANY
        } else {
            WINDOW
        };
        // as many rows as fit, or one
        let mut rows = height.output.max(1);
        while rows > 1 && elements(rows).is_none_or(|(_, all)| all > enough) {
            rows = rows.div_ceil(2);
        }
        let (plane, _) = elements(rows)?;
        let extent = Self {
            rows,
            columns,
            plane,
            pitch,
            phase,
            phases,
        };
        if extent.copies(shape) > COPIES || width.input.max(width.pad_begin) >= 1 << 30 {
            return None;
        }
        Some(extent)
    }

    /// Copies of all pieces of a row, at most.
    fn copies(&self, shape: &ConvShape) -> usize {
        shape.axes[2].output.div_ceil(self.columns.max(1)) * self.phases * self.phase.div_ceil(VECTOR)
    }
}

/// Bytes of the tables of a convolution, at most.
pub(super) fn bytes(shape: &ConvShape) -> usize {
    let copies = Extent::new(shape).map_or(0, |extent| extent.copies(shape));
    4 * shape.terms() + copies * size_of::<Copy>()
}

/// Whether a convolution can be computed by windows.
pub(super) fn possible(shape: &ConvShape) -> bool {
    Extent::new(shape).is_some()
}

impl Windows {
    /// Plans a convolution, if that is [`possible`].
    pub(super) fn new(shape: &ConvShape) -> Option<Self> {
        let extent = Extent::new(shape)?;
        let &Extent {
            columns,
            plane,
            pitch,
            phase,
            phases,
            ..
        } = &extent;
        let [_, height, width] = &shape.axes;
        let mut offsets = Vec::with_capacity(shape.terms());
        for channel in 0..shape.in_channels {
            for kh in 0..height.kernel {
                for kw in 0..width.kernel {
                    let column = kw * width.dilation;
                    let in_row = column % width.stride * phase + column / width.stride;
                    let offset = channel * plane + kh * height.dilation * pitch + in_row;
                    offsets.push(offset as u32);
                }
            }
        }
        let copies = (0..width.output)
            .step_by(columns.max(1))
            .map(|first| copies_of_row(width, first, [phases, phase]))
            .collect();
        Some(Windows {
            extent,
            copies,
            offsets,
        })
    }

    /// The rows that are computed from one window.
    pub(super) fn rows(&self) -> usize {
        self.extent.rows
    }

    /// Columns of the output in pieces that are computed from one window each.
    pub(super) fn columns(&self, shape: &ConvShape) -> impl Iterator<Item = Range<usize>> {
        let (step, end) = (self.extent.columns.max(1), shape.axes[2].output);
        (0..end)
            .step_by(step)
            .map(move |first| first..end.min(first + step))
    }

    /// Elements of the buffer that a window takes: vectors may be read and written beyond its last element.
    pub(super) fn size(&self, shape: &ConvShape) -> usize {
        shape.in_channels * self.extent.plane + 2 * VECTOR
    }

    /// Copies what lies under the windows of some rows and columns of the output, with the zeros around it.
    ///
    /// # Panics
    /// If the input of a group or the buffer is too short, or there are more rows or columns than planned.
    pub(super) fn fill(
        &self,
        isa: Isa,
        shape: &ConvShape,
        x: &[f32],
        rows: Range<usize>,
        columns: Range<usize>,
        buffer: &mut [f32],
    ) {
        let [_, height, width] = &shape.axes;
        assert!(
            x.len() >= shape.in_channels * shape.input_size(),
            "a group has all its channels"
        );
        assert!(buffer.len() >= self.size(shape), "room for a window");
        assert!(
            rows.len() <= self.extent.rows && columns.len() <= self.extent.columns && !rows.is_empty(),
            "a window of the planned size"
        );
        let lines = (rows.len() - 1) * height.stride + (height.kernel - 1) * height.dilation + 1;
        let last = (shape.in_channels - 1) * self.extent.plane + (lines - 1) * self.extent.pitch;
        assert!(
            last + self.extent.pitch + VECTOR <= buffer.len(),
            "room for whole vectors of the last row"
        );
        let copies = &self.copies[columns.start / self.extent.columns.max(1)];
        for channel in 0..shape.in_channels {
            let x = &x[channel * shape.input_size()..][..shape.input_size()];
            let job = Lines {
                x,
                length: width.input,
                first: (rows.start * height.stride) as isize - height.pad_begin as isize,
                count: lines,
                copies,
                pitch: self.extent.pitch,
                phase: self.extent.phase,
            };
            let to = buffer[channel * self.extent.plane..].as_mut_ptr();
            // SAFETY: copies name elements of a row of `length` and lie, with fifteen elements more, in rows of the buffer, which has
            // all lines.
            unsafe {
                match width.stride {
                    1 => copy_lines::<1>(isa, &job, 1, to),
                    2 if self.extent.phases == 2 => copy_lines::<2>(isa, &job, 2, to),
                    stride => copy_lines::<3>(isa, &job, stride, to),
                }
            }
        }
    }

    /// Computes some channels (`height` of them, as many as a tile has at most) of the positions whose window was copied: `w` holds
    /// the weights of each term, `w_stride` apart, `out` their outputs from the first position of the first row on.
    ///
    /// # Panics
    /// If there are not as many weights as terms.
    ///
    /// # Safety
    /// `out` must be valid for these channels, `channel_stride` apart, rows and columns, and nobody else's.
    #[expect(clippy::too_many_arguments, reason = "a convolution has this many numbers")]
    pub(super) unsafe fn run(
        &self,
        isa: Isa,
        shape: &ConvShape,
        [rows, columns, channels]: [usize; 3],
        window: &[f32],
        w: &[f32],
        w_stride: usize,
        out: *mut f32,
        channel_stride: usize,
    ) {
        let [_, height, width] = &shape.axes;
        assert!(window.len() >= self.size(shape), "a whole window");
        assert!(
            rows <= self.extent.rows && columns <= self.extent.columns,
            "a window of the planned size"
        );
        assert!(
            (1..=most_rows(isa)).contains(&channels),
            "a tile has a few channels"
        );
        assert!(
            (self.offsets.len() - 1) * w_stride + channels <= w.len(),
            "every term has its weights"
        );
        if channels == 1 && shape.in_channels == 1 && height.dilation == 1 && rows >= SHARING {
            let plane = Plane {
                x: window.as_ptr(),
                pitch: self.extent.pitch,
                offsets: &self.offsets,
                w: w.as_ptr(),
                w_stride,
                out,
                rows,
                columns,
                width: width.output,
            };
            let known = (height.kernel, width.kernel, height.stride);
            // SAFETY: as below, every vector begins in the window; there are as many taps as offsets.
            unsafe {
                match known {
                    (3, 3, 1) => return share_rows::<3, 3, 1>(isa, &plane),
                    (3, 3, 2) => return share_rows::<3, 3, 2>(isa, &plane),
                    (5, 5, 1) => return share_rows::<5, 5, 1>(isa, &plane),
                    (5, 5, 2) => return share_rows::<5, 5, 2>(isa, &plane),
                    _ => {}
                }
            }
        }
        let most = match (isa, channels) {
            (Isa::Avx512, 1) => 8,
            (Isa::Avx512, 2..=5) | (_, 1) => 4,
            (Isa::Avx512, _) | (_, 2..=3) => 2,
            _ => 1,
        };
        let mut group = Group {
            offsets: &self.offsets,
            w: w.as_ptr(),
            w_stride,
            channel_stride,
            x: [window.as_ptr(); MOST],
            out: [out; MOST],
            masks: [0; MOST],
        };
        let mut vectors = 0;
        for row in 0..rows {
            for column in (0..columns).step_by(VECTOR) {
                group.x[vectors] = window
                    .as_ptr()
                    .wrapping_add(row * height.stride * self.extent.pitch + column);
                group.out[vectors] = out.wrapping_add(row * width.output + column);
                group.masks[vectors] = first_lanes(VECTOR.min(columns - column));
                vectors += 1;
                if vectors == most {
                    // SAFETY: every vector begins in the window, which has room for one beyond its end; the rest is the contract.
                    unsafe { dispatch(isa, channels, &group) };
                    vectors = 0;
                }
            }
        }
        if vectors > 0 {
            // what is left of the group before would be written again
            group.masks[vectors..].fill(0);
            // SAFETY: as above; nothing is written where the mask is empty.
            unsafe { dispatch(isa, channels, &group) };
        }
    }
}

/// The copies of a row for the columns of the output from `first` on.
fn copies_of_row(width: &Axis, first: usize, [phases, phase]: [usize; 2]) -> Vec<Copy> {
    let mut copies = Vec::with_capacity(phases * phase.div_ceil(VECTOR));
    let pairs = width.stride == 2 && phases == 2;
    for number in 0..if pairs { 1 } else { phases } {
        for start in (0..phase).step_by(VECTOR) {
            let from = ((first + start) * width.stride + number) as i64 - width.pad_begin as i64;
            let (count, step) = if pairs { (32, 1) } else { (VECTOR, width.stride) };
            let mut lanes = 0_u32;
            for lane in 0..count {
                let element = from + (lane * step) as i64;
                lanes |= u32::from((0..width.input as i64).contains(&element)) << lane;
            }
            copies.push(Copy {
                from: from as i32,
                to: (number * phase + start) as u32,
                lanes,
            });
        }
    }
    copies
}

/// Lines of a channel that are copied, from row `first` on, which may lie outside.
pub(super) struct Lines<'a> {
    x: &'a [f32],
    /// Elements of a row.
    length: usize,
    first: isize,
    count: usize,
    copies: &'a [Copy],
    pitch: usize,
    phase: usize,
}

on_isa! {
    /// # Safety
    /// The copies must name elements of rows, and there must be room for sixteen elements where each goes in every line.
    unsafe fn copy_lines<L, const STRIDE: usize>(job: &Lines<'_>, stride: usize, to: *mut f32) {
        for line in 0..job.count {
            let row = job.first + line as isize;
            let to = to.wrapping_add(line * job.pitch);
            let within = row >= 0 && (row as usize + 1) * job.length <= job.x.len();
            let from = job.x.as_ptr().wrapping_offset(row * job.length as isize);
            for at in 0..job.copies.len() {
                // SAFETY: by the contract.
                unsafe {
                    let copy = job.copies.get_unchecked(at);
                    let from = from.wrapping_offset(copy.from as isize);
                    let elements = if !within {
                        if STRIDE == 2 {
                            L::zero().store(to.add(copy.to as usize + job.phase));
                        }
                        L::zero()
                    } else if STRIDE == 1 {
                        if copy.lanes == 0xffff {
                            L::load(from)
                        } else {
                            L::load_some(from, copy.lanes as u16)
                        }
                    } else if STRIDE == 2 {
                        let (even, odd) = L::load_pairs(from, copy.lanes);
                        odd.store(to.add(copy.to as usize + job.phase));
                        even
                    } else {
                        let mut some = [0.0; VECTOR];
                        for (lane, element) in some.iter_mut().enumerate() {
                            if copy.lanes >> lane & 1 != 0 {
                                *element = *from.wrapping_add(lane * stride);
                            }
                        }
                        L::load(some.as_ptr())
                    };
                    elements.store(to.add(copy.to as usize));
                }
            }
        }
    }
}

/// Rows of the output that share what they load.
const SHARING: usize = 4;

/// The positions of one channel, whose terms are the taps of one channel.
pub(super) struct Plane<'a> {
    x: *const f32,
    pitch: usize,
    /// Those of the taps of the first row are used.
    offsets: &'a [u32],
    w: *const f32,
    w_stride: usize,
    out: *mut f32,
    rows: usize,
    columns: usize,
    width: usize,
}

on_isa! {
    /// Four rows at a time: what lies under a tap of one lies under a tap of the row above as well and is loaded once. For each position
    /// the taps come in ascending order.
    ///
    /// # Safety
    /// There must be at least four rows, `KH` · `KW` weights, and sixteen elements wherever a vector begins.
    #[allow(clippy::needless_range_loop, reason = "loops of constant length over registers are unrolled as they are")]
    unsafe fn share_rows<L, const KH: usize, const KW: usize, const STRIDE: usize>(plane: &Plane<'_>) {
        // SAFETY: the contract.
        unsafe {
            let mut w = [[L::zero(); KW]; KH];
            let mut taps = [0; KW];
            for kh in 0..KH {
                for kw in 0..KW {
                    w[kh][kw] = L::splat(plane.w.add((kh * KW + kw) * plane.w_stride));
                }
            }
            for kw in 0..KW {
                taps[kw] = *plane.offsets.get_unchecked(kw) as usize;
            }
            let mut first = 0;
            while first < plane.rows {
                // the last four rows may have been computed in part
                let row = first.min(plane.rows - SHARING);
                let mut column = 0;
                while column < plane.columns {
                    let x = plane.x.add(row * STRIDE * plane.pitch + column);
                    let mut chains = [L::zero(); SHARING];
                    for line in 0..(SHARING - 1) * STRIDE + KH {
                        for kw in 0..KW {
                            let elements = L::load(x.add(line * plane.pitch + taps[kw]));
                            for i in 0..SHARING {
                                if line >= i * STRIDE && line < i * STRIDE + KH {
                                    chains[i] = w[line - i * STRIDE][kw].fma(elements, chains[i]);
                                }
                            }
                        }
                    }
                    let out = plane.out.add(row * plane.width + column);
                    if column + VECTOR <= plane.columns {
                        for i in 0..SHARING {
                            chains[i].store(out.add(i * plane.width));
                        }
                    } else {
                        let mask = first_lanes(plane.columns - column);
                        for i in 0..SHARING {
                            chains[i].store_some(out.add(i * plane.width), mask);
                        }
                    }
                    column += VECTOR;
                }
                first += SHARING;
            }
        }
    }
}

/// The most vectors of a group.
const MOST: usize = 8;

/// Some vectors of positions and what their channels are computed from.
struct Group<'a> {
    offsets: &'a [u32],
    w: *const f32,
    w_stride: usize,
    channel_stride: usize,
    x: [*const f32; MOST],
    out: [*mut f32; MOST],
    masks: [u16; MOST],
}

/// Runs the kernel for this many channels.
///
/// # Safety
/// At every offset from every `x` there must be sixteen elements, for every term `channels` weights, and `isa` must come from
/// [`Isa::current`]; the outputs of a mask must be valid.
unsafe fn dispatch(isa: Isa, channels: usize, group: &Group<'_>) {
    macro_rules! choose {
        ($kernel:ident: $(($r:literal, $v:literal))*) => {
            match channels {
                // SAFETY: the contract.
                $($r => unsafe { $kernel::<$r, $v>(group) },)*
                _ => unreachable!("there is a kernel for every tile"),
            }
        };
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            choose!(avx512: (1, 8) (2, 4) (3, 4) (4, 4) (5, 4) (6, 2) (7, 2) (8, 2) (9, 2) (10, 2) (11, 2) (12, 2)
            (13, 2) (14, 2))
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => choose!(avx2: (1, 4) (2, 2) (3, 2) (4, 1) (5, 1) (6, 1)),
        _ => choose!(portable: (1, 4) (2, 2) (3, 2) (4, 1) (5, 1) (6, 1)),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn avx512<const R: usize, const V: usize>(group: &Group<'_>) {
    // SAFETY: the contract of `dispatch`.
    unsafe { chains::<Avx512, R, V>(group) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const R: usize, const V: usize>(group: &Group<'_>) {
    // SAFETY: the contract of `dispatch`.
    unsafe { chains::<Avx2, R, V>(group) }
}

unsafe fn portable<const R: usize, const V: usize>(group: &Group<'_>) {
    // SAFETY: the contract of `dispatch`.
    unsafe { chains::<Portable, R, V>(group) }
}

/// The chains of `R` channels times `V` vectors of positions; see `tile` for why the loops count.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "as said")]
unsafe fn chains<L: Lanes, const R: usize, const V: usize>(group: &Group<'_>) {
    // SAFETY: the contract of `dispatch`.
    unsafe {
        let mut x = [group.x[0]; V];
        x.copy_from_slice(&group.x[..V]);
        let mut chains = [[L::zero(); V]; R];
        let mut w = group.w;
        for term in 0..group.offsets.len() {
            let offset = *group.offsets.as_ptr().add(term) as usize;
            let mut elements = [L::zero(); V];
            for v in 0..V {
                elements[v] = L::load(x[v].add(offset));
            }
            for i in 0..R {
                let weight = L::splat(w.add(i));
                for v in 0..V {
                    chains[i][v] = weight.fma(elements[v], chains[i][v]);
                }
            }
            w = w.wrapping_add(group.w_stride);
        }
        for i in 0..R {
            for v in 0..V {
                let to = group.out[v].wrapping_add(i * group.channel_stride);
                chains[i][v].store_some(to, group.masks[v]);
            }
        }
    }
}
