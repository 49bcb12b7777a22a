//! The micro-kernels: some pixels of a row times some vectors of channels, their chains in registers.
//!
//! For each term a kernel loads the weights of its channels and multiplies them with each pixel's element, broadcast: all channels of
//! the output see it. Pixels are a fixed distance apart, a constant of the code, so that one address serves all of them. Where the
//! terms lie from the first pixel is a table. Depthwise convolutions have kernels of their own (`depthwise`).

#[cfg(target_arch = "x86_64")]
use super::super::lanes::{Avx2, Avx512};
use super::super::lanes::{Lanes, Portable};
use super::super::tile::{AHEAD, Finish, Next, Right, VECTOR, bound, most_rows};
use crate::isa::Isa;

/// What a tile is computed from and where it goes.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    /// The element that the offsets count from for the first pixel.
    pub(super) x: *const f32,
    /// Where each term lies.
    pub(super) offsets: &'a [u32],
    /// The weights of the first term: of term t and channel c at t · stride + c / 32 · panel + c mod 32.
    pub(super) w: Right<'a>,
    /// Elements from a pixel to the next in the input.
    pub(super) step: usize,
    /// If the pixels are two rows of half as many: elements from the one to the other in the input.
    pub(super) second_row: Option<usize>,
    pub(super) output: Output,
    /// Weights that come next.
    pub(super) next: Next,
}

/// Where the chains of a tile go.
#[derive(Clone, Copy)]
pub(super) struct Output {
    /// The first pixel's first channels; pixels are sixteen elements apart.
    pub(super) first: *mut f32,
    /// Elements from sixteen channels to the next sixteen.
    pub(super) block: usize,
    /// Continue the chains that are there.
    pub(super) resume: bool,
    /// This is the last part of the chains.
    pub(super) finish: Option<Finish>,
}

/// The most vectors of channels of a tile with so many pixels.
pub(super) fn most_vectors(isa: Isa, pixels: usize) -> usize {
    match (isa, pixels) {
        (Isa::Avx512, 1..=5) | (_, 1) => 4,
        (Isa::Avx512, _) | (_, 2..=3) => 2,
        _ => 1,
    }
}

/// Rows of so many pixels, `step` apart in the input, that make up a tile: two short ones share what is loaded of the weights.
pub(super) fn rows_together(isa: Isa, pixels: usize, step: usize) -> usize {
    let short = (4..=7).contains(&pixels) && (step == VECTOR || step == 2 * VECTOR);
    if isa == Isa::Avx512 && short { 2 } else { 1 }
}

/// Continues or starts the chains of some pixels of `vectors` times sixteen channels.
///
/// # Panics
/// If there is no kernel for so many pixels and vectors, or weights are missing.
///
/// # Safety
/// Every term of every pixel must be valid, so must the elements of the output (and what `finish` names for them), and the latter be
/// nobody else's; `isa` must come from [`Isa::current`].
pub(super) unsafe fn run(isa: Isa, [pixels, vectors]: [usize; 2], tile: &Tile<'_>) {
    assert!((1..=most_rows(isa)).contains(&pixels), "a tile has a few pixels");
    if let Some(last) = tile.offsets.len().checked_sub(1) {
        let columns = (vectors - 1) / 2 * tile.w.panel + (vectors - 1) % 2 * VECTOR + VECTOR;
        assert!(
            last * tile.w.stride + columns <= tile.w.data.len(),
            "every term has its weights"
        );
    }
    #[cfg(target_arch = "x86_64")]
    if tile.second_row.is_some() {
        // SAFETY: as below.
        return unsafe { dispatch_pairs(isa, pixels, vectors, tile) };
    }
    // SAFETY: the weights are there (checked above), the rest is the contract.
    unsafe {
        // the usual steps are constants of the code
        match tile.step {
            1 => dispatch::<1>(isa, pixels, vectors, tile),
            2 => dispatch::<2>(isa, pixels, vectors, tile),
            16 => dispatch::<16>(isa, pixels, vectors, tile),
            32 => dispatch::<32>(isa, pixels, vectors, tile),
            _ => dispatch::<0>(isa, pixels, vectors, tile),
        }
    }
}

/// Runs the kernel for this many pixels and vectors.
#[inline(always)]
unsafe fn dispatch<const STEP: usize>(isa: Isa, pixels: usize, vectors: usize, tile: &Tile<'_>) {
    macro_rules! choose {
        ($kernel:ident: $(($r:literal, $v:literal))*) => {
            match (pixels, vectors) {
                // SAFETY: the contract of `run`.
                $(($r, $v) => unsafe { $kernel::<$r, $v, STEP>(tile) },)*
                _ => unreachable!("there is a kernel for every tile"),
            }
        };
    }
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => choose!(avx512:
            (1, 4) (1, 2) (1, 1) (2, 4) (2, 2) (2, 1) (3, 4) (3, 2) (3, 1) (4, 4) (4, 2) (4, 1) (5, 4) (5, 2) (5, 1)
            (6, 2) (6, 1) (7, 2) (7, 1) (8, 2) (8, 1) (9, 2) (9, 1) (10, 2) (10, 1) (11, 2) (11, 1) (12, 2) (12, 1)
            (13, 2) (13, 1) (14, 2) (14, 1)),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => choose!(avx2:
            (1, 4) (1, 2) (1, 1) (2, 2) (2, 1) (3, 2) (3, 1) (4, 1) (5, 1) (6, 1)),
        _ => choose!(portable: (1, 4) (1, 2) (1, 1) (2, 2) (2, 1) (3, 2) (3, 1) (4, 1) (5, 1) (6, 1)),
    }
}

/// [`dispatch`] for tiles of two rows.
#[cfg(target_arch = "x86_64")]
unsafe fn dispatch_pairs(isa: Isa, pixels: usize, vectors: usize, tile: &Tile<'_>) {
    assert!(isa == Isa::Avx512, "only these registers hold two rows");
    macro_rules! choose {
        ($(($r:literal, $v:literal, $step:literal))*) => {
            match (pixels, vectors, tile.step) {
                // SAFETY: the contract of `run`, and the instruction set is the machine's.
                $(($r, $v, $step) => unsafe { avx512_pairs::<$r, $v, $step>(tile) },)*
                _ => unreachable!("there is a kernel for every tile"),
            }
        };
    }
    choose!((8, 2, 16)(8, 1, 16)(10, 2, 16)(10, 1, 16)(12, 2, 16)(12, 1, 16)(
        14, 2, 16
    )(14, 1, 16)(8, 2, 32)(8, 1, 32)(10, 2, 32)(10, 1, 32)(
        12, 2, 32
    )(12, 1, 32)(14, 2, 32)(14, 1, 32))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn avx512_pairs<const R: usize, const V: usize, const STEP: usize>(tile: &Tile<'_>) {
    // SAFETY: the contract of `run`.
    unsafe { broadcast::<Avx512, R, V, STEP, true>(tile) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn avx512<const R: usize, const V: usize, const STEP: usize>(tile: &Tile<'_>) {
    // SAFETY: the contract of `run`.
    unsafe { broadcast::<Avx512, R, V, STEP, false>(tile) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const R: usize, const V: usize, const STEP: usize>(tile: &Tile<'_>) {
    // SAFETY: the contract of `run`.
    unsafe { broadcast::<Avx2, R, V, STEP, false>(tile) }
}

unsafe fn portable<const R: usize, const V: usize, const STEP: usize>(tile: &Tile<'_>) {
    // SAFETY: the contract of `run`.
    unsafe { broadcast::<Portable, R, V, STEP, false>(tile) }
}

/// Chains of which each term is one element of a pixel times the weights of all channels, of one row or two; see
/// [`super::super::tile`] for why the loops count.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "as said")]
unsafe fn broadcast<L: Lanes, const R: usize, const V: usize, const STEP: usize, const PAIR: bool>(
    tile: &Tile<'_>,
) {
    // SAFETY: the contract of `run`.
    unsafe {
        let step = if STEP == 0 { tile.step } else { STEP };
        let second_row = if PAIR { tile.second_row.unwrap_or(0) } else { 0 };
        let mut chains = begin::<L, R, V>(&tile.output);
        let (mut w, mut next) = (tile.w.data.as_ptr(), tile.next.from);
        for term in 0..tile.offsets.len() {
            let x = tile.x.add(*tile.offsets.as_ptr().add(term) as usize);
            let mut weights = [L::zero(); V];
            for v in 0..V {
                let at = v / 2 * tile.w.panel + v % 2 * VECTOR;
                weights[v] = L::load(w.add(at));
                L::fetch(w.wrapping_add(AHEAD * tile.w.stride + at));
            }
            L::fetch_later(next.cast());
            next = next.wrapping_add(tile.next.bytes);
            let second = x.wrapping_add(second_row);
            for i in 0..R {
                let element = if PAIR && i >= R / 2 {
                    L::splat(second.add((i - R / 2) * step))
                } else {
                    L::splat(x.add(i * step))
                };
                for v in 0..V {
                    chains[i][v] = element.fma(weights[v], chains[i][v]);
                }
            }
            w = w.wrapping_add(tile.w.stride);
        }
        end::<L, R, V>(&tile.output, chains);
    }
}

/// The chains as they are in the output, or at their start.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "as above")]
pub(super) unsafe fn begin<L: Lanes, const R: usize, const V: usize>(output: &Output) -> [[L; V]; R] {
    // SAFETY: the contract of `run`.
    unsafe {
        let mut chains = [[L::zero(); V]; R];
        if output.resume {
            for i in 0..R {
                for v in 0..V {
                    chains[i][v] = L::load(output.first.add(v * output.block + i * VECTOR));
                }
            }
        }
        chains
    }
}

/// Finishes the chains, if these are their last terms, and writes them.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "as above")]
pub(super) unsafe fn end<L: Lanes, const R: usize, const V: usize>(output: &Output, mut chains: [[L; V]; R]) {
    // SAFETY: the contract of `run`.
    unsafe {
        if let Some(finish) = &output.finish {
            if let Some(bias) = finish.row {
                for v in 0..V {
                    let bias = L::load(bias.add(v * VECTOR));
                    for i in 0..R {
                        chains[i][v] = chains[i][v].add(bias);
                    }
                }
            }
            if let Some(add) = finish.add {
                for i in 0..R {
                    for v in 0..V {
                        let other = L::load(add.add(v * output.block + i * VECTOR));
                        chains[i][v] = chains[i][v].add(other);
                    }
                }
            }
            bound(&mut chains, finish);
        }
        for i in 0..R {
            for v in 0..V {
                chains[i][v].store(output.first.add(v * output.block + i * VECTOR));
            }
        }
    }
}
