//! The micro-kernel: a tile of a product of matrices, its chains in registers.
//!
//! For each term the kernel loads a row of the right operand, some vectors of sixteen, and multiplies it with each row's element of the
//! left operand, broadcast. Chains may be cut anywhere in k and resumed from memory: storing an `f32` loses nothing.
//!
//! Operands are read where strides say ([`Left`], [`Right`]), so packed panels of any width and matrices that happen to lie right are one
//! thing. How large a tile is depends on the registers there are: AVX-512 holds 14 × 32 elements and AVX2 6 × 16. Thin tiles take more
//! columns, so that there are always at least eight chains in flight, as many as the latency of an addition needs.

#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{Lanes, Portable, first_lanes};
use crate::isa::Isa;

/// Columns of a packed panel of a right operand.
pub(super) const PANEL: usize = 32;
/// Elements of a vector.
pub(super) const VECTOR: usize = 16;
/// Terms of the right operand that are on their way while one is multiplied: panels are read once for a few tiles of rows, and what
/// holds them may be a third-level cache that answers late. Few rows are multiplied as fast as operands are loaded: there it is not done
/// for nothing ([`NEAR`]).
pub(super) const AHEAD: usize = 32;

/// Elements of a right operand that are expected in the second-level cache.
const NEAR: usize = 256 << 10;

/// The most rows of a tile.
pub(super) fn most_rows(isa: Isa) -> usize {
    if isa == Isa::Avx512 { 14 } else { 6 }
}

/// `rows` in tiles of as equal heights as possible: the first row of each and its height.
pub(super) fn tiles(isa: Isa, rows: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let count = rows.div_ceil(most_rows(isa));
    (0..count).map(move |i| {
        let first = rows * i / count;
        (first, rows * (i + 1) / count - first)
    })
}

/// A left operand: element (i, t) is at `t · stride + i`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) data: &'a [f32],
    pub(super) stride: usize,
}

/// A right operand: element (t, j) is at `j / 32 · panel + t · stride + j mod 32`.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) data: &'a [f32],
    pub(super) stride: usize,
    pub(super) panel: usize,
}

impl<'a> Right<'a> {
    /// A matrix with columns side by side, as it lies.
    pub(super) fn plain(data: &'a [f32], stride: usize) -> Self {
        Right {
            data,
            stride,
            panel: PANEL,
        }
    }
}

/// What a tile is computed from; pointers to its first elements.
#[derive(Clone, Copy)]
struct Tile {
    terms: usize,
    a: *const f32,
    a_stride: usize,
    b: *const f32,
    b_stride: usize,
    panel: usize,
    c: *mut f32,
    c_stride: usize,
    columns: usize,
    resume: bool,
    finish: Option<Finish>,
    /// Whether the right operand is fetched ahead.
    fetches: bool,
    next: Next,
}

/// What is read when the work at hand is done: with each term some bytes of it are fetched into the second-level cache. Weights of a
/// large network come from memory in every run, and the first tile of a panel would wait for them.
#[derive(Clone, Copy)]
pub(super) struct Next {
    pub(super) from: *const u8,
    /// From what is fetched with a term to what is with the next.
    pub(super) bytes: usize,
}

impl Next {
    /// A byte that is there: for an address that is not, a processor looks through its page tables with every term.
    pub(super) const NOTHING: Next = Next {
        from: std::ptr::from_ref(&0),
        bytes: 0,
    };

    /// As many terms as the work at hand has, of `bytes` each, fetched by so many tiles.
    pub(super) fn shared<T>(from: *const T, bytes: usize, tiles: usize) -> Self {
        Self {
            from: from.cast(),
            bytes: bytes.div_ceil(tiles),
        }
    }

    /// What is left when so many terms have been multiplied.
    pub(super) fn after(self, terms: usize) -> Self {
        Self {
            from: self.from.wrapping_add(self.bytes * terms),
            ..self
        }
    }
}

/// What is done to the elements of a tile in registers when their chains are complete: no NaN leaves but the canonical one. Pointers to
/// what is added to its first elements.
#[derive(Clone, Copy, Default)]
pub(super) struct Finish {
    /// One for each column (of a convolution by channels, each channel): a bias.
    pub(super) row: Option<*const f32>,
    /// One for each element; they lie as the output's do.
    pub(super) add: Option<*const f32>,
    pub(super) relu: bool,
    pub(super) at_most: Option<f32>,
}

impl Finish {
    /// The same for elements that lie so many further in the output.
    pub(super) fn further(self, elements: usize) -> Self {
        Self {
            add: self.add.map(|add| add.wrapping_add(elements)),
            ..self
        }
    }
}

/// Continues (or, unless `resume`, starts) the chains of `rows` × `columns` elements, c\[i·stride + j\].
///
/// # Panics
/// If there are more rows than a tile has, or an operand does not have all its elements.
///
/// # Safety
/// The elements of c must be valid and nobody else's, and `isa` must come from [`Isa::current`].
pub(super) unsafe fn run(
    isa: Isa,
    dims: [usize; 3],
    a: Left<'_>,
    b: Right<'_>,
    c: *mut f32,
    c_stride: usize,
    resume: bool,
) {
    // SAFETY: the contract.
    unsafe { run_to(isa, dims, a, b, c, c_stride, resume, None, Next::NOTHING) }
}

/// [`run`], then `finish`.
///
/// # Panics
/// As [`run`].
///
/// # Safety
/// As [`run`]; what `finish` names must be valid for all columns and elements.
#[expect(clippy::too_many_arguments, reason = "a tile has this many numbers")]
pub(super) unsafe fn run_to(
    isa: Isa,
    [rows, columns, terms]: [usize; 3],
    a: Left<'_>,
    b: Right<'_>,
    c: *mut f32,
    c_stride: usize,
    resume: bool,
    finish: Option<Finish>,
    next: Next,
) {
    assert!((1..=most_rows(isa)).contains(&rows), "a tile has a few rows");
    if columns == 0 {
        return;
    }
    if terms > 0 {
        assert!(
            (terms - 1) * a.stride + rows <= a.data.len(),
            "the left operand of a tile has all its elements"
        );
        let last = (columns - 1) / PANEL * b.panel + (columns - 1) % PANEL;
        assert!(
            (terms - 1) * b.stride + last < b.data.len(),
            "the right operand of a tile has all its elements"
        );
    }
    let widest = match (isa, rows) {
        (Isa::Avx512, 1) => 8,
        (Isa::Avx512, 2..=5) | (_, 1) => 4,
        (Isa::Avx512, _) | (_, 2..=3) => 2,
        _ => 1,
    };
    let mut first = 0;
    while first < columns {
        let left = columns - first;
        let mut vectors = widest;
        while vectors > 1 && (vectors - 1) * VECTOR >= left {
            vectors /= 2;
        }
        let columns = left.min(vectors * VECTOR);
        let tile = Tile {
            terms,
            a: a.data.as_ptr(),
            a_stride: a.stride,
            // `first` is a multiple of the vector, and of the panel wherever a tile reaches over several
            b: b.data
                .as_ptr()
                .wrapping_add(first / PANEL * b.panel + first % PANEL),
            b_stride: b.stride,
            panel: b.panel,
            c: c.wrapping_add(first),
            c_stride,
            columns,
            resume,
            finish: finish.map(|finish| Finish {
                row: finish.row.map(|row| row.wrapping_add(first)),
                add: finish.add.map(|add| add.wrapping_add(first)),
                ..finish
            }),
            fetches: rows > 5 || b.data.len() > NEAR,
            next,
        };
        // SAFETY: the operands have all elements (checked above), the output by contract.
        unsafe { dispatch(isa, rows, vectors, &tile) };
        first += columns;
    }
}

/// Runs the kernel for this many rows and vectors.
#[inline(always)]
unsafe fn dispatch(isa: Isa, rows: usize, vectors: usize, tile: &Tile) {
    macro_rules! choose {
        ($kernel:ident: $(($r:literal, $v:literal))*) => {
            match (rows, vectors) {
                // SAFETY: the contract of `run`.
                $(($r, $v) => unsafe { $kernel::<$r, $v>(tile) },)*
                _ => unreachable!("there is a kernel for every tile"),
            }
        };
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => choose!(avx512:
            (1, 8) (1, 4) (1, 2) (1, 1) (2, 4) (2, 2) (2, 1) (3, 4) (3, 2) (3, 1) (4, 4) (4, 2) (4, 1) (5, 4) (5, 2) (5, 1)
            (6, 2) (6, 1) (7, 2) (7, 1) (8, 2) (8, 1) (9, 2) (9, 1) (10, 2) (10, 1) (11, 2) (11, 1) (12, 2) (12, 1)
            (13, 2) (13, 1) (14, 2) (14, 1)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => choose!(avx2:
            (1, 4) (1, 2) (1, 1) (2, 2) (2, 1) (3, 2) (3, 1) (4, 1) (5, 1) (6, 1)),
        _ => choose!(portable: (1, 4) (1, 2) (1, 1) (2, 2) (2, 1) (3, 2) (3, 1) (4, 1) (5, 1) (6, 1)),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn avx512<const R: usize, const V: usize>(tile: &Tile) {
    // SAFETY: the contract of `run`.
    unsafe { kernel::<Avx512, R, V>(tile) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const R: usize, const V: usize>(tile: &Tile) {
    // SAFETY: the contract of `run`.
    unsafe { kernel::<Avx2, R, V>(tile) }
}

unsafe fn portable<const R: usize, const V: usize>(tile: &Tile) {
    // SAFETY: the contract of `run`.
    unsafe { kernel::<Portable, R, V>(tile) }
}

#[inline(always)]
unsafe fn kernel<L: Lanes, const R: usize, const V: usize>(tile: &Tile) {
    // SAFETY: the contract of `run`. A tile that is not whole masks its last vector, and a vector is never empty.
    unsafe {
        if tile.columns == V * VECTOR {
            chains::<L, R, V, true>(tile);
        } else {
            chains::<L, R, V, false>(tile);
        }
    }
}

/// All of a tile; unless `WHOLE`, the last vector has the columns that are left.
///
/// The loops count: what iterators are made of is compiled for any processor, and a call of it would bring all chains to memory.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "as said")]
unsafe fn chains<L: Lanes, const R: usize, const V: usize, const WHOLE: bool>(tile: &Tile) {
    let tail = first_lanes(tile.columns - (V - 1) * VECTOR);
    // SAFETY: row i of the output is at c + i · stride, with as many elements as there are columns; term t reads R elements at a + t ·
    // stride and the columns' elements at b. `run` has checked the operands, and its caller vouches for the output.
    unsafe {
        let mut chains = [[L::zero(); V]; R];
        if tile.resume {
            for i in 0..R {
                for v in 0..V {
                    let from = tile.c.add(i * tile.c_stride + v * VECTOR);
                    chains[i][v] = if WHOLE || v < V - 1 {
                        L::load(from)
                    } else {
                        L::load_some(from, tail)
                    };
                }
            }
        }
        if R > 5 {
            // The outputs of the tile below: those of a large product have left the caches since they were written last.
            for i in 0..R {
                for v in 0..V {
                    L::fetch_later(tile.c.wrapping_add((R + i) * tile.c_stride + v * VECTOR));
                }
            }
        }
        let (mut a, mut b, mut next) = (tile.a, tile.b, tile.next.from);
        for _ in 0..tile.terms {
            let mut row = [L::zero(); V];
            for v in 0..V {
                let from = b.add(v / 2 * tile.panel + v % 2 * VECTOR);
                row[v] = if WHOLE || v < V - 1 {
                    L::load(from)
                } else {
                    L::load_some(from, tail)
                };
            }
            if R > 5 || tile.fetches {
                for v in 0..V {
                    L::fetch(b.wrapping_add(AHEAD * tile.b_stride + v / 2 * tile.panel + v % 2 * VECTOR));
                }
            }
            if R > 5 {
                L::fetch_later(next.cast());
                next = next.wrapping_add(tile.next.bytes);
            }
            for i in 0..R {
                let x = L::splat(a.add(i));
                for v in 0..V {
                    chains[i][v] = x.fma(row[v], chains[i][v]);
                }
            }
            a = a.wrapping_add(tile.a_stride);
            b = b.wrapping_add(tile.b_stride);
        }
        if let Some(finish) = &tile.finish {
            let load = |from: *const f32, v: usize| {
                let from = from.add(v * VECTOR);
                if WHOLE || v < V - 1 {
                    L::load(from)
                } else {
                    L::load_some(from, tail)
                }
            };
            if let Some(row) = finish.row {
                for v in 0..V {
                    let row = load(row, v);
                    for i in 0..R {
                        chains[i][v] = chains[i][v].add(row);
                    }
                }
            }
            if let Some(add) = finish.add {
                for i in 0..R {
                    for v in 0..V {
                        chains[i][v] = chains[i][v].add(load(add.add(i * tile.c_stride), v));
                    }
                }
            }
            bound(&mut chains, finish);
        }
        for i in 0..R {
            for v in 0..V {
                let to = tile.c.add(i * tile.c_stride + v * VECTOR);
                if WHOLE || v < V - 1 {
                    chains[i][v].store(to);
                } else {
                    chains[i][v].store_some(to, tail);
                }
            }
        }
    }
}

/// The one NaN, which later steps keep, and the bounds.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "as for the chains")]
pub(super) unsafe fn bound<L: Lanes, const R: usize, const V: usize>(
    chains: &mut [[L; V]; R],
    finish: &Finish,
) {
    // SAFETY: the contract.
    unsafe {
        for i in 0..R {
            for v in 0..V {
                chains[i][v] = if finish.relu {
                    chains[i][v].relu()
                } else {
                    chains[i][v].canonical()
                };
            }
        }
        if let Some(high) = &finish.at_most {
            let high = L::splat(high);
            for i in 0..R {
                for v in 0..V {
                    chains[i][v] = chains[i][v].at_most(high);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// c = a · b for a tile whose slices are exactly as long as it needs: an element more, read or written, would be out of bounds.
    fn try_tile(isa: Isa, [rows, columns, terms]: [usize; 3], [a_stride, b_stride, c_stride]: [usize; 3]) {
        let length = |stride: usize, width: usize| terms.checked_sub(1).map_or(0, |t| t * stride + width);
        let a: Box<[f32]> = (0..length(a_stride, rows)).map(|i| i as f32).collect();
        let b: Box<[f32]> = (0..length(b_stride, columns)).map(|i| (i % 17) as f32).collect();
        let mut c = vec![7.0; (rows - 1) * c_stride + columns].into_boxed_slice();
        let (left, right) = (
            Left {
                data: &a,
                stride: a_stride,
            },
            Right::plain(&b, b_stride),
        );
        for resume in [false, true] {
            let start = c.clone();
            // SAFETY: c has all rows.
            unsafe {
                run(
                    isa,
                    [rows, columns, terms],
                    left,
                    right,
                    c.as_mut_ptr(),
                    c_stride,
                    resume,
                )
            };
            for (at, &value) in c.iter().enumerate() {
                let (i, j) = (at / c_stride, at % c_stride);
                let mut expected = start[at];
                if j < columns {
                    let products = (0..terms).map(|t| a[t * a_stride + i] * b[t * b_stride + j]);
                    expected = if resume { expected } else { 0.0 } + products.sum::<f32>();
                }
                assert_eq!(value, expected, "{isa:?} {rows}x{columns}x{terms} at {at}");
            }
        }
    }

    #[test]
    fn a_tile_reads_and_writes_its_own_elements_only() {
        for &isa in Isa::available() {
            for rows in 1..=most_rows(isa) {
                for columns in [1, 2, 15, 16, 17, 31, 32, 33, 48, 49, 64, 100, 127, 128, 130] {
                    for terms in [0, 1, 3] {
                        try_tile(isa, [rows, columns, terms], [rows, columns, columns]);
                        try_tile(isa, [rows, columns, terms], [rows + 2, columns + 5, columns + 3]);
                    }
                }
            }
        }
    }

    #[test]
    fn panels_follow_each_other() {
        let (terms, columns) = (3, 130);
        for &isa in Isa::available() {
            for rows in [1, 2, 6] {
                let a = vec![1.0; terms * rows];
                let panel = terms * PANEL;
                // column j of term t is t + j
                let b: Vec<f32> = (0..5 * panel)
                    .map(|at| (at / PANEL % terms + at / panel * PANEL + at % PANEL) as f32)
                    .collect();
                let mut c = vec![0.0; rows * columns];
                let left = Left {
                    data: &a,
                    stride: rows,
                };
                let right = Right {
                    data: &b,
                    stride: PANEL,
                    panel,
                };
                // SAFETY: c has all rows.
                unsafe {
                    run(
                        isa,
                        [rows, columns, terms],
                        left,
                        right,
                        c.as_mut_ptr(),
                        columns,
                        false,
                    )
                };
                for (at, y) in c.into_iter().enumerate() {
                    assert_eq!(y, (3 * (at % columns) + 3) as f32, "{isa:?} at {at}");
                }
            }
        }
    }

    #[test]
    fn tiles_cover_their_rows() {
        for &isa in Isa::available() {
            for rows in 0..100 {
                let mut end = 0;
                for (first, height) in tiles(isa, rows) {
                    assert_eq!(first, end);
                    assert!((1..=most_rows(isa)).contains(&height));
                    end += height;
                }
                assert_eq!(end, rows);
            }
        }
    }

    #[test]
    #[should_panic(expected = "left operand of a tile has all its elements")]
    fn a_short_left_operand_is_refused() {
        let (left, right) = (
            Left {
                data: &[0.0; 11],
                stride: 6,
            },
            Right::plain(&[0.0; 32], 16),
        );
        // SAFETY: c has all rows.
        unsafe {
            run(
                Isa::detect(),
                [6, 16, 2],
                left,
                right,
                [0.0; 96].as_mut_ptr(),
                16,
                false,
            )
        };
    }

    #[test]
    #[should_panic(expected = "right operand of a tile has all its elements")]
    fn a_short_right_operand_is_refused() {
        let (left, right) = (
            Left {
                data: &[0.0; 12],
                stride: 6,
            },
            Right::plain(&[0.0; 31], 16),
        );
        // SAFETY: c has all rows.
        unsafe {
            run(
                Isa::detect(),
                [6, 16, 2],
                left,
                right,
                [0.0; 96].as_mut_ptr(),
                16,
                false,
            )
        };
    }
}
