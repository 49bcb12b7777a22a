//! A register of `f64`: what approximations of functions are written with.
//!
//! Unlike [`super::lanes`] nothing here needs to give the same bits everywhere: an approximation comes with bounds, and where these
//! leave a rounding open the defining function decides (see [`super::transcendental`]).

/// Some `f64` in a register.
///
/// # Safety
/// All functions may only be called on processors with the instruction set that the type stands for.
pub(super) trait Doubles: Copy {
    /// How many there are; divides sixteen.
    const WIDTH: usize;

    /// Widens that many `f32`, which must be readable.
    unsafe fn widen(from: *const f32) -> Self;
    /// [`Self::widen`] of x − from, rounded in `f32`.
    unsafe fn widen_difference(x: *const f32, from: f32) -> Self;
    /// The same number in all places.
    unsafe fn splat(x: f64) -> Self;
    /// self + other
    unsafe fn add(self, other: Self) -> Self;
    /// self − other
    unsafe fn sub(self, other: Self) -> Self;
    /// self · other
    unsafe fn mul(self, other: Self) -> Self;
    /// self ÷ other
    unsafe fn div(self, other: Self) -> Self;
    /// self · b + c, rounded once.
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    /// The greater; `other` if either is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// The smaller; `other` if either is NaN.
    unsafe fn min(self, other: Self) -> Self;
    /// Without the sign.
    unsafe fn abs(self) -> Self;
    /// `magnitude`, which has no sign, with the sign of this.
    unsafe fn give_sign(self, magnitude: Self) -> Self;
    /// `below` where self < bound, else `other`.
    unsafe fn if_below(self, bound: f64, below: Self, other: Self) -> Self;
    /// Adds to the bits, as an integer.
    unsafe fn nudge(self, by: i64) -> Self;
    /// s and p with e^x = s + s·p for −1000 < x < 1000: s is a power of two, or of its eighth root, and p, which is small, is relatively
    /// within 2^−46.
    unsafe fn exp_parts(self) -> (Self, Self);
    /// The exponent and the mantissa of positive normal numbers, the latter at least `from` and below 2·`from`, which has exponent
    /// 0 or −1.
    unsafe fn split(self, from: f64) -> (Self, Self);
    /// erf of numbers in [0, 4), with an error below 2^−46 of it.
    unsafe fn erf(self) -> Self;
    /// Writes the `f32` that both bounds round to, NaNs canonical, and tells whether both round to the same everywhere.
    unsafe fn settle(bounds: (Self, Self), to: *mut f32) -> bool;
}

/// 2^52 as bits: an integer below it, added to the bits, is added to the number.
const TWO_52: u64 = 0x4330_0000_0000_0000;
/// 2^52 + 1023.
const TWO_52_AND_BIAS: f64 = 4_503_599_627_370_496.0 + 1_023.0;
const MANTISSA: u64 = (1 << 52) - 1;
const CANONICAL_NAN: u32 = 0x7fc0_0000;
/// 1.5·2^52: adding it rounds to an integer, which the low bits then hold.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// c\[0\] + x·(c\[1\] + …), fused.
///
/// # Safety
/// As [`Doubles`].
#[inline(always)]
pub(super) unsafe fn polynomial<D: Doubles, const N: usize>(coefficients: &[f64; N], x: D) -> D {
    // SAFETY: the contract.
    unsafe {
        let mut sum = D::splat(coefficients[N - 1]);
        let mut i = N - 1;
        while i > 0 {
            i -= 1;
            sum = sum.fma(x, D::splat(coefficients[i]));
        }
        sum
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{CANONICAL_NAN, Doubles, MANTISSA, ROUND, TWO_52, TWO_52_AND_BIAS, polynomial};
    use crate::math::erf;
    use std::arch::x86_64::*;

    /// Eight, in one register of AVX-512.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(__m512d);

    // SAFETY of all calls below: the contract of `Doubles` gives the instruction set and the pointers.
    impl Doubles for Avx512 {
        const WIDTH: usize = 8;

        #[inline(always)]
        unsafe fn widen(from: *const f32) -> Self {
            // SAFETY: as above.
            Avx512(unsafe { _mm512_cvtps_pd(_mm256_loadu_ps(from)) })
        }
        #[inline(always)]
        unsafe fn widen_difference(x: *const f32, from: f32) -> Self {
            // SAFETY: as above.
            unsafe {
                let difference = _mm256_sub_ps(_mm256_loadu_ps(x), _mm256_set1_ps(from));
                Avx512(_mm512_cvtps_pd(difference))
            }
        }
        #[inline(always)]
        unsafe fn splat(x: f64) -> Self {
            // SAFETY: as above.
            Avx512(unsafe { _mm512_set1_pd(x) })
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: as above.
            Avx512(unsafe { _mm512_add_pd(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: as above.
            Avx512(unsafe { _mm512_sub_pd(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: as above.
            Avx512(unsafe { _mm512_mul_pd(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn div(self, other: Self) -> Self {
            // SAFETY: as above.
            Avx512(unsafe { _mm512_div_pd(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            // SAFETY: as above.
            Avx512(unsafe { _mm512_fmadd_pd(self.0, b.0, c.0) })
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // SAFETY: as above.
            Avx512(unsafe { _mm512_max_pd(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn min(self, other: Self) -> Self {
            // SAFETY: as above.
            Avx512(unsafe { _mm512_min_pd(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn abs(self) -> Self {
            // SAFETY: as above.
            Avx512(unsafe { _mm512_andnot_pd(_mm512_set1_pd(-0.0), self.0) })
        }
        #[inline(always)]
        unsafe fn give_sign(self, magnitude: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                let sign = _mm512_and_pd(_mm512_set1_pd(-0.0), self.0);
                Avx512(_mm512_or_pd(magnitude.0, sign))
            }
        }
        #[inline(always)]
        unsafe fn if_below(self, bound: f64, below: Self, other: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                let mask = _mm512_cmp_pd_mask::<_CMP_LT_OQ>(self.0, _mm512_set1_pd(bound));
                Avx512(_mm512_mask_blend_pd(mask, other.0, below.0))
            }
        }
        #[inline(always)]
        unsafe fn nudge(self, by: i64) -> Self {
            // SAFETY: as above.
            unsafe {
                let bits = _mm512_add_epi64(_mm512_castpd_si512(self.0), _mm512_set1_epi64(by));
                Avx512(_mm512_castsi512_pd(bits))
            }
        }
        #[inline(always)]
        unsafe fn exp_parts(self) -> (Self, Self) {
            use std::f64::consts::{LN_2, LOG2_E};
            // x = n·(ln 2)/8 + r: the polynomial is half as long as for whole powers
            // SAFETY: as above; the table is eight numbers of 64 bits.
            unsafe {
                let shifted = self.fma(Self::splat(8.0 * LOG2_E), Self::splat(ROUND));
                let n = shifted.sub(Self::splat(ROUND));
                let r = n.fma(Self::splat(-LN_2 / 8.0), self);
                let p = r.mul(r).fma(polynomial(&super::EXPM1, r), r);
                let bits = _mm512_castpd_si512(shifted.0);
                // of an index the permutation looks at the low three bits only
                let root = _mm512_permutexvar_pd(bits, _mm512_loadu_pd(super::EIGHTH_ROOTS.as_ptr().cast()));
                let power = _mm512_slli_epi64::<52>(_mm512_srli_epi64::<3>(bits));
                let s = _mm512_add_epi64(_mm512_castpd_si512(root), power);
                (Avx512(_mm512_castsi512_pd(s)), p)
            }
        }
        #[inline(always)]
        unsafe fn split(self, from: f64) -> (Self, Self) {
            // SAFETY: as above.
            unsafe {
                let all = |bits: u64| _mm512_set1_epi64(bits as i64);
                let moved = all(1.0_f64.to_bits() - from.to_bits());
                let bits = _mm512_add_epi64(_mm512_castpd_si512(self.0), moved);
                let exponent = _mm512_or_si512(_mm512_srli_epi64::<52>(bits), all(TWO_52));
                let mantissa = _mm512_add_epi64(_mm512_and_si512(bits, all(MANTISSA)), all(from.to_bits()));
                (
                    Avx512(_mm512_sub_pd(
                        _mm512_castsi512_pd(exponent),
                        _mm512_set1_pd(TWO_52_AND_BIAS),
                    )),
                    Avx512(_mm512_castsi512_pd(mantissa)),
                )
            }
        }
        #[inline(always)]
        unsafe fn erf(self) -> Self {
            // SAFETY: as above; a row of the table is eight numbers of 64 bits.
            unsafe {
                let all = |x: f64| _mm512_set1_pd(x);
                // 2x − ½ rounded to an integer is ⌊2x⌋, or at a border of two pieces either's number
                let number = _mm512_add_pd(_mm512_fmadd_pd(self.0, all(2.0), all(-0.5)), all(ROUND));
                let piece = _mm512_castpd_si512(number);
                let centre = _mm512_fmadd_pd(_mm512_sub_pd(number, all(ROUND)), all(0.5), all(0.25));
                let t = _mm512_sub_pd(self.0, centre);
                // of an index the permutation looks at the low three bits only
                let coefficient = |k: usize| {
                    _mm512_permutexvar_pd(piece, _mm512_loadu_pd(super::ERF_PIECES[k].as_ptr().cast()))
                };
                let mut sum = coefficient(12);
                let mut k = 12;
                while k > 0 {
                    k -= 1;
                    sum = _mm512_fmadd_pd(sum, t, coefficient(k));
                }
                Avx512(_mm512_mul_pd(self.0, sum))
            }
        }
        #[inline(always)]
        unsafe fn settle((low, high): (Self, Self), to: *mut f32) -> bool {
            // SAFETY: as above.
            unsafe {
                let (low, high) = (_mm512_cvtpd_ps(low.0), _mm512_cvtpd_ps(high.0));
                let differ = _mm256_cmpneq_epi32_mask(_mm256_castps_si256(low), _mm256_castps_si256(high));
                let nan = _mm256_cmp_ps_mask::<_CMP_UNORD_Q>(low, low);
                let canonical = _mm256_castsi256_ps(_mm256_set1_epi32(CANONICAL_NAN as i32));
                _mm256_storeu_ps(to, _mm256_mask_blend_ps(nan, low, canonical));
                differ == 0
            }
        }
    }

    /// Four, in one register of AVX2.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(__m256d);

    impl Doubles for Avx2 {
        const WIDTH: usize = 4;

        #[inline(always)]
        unsafe fn widen(from: *const f32) -> Self {
            // SAFETY: as above.
            Avx2(unsafe { _mm256_cvtps_pd(_mm_loadu_ps(from)) })
        }
        #[inline(always)]
        unsafe fn widen_difference(x: *const f32, from: f32) -> Self {
            // SAFETY: as above.
            unsafe { Avx2(_mm256_cvtps_pd(_mm_sub_ps(_mm_loadu_ps(x), _mm_set1_ps(from)))) }
        }
        #[inline(always)]
        unsafe fn splat(x: f64) -> Self {
            // SAFETY: as above.
            Avx2(unsafe { _mm256_set1_pd(x) })
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: as above.
            Avx2(unsafe { _mm256_add_pd(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: as above.
            Avx2(unsafe { _mm256_sub_pd(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: as above.
            Avx2(unsafe { _mm256_mul_pd(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn div(self, other: Self) -> Self {
            // SAFETY: as above.
            Avx2(unsafe { _mm256_div_pd(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            // SAFETY: as above.
            Avx2(unsafe { _mm256_fmadd_pd(self.0, b.0, c.0) })
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            // SAFETY: as above.
            Avx2(unsafe { _mm256_max_pd(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn min(self, other: Self) -> Self {
            // SAFETY: as above.
            Avx2(unsafe { _mm256_min_pd(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn abs(self) -> Self {
            // SAFETY: as above.
            Avx2(unsafe { _mm256_andnot_pd(_mm256_set1_pd(-0.0), self.0) })
        }
        #[inline(always)]
        unsafe fn give_sign(self, magnitude: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                let sign = _mm256_and_pd(_mm256_set1_pd(-0.0), self.0);
                Avx2(_mm256_or_pd(magnitude.0, sign))
            }
        }
        #[inline(always)]
        unsafe fn if_below(self, bound: f64, below: Self, other: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                let mask = _mm256_cmp_pd::<_CMP_LT_OQ>(self.0, _mm256_set1_pd(bound));
                Avx2(_mm256_blendv_pd(other.0, below.0, mask))
            }
        }
        #[inline(always)]
        unsafe fn nudge(self, by: i64) -> Self {
            // SAFETY: as above.
            unsafe {
                let bits = _mm256_add_epi64(_mm256_castpd_si256(self.0), _mm256_set1_epi64x(by));
                Avx2(_mm256_castsi256_pd(bits))
            }
        }
        #[inline(always)]
        unsafe fn exp_parts(self) -> (Self, Self) {
            use std::f64::consts::{LN_2, LOG2_E};
            // SAFETY: as above.
            unsafe {
                let shifted = self.fma(Self::splat(LOG2_E), Self::splat(ROUND));
                let n = shifted.sub(Self::splat(ROUND));
                let r = n.fma(Self::splat(-LN_2), self);
                let p = r.mul(r).fma(polynomial(&super::TAYLOR, r), r);
                let exponent = _mm256_slli_epi64::<52>(_mm256_castpd_si256(shifted.0));
                let s = _mm256_add_epi64(exponent, _mm256_castpd_si256(_mm256_set1_pd(1.0)));
                (Avx2(_mm256_castsi256_pd(s)), p)
            }
        }
        #[inline(always)]
        unsafe fn split(self, from: f64) -> (Self, Self) {
            // SAFETY: as above.
            unsafe {
                let all = |bits: u64| _mm256_set1_epi64x(bits as i64);
                let moved = all(1.0_f64.to_bits() - from.to_bits());
                let bits = _mm256_add_epi64(_mm256_castpd_si256(self.0), moved);
                let exponent = _mm256_or_si256(_mm256_srli_epi64::<52>(bits), all(TWO_52));
                let mantissa = _mm256_add_epi64(_mm256_and_si256(bits, all(MANTISSA)), all(from.to_bits()));
                (
                    Avx2(_mm256_sub_pd(
                        _mm256_castsi256_pd(exponent),
                        _mm256_set1_pd(TWO_52_AND_BIAS),
                    )),
                    Avx2(_mm256_castsi256_pd(mantissa)),
                )
            }
        }
        #[inline(always)]
        unsafe fn erf(self) -> Self {
            // the two polynomials that define it, fused: no permutation takes as many pieces as the shorter ones need
            // SAFETY: as above.
            unsafe {
                let near = self.min(Self::splat(1.0));
                let small = near.mul(polynomial(&erf::SMALL, near.mul(near)).add(Self::splat(erf::LEADING)));
                let third = Self::splat(2.0 / 3.0);
                let large = polynomial(&erf::LARGE, self.sub(Self::splat(2.5)).mul(third));
                self.if_below(1.0, small, large)
            }
        }
        #[inline(always)]
        unsafe fn settle((low, high): (Self, Self), to: *mut f32) -> bool {
            // SAFETY: as above.
            unsafe {
                let (low, high) = (_mm256_cvtpd_ps(low.0), _mm256_cvtpd_ps(high.0));
                let same = _mm_cmpeq_epi32(_mm_castps_si128(low), _mm_castps_si128(high));
                let nan = _mm_cmp_ps::<_CMP_UNORD_Q>(low, low);
                let canonical = _mm_castsi128_ps(_mm_set1_epi32(CANONICAL_NAN as i32));
                _mm_storeu_ps(to, _mm_blendv_ps(low, canonical, nan));
                _mm_movemask_ps(_mm_castsi128_ps(same)) == 0b1111
            }
        }
    }
}

/// 1/2!, 1/3!, … 1/11!: with |r| ≤ ln 2 / 2 the polynomial of degree 11 for e^r − 1 is within 2^−46 of it.
#[cfg(target_arch = "x86_64")]
const TAYLOR: [f64; 10] = {
    let mut series = [0.5; 10];
    let mut i = 1;
    while i < 10 {
        series[i] = series[i - 1] / (i + 2) as f64;
        i += 1;
    }
    series
};

/// c with r + r²·(c\[0\] + c\[1\]·r + …) within 2^−51 of e^r − 1, relatively, for |r| ≤ ln 2 / 16, as bits: a Chebyshev interpolant
/// computed with 60 digits.
#[cfg(target_arch = "x86_64")]
const EXPM1: [f64; 6] = [
    f64::from_bits(0x3fe0_0000_0000_002e),
    f64::from_bits(0x3fc5_5555_5555_556a),
    f64::from_bits(0x3fa5_5555_54e9_45c0),
    f64::from_bits(0x3f81_1111_10e1_0a35),
    f64::from_bits(0x3f56_c1b7_0f4c_ae2e),
    f64::from_bits(0x3f2a_01e2_bdf9_010c),
];

/// 2^(i/8) for i = 0 … 7, as bits.
#[cfg(target_arch = "x86_64")]
const EIGHTH_ROOTS: [u64; 8] = [
    0x3ff0_0000_0000_0000,
    0x3ff1_72b8_3c7d_517b,
    0x3ff3_06fe_0a31_b715,
    0x3ff4_bfda_d536_2a27,
    0x3ff6_a09e_667f_3bcd,
    0x3ff8_ace5_422a_a0db,
    0x3ffa_e89f_995a_d3ad,
    0x3ffd_5818_dcfb_a487,
];

/// erf(c + t)/(c + t) for c = ¼, ¾ … 3¾ and |t| ≤ ¼: the coefficients of t^k in row k, as bits. Chebyshev interpolants computed
/// with 60 digits; their error is below 2^−48.
#[cfg(target_arch = "x86_64")]
pub(super) const ERF_PIECES: [[u64; 8]; 13] = [
    [
        0x3ff1_af54_e232_d609,
        0x3fee_57b7_477c_132a,
        0x3fe7_a051_7ad5_64cd,
        0x3fe2_0ac0_448e_30d1,
        0x3fdc_6720_68e6_4fbd,
        0x3fd7_4537_fc60_3cfb,
        0x3fd3_b135_8621_88d2,
        0x3fd1_1110_f080_c546,
    ],
    [
        0xbfc7_3070_406a_f7f3,
        0xbfda_0cdd_9ab3_5696,
        0xbfd9_b12d_f9c9_f1e2,
        0xbfd2_b07a_6069_3686,
        0xbfc8_d734_c1fe_f1f2,
        0xbfc0_e589_6d12_aaf3,
        0xbfb8_3bf9_f6f5_54ac,
        0xbfb2_3452_6458_097e,
    ],
    [
        0xbfd5_7664_ffe8_0707,
        0xbfb9_a7d8_dd5f_748e,
        0x3fb5_aa53_8fff_ff26,
        0x3fbd_3549_a3f1_bdde,
        0x3fb4_408c_71d2_d865,
        0x3fa8_46d8_6b72_3ab7,
        0x3f9d_cc02_f5d9_76c8,
        0x3f93_6ac7_6646_eecb,
    ],
    [
        0x3fba_cf0b_a5b1_0299,
        0x3fc5_acfc_2be9_6484,
        0x3fb0_faa3_ba2d_e3ef,
        0xbf8c_0361_d50f_9f3d,
        0xbf9a_1de1_a058_2a2b,
        0xbf90_a0c0_d51b_3774,
        0xbf82_3692_b412_0964,
        0xbf74_b3ef_89ef_c490,
    ],
    [
        0x3fb6_cb16_9fee_c37b,
        0xbf99_7842_b84b_f315,
        0xbfad_b07b_cfdc_3a25,
        0xbf94_2494_6c7c_f69f,
        0x3f67_6105_14e6_9e70,
        0x3f73_5552_3836_595b,
        0x3f65_b1a2_7bd1_1284,
        0x3f56_05c8_98b8_55ae,
    ],
    [
        0xbfa2_65cd_04c8_f32a,
        0xbfa3_5e00_3d3b_7a32,
        0x3f81_b462_fb1e_61f2,
        0x3f8e_c5d8_ec5d_9d92,
        0x3f6c_69ab_06b4_445e,
        0xbf47_67b3_000f_303a,
        0xbf47_894c_27b5_8373,
        0xbf37_2b72_0a7a_8cce,
    ],
    [
        0xbf92_d72a_5bbd_af32,
        0x3f8d_e96d_001b_ab6a,
        0x3f84_bc7d_fcab_aced,
        0xbf6c_6170_d6fc_9030,
        0xbf67_33cc_639b_0f00,
        0xbf36_796e_e493_3c25,
        0x3f22_56f7_62f5_169d,
        0x3f17_5df9_f3e1_22ca,
    ],
    [
        0x3f82_4cac_6ed9_4760,
        0x3f74_ea88_ab17_1212,
        0xbf75_4be3_9848_a526,
        0xbf58_49f1_c092_32d7,
        0x3f4f_7c04_5564_5e34,
        0x3f37_9187_29f8_82de,
        0x3ee3_674b_991e_d438,
        0xbef4_5fbd_5234_2876,
    ],
    [
        0x3f68_ec06_66be_a587,
        0xbf6e_a274_5d6a_a23e,
        0xbf3a_20c8_6274_a969,
        0x3f54_b6d9_e7d0_b099,
        0x3ef2_0522_2f5d_d1d3,
        0xbf25_621c_8990_9639,
        0xbefd_53ed_a263_a1f9,
        0x3ec2_9235_90e2_3d1a,
    ],
    [
        0xbf5c_ac95_e662_6c1e,
        0xbf33_ff74_644d_3dcc,
        0x3f50_ba36_9d00_b3e8,
        0xbf2b_b3de_dc6f_a61e,
        0xbf26_86a2_7aaa_78e7,
        0x3f01_8630_4358_9f60,
        0x3ef1_63a0_72f9_0c2d,
        0x3eb1_6b7b_750a_cd50,
    ],
    [
        0xbf3b_0c7a_b3e1_3455,
        0x3f45_71df_b94b_80c4,
        0xbf27_d850_10a1_81b8,
        0xbf21_535e_18c2_7436,
        0x3f12_ae49_7aac_1379,
        0x3ee0_763e_bfcc_612a,
        0xbed8_6855_d37d_742b,
        0xbeb0_4b9b_b9d8_9098,
    ],
    [
        0x3f32_10ae_7610_81d1,
        0xbf03_ce6c_35a0_0caa,
        0xbf1d_7459_3ee1_b62d,
        0x3f12_8216_b044_b9f4,
        0xbec1_37c5_b2e0_c603,
        0xbee2_1124_b8f6_9210,
        0x3eac_b2db_a571_3c1e,
        0x3e9f_93cd_5d14_9a3f,
    ],
    [
        0x3f07_fedb_0bc4_7208,
        0xbf16_5e43_5b2a_45d0,
        0x3f08_c3bb_6447_b6b4,
        0xbebb_906d_6c0f_ff79,
        0xbee2_9712_dcab_fcca,
        0x3ec6_740e_28f8_2a62,
        0x3e95_a981_42bc_a4d9,
        0xbe83_c1b7_9f5e_1da6,
    ],
];
