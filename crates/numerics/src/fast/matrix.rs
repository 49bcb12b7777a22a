//! Products of `f32` matrices.
//!
//! The plan packs what it knows in advance (weights) once: [`PackedColumns`] for the right operand of a dense layer,
//! [`PackedRows`] for the left operand of a convolution. The other operand is packed block by block into scratch memory.
//! Loops, from the outside: a block of k that keeps a panel of sixteen columns in the first-level cache, a block of rows
//! that stays in the second, panels of columns, tiles of rows.

use super::tile::{self, COLUMNS, ROWS};
use crate::float::Float;
use crate::isa::{Isa, multiversion};
use crate::shape::Matrix;
use crate::{float, reference};

/// Terms of one block: 16 columns of it are 32 KiB.
const TERMS: usize = 512;
/// Rows of one block: 48 rows of 512 terms are 96 KiB.
const BLOCK_ROWS: usize = 48;
/// Columns of one block of a right operand packed on the fly: 256 columns of 512 terms are 512 KiB.
const BLOCK_COLUMNS: usize = 256;

/// The right operand of products, k × n, packed in panels of sixteen columns, padded with zeros.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedColumns {
    n: usize,
    k: usize,
    panels: Vec<f32>,
}

impl PackedColumns {
    /// Packs a k × n matrix.
    ///
    /// # Panics
    /// If the matrix does not cover its shape.
    #[must_use]
    pub fn new(k: usize, n: usize, b: Matrix<'_, f32>) -> Self {
        let mut panels = vec![0.0; Self::packed_len(k, n)];
        pack_columns(k, n, b, &mut panels);
        PackedColumns { n, k, panels }
    }

    /// Elements that a packed k × n matrix takes.
    #[must_use]
    pub fn packed_len(k: usize, n: usize) -> usize {
        n.div_ceil(COLUMNS) * COLUMNS * k
    }

    /// Columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.n
    }

    /// Terms (rows).
    #[must_use]
    pub fn terms(&self) -> usize {
        self.k
    }
}

fn pack_columns(k: usize, n: usize, b: Matrix<'_, f32>, panels: &mut [f32]) {
    assert!(b.covers(k, n), "the right operand of a product covers its shape");
    if k == 0 {
        return;
    }
    for (p, panel) in panels.chunks_exact_mut(COLUMNS * k).enumerate() {
        let first = p * COLUMNS;
        let columns = COLUMNS.min(n - first);
        for (t, row) in panel.as_chunks_mut::<COLUMNS>().0.iter_mut().enumerate() {
            if b.column_stride == 1 {
                row[..columns].copy_from_slice(&b.data[t * b.row_stride + first..][..columns]);
            } else {
                for (j, element) in row[..columns].iter_mut().enumerate() {
                    *element = b.at(t, first + j);
                }
            }
            row[columns..].fill(0.0);
        }
    }
}

/// The left operand of products, m × k, packed in panels of six rows, padded with zeros.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedRows {
    m: usize,
    k: usize,
    panels: Vec<f32>,
}

impl PackedRows {
    /// Packs an m × k matrix.
    ///
    /// # Panics
    /// If the matrix does not cover its shape.
    #[must_use]
    pub fn new(m: usize, k: usize, a: Matrix<'_, f32>) -> Self {
        let mut panels = vec![0.0; m.div_ceil(ROWS) * ROWS * k];
        assert!(a.covers(m, k), "the left operand of a product covers its shape");
        if k > 0 {
            for (p, panel) in panels.chunks_exact_mut(ROWS * k).enumerate() {
                let rows = ROWS.min(m - p * ROWS);
                pack_row_panel(a, p * ROWS, rows, 0, panel);
            }
        }
        PackedRows { m, k, panels }
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.m
    }

    /// Terms (columns).
    #[must_use]
    pub fn terms(&self) -> usize {
        self.k
    }
}

/// Packs `rows` ≤ 6 rows from `first`, as many terms from `start` as the panel holds.
#[inline(always)]
fn pack_row_panel(a: Matrix<'_, f32>, first: usize, rows: usize, start: usize, panel: &mut [f32]) {
    for i in 0..ROWS {
        let elements = panel[i..].iter_mut().step_by(ROWS);
        if i >= rows {
            elements.for_each(|element| *element = 0.0);
        } else if a.column_stride == 1 {
            let row = &a.data[(first + i) * a.row_stride + start..];
            elements.zip(row).for_each(|(element, &x)| *element = x);
        } else {
            elements
                .enumerate()
                .for_each(|(t, element)| *element = a.at(first + i, start + t));
        }
    }
}

/// Scratch elements that [`gemm_packed`] wants for m rows and k terms.
#[must_use]
pub fn gemm_packed_scratch(m: usize, k: usize) -> usize {
    if m == 1 {
        0
    } else {
        BLOCK_ROWS.min(m.div_ceil(ROWS) * ROWS) * TERMS.min(k)
    }
}

/// out\[m, n\] = a\[m, k\] · b\[k, n\] with the right operand packed. The bits are those of [`reference::gemm`].
///
/// # Panics
/// If a slice does not fit the shape or the scratch memory is shorter than [`gemm_packed_scratch`].
pub fn gemm_packed(m: usize, a: Matrix<'_, f32>, b: &PackedColumns, out: &mut [f32], scratch: &mut [f32]) {
    product(Isa::current(), m, b.n, b.k, a, &b.panels, out, scratch);
}

/// Scratch elements that [`gemm`] wants.
#[must_use]
pub fn gemm_scratch(m: usize, n: usize, k: usize) -> usize {
    if m == 1 {
        0
    } else {
        PackedColumns::packed_len(k, n) + gemm_packed_scratch(m, k)
    }
}

/// out\[m, n\] = a\[m, k\] · b\[k, n\]. The bits are those of [`reference::gemm`].
///
/// # Panics
/// If a slice does not fit the shape or the scratch memory is shorter than [`gemm_scratch`].
pub fn gemm(
    m: usize,
    n: usize,
    k: usize,
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    out: &mut [f32],
    scratch: &mut [f32],
) {
    let isa = Isa::current();
    if isa == Isa::Scalar {
        return reference::gemm(m, n, k, a, b, out);
    }
    if m == 1 {
        return one_row(n, k, a, b, out);
    }
    let (panels, scratch) = scratch.split_at_mut(PackedColumns::packed_len(k, n));
    pack_columns(k, n, b, panels);
    product(isa, m, n, k, a, panels, out, scratch);
}

multiversion! {
    /// A row times a matrix that is not packed.
    fn one_row[](n: usize, k: usize, a: Matrix<'_, f32>, b: Matrix<'_, f32>, out: &mut [f32]) {
        const BLOCK: usize = 64;
        assert!(a.covers(1, k) && b.covers(k, n), "operands of a matrix product cover its shape");
        assert_eq!(out.len(), n, "output of a matrix product");
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let first = block * BLOCK;
            if b.column_stride == 1 && out.len() == BLOCK {
                let mut chains = [0.0_f32; BLOCK];
                for t in 0..k {
                    let x = a.at(0, t);
                    let row = &b.data[t * b.row_stride + first..][..BLOCK];
                    for (chain, &y) in chains.iter_mut().zip(row) {
                        *chain = x.mul_add(y, *chain);
                    }
                }
                out.copy_from_slice(&chains);
            } else {
                out.fill(0.0);
                for t in 0..k {
                    let x = a.at(0, t);
                    for (j, chain) in out.iter_mut().enumerate() {
                        *chain = x.mul_add(b.at(t, first + j), *chain);
                    }
                }
            }
            for y in out {
                *y = y.canonical();
            }
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "a product has this many operands")]
fn product(
    isa: Isa,
    m: usize,
    n: usize,
    k: usize,
    a: Matrix<'_, f32>,
    panels: &[f32],
    out: &mut [f32],
    scratch: &mut [f32],
) {
    assert!(a.covers(m, k), "the left operand of a product covers its shape");
    assert_eq!(
        panels.len(),
        PackedColumns::packed_len(k, n),
        "the right operand of a product is packed"
    );
    assert_eq!(out.len(), m * n, "output of a matrix product");
    if k == 0 {
        out.fill(0.0);
        return;
    }
    if m == 1 {
        one_row_packed(isa, k, a, panels, out);
        return float::canonicalise(out);
    }
    for start in (0..k).step_by(TERMS) {
        let terms = TERMS.min(k - start);
        for first in (0..m).step_by(BLOCK_ROWS) {
            let rows = BLOCK_ROWS.min(m - first);
            let block = &mut scratch[..rows.div_ceil(ROWS) * ROWS * terms];
            for (p, panel) in block.chunks_exact_mut(ROWS * terms).enumerate() {
                pack_row_panel(a, first + p * ROWS, ROWS.min(rows - p * ROWS), start, panel);
            }
            let out = &mut out[first * n..(first + rows) * n];
            for (j, columns) in panels.chunks_exact(COLUMNS * k).enumerate() {
                let columns = &columns[start * COLUMNS..][..terms * COLUMNS];
                for (i, panel) in block.chunks_exact(ROWS * terms).enumerate() {
                    place(
                        isa,
                        panel,
                        columns,
                        out,
                        (i * ROWS, rows),
                        (j * COLUMNS, n),
                        n,
                        start > 0,
                    );
                }
            }
        }
    }
    float::canonicalise(out);
}

/// Runs the tile whose first row and column are `row.0` and `column.0` in an output of `row.1` × `column.1` elements with
/// `stride` between rows. A tile that reaches beyond goes through a buffer.
#[expect(clippy::too_many_arguments, reason = "a tile's place has this many numbers")]
#[inline(always)]
fn place(
    isa: Isa,
    a: &[f32],
    b: &[f32],
    out: &mut [f32],
    row: (usize, usize),
    column: (usize, usize),
    stride: usize,
    resume: bool,
) {
    let (rows, columns) = (ROWS.min(row.1 - row.0), COLUMNS.min(column.1 - column.0));
    let start = row.0 * stride + column.0;
    if rows == ROWS && columns == COLUMNS {
        return tile::run(isa, a, b, &mut out[start..], stride, resume);
    }
    let mut buffer = [0.0; ROWS * COLUMNS];
    if resume {
        for i in 0..rows {
            buffer[i * COLUMNS..][..columns].copy_from_slice(&out[start + i * stride..][..columns]);
        }
    }
    tile::run(isa, a, b, &mut buffer, COLUMNS, resume);
    for i in 0..rows {
        out[start + i * stride..][..columns].copy_from_slice(&buffer[i * COLUMNS..][..columns]);
    }
}

/// A row times a packed matrix.
fn one_row_packed(isa: Isa, k: usize, a: Matrix<'_, f32>, panels: &[f32], out: &mut [f32]) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Isa::Avx2` exists only where the processor has AVX2 and FMA (`Isa::detect`).
        Isa::Avx2 | Isa::Avx512 => unsafe { tile::row_avx2(k, a.data, a.column_stride, panels, out) },
        _ => {
            for (panel, out) in panels.chunks_exact(COLUMNS * k).zip(out.chunks_mut(COLUMNS)) {
                let mut chains = [0.0_f32; COLUMNS];
                for (t, row) in panel.as_chunks::<COLUMNS>().0.iter().enumerate() {
                    let x = a.at(0, t);
                    for j in 0..COLUMNS {
                        chains[j] = tile::fma(x, row[j], chains[j]);
                    }
                }
                out.copy_from_slice(&chains[..out.len()]);
            }
        }
    }
}

multiversion! {
    /// out\[m, n\] = a\[m, k\] · b\[k, n\] for any float type: [`reference::gemm`] with the loops over k and the columns exchanged,
    /// so that columns side by side can share a vector. For `f32` [`gemm`] is faster.
    ///
    /// # Panics
    /// If a slice does not fit the shape.
    pub fn gemm_generic[T: Float](
        m: usize, n: usize, k: usize, a: Matrix<'_, T>, b: Matrix<'_, T>, out: &mut [T]
    ) {
        assert!(a.covers(m, k) && b.covers(k, n), "operands of a matrix product cover its shape");
        assert_eq!(out.len(), m * n, "output of a matrix product");
        if n == 0 {
            return;
        }
        for (i, out) in out.chunks_exact_mut(n).enumerate() {
            out.fill(T::ZERO);
            for t in 0..k {
                let x = a.at(i, t);
                if b.column_stride == 1 {
                    for (chain, &y) in out.iter_mut().zip(&b.data[t * b.row_stride..][..n]) {
                        *chain = x.fma(y, *chain);
                    }
                } else {
                    for (j, chain) in out.iter_mut().enumerate() {
                        *chain = x.fma(b.at(t, j), *chain);
                    }
                }
            }
            for y in out {
                *y = y.canonical();
            }
        }
    }
}

/// Scratch elements that a product with packed rows wants for n columns.
pub(super) fn rows_scratch(n: usize, k: usize) -> usize {
    BLOCK_COLUMNS.min(n.div_ceil(COLUMNS) * COLUMNS) * TERMS.min(k)
}

/// out\[m, n\] = a\[m, k\] · b\[k, n\] with the left operand packed and the right one made where it is needed:
/// `fill(start, terms, first, panel)` writes terms × 16 elements, those of columns `first`… and terms `start`….
///
/// Leaves NaNs as they come: the caller adds a bias first.
pub(super) fn product_of_rows(
    a: &PackedRows,
    n: usize,
    out: &mut [f32],
    scratch: &mut [f32],
    mut fill: impl FnMut(usize, usize, usize, &mut [f32]),
) {
    let (isa, m, k) = (Isa::current(), a.m, a.k);
    assert_eq!(out.len(), m * n, "output of a matrix product");
    if k == 0 {
        return out.fill(0.0);
    }
    for first in (0..n).step_by(BLOCK_COLUMNS) {
        let columns = BLOCK_COLUMNS.min(n - first);
        for start in (0..k).step_by(TERMS) {
            let terms = TERMS.min(k - start);
            let block = &mut scratch[..columns.div_ceil(COLUMNS) * COLUMNS * terms];
            for (j, panel) in block.chunks_exact_mut(COLUMNS * terms).enumerate() {
                fill(start, terms, first + j * COLUMNS, panel);
            }
            for (i, rows) in a.panels.chunks_exact(ROWS * k).enumerate() {
                let rows = &rows[start * ROWS..][..terms * ROWS];
                for (j, panel) in block.chunks_exact(COLUMNS * terms).enumerate() {
                    place(
                        isa,
                        rows,
                        panel,
                        out,
                        (i * ROWS, m),
                        (first + j * COLUMNS, n),
                        n,
                        start > 0,
                    );
                }
            }
        }
    }
}
