//! Products of `f32` matrices.
//!
//! What is known in advance (weights) is packed once, in panels of 32 columns ([`PackedColumns`]), whichever instruction set will use
//! them. The left operand is transposed into tiles block by block, in memory that each thread keeps. Loops, from the outside: columns
//! whose outputs stay in the second-level cache, a block of rows, a block of terms, panels of columns, tiles of rows.
//!
//! With several threads the columns are shared out, or the rows if there are too few.

use std::ops::Range;

use super::aligned::Aligned;
use super::epilogue::{self, Epilogue, Simple};
use super::lanes::{first_lanes, on_isa};
use super::ones;
use super::share::{even, even_after};
use super::tile::{self, Finish, Left, Next, PANEL, Right, VECTOR};
use crate::float::Float;
use crate::isa::{Isa, multiversion};
use crate::pool::{self, Disjoint};
use crate::reference;
use crate::shape::Matrix;

/// Terms of one block: a panel of it is 64 KiB.
pub(super) const TERMS: usize = 512;
/// Terms of one block of a product with AVX-512, at most, whose cores have second-level caches of a megabyte and more: each time that
/// chains are cut, all outputs are written and read again.
const MANY_TERMS: usize = 1024;
/// Rows of one block, at most: ten tiles of AVX-512, of which 1024 terms are 640 KiB, or nineteen smaller ones.
pub(super) const BLOCK_ROWS: usize = 140;
/// Tiles of rows that a thread gets at least where rows are shared out before columns: it reads the whole right operand for them.
const ROWS_OF_THREAD: usize = 4;
/// Columns of one block of the output: 140 rows of them are 560 KiB.
const BLOCK_COLUMNS: usize = 1024;

/// The right operand of products, k × n, packed in panels of 32 columns, the last of 16 if they are enough for what is left, and
/// padded with zeros. In a panel the columns of one term lie side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedColumns {
    n: usize,
    k: usize,
    panels: Aligned<f32>,
    /// Whether all elements are finite.
    finite: bool,
}

impl PackedColumns {
    /// Packs a k × n matrix.
    ///
    /// # Panics
    /// If the matrix does not cover its shape.
    #[must_use]
    pub fn new(k: usize, n: usize, b: Matrix<'_, f32>) -> Self {
        let mut panels = Aligned::zeroed(Self::packed_len(k, n));
        pack_columns(k, n, b, panels.get_mut());
        let finite = panels.get().iter().all(|element| element.is_finite());
        PackedColumns { n, k, panels, finite }
    }

    /// The matrix again, row by row.
    #[must_use]
    pub fn unpack(&self) -> Vec<f32> {
        let mut rows = vec![0.0; self.k * self.n];
        for (row, to) in rows.chunks_exact_mut(self.n.max(1)).enumerate() {
            for (part, right) in self.operand().parts(0..self.n, row) {
                for (to, panel) in to[part]
                    .chunks_mut(PANEL)
                    .zip(right.data.chunks(right.panel.max(1)))
                {
                    to.copy_from_slice(&panel[..to.len()]);
                }
            }
        }
        rows
    }

    /// Elements that a packed k × n matrix takes.
    #[must_use]
    pub fn packed_len(k: usize, n: usize) -> usize {
        n.next_multiple_of(VECTOR) * k
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

    pub(super) fn operand(&self) -> Columns<'_> {
        Columns::Panels {
            data: self.panels.get(),
            n: self.n,
            k: self.k,
            finite: self.finite,
        }
    }
}

/// Packs all panels, each with the columns that it has.
fn pack_columns(k: usize, n: usize, b: Matrix<'_, f32>, panels: &mut [f32]) {
    assert!(b.covers(k, n), "the right operand of a product covers its shape");
    if k == 0 {
        return;
    }
    let isa = Isa::current();
    // a worthwhile piece is some panels
    let bytes = 4 * panels.len() as u64;
    let pieces = pool::pieces(bytes / 8);
    let together = n.div_ceil(PANEL).div_ceil(pieces.max(1)).max(1);
    pool::chunks(panels, together * PANEL * k, |piece, panels| {
        for (p, panel) in panels.chunks_mut(PANEL * k).enumerate() {
            let first = (piece * together + p) * PANEL;
            let width = panel.len() / k;
            pack_panel(isa, b, first..n.min(first + PANEL), 0..k, width, panel);
        }
    });
}

/// Packs some terms of some columns: `width` elements for each term, those beyond the columns zero.
fn pack_panel(
    isa: Isa,
    b: Matrix<'_, f32>,
    columns: Range<usize>,
    terms: Range<usize>,
    width: usize,
    panel: &mut [f32],
) {
    let count = columns.len();
    assert!(count <= width, "columns of a panel");
    if b.column_stride == 1 {
        for (t, row) in terms.zip(panel.chunks_exact_mut(width)) {
            row[..count].copy_from_slice(&b.data[t * b.row_stride + columns.start..][..count]);
            row[count..].fill(0.0);
        }
    } else if b.row_stride == 1 {
        for first in (0..width).step_by(VECTOR) {
            let start = columns.start + first;
            let lines = columns.end.saturating_sub(start).min(VECTOR);
            let from = (start * b.column_stride + terms.start).min(b.data.len());
            let lines = Lines {
                data: &b.data[from..],
                stride: b.column_stride,
                count: lines,
            };
            transpose_lines(isa, lines, terms.len(), &mut panel[first..], width);
        }
    } else {
        for (t, row) in terms.zip(panel.chunks_exact_mut(width)) {
            for (j, element) in row.iter_mut().enumerate() {
                *element = if j < count {
                    b.at(t, columns.start + j)
                } else {
                    0.0
                };
            }
        }
    }
}

/// Up to sixteen runs of elements, `stride` apart.
struct Lines<'a> {
    data: &'a [f32],
    stride: usize,
    count: usize,
}

/// Element t of line i goes to t · `width` + i; where there is no line, zeros.
fn transpose_lines(isa: Isa, lines: Lines<'_>, terms: usize, to: &mut [f32], width: usize) {
    if terms == 0 {
        return;
    }
    assert!(lines.count <= VECTOR, "lines of a vector");
    assert!(
        lines.count == 0 || (lines.count - 1) * lines.stride + terms <= lines.data.len(),
        "every line has all its terms"
    );
    assert!(
        (terms - 1) * width + VECTOR <= to.len(),
        "there is room for every term"
    );
    // SAFETY: the lines and the room are there, as was checked.
    unsafe {
        transpose(
            isa,
            lines.data.as_ptr(),
            lines.stride,
            lines.count,
            terms,
            to.as_mut_ptr(),
            width,
        );
    }
}

on_isa! {
    /// # Safety
    /// See [`transpose_lines`], which checks it.
    #[allow(clippy::needless_range_loop, reason = "loops of constant length over registers are unrolled as they are")]
    unsafe fn transpose<L>(
        from: *const f32, stride: usize, count: usize, terms: usize, to: *mut f32, width: usize
    ) {
        let mut first = 0;
        while first < terms {
            let together = VECTOR.min(terms - first);
            let mask = first_lanes(together);
            // SAFETY: `count` lines of at least `first + together` elements, and room for sixteen elements at each term.
            unsafe {
                let mut rows = [L::zero(); VECTOR];
                for i in 0..VECTOR {
                    if i < count {
                        rows[i] = L::load_some(from.add(i * stride + first), mask);
                    }
                }
                let columns = L::transpose(rows);
                for t in 0..VECTOR {
                    if t < together {
                        columns[t].store(to.add((first + t) * width));
                    }
                }
            }
            first += VECTOR;
        }
    }
}

/// The right operand of a product.
#[derive(Clone, Copy)]
pub(super) enum Columns<'a> {
    /// In panels, see [`PackedColumns`].
    Panels {
        data: &'a [f32],
        n: usize,
        k: usize,
        /// All elements are known to be finite.
        finite: bool,
    },
    /// As it lies, columns side by side.
    Plain { data: &'a [f32], stride: usize },
}

impl<'a> Columns<'a> {
    /// Columns in pieces that a tile can be computed from: those in panels of 32, then those in one of 16.
    pub(super) fn parts(
        self,
        columns: Range<usize>,
        start: usize,
    ) -> impl Iterator<Item = (Range<usize>, Right<'a>)> {
        let (wide, narrow) = match self {
            Columns::Plain { data, stride } => {
                let data = &data[(start * stride + columns.start).min(data.len())..];
                ((columns, Right::plain(data, stride)), None)
            }
            Columns::Panels { data, n, k, .. } => {
                debug_assert!(columns.start.is_multiple_of(PANEL), "pieces begin with a panel");
                let whole = if n % PANEL <= VECTOR { n / PANEL * PANEL } else { n };
                let end = columns.end.min(whole).max(columns.start);
                let right = |first: usize, width: usize| Right {
                    data: &data[(first * k + start * width).min(data.len())..],
                    stride: width,
                    panel: PANEL * k,
                };
                let rest = columns.start.max(whole)..columns.end;
                (
                    (columns.start..end, right(columns.start, PANEL)),
                    (!rest.is_empty()).then(|| (rest.clone(), right(rest.start, VECTOR))),
                )
            }
        };
        let wide = (!wide.0.is_empty()).then_some(wide);
        wide.into_iter().chain(narrow)
    }
}

/// Scratch elements that a plan sets aside for [`gemm_packed`] with m rows and k terms (`docs/spec/work.md` §5). The kernel has
/// its blocks in memory that each thread keeps ([`pool::with_buffer`]) and does not use them.
#[must_use]
pub fn gemm_packed_scratch(m: usize, k: usize) -> usize {
    if m == 1 {
        0
    } else {
        48.min(m.next_multiple_of(6)) * TERMS.min(k)
    }
}

/// out\[m, n\] = a\[m, k\] · b\[k, n\] with the right operand packed. The bits are those of [`reference::gemm`].
///
/// # Panics
/// If a slice does not fit the shape.
pub fn gemm_packed(m: usize, a: Matrix<'_, f32>, b: &PackedColumns, out: &mut [f32]) {
    gemm_packed_then(m, a, b, None, out);
}

/// [`gemm_packed`], then the epilogue of every element.
///
/// # Panics
/// If a slice does not fit the shape.
pub fn gemm_packed_then(
    m: usize,
    a: Matrix<'_, f32>,
    b: &PackedColumns,
    epilogue: Option<&dyn Epilogue>,
    out: &mut [f32],
) {
    product([m, b.n, b.k], a, b.operand(), epilogue, out);
}

/// Scratch elements that [`gemm`] wants: for the packed right operand, and those of [`gemm_packed_scratch`].
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
    gemm_then([m, n, k], a, b, None, out, scratch);
}

/// [`gemm`], then the epilogue of every element.
///
/// # Panics
/// As [`gemm`].
pub fn gemm_then(
    [m, n, k]: [usize; 3],
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    epilogue: Option<&dyn Epilogue>,
    out: &mut [f32],
    scratch: &mut [f32],
) {
    let isa = Isa::current();
    if isa == Isa::Scalar {
        reference::gemm(m, n, k, a, b, out);
        return finish_rows(n, 0..m, 0..n, epilogue, &Disjoint::new(out));
    }
    assert!(b.covers(k, n), "the right operand of a product covers its shape");
    // a few rows use each column once or twice: it is not worth moving
    if b.column_stride == 1 && m <= tile::most_rows(isa) {
        let b = Columns::Plain {
            data: b.data,
            stride: b.row_stride,
        };
        return product([m, n, k], a, b, epilogue, out);
    }
    if m == 1 {
        return one_row(isa, [n, k], a, b, epilogue, out);
    }
    let panels = &mut scratch[..PackedColumns::packed_len(k, n)];
    pack_columns(k, n, b, panels);
    product(
        [m, n, k],
        a,
        Columns::Panels {
            data: panels,
            n,
            k,
            finite: false,
        },
        epilogue,
        out,
    );
}

/// A row times a matrix whose columns do not lie side by side: some of them are packed at a time.
fn one_row(
    isa: Isa,
    [n, k]: [usize; 2],
    a: Matrix<'_, f32>,
    b: Matrix<'_, f32>,
    epilogue: Option<&dyn Epilogue>,
    out: &mut [f32],
) {
    const TOGETHER: usize = 4 * PANEL;
    assert!(a.covers(1, k), "the left operand of a product covers its shape");
    assert_eq!(out.len(), n, "output of a matrix product");
    let pieces = pool::pieces((n * k) as u64 / 4);
    let out = &Disjoint::new(out);
    pool::run(pieces, &|piece| {
        pool::with_buffer(TOGETHER * TERMS, |buffer: &mut [f32]| {
            let columns = pool::part(n, TOGETHER, pieces, piece);
            // SAFETY: pieces have columns of their own.
            let out = unsafe { out.slice(columns.clone()) };
            out.fill(0.0);
            for (out, first) in out.chunks_mut(TOGETHER).zip(columns.clone().step_by(TOGETHER)) {
                for start in (0..k).step_by(TERMS) {
                    let terms = TERMS.min(k - start);
                    let panel = PANEL * terms;
                    for (p, part) in out.chunks(PANEL).enumerate() {
                        let first = first + p * PANEL;
                        let of_panel = &mut buffer[p * panel..][..panel];
                        pack_panel(
                            isa,
                            b,
                            first..first + part.len(),
                            start..start + terms,
                            PANEL,
                            of_panel,
                        );
                    }
                    let left = Left {
                        data: &a.data[start * a.column_stride..],
                        stride: a.column_stride,
                    };
                    let right = Right {
                        data: buffer,
                        stride: PANEL,
                        panel,
                    };
                    // SAFETY: these elements of the output are this piece's.
                    unsafe {
                        tile::run(isa, [1, out.len(), terms], left, right, out.as_mut_ptr(), n, true);
                    }
                }
            }
            epilogue::add_bias(out, None);
            if let Some(epilogue) = epilogue {
                epilogue.apply(columns.start, out);
            }
        });
    });
}

/// Nanoseconds that a product takes on one thread of this machine, roughly: by this it is shared out.
#[must_use]
pub fn gemm_nanoseconds(dims: [usize; 3]) -> u64 {
    nanoseconds(Isa::current(), dims)
}

/// Nanoseconds that a product takes on one thread, roughly.
pub(super) fn nanoseconds(isa: Isa, [m, n, k]: [usize; 3]) -> u64 {
    let multiply_adds = (m as u64).saturating_mul(n as u64).saturating_mul(k as u64);
    // a single row waits for the memory
    let of_a_nanosecond = match (isa, m) {
        (Isa::Avx512, 1) => 12,
        (Isa::Avx512, _) => 100,
        (Isa::Avx2, 1) => 8,
        (Isa::Avx2, _) => 40,
        _ => 1,
    };
    multiply_adds / of_a_nanosecond
}

/// Whether a product's columns are better shared out than its rows: reading the whole right operand, from beyond a thread's own caches,
/// takes each thread longer than packing the whole left one.
fn is_wide([m, n, k]: [usize; 3]) -> bool {
    /// Elements of a right operand that is not in a thread's own caches any more once all of it was read.
    const LARGE: usize = 1 << 19;
    n >= 3 * m || n >= m && n.saturating_mul(k) > LARGE
}

fn product(
    [m, n, k]: [usize; 3],
    a: Matrix<'_, f32>,
    b: Columns<'_>,
    epilogue: Option<&dyn Epilogue>,
    out: &mut [f32],
) {
    let isa = Isa::current();
    assert!(a.covers(m, k), "the left operand of a product covers its shape");
    assert_eq!(out.len(), m * n, "output of a matrix product");
    if out.is_empty() {
        return;
    }
    let pieces = pool::pieces(nanoseconds(isa, [m, n, k]));
    if m == 1 && pieces == 1 {
        return row(isa, [n, k], a, b, epilogue, out);
    }
    let out = &Disjoint::new(out);
    let panels = n.div_ceil(PANEL);
    if pieces == 1 {
        block(isa, [n, k], a, b, 0..m, 0..n, epilogue, out);
    } else if m >= ROWS_OF_THREAD * tile::most_rows(isa) * pool::threads() && !is_wide([m, n, k]) {
        // some rows for each thread, which are mostly the ones that it has computed before, in few pieces
        let threads = pool::threads();
        let splits = (pieces / threads).clamp(1, panels.div_ceil(8));
        pool::run(threads * splits, &|piece| {
            let rows = pool::part(m, 1, threads, piece / splits);
            let columns = pool::part(n, PANEL, splits, piece % splits);
            block(isa, [n, k], a, b, rows, columns, epilogue, out);
        });
    } else if panels >= 2 * pool::threads() {
        // each packs the whole left operand, in the time of a panel
        let pieces = even_after(panels, pieces, 1);
        pool::run(pieces, &|piece| {
            let columns = pool::part(n, PANEL, pieces, piece);
            block(isa, [n, k], a, b, 0..m, columns, epilogue, out);
        });
    } else {
        let pieces = even(m, pieces);
        pool::run(pieces, &|piece| {
            let rows = pool::part(m, 1, pieces, piece);
            block(isa, [n, k], a, b, rows, 0..n, epilogue, out);
        });
    }
}

/// A row times a matrix on one thread. Nothing is packed and nothing shared out: of a small network this is all there is.
fn row(
    isa: Isa,
    [n, k]: [usize; 2],
    a: Matrix<'_, f32>,
    b: Columns<'_>,
    epilogue: Option<&dyn Epilogue>,
    out: &mut [f32],
) {
    let left = Left {
        data: a.data,
        stride: a.column_stride,
    };
    let simple = simple(epilogue, [1, n]);
    for (part, right) in b.parts(0..n, 0) {
        let out = &mut out[part.clone()];
        let finish = finish(simple.unwrap_or_default(), n, 0, part.start);
        // SAFETY: these are the elements of the output, and of what is added to them (checked by `simple`).
        unsafe {
            tile::run_to(
                isa,
                [1, part.len(), k],
                left,
                right,
                out.as_mut_ptr(),
                n,
                false,
                Some(finish),
                Next::NOTHING,
            );
        }
    }
    if let (Some(epilogue), None) = (epilogue, simple) {
        epilogue.apply(0, out);
    }
}

/// The epilogue of a product of so many rows and columns, if tiles can do it.
fn simple(epilogue: Option<&dyn Epilogue>, [rows, columns]: [usize; 2]) -> Option<Simple<'_>> {
    let fits = |simple: &Simple<'_>| {
        simple.row.is_none_or(|row| row.len() == columns)
            && simple.add.is_none_or(|add| add.len() == rows * columns)
    };
    epilogue?.simple().filter(fits)
}

/// What tiles do at the end of chains, from this row and column on.
fn finish(simple: Simple<'_>, n: usize, row: usize, column: usize) -> Finish {
    Finish {
        row: simple.row.map(|elements| elements[column..].as_ptr()),
        add: simple.add.map(|elements| elements[row * n + column..].as_ptr()),
        relu: simple.relu,
        at_most: simple.at_most,
    }
}

/// Some rows and columns of a product, finished.
#[expect(
    clippy::too_many_arguments,
    reason = "a part of a product has this many numbers"
)]
fn block(
    isa: Isa,
    [n, k]: [usize; 2],
    a: Matrix<'_, f32>,
    b: Columns<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    epilogue: Option<&dyn Epilogue>,
    out: &Disjoint<'_, f32>,
) {
    let direct = rows.len() == 1;
    // where there are no terms there are no tiles
    let simple = simple(epilogue, [out.len() / n, n]).filter(|_| k > 0);
    let (most, most_terms) = if isa == Isa::Avx512 {
        (BLOCK_ROWS, MANY_TERMS)
    } else {
        (112, TERMS)
    };
    // blocks as equal as possible
    let together = k.div_ceil(k.div_ceil(most_terms).max(1)).max(1);
    let tiles = most.div_ceil(tile::most_rows(isa));
    let buffer = if direct { 0 } else { tiles * VECTOR * together };
    pool::with_buffer(buffer, |buffer: &mut [f32]| {
        for first_column in columns.clone().step_by(BLOCK_COLUMNS) {
            let columns = first_column..columns.end.min(first_column + BLOCK_COLUMNS);
            let blocks = rows.len().div_ceil(most);
            for index in 0..blocks {
                let part = pool::part(rows.len(), 1, blocks, index);
                let rows = rows.start + part.start..rows.start + part.end;
                if ones::add_rows([n, k], a, b, rows.clone(), columns.clone(), out) {
                    finish_rows(n, rows, columns.clone(), epilogue, out);
                    continue;
                }
                let tiles = tile::tiles(isa, rows.len());
                if k == 0 {
                    for row in rows.clone() {
                        // SAFETY: the rows and columns are this call's.
                        unsafe { out.slice(row * n + columns.start..row * n + columns.end) }.fill(0.0);
                    }
                }
                for start in (0..k).step_by(together) {
                    let terms = together.min(k - start);
                    if !direct {
                        let packed = buffer.chunks_exact_mut(VECTOR * terms);
                        for ((first, height), packed) in tiles.clone().zip(packed) {
                            pack_tile(isa, a, rows.start + first, height, start, terms, packed);
                        }
                    }
                    let left = |index: usize, first: usize| {
                        if direct {
                            let at = (rows.start + first) * a.row_stride + start * a.column_stride;
                            Left {
                                data: &a.data[at..],
                                stride: a.column_stride,
                            }
                        } else {
                            let size = VECTOR * terms;
                            Left {
                                data: &buffer[index * size..][..size],
                                stride: VECTOR,
                            }
                        }
                    };
                    for (part, right) in b.parts(columns.clone(), start) {
                        multiply(
                            isa,
                            tiles.clone(),
                            left,
                            terms,
                            part,
                            right,
                            start > 0,
                            |row, column| {
                                let finish =
                                    || finish(simple.unwrap_or_default(), n, rows.start + row, column);
                                (
                                    out.pointer((rows.start + row) * n + column),
                                    (start + terms == k).then(finish),
                                )
                            },
                            n,
                        );
                    }
                }
                if simple.is_none() {
                    finish_rows(n, rows, columns.clone(), epilogue, out);
                }
            }
        }
    });
}

/// Tiles of rows times columns, panel by panel if there are several tiles, so that a panel stays in the first-level cache.
#[expect(clippy::too_many_arguments, reason = "a product has this many numbers")]
#[inline(always)]
fn multiply<'a>(
    isa: Isa,
    tiles: impl Iterator<Item = (usize, usize)> + Clone,
    left: impl Fn(usize, usize) -> Left<'a>,
    terms: usize,
    columns: Range<usize>,
    right: Right<'_>,
    resume: bool,
    to: impl Fn(usize, usize) -> (*mut f32, Option<Finish>),
    stride: usize,
) {
    let several = tiles.clone().nth(1).is_some();
    let step = if several { PANEL } else { columns.len() };
    for first in columns.clone().step_by(step) {
        let count = step.min(columns.end - first);
        let offset = (first - columns.start) / PANEL * right.panel;
        let next = match right.data.get(offset + right.panel..) {
            Some(next) if several => {
                let bytes = size_of::<f32>() * right.stride;
                Next::shared(next.as_ptr(), bytes, tiles.clone().count())
            }
            _ => Next::NOTHING,
        };
        let right = Right {
            data: &right.data[offset.min(right.data.len())..],
            ..right
        };
        for (index, (row, height)) in tiles.clone().enumerate() {
            let (to, finish) = to(row, first);
            // SAFETY: `to` points to this row and column of the output, which are the caller's alone, and rows are `stride` apart; so
            // does `finish`.
            unsafe {
                tile::run_to(
                    isa,
                    [height, count, terms],
                    left(index, row),
                    right,
                    to,
                    stride,
                    resume,
                    finish,
                    next.after(index * terms),
                );
            }
        }
    }
}

/// Packs up to sixteen rows, sixteen elements for each term.
fn pack_tile(
    isa: Isa,
    a: Matrix<'_, f32>,
    first: usize,
    height: usize,
    start: usize,
    terms: usize,
    packed: &mut [f32],
) {
    if a.column_stride == 1 {
        let lines = Lines {
            data: &a.data[first * a.row_stride + start..],
            stride: a.row_stride,
            count: height,
        };
        transpose_lines(isa, lines, terms, packed, VECTOR);
    } else if a.row_stride == 1 {
        for (t, row) in packed.chunks_exact_mut(VECTOR).enumerate() {
            row[..height].copy_from_slice(&a.data[first + (start + t) * a.column_stride..][..height]);
        }
    } else {
        for (t, row) in packed.chunks_exact_mut(VECTOR).enumerate() {
            for (i, element) in row[..height].iter_mut().enumerate() {
                *element = a.at(first + i, start + t);
            }
        }
    }
}

/// Applies the epilogue.
fn finish_rows(
    n: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    epilogue: Option<&dyn Epilogue>,
    out: &Disjoint<'_, f32>,
) {
    let Some(epilogue) = epilogue else { return };
    if columns == (0..n) {
        // whole rows: one run of elements
        let first = rows.start * n;
        // SAFETY: the rows are the caller's alone.
        let y = unsafe { out.slice(first..rows.end * n) };
        epilogue.apply_rows(first, y, n);
        return;
    }
    for row in rows {
        let first = row * n + columns.start;
        // SAFETY: the rows and columns are the caller's alone.
        let y = unsafe { out.slice(first..row * n + columns.end) };
        epilogue.apply(first, y);
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
