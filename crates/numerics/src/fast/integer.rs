//! Products of 8-bit integers, exact.
//!
//! Both operands are widened to 16 bits, minus a zero point where it is one number, and packed so that pairs of terms lie
//! together: one instruction (`vpmaddwd`) multiplies sixteen of them and adds the two products of each pair in 32 bits. A pair is
//! at most 2 × 510 × 510, so nothing saturates; the sums wrap modulo 2³² as the definition does. Integers may be added in any
//! order, so a zero point of the other operand is taken off afterwards: Σ a(b − z) = Σ ab − zΣa.

use crate::isa::Isa;
use crate::isa::multiversion;
use crate::quantize::Byte;
use crate::shape::{ConvShape, Matrix};

/// Rows of a tile.
const ROWS: usize = 6;
/// Columns of a tile.
const COLUMNS: usize = 16;
/// Elements of the rows packed at a time: 128 KiB.
const BLOCK: usize = 1 << 16;

/// The right operand of products, k × n, widened and packed in panels of sixteen columns by pairs of terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedBytes {
    n: usize,
    k: usize,
    panels: Vec<i16>,
}

impl PackedBytes {
    /// Packs a k × n matrix.
    ///
    /// # Panics
    /// If the matrix does not cover its shape.
    #[must_use]
    pub fn new<B: Byte>(k: usize, n: usize, b: Matrix<'_, B>) -> Self {
        let mut panels = vec![0; Self::packed_len(k, n)];
        pack_columns(k, n, b, &mut panels);
        Self { n, k, panels }
    }

    /// 16-bit elements that a packed k × n matrix takes.
    #[must_use]
    pub fn packed_len(k: usize, n: usize) -> usize {
        n.div_ceil(COLUMNS) * COLUMNS * k.next_multiple_of(2)
    }

    /// Terms and columns.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        [self.k, self.n]
    }

    /// The panels.
    #[must_use]
    pub fn panels(&self) -> &[i16] {
        &self.panels
    }
}

/// Packs a k × n matrix into [`PackedBytes::packed_len`] elements.
///
/// # Panics
/// If the matrix does not cover its shape.
pub fn pack_columns<B: Byte>(k: usize, n: usize, b: Matrix<'_, B>, panels: &mut [i16]) {
    assert!(b.covers(k, n), "the right operand of a product covers its shape");
    if k == 0 {
        return;
    }
    for (p, panel) in panels
        .chunks_exact_mut(COLUMNS * k.next_multiple_of(2))
        .enumerate()
    {
        let first = p * COLUMNS;
        let columns = COLUMNS.min(n - first);
        panel.fill(0);
        for t in 0..k {
            let pair = &mut panel[t / 2 * 2 * COLUMNS..][..2 * COLUMNS];
            for j in 0..columns {
                pair[2 * j + t % 2] = b.at(t, first + j).widen();
            }
        }
    }
}

/// Packs `rows` ≤ 6 rows from `first`, each minus its zero point.
fn pack_rows<A: Byte>(
    a: Matrix<'_, A>,
    first: usize,
    rows: usize,
    k: usize,
    zero: impl Fn(usize) -> i16,
    panel: &mut [i16],
) {
    panel.fill(0);
    for i in 0..rows {
        let zero = zero(first + i);
        for t in 0..k {
            panel[t / 2 * 2 * ROWS + 2 * i + t % 2] = a.at(first + i, t).widen() - zero;
        }
    }
}

/// out\[i·stride + j\] = the product of the packed rows and columns, for i < m, j < n.
fn multiply(isa: Isa, [m, n, k]: [usize; 3], a: &[i16], b: &[i16], out: &mut [i32], stride: usize) {
    let k = k.next_multiple_of(2);
    if k == 0 {
        for row in 0..m {
            out[row * stride..][..n].fill(0);
        }
        return;
    }
    for (j, columns) in b.chunks_exact(COLUMNS * k).take(n.div_ceil(COLUMNS)).enumerate() {
        let width = COLUMNS.min(n - j * COLUMNS);
        for (i, rows) in a.chunks_exact(ROWS * k).take(m.div_ceil(ROWS)).enumerate() {
            let height = ROWS.min(m - i * ROWS);
            let start = i * ROWS * stride + j * COLUMNS;
            if height == ROWS && width == COLUMNS {
                tile(isa, rows, columns, &mut out[start..], stride, ROWS);
            } else {
                let mut buffer = [0; ROWS * COLUMNS];
                tile(isa, rows, columns, &mut buffer, COLUMNS, height);
                for row in 0..height {
                    out[start + row * stride..][..width].copy_from_slice(&buffer[row * COLUMNS..][..width]);
                }
            }
        }
    }
}

/// A tile's sums; of `rows` = 1 the first row's alone.
#[inline(always)]
fn tile(isa: Isa, a: &[i16], b: &[i16], out: &mut [i32], stride: usize, rows: usize) {
    assert_eq!(
        a.len() / ROWS,
        b.len() / COLUMNS,
        "operands of a tile have the same number of terms"
    );
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: Both exist only where the processor has AVX2 (`Isa::detect`).
        Isa::Avx2 | Isa::Avx512 if rows == 1 => unsafe { avx2::<1>(a, b, out, stride) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 | Isa::Avx512 => unsafe { avx2::<ROWS>(a, b, out, stride) },
        _ => portable(a, b, out, stride),
    }
}

/// Any machine.
fn portable(a: &[i16], b: &[i16], out: &mut [i32], stride: usize) {
    let mut sums = [[0i32; COLUMNS]; ROWS];
    let pairs = a
        .as_chunks::<{ 2 * ROWS }>()
        .0
        .iter()
        .zip(b.as_chunks::<{ 2 * COLUMNS }>().0);
    for (a, b) in pairs {
        for i in 0..ROWS {
            let (x, y) = (i32::from(a[2 * i]), i32::from(a[2 * i + 1]));
            for j in 0..COLUMNS {
                let pair = x * i32::from(b[2 * j]) + y * i32::from(b[2 * j + 1]);
                sums[i][j] = sums[i][j].wrapping_add(pair);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        if let Some(row) = out.get_mut(i * stride..i * stride + COLUMNS) {
            row.copy_from_slice(sums);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<const HEIGHT: usize>(a: &[i16], b: &[i16], out: &mut [i32], stride: usize) {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi32,
        _mm256_setzero_si256, _mm256_storeu_si256,
    };
    let mut sums = [[_mm256_setzero_si256(); 2]; HEIGHT];
    let pairs = a
        .as_chunks::<{ 2 * ROWS }>()
        .0
        .iter()
        .zip(b.as_chunks::<{ 2 * COLUMNS }>().0);
    for (a, b) in pairs {
        // SAFETY: `b` holds 32 elements of 16 bits, 64 bytes; unaligned loads are allowed.
        let (left, right) = unsafe {
            (
                _mm256_loadu_si256(b.as_ptr().cast::<__m256i>()),
                _mm256_loadu_si256(b.as_ptr().add(COLUMNS).cast::<__m256i>()),
            )
        };
        for (i, sums) in sums.iter_mut().enumerate() {
            // two terms of a row, the first in the low half
            let pair = i32::from(a[2 * i] as u16) | i32::from(a[2 * i + 1]) << 16;
            let pair = _mm256_set1_epi32(pair);
            sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(pair, left));
            sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(pair, right));
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        let row = &mut out[i * stride..][..COLUMNS];
        // SAFETY: `row` holds 16 elements of 32 bits, 64 bytes; unaligned stores are allowed.
        unsafe {
            _mm256_storeu_si256(row.as_mut_ptr().cast::<__m256i>(), sums[0]);
            _mm256_storeu_si256(row.as_mut_ptr().add(8).cast::<__m256i>(), sums[1]);
        }
    }
}

/// Rows packed at a time.
fn block_rows(k: usize) -> usize {
    (BLOCK / k.max(1)).clamp(1, 8 * ROWS).next_multiple_of(ROWS)
}

/// 16-bit scratch elements of [`integer_gemm`], the right operand being packed.
#[must_use]
pub fn integer_gemm_scratch(m: usize, k: usize) -> usize {
    block_rows(k).min(m.next_multiple_of(ROWS)) * k.next_multiple_of(2)
}

/// The bits of [`crate::reference::integer_gemm`]; `panels` is the right operand as [`pack_columns`] packs it, and `b_zero` its
/// zero points, one for all columns or one each.
///
/// # Panics
/// If a slice does not fit the shape or the scratch memory is shorter than [`integer_gemm_scratch`].
#[expect(clippy::too_many_arguments, reason = "a product has this many operands")]
pub fn integer_gemm<A: Byte>(
    m: usize,
    n: usize,
    k: usize,
    a: Matrix<'_, A>,
    a_zero: impl Fn(usize) -> i32,
    panels: &[i16],
    b_zero: &[i32],
    out: &mut [i32],
    scratch: &mut [i16],
) {
    assert!(a.covers(m, k), "the left operand of a product covers its shape");
    assert_eq!(out.len(), m * n, "output of a matrix product");
    let isa = Isa::current();
    let padded = k.next_multiple_of(2);
    for first in (0..m).step_by(block_rows(k)) {
        let rows = block_rows(k).min(m - first);
        let block = &mut scratch[..rows.next_multiple_of(ROWS) * padded];
        if padded > 0 {
            for (p, panel) in block.chunks_exact_mut(ROWS * padded).enumerate() {
                let at = first + p * ROWS;
                pack_rows(a, at, ROWS.min(m - at), k, |i| a_zero(i) as i16, panel);
            }
        }
        multiply(
            isa,
            [rows, n, k],
            block,
            panels,
            &mut out[first * n..(first + rows) * n],
            n,
        );
    }
    if b_zero.iter().all(|&zero| zero == 0) || n == 0 {
        return;
    }
    for (i, out) in out.chunks_exact_mut(n).enumerate() {
        let sum = (0..k).fold(0i32, |sum, t| {
            sum.wrapping_add(i32::from(a.at(i, t).widen()) - a_zero(i))
        });
        for (j, out) in out.iter_mut().enumerate() {
            let zero = b_zero[if b_zero.len() == 1 { 0 } else { j }];
            *out = out.wrapping_sub(zero.wrapping_mul(sum));
        }
    }
}

/// The weights of a convolution, widened and packed in panels of six output channels by pairs of terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedFilters {
    /// Elements of one group.
    group: usize,
    panels: Vec<i16>,
}

impl PackedFilters {
    /// Packs the weights of all groups.
    ///
    /// # Panics
    /// If they do not fit the shape.
    #[must_use]
    pub fn new<W: Byte>(shape: &ConvShape, w: &[W]) -> Self {
        let (channels, terms) = (shape.out_channels, shape.terms());
        let group = channels.next_multiple_of(ROWS) * terms.next_multiple_of(2);
        let mut panels = vec![0; group * shape.groups];
        let panel = ROWS * terms.next_multiple_of(2);
        if panel > 0 && group > 0 {
            for (index, panel) in panels.chunks_exact_mut(panel).enumerate() {
                let per_group = channels.div_ceil(ROWS);
                let (g, first) = (index / per_group, index % per_group * ROWS);
                let w = Matrix::row_major(&w[g * channels * terms..], terms);
                pack_rows(w, first, ROWS.min(channels - first), terms, |_| 0, panel);
            }
        }
        Self { group, panels }
    }
}

/// Whether a convolution is computed tap by tap: a tile of six channels would be mostly empty.
fn tap_by_tap(shape: &ConvShape) -> bool {
    shape.out_channels < 4
}

/// Positions whose windows are gathered at a time.
fn block_positions(shape: &ConvShape) -> usize {
    let fitting = BLOCK / shape.terms().max(1);
    fitting
        .clamp(COLUMNS, 16 * COLUMNS)
        .min(shape.output_size().next_multiple_of(COLUMNS))
        / COLUMNS
        * COLUMNS
}

/// 16-bit scratch elements of [`integer_conv`].
#[must_use]
pub fn integer_conv_scratch(shape: &ConvShape) -> usize {
    if tap_by_tap(shape) {
        0
    } else {
        block_positions(shape) * shape.terms().next_multiple_of(2)
    }
}

/// The bits of [`crate::reference::integer_conv`]; `w_zero` has the zero points of the weights, one for all output channels or
/// one each.
///
/// # Panics
/// If a slice does not fit the shape or the scratch memory is shorter than [`integer_conv_scratch`].
#[expect(clippy::too_many_arguments, reason = "a convolution has this many operands")]
pub fn integer_conv<X: Byte, W: Byte>(
    shape: &ConvShape,
    x: &[X],
    x_zero: i32,
    w: &[W],
    filters: Option<&PackedFilters>,
    w_zero: &[i32],
    out: &mut [i32],
    scratch: &mut [i16],
) {
    let (input, output, terms) = (shape.input_size(), shape.output_size(), shape.terms());
    let zero_of = |channel: usize| w_zero[if w_zero.len() == 1 { 0 } else { channel }];
    if output == 0 || shape.out_channels == 0 {
        return;
    }
    let packed;
    let filters = match filters {
        _ if tap_by_tap(shape) => None,
        Some(filters) => Some(filters),
        None => {
            packed = PackedFilters::new(shape, w);
            Some(&packed)
        }
    };
    let isa = Isa::current();
    for index in 0..shape.batch * shape.groups {
        let group = index % shape.groups;
        let x = &x[index * shape.in_channels * input..][..shape.in_channels * input];
        let out = &mut out[index * shape.out_channels * output..][..shape.out_channels * output];
        let Some(filters) = filters else {
            for (m, out) in out.chunks_exact_mut(output).enumerate() {
                let channel = group * shape.out_channels + m;
                let w = &w[channel * terms..][..terms];
                by_taps(shape, x, x_zero, w, zero_of(channel), out);
            }
            continue;
        };
        let filters = &filters.panels[group * filters.group..][..filters.group];
        let step = block_positions(shape);
        for first in (0..output).step_by(step) {
            let positions = step.min(output - first);
            let panels = &mut scratch[..positions.next_multiple_of(COLUMNS) * terms.next_multiple_of(2)];
            gather(shape, x, x_zero, first, positions, panels);
            multiply(
                isa,
                [shape.out_channels, positions, terms],
                filters,
                panels,
                &mut out[first..],
                output,
            );
            take_off_zeros(shape, group, &zero_of, first, positions, panels, out);
        }
    }
}

/// Σ (w − z)x = Σ wx − zΣx, for the output channels of a group whose zero point is not 0.
fn take_off_zeros(
    shape: &ConvShape,
    group: usize,
    zero_of: &impl Fn(usize) -> i32,
    first: usize,
    positions: usize,
    panels: &[i16],
    out: &mut [i32],
) {
    let channels = group * shape.out_channels..(group + 1) * shape.out_channels;
    if channels.clone().all(|channel| zero_of(channel) == 0) {
        return;
    }
    let (output, padded) = (shape.output_size(), shape.terms().next_multiple_of(2));
    for position in 0..positions {
        let panel = &panels[position / COLUMNS * COLUMNS * padded..][..COLUMNS * padded];
        let column = position % COLUMNS;
        let pairs = panel.as_chunks::<{ 2 * COLUMNS }>().0;
        let sum = pairs.iter().fold(0i32, |sum, pair| {
            sum.wrapping_add(i32::from(pair[2 * column]) + i32::from(pair[2 * column + 1]))
        });
        for (m, channel) in channels.clone().enumerate() {
            let out = &mut out[m * output + first + position];
            *out = out.wrapping_sub(zero_of(channel).wrapping_mul(sum));
        }
    }
}

/// The windows of some positions as columns of a right operand: x − zero, and 0 over padding.
fn gather<X: Byte>(
    shape: &ConvShape,
    x: &[X],
    zero: i32,
    first: usize,
    positions: usize,
    panels: &mut [i16],
) {
    let [depth, height, width] = &shape.axes;
    let (input, taps) = (shape.input_size(), shape.kernel_size());
    let padded = shape.terms().next_multiple_of(2);
    panels.fill(0);
    let zero = zero as i16;
    for tap in 0..taps {
        let [kd, kh, kw] = [
            tap / width.kernel / height.kernel,
            tap / width.kernel % height.kernel,
            tap % width.kernel,
        ];
        let mut place = [
            first / width.output / height.output,
            first / width.output % height.output,
            first % width.output,
        ];
        for position in 0..positions {
            let [od, oh, ow] = place;
            if let (Some(d), Some(h), Some(v)) = (
                depth.element(od, kd),
                height.element(oh, kh),
                width.element(ow, kw),
            ) {
                let at = (d * height.input + h) * width.input + v;
                let panel = position / COLUMNS * COLUMNS * padded + 2 * (position % COLUMNS);
                for ci in 0..shape.in_channels {
                    let term = ci * taps + tap;
                    panels[panel + term / 2 * 2 * COLUMNS + term % 2] = x[ci * input + at].widen() - zero;
                }
            }
            place[2] += 1;
            if place[2] == width.output {
                place = [place[0], place[1] + 1, 0];
            }
            if place[1] == height.output {
                place = [place[0] + 1, 0, place[2]];
            }
        }
    }
}

multiversion! {
    /// One output channel, a row of positions under one tap at a time.
    fn by_taps[X: Byte, W: Byte](
        shape: &ConvShape, x: &[X], x_zero: i32, w: &[W], w_zero: i32, out: &mut [i32]
    ) {
        let [depth, height, width] = &shape.axes;
        let taps = shape.kernel_size();
        out.fill(0);
        for (term, w) in w.iter().enumerate() {
            let w = i32::from(w.widen()) - w_zero;
            let (ci, tap) = (term / taps, term % taps);
            let [kd, kh, kw] = [
                tap / width.kernel / height.kernel,
                tap / width.kernel % height.kernel,
                tap % width.kernel,
            ];
            // windows whose tap lies over the input: ow·stride + kw·dilation − pad in 0..input
            let offset = kw * width.dilation;
            let from = width.pad_begin.saturating_sub(offset).div_ceil(width.stride);
            let end = (width.input + width.pad_begin)
                .saturating_sub(offset)
                .div_ceil(width.stride)
                .min(width.output);
            if from >= end {
                continue;
            }
            for od in 0..depth.output {
                let Some(d) = depth.element(od, kd) else { continue };
                for oh in 0..height.output {
                    let Some(h) = height.element(oh, kh) else { continue };
                    let row = ((ci * depth.input + d) * height.input + h) * width.input;
                    let start = row + from * width.stride + offset - width.pad_begin;
                    let out = &mut out[(od * height.output + oh) * width.output..][from..end];
                    if width.stride == 1 {
                        for (out, x) in out.iter_mut().zip(&x[start..]) {
                            *out = out.wrapping_add(w * (i32::from(x.widen()) - x_zero));
                        }
                    } else {
                        for (out, x) in out.iter_mut().zip(x[start..].iter().step_by(width.stride)) {
                            *out = out.wrapping_add(w * (i32::from(x.widen()) - x_zero));
                        }
                    }
                }
            }
        }
    }
}
