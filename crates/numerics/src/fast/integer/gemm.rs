//! Products of matrices of bytes.

use super::super::share::{Direction, grid};
use super::epilogue::Requantize;
use super::pack::{self, PANEL, Store, Terms, packed_len};
use super::product::{Columns, Product, Sink, Walk};
use super::unit::Unit;
use super::{Operand, Prepared};
use crate::pool::{self, Disjoint};
use crate::quantize::Byte;
use crate::shape::Matrix;

/// Rows that are worth reading the right operand for.
const ROWS_WORTH_READING: usize = 48;
/// Rows that are worth it where every processor has the right operand in its second cache.
const ROWS_WORTH_TAKING: usize = 16;
/// Bytes of a right operand that every processor keeps there.
const NEAR: usize = 256 << 10;
/// Bytes of a right operand that a thread reads in a nanosecond, about.
const BYTES_OF_A_NANOSECOND: u64 = 48;
/// Bytes of rows of the left operand that are multiplied with all columns before the next ones.
const ROWS_BYTES: usize = 64 << 10;
/// Bytes of rows that are copied at a time where their length is no multiple of four, if it is not beyond that.
const COPIED: usize = 256 << 10;

/// The right operand of products, k × n, packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedBytes {
    n: usize,
    k: usize,
    store: Store,
    sums: Vec<i32>,
    shift: i32,
}

fn terms(k: usize) -> Terms {
    Terms { runs: 1, length: k }
}

/// Numbers that go with n columns, with what fills up panels: see [`PackedBytes::prepare`].
#[must_use]
pub fn gemm_columns(n: usize) -> usize {
    n.next_multiple_of(PANEL)
}

impl PackedBytes {
    /// Packs a k × n matrix.
    ///
    /// # Panics
    /// If the matrix does not cover its shape.
    #[must_use]
    pub fn new<B: Byte>(k: usize, n: usize, b: Matrix<'_, B>) -> Self {
        let mut packed = Self::empty(k, n);
        packed.fill(b);
        packed
    }

    /// The bytes of the matrix again, row by row.
    #[must_use]
    pub fn unpack(&self) -> Vec<u8> {
        let mut rows = vec![0; self.k * self.n];
        // u8 was moved by 128 to be i8
        let flip = if self.shift == 0 { 0 } else { 0x80 };
        self.store.unpack(self.n, terms(self.k), |column, term, value| {
            rows[term * self.n + column] = value as u8 ^ flip;
        });
        rows
    }

    /// Memory for a k × n matrix, of zeros.
    #[must_use]
    pub fn empty(k: usize, n: usize) -> Self {
        PackedBytes {
            n,
            k,
            store: Store::new(packed_len(n, terms(k))),
            sums: vec![0; gemm_columns(n)],
            shift: 0,
        }
    }

    /// Bytes that a packed k × n matrix takes at most.
    #[must_use]
    pub fn bytes(k: usize, n: usize) -> usize {
        2 * packed_len(n, terms(k)) + 4 * gemm_columns(n)
    }

    /// Packs another matrix of the same shape into the same memory.
    ///
    /// # Panics
    /// If the matrix does not cover its shape.
    pub fn fill<B: Byte>(&mut self, b: Matrix<'_, B>) {
        let (k, n) = (self.k, self.n);
        assert!(b.covers(k, n), "the right operand of a product covers its shape");
        self.shift = B::SHIFT;
        if b.column_stride == 1 && k > 0 {
            return self.store.pack_rows(
                k,
                n,
                B::bytes(b.data),
                b.row_stride,
                B::SHIFT != 0,
                &mut self.sums,
            );
        }
        let at = |column: usize, _: usize, term: usize| Some(b.at(term, column));
        self.store.pack(0, n, terms(k), at, &mut self.sums);
    }

    /// Terms and columns.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        [self.k, self.n]
    }

    /// What each column's sum starts at, for these zero points; writes [`gemm_columns`] numbers in each slice. `zeros` are those of
    /// the right operand, one for all columns or one each. If the left operand's zero points differ from row to row its `zero` must
    /// be that for which the operand is multiplied as it is ([`Operand::unshifted`]).
    ///
    /// # Panics
    /// If slices are shorter.
    pub fn prepare<'a>(
        &self,
        a: Operand,
        b_zeros: &[i32],
        bias: Option<&[i32]>,
        starts: &'a mut [i32],
        zeros: &'a mut [i32],
    ) -> Prepared<'a> {
        let columns = gemm_columns(self.n);
        let (starts, zeros) = (&mut starts[..columns], &mut zeros[..columns]);
        starts[self.n..].fill(0);
        zeros[self.n..].fill(0);
        match b_zeros {
            [zero] => zeros[..self.n].fill(zero - self.shift),
            _ => zeros
                .iter_mut()
                .zip(b_zeros)
                .for_each(|(to, zero)| *to = zero - self.shift),
        }
        let a_zero = a.shifted_zero();
        for ((start, &sum), &zero) in starts[..self.n].iter_mut().zip(&self.sums).zip(&*zeros) {
            let per_zero = sum.wrapping_sub((self.k as i32).wrapping_mul(zero));
            *start = a_zero.wrapping_mul(per_zero).wrapping_neg();
        }
        if let Some(bias) = bias {
            for (start, bias) in starts.iter_mut().zip(&bias[..self.n]) {
                *start = start.wrapping_add(*bias);
            }
        }
        Prepared::new(starts, zeros)
    }

    fn per_zero(&self, column: usize, zero: i32) -> i32 {
        self.sums[column].wrapping_sub((self.k as i32).wrapping_mul(zero))
    }
}

/// Where the results of a product go.
#[derive(Debug)]
pub enum GemmOutput<'a> {
    /// The sums.
    Sums(&'a mut [i32]),
    /// Requantised: y = place(f32(sum) × factor).
    Bytes {
        /// The results, as bytes.
        out: &'a mut [u8],
        /// A factor for each of [`gemm_columns`].
        factors: &'a [f32],
        /// Their zero point, and whether they are i8.
        of: Operand,
    },
}

/// Bytes of scratch memory of [`integer_gemm`]: none but where rows are longer than a thread's buffer, and their length is no
/// multiple of four.
#[must_use]
pub fn integer_gemm_scratch(k: usize) -> usize {
    if k.is_multiple_of(4) || k <= COPIED - 4 {
        0
    } else {
        k.next_multiple_of(4)
    }
}

/// Nanoseconds that a product takes on one thread of this machine, roughly, as one of m rows, n columns and k terms: by this it is
/// shared out. Few rows wait for the right operand.
#[must_use]
pub fn integer_gemm_nanoseconds([m, n, k]: [usize; 3]) -> u64 {
    let right = (n as u64).saturating_mul(k as u64);
    (right.saturating_mul(m as u64) / Unit::current().per_nanosecond()).max(right / BYTES_OF_A_NANOSECOND)
}

/// The bits of [`crate::reference::integer_gemm`] with a bias, and of requantisation. `a` has m rows of k bytes; `row_zeros` are
/// the zero points of its rows if they have their own.
///
/// # Panics
/// If a slice does not fit the shape.
#[expect(clippy::too_many_arguments, reason = "a product has this many operands")]
pub fn integer_gemm(
    m: usize,
    a: &[u8],
    of: Operand,
    row_zeros: Option<&[i32]>,
    b: &PackedBytes,
    prepared: Prepared<'_>,
    output: GemmOutput<'_>,
    scratch: &mut [u8],
) {
    let [k, n] = b.shape();
    assert_eq!(a.len(), m * k, "the left operand of a product covers its shape");
    if m == 0 || n == 0 {
        return;
    }
    enum Target<'a> {
        Sums(Disjoint<'a, i32>),
        Bytes(Disjoint<'a, u8>, Requantize<'a>),
    }
    let target = match output {
        GemmOutput::Sums(out) => {
            assert_eq!(out.len(), m * n, "output of a matrix product");
            Target::Sums(Disjoint::new(out))
        }
        GemmOutput::Bytes { out, factors, of } => {
            assert_eq!(out.len(), m * n, "output of a matrix product");
            Target::Bytes(Disjoint::new(out), Requantize::new(prepared.starts, factors, of))
        }
    };
    let zeros_of_rows = row_zeros.map(|zeros| {
        let shifted = |&zero: &i32| Operand { zero, ..of }.shifted_zero();
        let per_zero =
            (0..n).map(|column| b.per_zero(column, prepared.zeros.map_or(0, |zeros| zeros[column])));
        (
            per_zero.collect::<Vec<_>>(),
            zeros.iter().map(shifted).collect::<Vec<_>>(),
        )
    });
    let unit = Unit::current();
    let product = Product {
        unit,
        panels: b.store.panels(),
        columns: n,
        terms: terms(k),
        offsets: &[0],
        signed: of.signed,
        filled: false,
        with: Columns {
            starts: prepared.starts,
            sums: &b.sums,
            zeros: prepared.zeros,
            row_zeros: zeros_of_rows
                .as_ref()
                .map(|(factors, zeros)| (&factors[..], &zeros[..])),
        },
    };
    let wanted = pool::pieces(integer_gemm_nanoseconds([m, n, k]));
    let padded = k.next_multiple_of(4);
    let copies = padded != k;
    let near = n.saturating_mul(padded) <= NEAR;
    let limit = if copies { COPIED } else { ROWS_BYTES };
    let together = (limit / padded.max(1)).clamp(1, m);
    let (blocks, parts) = (pack::blocks(n), m.div_ceil(together));
    let columns = Direction {
        units: blocks,
        least: 1,
        most: blocks,
    };
    let rows = Direction {
        units: m,
        least: parts,
        most: m.div_ceil(if near {
            ROWS_WORTH_TAKING
        } else {
            ROWS_WORTH_READING
        }),
    };
    let (parts, splits) = if copies || near {
        // rows first: what is copied of them is copied once, and what a thread has made of its rows is in its own cache
        let [parts, splits] = grid(wanted, 1, [rows, columns]);
        (parts, splits)
    } else {
        let [splits, parts] = grid(wanted, 1, [columns, rows]);
        (parts, splits)
    };
    let piece = |piece: usize, copied: &mut [u8]| {
        let (part, split) = (piece / splits, piece % splits);
        let (first, end) = (part * m / parts, (part + 1) * m / parts);
        let blocks = split * blocks / splits..(split + 1) * blocks / splits;
        let rows = &a[first * k..end * k];
        if copies {
            for (out, row) in copied.chunks_exact_mut(padded).zip(rows.chunks_exact(k)) {
                out[..k].copy_from_slice(row);
                out[k..].fill(0);
            }
        }
        let walk = Walk {
            start: if copies { copied.as_ptr() } else { rows.as_ptr() }.wrapping_sub(first * padded),
            width: usize::MAX,
            row: padded,
            line: 0,
        };
        let sink = match &target {
            Target::Sums(out) => Sink::Sums {
                out: out.pointer(first * n),
                row: n,
                column: 1,
            },
            Target::Bytes(out, requantize) => Sink::Bytes {
                out: out.pointer(first * n),
                row: n,
                requantize: *requantize,
            },
        };
        // SAFETY: rows `first` to `end` of the walk are readable, filled up to fours where they were copied; pieces write
        // different rows and columns.
        unsafe { product.run(walk, first, end - first, blocks, sink) };
    };
    if copies && padded > COPIED {
        (0..parts * splits).for_each(|index| piece(index, scratch));
    } else if copies {
        pool::run(parts * splits, &|index| {
            pool::with_buffer(COPIED, |copied: &mut [u8]| piece(index, copied));
        });
    } else {
        pool::run(parts * splits, &|index| piece(index, &mut []));
    }
}
