//! Functions of sixteen `f32` at once by pairs of `f32`, sooner than by [`super::doubles`].
//!
//! A pair (high, low) stands for high + low, where low is about 2^−24 of high: most steps of a polynomial need less than that and
//! take single numbers, sixteen in a register of AVX-512. As with doubles an approximation comes with bounds: where they leave a rounding
//! open, or where pairs do not reach, nothing is written and the caller goes on with doubles ([`super::transcendental`]).

use crate::float::Float;
use std::arch::x86_64::*;

/// 1.5·2^23: adding it rounds to an integer, which the low bits then hold.
const ROUND: f32 = 12_582_912.0;

/// The coefficients of f(c + t)/(c + t) for c = 0, ⅛ … 3⅞ and |t| ≤ 1/16, f odd: those of t⁰ to t² as pairs, high then low, then t³ to t⁶.
#[repr(align(64))]
pub(super) struct Pieces([[f32; PIECES]; 10]);

const PIECES: usize = 32;
/// The greatest power of t in a Taylor series.
const DEGREE: usize = 8;
/// Beyond it there are no pieces.
const LARGEST: f32 = 3.93;

impl Pieces {
    /// From Taylor series. Their last two powers are replaced by lower ones: t⁷ and t⁸ are those but for the least that Chebyshev
    /// polynomials leave (C. Lanczos' economisation).
    const fn new(of: &[[f64; DEGREE + 1]; PIECES]) -> Self {
        let mut rows = [[0.0; PIECES]; 10];
        let h2 = 1.0 / 256.0;
        let (h4, h6) = (h2 * h2, h2 * h2 * h2);
        let mut piece = 0;
        while piece < PIECES {
            let [c0, c1, c2, c3, c4, c5, c6, c7, c8] = of[piece];
            let short = [
                c0 - c8 * h4 * h4 / 128.0,
                c1 + c7 * h6 * 7.0 / 64.0,
                c2 + c8 * h6 / 4.0,
                c3 - c7 * h4 * 7.0 / 8.0,
                c4 - c8 * h4 * 5.0 / 4.0,
                c5 + c7 * h2 * 7.0 / 4.0,
                c6 + c8 * h2 * 2.0,
            ];
            let mut k = 0;
            while k < short.len() {
                let high = short[k] as f32;
                if k < 3 {
                    rows[2 * k][piece] = high;
                    rows[2 * k + 1][piece] = (short[k] - high as f64) as f32;
                } else {
                    rows[3 + k][piece] = high;
                }
                k += 1;
            }
            piece += 1;
        }
        Pieces(rows)
    }
}

/// The coefficients of f(c + t)/(c + t), from those of f(c + t).
const fn divided(of: &[f64; DEGREE + 1], c: f64) -> [f64; DEGREE + 1] {
    let mut quotient = [0.0; DEGREE + 1];
    let (mut before, mut k) = (0.0, 0);
    while k <= DEGREE {
        before = (of[k] - before) / c;
        quotient[k] = before;
        k += 1;
    }
    quotient
}

/// erf, by its derivative g, the bell: g′ = −2xg.
pub(super) static ERF: Pieces = {
    // 2/√π and e^(−1/64)
    let (peak, first) = (std::f64::consts::FRAC_2_SQRT_PI, 0.984_496_437_005_408_4);
    let mut pieces = [[0.0; DEGREE + 1]; PIECES];
    pieces[0] = [
        peak,
        0.0,
        -peak / 3.0,
        0.0,
        peak / 10.0,
        0.0,
        -peak / 42.0,
        0.0,
        peak / 216.0,
    ];
    // e^(−j²/64), and what makes the next of it
    let (mut bell, mut fall) = (1.0, first);
    let mut piece = 1;
    while piece < PIECES {
        bell *= fall;
        fall *= first * first;
        let c = piece as f64 / 8.0;
        // erf itself, from the pieces of doubles
        let wide = (piece - 1) / 4;
        let t = c - (0.25 + 0.5 * wide as f64);
        let (mut value, mut k) = (0.0, 13);
        while k > 0 {
            k -= 1;
            value = value * t + f64::from_bits(super::doubles::ERF_PIECES[k][wide]);
        }
        let mut of_erf = [0.0; DEGREE + 1];
        of_erf[0] = c * value;
        let (mut before, mut g) = (0.0, peak * bell);
        let mut k = 0;
        while k < DEGREE {
            of_erf[k + 1] = g / (k + 1) as f64;
            let next = -2.0 * (c * g + before) / (k + 1) as f64;
            before = g;
            g = next;
            k += 1;
        }
        pieces[piece] = divided(&of_erf, c);
        piece += 1;
    }
    Pieces::new(&pieces)
};

/// tanh, by its differential equation: y′ = 1 − y².
pub(super) static TANH: Pieces = {
    let step = 0.124_353_001_771_596_2;
    let mut pieces = [[0.0; DEGREE + 1]; PIECES];
    pieces[0] = [
        1.0,
        0.0,
        -1.0 / 3.0,
        0.0,
        2.0 / 15.0,
        0.0,
        -17.0 / 315.0,
        0.0,
        62.0 / 2_835.0,
    ];
    let mut value = 0.0;
    let mut piece = 1;
    while piece < PIECES {
        // tanh(a + ⅛)
        value = (value + step) / (1.0 + value * step);
        let mut of_tanh = [0.0; DEGREE + 1];
        of_tanh[0] = value;
        let mut k = 0;
        while k < DEGREE {
            let mut square = 0.0;
            let mut i = 0;
            while i <= k {
                square += of_tanh[i] * of_tanh[k - i];
                i += 1;
            }
            let one = if k == 0 { 1.0 } else { 0.0 };
            of_tanh[k + 1] = (one - square) / (k + 1) as f64;
            k += 1;
        }
        pieces[piece] = divided(&of_tanh, piece as f64 / 8.0);
        piece += 1;
    }
    Pieces::new(&pieces)
};

/// 2^(j/32) as pairs: the high numbers, then the low ones.
#[repr(align(64))]
struct Roots([[f32; 32]; 2]);

static ROOTS: Roots = {
    // 2^(1/32)
    let root = 1.021_897_148_654_116_7;
    let mut rows = [[0.0; 32]; 2];
    let mut value: f64 = 1.0;
    let mut j = 0;
    while j < 32 {
        let high = value as f32;
        rows[0][j] = high;
        rows[1][j] = (value - high as f64) as f32;
        value *= root;
        j += 1;
    }
    Roots(rows)
};

/// One of 32 numbers for each place, by the low five bits of an index.
///
/// # Safety
/// AVX-512 is there.
#[inline(always)]
unsafe fn pick(row: &[f32; 32], index: __m512i) -> __m512 {
    // SAFETY: by the contract; a row is twice sixteen numbers.
    unsafe {
        let (low, high) = (_mm512_loadu_ps(row.as_ptr()), _mm512_loadu_ps(row[16..].as_ptr()));
        _mm512_permutex2var_ps(low, index, high)
    }
}

/// high + low less what it may be off, relatively, rounded; and where it is the same with that added.
///
/// # Safety
/// As [`pick`].
#[inline(always)]
unsafe fn rounded(high: __m512, low: __m512, error: f32) -> (__m512, __mmask16) {
    // SAFETY: by the contract.
    unsafe {
        let below = _mm512_add_ps(high, _mm512_fmadd_ps(high, _mm512_set1_ps(-error), low));
        let above = _mm512_add_ps(high, _mm512_fmadd_ps(high, _mm512_set1_ps(error), low));
        let same = _mm512_cmpeq_epi32_mask(_mm512_castps_si512(below), _mm512_castps_si512(above));
        (below, same)
    }
}

/// Writes results, NaNs canonical, if all are settled.
///
/// # Safety
/// As [`pick`]; there is room for sixteen.
#[inline(always)]
unsafe fn write(results: __m512, settled: __mmask16, to: *mut f32) -> bool {
    if settled != __mmask16::MAX {
        return false;
    }
    // SAFETY: by the contract.
    unsafe {
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(results, results);
        _mm512_storeu_ps(
            to,
            _mm512_mask_mov_ps(results, nan, _mm512_set1_ps(<f32 as Float>::NAN)),
        );
    }
    true
}

/// Writes an odd function of x where pairs settle it for all of them. Beyond the pieces it is 1 if `saturates`, else not known.
///
/// # Safety
/// AVX-512 is there, and room for sixteen results.
#[inline(always)]
pub(super) unsafe fn odd(x: __m512, pieces: &Pieces, saturates: bool, to: *mut f32) -> bool {
    /// 2^−36: with a quarter of it none of the 2^32 inputs is rounded to another number.
    const ERROR: f32 = 1.0 / (1_u64 << 36) as f32;
    /// Low parts of less would be subnormal.
    const TINY: f32 = 1e-25;
    /// Its unit in the last place is ⅛.
    const EIGHTHS: f32 = ROUND / 8.0;
    let rows = &pieces.0;
    // SAFETY: by the contract.
    unsafe {
        let magnitude = _mm512_abs_ps(x);
        let of_bits = |bits: u32| _mm512_set1_epi32(bits as i32);
        // 0 less 1 is the greatest
        let bits = _mm512_sub_epi32(_mm512_castps_si512(magnitude), of_bits(1));
        let tiny = _mm512_cmplt_epu32_mask(bits, of_bits(TINY.to_bits() - 1));
        let largest = _mm512_set1_ps(LARGEST);
        if tiny != 0 || !saturates && _mm512_cmp_ps_mask::<_CMP_GT_OQ>(magnitude, largest) != 0 {
            return false;
        }
        // of NaN the second operand
        let m = _mm512_min_ps(largest, magnitude);
        let shifted = _mm512_add_ps(m, _mm512_set1_ps(EIGHTHS));
        let index = _mm512_castps_si512(shifted);
        let t = _mm512_sub_ps(m, _mm512_sub_ps(shifted, _mm512_set1_ps(EIGHTHS)));
        let last = _mm512_fmadd_ps(pick(&rows[9], index), t, pick(&rows[8], index));
        let before = _mm512_fmadd_ps(pick(&rows[7], index), t, pick(&rows[6], index));
        let mut high = _mm512_fmadd_ps(last, _mm512_mul_ps(t, t), before);
        let (mut low, mut k) = (_mm512_setzero_ps(), 6);
        while k > 0 {
            k -= 2;
            let (of_high, of_low) = (pick(&rows[k], index), pick(&rows[k + 1], index));
            let sum = _mm512_fmadd_ps(high, t, of_high);
            let lost = _mm512_fmadd_ps(high, t, _mm512_sub_ps(of_high, sum));
            low = _mm512_fmadd_ps(low, t, _mm512_add_ps(lost, of_low));
            high = sum;
        }
        let product = _mm512_mul_ps(m, high);
        let lost = _mm512_fmsub_ps(m, high, product);
        let (result, settled) = rounded(product, _mm512_fmadd_ps(m, low, lost), ERROR);
        let sign = _mm512_and_ps(x, _mm512_set1_ps(-0.0));
        write(_mm512_or_ps(result, sign), settled, to)
    }
}

/// Writes e^x where pairs settle it for all of them.
///
/// # Safety
/// As [`odd`].
#[inline(always)]
pub(super) unsafe fn exp(x: __m512, to: *mut f32) -> bool {
    use std::f64::consts::{LN_2, LOG2_E};
    /// 2^−35: with half of it none of the 2^32 inputs is rounded to another number.
    const ERROR: f32 = 1.0 / (1_u64 << 35) as f32;
    /// (ln 2)/32 in multiples of 2^−29, so that the rest of x has no more digits than a number, and what is left of it.
    const STEP: f64 = LN_2 / 32.0;
    const COARSE: f64 = ((STEP * (1 << 29) as f64) as i64) as f64 / (1 << 29) as f64;
    const FINE: f64 = STEP - COARSE;
    /// Between these results are subnormal, or zero by rounding: they would be rounded twice.
    const LAST_NORMAL: f32 = -87.3;
    const ZERO: f32 = -104.5;
    // SAFETY: by the contract.
    unsafe {
        let all = |x: f32| _mm512_set1_ps(x);
        // a negative number's bits grow with its magnitude
        let of_bits = |bits: u32| _mm512_set1_epi32(bits as i32);
        let bits = _mm512_sub_epi32(_mm512_castps_si512(x), of_bits(LAST_NORMAL.to_bits()));
        let subnormal = _mm512_cmple_epu32_mask(bits, of_bits(ZERO.to_bits() - LAST_NORMAL.to_bits()));
        // of NaN the second operand
        let x = _mm512_max_ps(all(-110.0), _mm512_min_ps(all(100.0), x));
        let shifted = _mm512_fmadd_ps(x, all((32.0 * LOG2_E) as f32), all(ROUND));
        let index = _mm512_castps_si512(shifted);
        let n = _mm512_sub_ps(shifted, all(ROUND));
        let r = _mm512_fnmadd_ps(n, all(COARSE as f32), x);
        let fine = _mm512_mul_ps(n, all(-FINE as f32));
        // with s = r + fine, which single numbers are enough for, e^s − 1 = s + s²·(½ + s·(⅙ + s/24))
        let s = _mm512_add_ps(r, fine);
        let curve = _mm512_fmadd_ps(s, all(1.0 / 24.0), all(1.0 / 6.0));
        let curve = _mm512_fmadd_ps(s, curve, all(0.5));
        let rest = _mm512_fmadd_ps(_mm512_mul_ps(s, s), curve, fine);
        let p = _mm512_add_ps(r, rest);
        let of_p = _mm512_sub_ps(rest, _mm512_sub_ps(p, r));
        let (root, of_root) = (pick(&ROOTS.0[0], index), pick(&ROOTS.0[1], index));
        let high = _mm512_fmadd_ps(root, p, root);
        let lost = _mm512_fmadd_ps(root, p, _mm512_sub_ps(root, high));
        let low = _mm512_fmadd_ps(root, of_p, _mm512_fmadd_ps(of_root, p, of_root));
        let (result, settled) = rounded(high, _mm512_add_ps(low, lost), ERROR);
        let power = _mm512_mul_ps(n, all(1.0 / 32.0));
        write(_mm512_scalef_ps(result, power), settled & !subnormal, to)
    }
}
