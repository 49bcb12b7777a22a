//! Where the elements under a window's taps lie, sixteen windows at a time.
//!
//! For sixteen output positions and one tap the input elements lie side by side (or at every second place, with a stride of 2), but
//! for padding and for the step from one row of the output to the next. A [`Patch`] says where, and which lanes it is for; the other
//! lanes are +0.0. It is the same for all channels, so a table of them is made once. Of a convolution whose output has the
//! input's width even a step between rows needs no second patch: there both move by the same number of elements.

use super::lanes::spread;
use super::tile::VECTOR;
use crate::shape::{Axis, ConvShape};

/// Some lanes of sixteen positions under one tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patch {
    /// Where lane 0 would lie in the channel; it may lie outside if it is not among the lanes.
    pub(super) offset: i32,
    /// The lanes as bits: bit l, or bit 2l if the stride is 2 (see [`Lanes::load_second`](super::lanes::Lanes::load_second)); bit 31
    /// says that this is the last patch of its tap.
    pub(super) lanes: u32,
}

/// [`Patch::lanes`]: the last of its tap.
pub(super) const LAST: u32 = 1 << 31;

/// Runs of at most sixteen output positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: usize,
    pub(super) count: usize,
}

/// The patches of some runs of positions, for some taps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    patches: Vec<Patch>,
    /// Where the patches of a run begin.
    starts: Vec<u32>,
}

impl Table {
    /// Patches of run `index`, those of its first tap first.
    #[inline(always)]
    pub(super) fn run(&self, index: usize) -> &[Patch] {
        &self.patches[self.starts[index] as usize..self.starts[index + 1] as usize]
    }

    /// Whether patches of a convolution can be numbered: their places fit 31 bits with room for what lies outside.
    pub(super) fn possible(shape: &ConvShape) -> bool {
        let [.., width] = &shape.axes;
        let around = [
            width.pad_begin,
            width.kernel * width.dilation,
            VECTOR * width.stride,
        ];
        around
            .iter()
            .fold(shape.input_size(), |sum, &x| sum.saturating_add(x))
            < 1 << 30
    }

    /// Bytes of a table of so many runs and taps, most of which have one patch.
    pub(super) fn bytes(runs: usize, taps: usize) -> usize {
        runs.saturating_mul(taps)
            .saturating_mul(2 * size_of::<Patch>())
            .saturating_add(runs.saturating_mul(4))
    }

    /// Fills the table with the patches of these runs and taps.
    pub(super) fn fill(
        &mut self,
        shape: &ConvShape,
        runs: impl IntoIterator<Item = Run>,
        taps: std::ops::Range<usize>,
    ) {
        let [depth, height, width] = &shape.axes;
        self.patches.clear();
        self.starts.clear();
        self.starts.push(0);
        for run in runs {
            debug_assert!(run.count <= VECTOR, "a run fits a vector");
            for tap in taps.clone() {
                let kd = tap / (height.kernel * width.kernel);
                let kh = tap / width.kernel % height.kernel;
                let kw = tap % width.kernel;
                let begin = self.patches.len();
                let mut lane = 0;
                while lane < run.count {
                    let position = run.first + lane;
                    let (row, ow) = (position / width.output, position % width.output);
                    let (od, oh) = (row / height.output, row % height.output);
                    let count = (width.output - ow).min(run.count - lane);
                    if let (Some(d), Some(h)) = (depth.element(od, kd), height.element(oh, kh)) {
                        let of_row = (d * height.input + h) * width.input;
                        self.piece(begin, width, of_row, [lane, count, ow, kw]);
                    }
                    lane += count;
                }
                match self.patches[begin..].last_mut() {
                    Some(patch) => patch.lanes |= LAST,
                    None => self.patches.push(Patch {
                        offset: 0,
                        lanes: LAST,
                    }),
                }
            }
            self.starts.push(self.patches.len() as u32);
        }
    }

    /// Adds `count` lanes from `lane` on, which are positions of one row from `ow` on.
    fn piece(&mut self, begin: usize, width: &Axis, of_row: usize, [lane, count, ow, kw]: [usize; 4]) {
        let mut lanes = 0_u16;
        for l in 0..count {
            if width.element(ow + l, kw).is_some() {
                lanes |= 1 << (lane + l);
            }
        }
        if lanes == 0 {
            return;
        }
        let element = (ow * width.stride + kw * width.dilation) as i64 - width.pad_begin as i64;
        let offset = (of_row as i64 + element - (lane * width.stride) as i64) as i32;
        let lanes = if width.stride == 2 {
            spread(lanes)
        } else {
            lanes.into()
        };
        match self.patches[begin..].last_mut() {
            Some(patch) if patch.offset == offset => patch.lanes |= lanes,
            _ => self.patches.push(Patch { offset, lanes }),
        }
    }
}

/// The elements of one tap, from `patches` on, of a channel that begins at `plane`; `used` counts the patches.
///
/// # Safety
/// The channel must have the elements that the patches name, and the contract of [`Lanes`](super::lanes::Lanes) holds.
#[inline(always)]
pub(super) unsafe fn load<L: super::lanes::Lanes, const STRIDE: usize>(
    plane: *const f32,
    stride: usize,
    patches: *const Patch,
    used: &mut usize,
) -> L {
    // SAFETY: a patch names elements of the channel only; every tap ends with a patch that says so.
    unsafe {
        let mut patch = *patches.add(*used);
        *used += 1;
        let mut elements = load_one::<L, STRIDE>(plane, stride, patch);
        while patch.lanes & LAST == 0 {
            patch = *patches.add(*used);
            *used += 1;
            elements = elements.or(load_one::<L, STRIDE>(plane, stride, patch));
        }
        elements
    }
}

/// # Safety
/// As [`load`].
#[inline(always)]
unsafe fn load_one<L: super::lanes::Lanes, const STRIDE: usize>(
    plane: *const f32,
    stride: usize,
    patch: Patch,
) -> L {
    let from = plane.wrapping_offset(patch.offset as isize);
    // SAFETY: as above.
    unsafe {
        match STRIDE {
            1 => L::load_some(from, patch.lanes as u16),
            2 => L::load_second(from, patch.lanes & !LAST),
            _ => {
                let mut elements = [0.0; VECTOR];
                for (lane, element) in elements.iter_mut().enumerate() {
                    if patch.lanes >> lane & 1 != 0 {
                        *element = *from.wrapping_add(lane * stride);
                    }
                }
                L::load(elements.as_ptr())
            }
        }
    }
}
