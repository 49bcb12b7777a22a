//! Convolutions of each channel alone: no sum over channels, so no product of matrices.
//!
//! Channels lie side by side, 64 at a time. The VNNI kernel shuffles the pixels under four taps together, so that each lane
//! multiplies and adds the four taps of one channel.

use super::epilogue::requantize_row;
use super::product::{Columns, Sink, Walk};
use super::tile::COLUMNS;
use super::unit::Unit;
use crate::isa::multiversion;
use crate::quantize::Byte;
use std::ops::Range;

/// Weights, channels side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Taps {
    /// For each block of 64 channels, each four taps, as the shuffled pixels lie (see `vnni`).
    Bytes(Vec<i8>),
    /// For each tap, all channels.
    Words(Vec<i16>),
}

impl Taps {
    /// Packs the weights of channels that have `taps` each, and adds up each channel's.
    pub(super) fn new<W: Byte>(channels: usize, taps: usize, w: &[W], sums: &mut [i32]) -> Self {
        let padded = channels.next_multiple_of(COLUMNS);
        for (sum, w) in sums.iter_mut().zip(w.chunks_exact(taps.max(1))) {
            *sum = w.iter().map(|w| i32::from(w.shifted_signed())).sum();
        }
        if Unit::current().has_wide_vnni() {
            let quads = taps.div_ceil(4);
            let mut bytes = vec![0; padded * quads * 4];
            for (at, byte) in bytes.iter_mut().enumerate() {
                let (block, within) = (at / (quads * 256), at % (quads * 256));
                let (quad, within) = (within / 256, within % 256);
                // vector k, lane l, element j, term t
                let [k, l, j, t] = [within / 64, within / 16 % 4, within / 4 % 4, within % 4];
                let (channel, tap) = (block * COLUMNS + 16 * l + 4 * k + j, 4 * quad + t);
                if channel < channels && tap < taps {
                    *byte = w[channel * taps + tap].shifted_signed();
                }
            }
            return Taps::Bytes(bytes);
        }
        let mut words = vec![0; padded * taps];
        for channel in 0..channels {
            for tap in 0..taps {
                words[tap * padded + channel] = w[channel * taps + tap].shifted_signed().into();
            }
        }
        Taps::Words(words)
    }
}

/// One convolution of channels alone.
pub(super) struct Depthwise<'a> {
    pub(super) unit: Unit,
    pub(super) taps: &'a Taps,
    pub(super) channels: usize,
    /// Bytes from the pixel under the first tap to that under each.
    pub(super) offsets: &'a [usize],
    pub(super) signed: bool,
    pub(super) with: Columns<'a>,
}

impl Depthwise<'_> {
    /// Computes some blocks of 64 channels for `count` positions from number `first` of the walk.
    ///
    /// # Safety
    /// Each position must have readable pixels under its taps; the sink must have room for the results, and nobody else may use it.
    pub(super) unsafe fn run(
        &self,
        walk: Walk,
        first: usize,
        count: usize,
        blocks: Range<usize>,
        sink: Sink<'_>,
    ) {
        for block in blocks {
            let from = block * COLUMNS;
            let channels = COLUMNS.min(self.channels - from);
            for i in 0..count {
                let (line, place) = ((first + i) / walk.width, (first + i) % walk.width);
                let start = walk
                    .start
                    .wrapping_add(line * walk.line + place * walk.row + from);
                match sink {
                    #[cfg(target_arch = "x86_64")]
                    Sink::Bytes { out, row, requantize }
                        if self.unit.has_wide_vnni()
                            && requantize.finite
                            && self.with.zeros.is_none()
                            && let Taps::Bytes(taps) = self.taps =>
                    {
                        // a line of positions at a time: what belongs to the channels is loaded once
                        if i > 0 && place > 0 {
                            continue;
                        }
                        let length = (walk.width - place).min(count - i);
                        let quads = self.offsets.len().div_ceil(4);
                        let taps = &taps[block * quads * 256..][..quads * 256];
                        // SAFETY: the pixels are readable and the sink has the results by the contract; the unit is available.
                        unsafe {
                            vnni::line(
                                start,
                                walk.row,
                                length,
                                self.offsets,
                                taps,
                                self.signed,
                                &requantize,
                                from,
                                channels,
                                out.wrapping_add(i * row + from),
                                row,
                            );
                        }
                    }
                    Sink::Bytes { out, row, requantize } => {
                        // SAFETY: by the contract.
                        let (sums, out) = unsafe {
                            let out =
                                std::slice::from_raw_parts_mut(out.wrapping_add(i * row + from), channels);
                            (self.sums(start, block, channels), out)
                        };
                        requantize_row(&sums, &requantize, from, out);
                    }
                    Sink::Sums { out, row, column } => {
                        // SAFETY: by the contract.
                        let sums = unsafe { self.sums(start, block, channels) };
                        for (j, sum) in sums[..channels].iter().enumerate() {
                            let sum = sum.wrapping_add(self.with.starts[from + j]);
                            // SAFETY: by the contract the sink has this row and column.
                            unsafe { *out.add(i * row + (from + j) * column) = sum };
                        }
                    }
                }
            }
        }
    }

    /// The sums of one position and one block of channels.
    ///
    /// # Safety
    /// As [`Self::run`].
    unsafe fn sums(&self, start: *const u8, block: usize, channels: usize) -> [i32; COLUMNS] {
        let from = block * COLUMNS;
        let mut sums = [0; COLUMNS];
        let zeros = self.with.zeros.map(|zeros| &zeros[from..][..channels]);
        let flip = if self.signed { 0x80 } else { 0 };
        let quads = self.offsets.len().div_ceil(4);
        for (tap, &offset) in self.offsets.iter().enumerate() {
            // SAFETY: by the contract the pixel under the tap is readable.
            let x = unsafe { std::slice::from_raw_parts(start.add(offset), channels) };
            match self.taps {
                Taps::Words(words) => {
                    let padded = self.channels.next_multiple_of(COLUMNS);
                    add_tap(
                        x,
                        flip,
                        &words[tap * padded + from..][..channels],
                        zeros,
                        &mut sums,
                    );
                }
                Taps::Bytes(bytes) => {
                    let bytes = &bytes[(block * quads + tap / 4) * 256..][..256];
                    let words: [i16; COLUMNS] = std::array::from_fn(|c| {
                        bytes[c / 4 % 4 * 64 + c / 16 * 16 + c % 4 * 4 + tap % 4].into()
                    });
                    add_tap(x, flip, &words[..channels], zeros, &mut sums);
                }
            }
        }
        sums
    }
}

multiversion! {
    /// Adds the products of the pixel under a tap.
    fn add_tap[](x: &[u8], flip: u8, w: &[i16], zeros: Option<&[i32]>, sums: &mut [i32; COLUMNS]) {
        match zeros {
            // 255 × 128 fits 16 bits
            None => {
                for ((sum, &x), &w) in sums.iter_mut().zip(x).zip(w) {
                    *sum = sum.wrapping_add((i16::from(x ^ flip).wrapping_mul(w)).into());
                }
            }
            Some(zeros) => {
                for (((sum, &x), &w), &zero) in sums.iter_mut().zip(x).zip(w).zip(zeros) {
                    *sum = sum.wrapping_add(i32::from(x ^ flip) * (i32::from(w) - zero));
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod vnni {
    use super::super::epilogue::Requantize;
    use std::arch::x86_64::*;
    use std::ops::Range;

    /// Of 64 numbers, four in each lane: what vector k of shuffled pixels holds. With several positions in a vector the numbers of
    /// the first lanes come again in those of each.
    ///
    /// # Safety
    /// As many numbers of 32 bits as there are up to 64 / `POSITIONS`, in fours, must be readable.
    #[target_feature(enable = "avx512f")]
    unsafe fn of_lanes<const POSITIONS: usize>(numbers: *const i32, k: usize, count: usize) -> __m512i {
        let mut part = [_mm_setzero_si128(); 4];
        for (l, part) in part.iter_mut().enumerate() {
            let at = 16 * (l % (4 / POSITIONS)) + 4 * k;
            if at < count {
                // SAFETY: by the contract.
                *part = unsafe { _mm_loadu_si128(numbers.add(at).cast()) };
            }
        }
        in_lanes(part)
    }

    /// Four lanes as one vector.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn in_lanes(part: [__m128i; 4]) -> __m512i {
        let all = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(part[0]), part[1]);
        _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(all, part[2]), part[3])
    }

    /// A line of positions, `channels` ≤ 64.
    ///
    /// # Safety
    /// As [`super::Depthwise::run`]; `taps` has 256 bytes for each four offsets; the starts and factors have as many channels from
    /// `from`, filled up to a multiple of four; AVX-512 and VNNI must be available.
    #[expect(
        clippy::too_many_arguments,
        reason = "a kernel has as many operands as it has"
    )]
    pub(super) unsafe fn line(
        start: *const u8,
        step: usize,
        length: usize,
        offsets: &[usize],
        taps: &[i8],
        signed: bool,
        requantize: &Requantize<'_>,
        from: usize,
        channels: usize,
        out: *mut u8,
        stride: usize,
    ) {
        let with = Line {
            start,
            step,
            length,
            offsets,
            taps,
            requantize,
            from,
            channels,
            out,
            stride,
        };
        // SAFETY: by the contract.
        unsafe {
            // few channels leave room for several positions in a vector
            match (offsets.len(), channels) {
                (9, 1..=16) => with.run::<9, 4>(signed),
                (9, 17..=32) => with.run::<9, 2>(signed),
                (9, _) => with.run::<9, 1>(signed),
                (25, 1..=16) => with.run::<25, 4>(signed),
                (25, 17..=32) => with.run::<25, 2>(signed),
                (25, _) => with.run::<25, 1>(signed),
                (_, 1..=16) => with.run::<0, 4>(signed),
                (_, 17..=32) => with.run::<0, 2>(signed),
                _ => with.run::<0, 1>(signed),
            }
        }
    }

    /// The operands of [`line`].
    struct Line<'a> {
        start: *const u8,
        step: usize,
        length: usize,
        offsets: &'a [usize],
        taps: &'a [i8],
        requantize: &'a Requantize<'a>,
        from: usize,
        channels: usize,
        out: *mut u8,
        stride: usize,
    }

    /// What belongs to the channels, as shuffled pixels lie.
    struct Lanes {
        starts: [__m512i; 4],
        factors: [__m512i; 4],
        /// The channels that there are.
        mask: u64,
    }

    impl Line<'_> {
        /// With a number of taps known to the compiler, which unrolls them, or 0, and so many positions at a time.
        ///
        /// # Safety
        /// As [`line`]; there are `TAPS` offsets unless it is 0, and at most 64 / `POSITIONS` channels.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        unsafe fn run<const TAPS: usize, const POSITIONS: usize>(&self, signed: bool) {
            let (requantize, channels) = (self.requantize, self.channels);
            assert!(
                channels <= 64 / POSITIONS,
                "positions have a vector's room together"
            );
            let padded = channels.next_multiple_of(4);
            let first_start = requantize.starts[self.from..][..padded].as_ptr();
            let first_factor = requantize.factors[self.from..][..padded].as_ptr();
            let mut lanes = Lanes {
                starts: [_mm512_setzero_si512(); 4],
                factors: [_mm512_setzero_si512(); 4],
                mask: u64::MAX >> (64 - channels),
            };
            for k in 0..4 {
                // SAFETY: both have the channels.
                unsafe {
                    lanes.starts[k] = of_lanes::<POSITIONS>(first_start, k, channels);
                    lanes.factors[k] = of_lanes::<POSITIONS>(first_factor.cast(), k, channels);
                }
            }
            let mut known = [0; TAPS];
            let offsets = if TAPS > 0 {
                known.copy_from_slice(self.offsets);
                &known[..]
            } else {
                self.offsets
            };
            assert_eq!(
                self.taps.len(),
                256 * offsets.len().div_ceil(4),
                "the taps have their weights"
            );
            let together = self.length - self.length % POSITIONS;
            // SAFETY: the contract.
            unsafe {
                if signed {
                    self.positions::<TAPS, POSITIONS, true>(&lanes, offsets, 0..together);
                    self.positions::<TAPS, 1, true>(&lanes, offsets, together..self.length);
                } else {
                    self.positions::<TAPS, POSITIONS, false>(&lanes, offsets, 0..together);
                    self.positions::<TAPS, 1, false>(&lanes, offsets, together..self.length);
                }
            }
        }

        /// Some positions, so many at a time.
        ///
        /// # Safety
        /// As [`Self::run`]; `offsets` are the line's, the positions a multiple of `POSITIONS`.
        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        unsafe fn positions<const TAPS: usize, const POSITIONS: usize, const SIGNED: bool>(
            &self,
            lanes: &Lanes,
            offsets: &[usize],
            positions: Range<usize>,
        ) {
            let requantize = self.requantize;
            let (quads, rest) = offsets.as_chunks::<4>();
            let flip = _mm512_set1_epi8(-128);
            let zero = _mm512_set1_epi16(requantize.zero);
            let most = _mm512_set1_ps(1e6);
            for i in positions.step_by(POSITIONS) {
                let at = self.start.wrapping_add(i * self.step);
                let under = |offset: usize| {
                    // SAFETY: by the contract the channels of these pixels are readable.
                    let pixels = unsafe { load::<POSITIONS>(at.wrapping_add(offset), self.step, lanes.mask) };
                    if SIGNED {
                        _mm512_xor_si512(pixels, flip)
                    } else {
                        pixels
                    }
                };
                let mut sums = lanes.starts;
                let mut taps = self.taps.as_ptr();
                for quad in quads {
                    let pixels = [under(quad[0]), under(quad[1]), under(quad[2]), under(quad[3])];
                    // SAFETY: the four taps have 256 bytes.
                    unsafe { add::<POSITIONS>(pixels, taps, &mut sums) };
                    taps = taps.wrapping_add(256);
                }
                if !rest.is_empty() {
                    let mut pixels = [_mm512_setzero_si512(); 4];
                    for t in 0..rest.len().min(3) {
                        pixels[t] = under(rest[t]);
                    }
                    // SAFETY: as above.
                    unsafe { add::<POSITIONS>(pixels, taps, &mut sums) };
                }
                let mut steps = [_mm512_setzero_si512(); 4];
                for k in 0..4 {
                    let factors = _mm512_castsi512_ps(lanes.factors[k]);
                    let mut real = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[k]), factors);
                    if requantize.large {
                        real = _mm512_min_ps(real, most);
                    }
                    steps[k] =
                        _mm512_cvt_roundps_epi32::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(real);
                }
                let low = _mm512_adds_epi16(_mm512_packs_epi32(steps[0], steps[1]), zero);
                let high = _mm512_adds_epi16(_mm512_packs_epi32(steps[2], steps[3]), zero);
                let packed = if requantize.signed {
                    _mm512_packs_epi16(low, high)
                } else {
                    _mm512_packus_epi16(low, high)
                };
                let out = self.out.wrapping_add(i * self.stride);
                // SAFETY: by the contract the sink has the channels of these positions.
                unsafe { store::<POSITIONS>(packed, out, self.stride, lanes.mask) };
            }
        }
    }

    /// The channels of some positions, `step` bytes apart, one after another in equal parts of a vector.
    ///
    /// # Safety
    /// They must be readable.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn load<const POSITIONS: usize>(at: *const u8, step: usize, mask: u64) -> __m512i {
        // SAFETY: by the contract.
        unsafe {
            match POSITIONS {
                1 => _mm512_maskz_loadu_epi8(mask, at.cast()),
                2 => {
                    let part =
                        |i: usize| _mm256_maskz_loadu_epi8(mask as u32, at.wrapping_add(i * step).cast());
                    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(part(0)), part(1))
                }
                _ => {
                    let part = |i: usize| _mm_maskz_loadu_epi8(mask as u16, at.wrapping_add(i * step).cast());
                    in_lanes([part(0), part(1), part(2), part(3)])
                }
            }
        }
    }

    /// Writes the channels of some positions, as [`load`] reads them.
    ///
    /// # Safety
    /// They must be nobody else's.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn store<const POSITIONS: usize>(all: __m512i, out: *mut u8, stride: usize, mask: u64) {
        // SAFETY: by the contract.
        unsafe {
            match POSITIONS {
                1 => _mm512_mask_storeu_epi8(out.cast(), mask, all),
                2 => {
                    let mask = mask as u32;
                    _mm256_mask_storeu_epi8(out.cast(), mask, _mm512_castsi512_si256(all));
                    let second = _mm512_extracti64x4_epi64::<1>(all);
                    _mm256_mask_storeu_epi8(out.wrapping_add(stride).cast(), mask, second);
                }
                _ => {
                    let to = |i: usize| out.wrapping_add(i * stride).cast();
                    let mask = mask as u16;
                    _mm_mask_storeu_epi8(to(0), mask, _mm512_castsi512_si128(all));
                    _mm_mask_storeu_epi8(to(1), mask, _mm512_extracti32x4_epi32::<1>(all));
                    _mm_mask_storeu_epi8(to(2), mask, _mm512_extracti32x4_epi32::<2>(all));
                    _mm_mask_storeu_epi8(to(3), mask, _mm512_extracti32x4_epi32::<3>(all));
                }
            }
        }
    }

    /// Adds the products of the pixels under four taps.
    ///
    /// # Safety
    /// There must be 256 bytes of taps.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn add<const POSITIONS: usize>(pixels: [__m512i; 4], taps: *const i8, sums: &mut [__m512i; 4]) {
        let low = [
            _mm512_unpacklo_epi8(pixels[0], pixels[1]),
            _mm512_unpacklo_epi8(pixels[2], pixels[3]),
        ];
        let high = [
            _mm512_unpackhi_epi8(pixels[0], pixels[1]),
            _mm512_unpackhi_epi8(pixels[2], pixels[3]),
        ];
        let quads = [
            _mm512_unpacklo_epi16(low[0], low[1]),
            _mm512_unpackhi_epi16(low[0], low[1]),
            _mm512_unpacklo_epi16(high[0], high[1]),
            _mm512_unpackhi_epi16(high[0], high[1]),
        ];
        for k in 0..4 {
            // SAFETY: by the contract.
            let w = unsafe {
                match POSITIONS {
                    1 => _mm512_loadu_si512(taps.add(64 * k).cast()),
                    2 => _mm512_broadcast_i64x4(_mm256_loadu_si256(taps.add(64 * k).cast())),
                    _ => _mm512_broadcast_i32x4(_mm_loadu_si128(taps.add(64 * k).cast())),
                }
            };
            sums[k] = _mm512_dpbusd_epi32(sums[k], quads[k], w);
        }
    }
}
