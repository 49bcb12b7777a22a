//! Sixteen `f32` in registers of AVX-512, or of AVX2.

use super::Lanes;
use crate::float::Float;
use std::arch::x86_64::*;

/// The NaN that leaves an operator.
const NAN: f32 = <f32 as Float>::NAN;

/// How both instruction sets bring cache lines near.
macro_rules! fetches {
    () => {
        #[inline(always)]
        unsafe fn fetch(from: *const f32) {
            // SAFETY: a hint, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
        }
        #[inline(always)]
        unsafe fn fetch_later(from: *const f32) {
            // SAFETY: a hint, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast()) }
        }
    };
}

/// One register of AVX-512.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

// SAFETY of all calls below: the contract of `Lanes` gives the instruction set and the pointers; masked instructions do not touch
// elements whose bit is 0, wherever those would lie.
impl Lanes for Avx512 {
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as above.
        Avx512(unsafe { _mm512_setzero_ps() })
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: as above.
        Avx512(unsafe { _mm512_set1_ps(*from) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as above.
        Avx512(unsafe { _mm512_loadu_ps(from) })
    }
    #[inline(always)]
    unsafe fn load_some(from: *const f32, mask: u16) -> Self {
        // SAFETY: as above.
        Avx512(unsafe { _mm512_maskz_loadu_ps(mask, from) })
    }
    #[inline(always)]
    unsafe fn load_second(from: *const f32, mask: u32) -> Self {
        // SAFETY: as above.
        unsafe {
            let low = _mm512_maskz_loadu_ps(mask as u16, from);
            let high = _mm512_maskz_loadu_ps((mask >> 16) as u16, from.wrapping_add(16));
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            Avx512(_mm512_permutex2var_ps(low, even, high))
        }
    }
    #[inline(always)]
    unsafe fn load_pairs(from: *const f32, mask: u32) -> (Self, Self) {
        // SAFETY: as above.
        unsafe {
            let low = _mm512_maskz_loadu_ps(mask as u16, from);
            let high = _mm512_maskz_loadu_ps((mask >> 16) as u16, from.wrapping_add(16));
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            (
                Avx512(_mm512_permutex2var_ps(low, even, high)),
                Avx512(_mm512_permutex2var_ps(low, odd, high)),
            )
        }
    }
    fetches!();
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, mask: u16) {
        // SAFETY: as above.
        unsafe { _mm512_mask_storeu_ps(to, mask, self.0) }
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: as above.
        Avx512(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        Avx512(unsafe { _mm512_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as above.
        Avx512(unsafe { _mm512_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: as above.
        Avx512(unsafe { _mm512_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn greater(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            // of zeros the positive one; of a number and a NaN the number
            let greater = _mm512_range_ps::<0b0101>(self.0, other.0);
            let unordered = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, other.0);
            Avx512(_mm512_mask_mov_ps(greater, unordered, _mm512_set1_ps(NAN)))
        }
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        // SAFETY: as above.
        unsafe {
            // by kind, from the lowest four bits on: two kinds of NaN keep the first operand; zeros are +0; one is itself, −∞ +0,
            // +∞ itself, what is below 0 +0, what is above itself
            let by_kind = _mm512_set1_epi32(0x1818_1800);
            Avx512(_mm512_fixupimm_ps::<0>(_mm512_set1_ps(NAN), self.0, by_kind))
        }
    }
    #[inline(always)]
    unsafe fn at_most(self, high: Self) -> Self {
        // the second operand is the result where one is NaN
        // SAFETY: as above.
        Avx512(unsafe { _mm512_min_ps(high.0, self.0) })
    }
    #[inline(always)]
    unsafe fn canonical(self) -> Self {
        // SAFETY: as above.
        unsafe {
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
            Avx512(_mm512_mask_mov_ps(self.0, nan, _mm512_set1_ps(NAN)))
        }
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: as above.
        Avx512(unsafe { _mm512_div_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: as above.
        Avx512(unsafe { _mm512_or_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn transpose(rows: [Self; 16]) -> [Self; 16] {
        // pairs of lanes, then of pairs, then of quarters, then of halves change places
        // SAFETY: as above.
        unsafe {
            let mut a = [_mm512_setzero_ps(); 16];
            for i in 0..16 {
                a[i] = rows[i].0;
            }
            let mut b = a;
            for i in 0..8 {
                b[2 * i] = _mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]);
                b[2 * i + 1] = _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]);
            }
            for i in 0..4 {
                let (x, y) = (_mm512_castps_pd(b[4 * i]), _mm512_castps_pd(b[4 * i + 1]));
                let (z, w) = (_mm512_castps_pd(b[4 * i + 2]), _mm512_castps_pd(b[4 * i + 3]));
                a[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, z));
                a[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, z));
                a[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(y, w));
                a[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(y, w));
            }
            // a[4i + j] holds, in quarter q, lane 4q + j of rows 4i … 4i + 3
            let mut out = rows;
            for j in 0..4 {
                let low02 = _mm512_shuffle_f32x4::<0b10_00_10_00>(a[j], a[4 + j]);
                let low13 = _mm512_shuffle_f32x4::<0b11_01_11_01>(a[j], a[4 + j]);
                let high02 = _mm512_shuffle_f32x4::<0b10_00_10_00>(a[8 + j], a[12 + j]);
                let high13 = _mm512_shuffle_f32x4::<0b11_01_11_01>(a[8 + j], a[12 + j]);
                out[j] = Avx512(_mm512_shuffle_f32x4::<0b10_00_10_00>(low02, high02));
                out[4 + j] = Avx512(_mm512_shuffle_f32x4::<0b10_00_10_00>(low13, high13));
                out[8 + j] = Avx512(_mm512_shuffle_f32x4::<0b11_01_11_01>(low02, high02));
                out[12 + j] = Avx512(_mm512_shuffle_f32x4::<0b11_01_11_01>(low13, high13));
            }
            out
        }
    }
}

/// Two registers of AVX2.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256, __m256);

impl Avx2 {
    /// The bits of eight lanes as the sign bits that masked instructions want.
    #[inline(always)]
    unsafe fn mask(bits: u32) -> __m256i {
        // SAFETY: as for all of these types.
        unsafe {
            let bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let set = _mm256_and_si256(_mm256_set1_epi32(bits as i32), bit);
            _mm256_cmpeq_epi32(set, bit)
        }
    }
}

impl Lanes for Avx2 {
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as above.
        unsafe { Avx2(_mm256_setzero_ps(), _mm256_setzero_ps()) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: as above.
        let x = unsafe { _mm256_broadcast_ss(&*from) };
        Avx2(x, x)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as above.
        unsafe { Avx2(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }
    #[inline(always)]
    unsafe fn load_some(from: *const f32, mask: u16) -> Self {
        // SAFETY: as above.
        unsafe {
            Avx2(
                _mm256_maskload_ps(from, Self::mask(mask.into())),
                _mm256_maskload_ps(from.wrapping_add(8), Self::mask(u32::from(mask) >> 8)),
            )
        }
    }
    #[inline(always)]
    unsafe fn load_second(from: *const f32, mask: u32) -> Self {
        // SAFETY: as above.
        unsafe {
            let mut parts = [_mm256_setzero_ps(); 4];
            for i in 0..4 {
                parts[i] = _mm256_maskload_ps(from.wrapping_add(8 * i), Self::mask(mask >> (8 * i)));
            }
            let [a, b, c, d] = parts;
            Avx2(even_lanes(a, b), even_lanes(c, d))
        }
    }
    #[inline(always)]
    unsafe fn load_pairs(from: *const f32, mask: u32) -> (Self, Self) {
        // SAFETY: as above.
        unsafe {
            let mut parts = [_mm256_setzero_ps(); 4];
            for i in 0..4 {
                parts[i] = if mask == u32::MAX {
                    _mm256_loadu_ps(from.add(8 * i))
                } else {
                    _mm256_maskload_ps(from.wrapping_add(8 * i), Self::mask(mask >> (8 * i)))
                };
            }
            let [a, b, c, d] = parts;
            (
                Avx2(even_lanes(a, b), even_lanes(c, d)),
                Avx2(odd_lanes(a, b), odd_lanes(c, d)),
            )
        }
    }
    fetches!();
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as above.
        unsafe {
            _mm256_storeu_ps(to, self.0);
            _mm256_storeu_ps(to.add(8), self.1);
        }
    }
    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, mask: u16) {
        // SAFETY: as above.
        unsafe {
            _mm256_maskstore_ps(to, Self::mask(mask.into()), self.0);
            _mm256_maskstore_ps(to.wrapping_add(8), Self::mask(u32::from(mask) >> 8), self.1);
        }
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            Avx2(
                _mm256_fmadd_ps(self.0, b.0, c.0),
                _mm256_fmadd_ps(self.1, b.1, c.1),
            )
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Avx2(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Avx2(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Avx2(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn greater(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe {
            Avx2(
                greater_of_eight(self.0, other.0),
                greater_of_eight(self.1, other.1),
            )
        }
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        // SAFETY: as above.
        unsafe {
            let zero = _mm256_setzero_ps();
            let above = Avx2(
                _mm256_and_ps(_mm256_cmp_ps::<_CMP_NLE_UQ>(self.0, zero), self.0),
                _mm256_and_ps(_mm256_cmp_ps::<_CMP_NLE_UQ>(self.1, zero), self.1),
            );
            above.canonical()
        }
    }
    #[inline(always)]
    unsafe fn at_most(self, high: Self) -> Self {
        // the second operand is the result where one is NaN
        // SAFETY: as above.
        unsafe { Avx2(_mm256_min_ps(high.0, self.0), _mm256_min_ps(high.1, self.1)) }
    }
    #[inline(always)]
    unsafe fn canonical(self) -> Self {
        // SAFETY: as above.
        unsafe {
            let nan = _mm256_set1_ps(NAN);
            Avx2(
                _mm256_blendv_ps(self.0, nan, _mm256_cmp_ps::<_CMP_UNORD_Q>(self.0, self.0)),
                _mm256_blendv_ps(self.1, nan, _mm256_cmp_ps::<_CMP_UNORD_Q>(self.1, self.1)),
            )
        }
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Avx2(_mm256_div_ps(self.0, other.0), _mm256_div_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: as above.
        unsafe { Avx2(_mm256_or_ps(self.0, other.0), _mm256_or_ps(self.1, other.1)) }
    }
    #[inline(always)]
    unsafe fn transpose(rows: [Self; 16]) -> [Self; 16] {
        // SAFETY: as above.
        unsafe {
            let mut quarters = [[_mm256_setzero_ps(); 8]; 4];
            for i in 0..8 {
                quarters[0][i] = rows[i].0;
                quarters[1][i] = rows[i].1;
                quarters[2][i] = rows[8 + i].0;
                quarters[3][i] = rows[8 + i].1;
            }
            let (left, right) = (eight_by_eight(quarters[0]), eight_by_eight(quarters[2]));
            let (lower_left, lower_right) = (eight_by_eight(quarters[1]), eight_by_eight(quarters[3]));
            let mut out = rows;
            for i in 0..8 {
                out[i] = Avx2(left[i], right[i]);
                out[8 + i] = Avx2(lower_left[i], lower_right[i]);
            }
            out
        }
    }
}

/// The greater of each two lanes: NaN if either is, −0 below +0.
#[inline(always)]
unsafe fn greater_of_eight(a: __m256, b: __m256) -> __m256 {
    // SAFETY: the caller has AVX2.
    unsafe {
        // of equal ones, which may be zeros of two signs, the bits that both have
        let equal = _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b);
        let greater = _mm256_blendv_ps(_mm256_max_ps(a, b), _mm256_and_ps(a, b), equal);
        let unordered = _mm256_cmp_ps::<_CMP_UNORD_Q>(a, b);
        _mm256_blendv_ps(greater, _mm256_set1_ps(NAN), unordered)
    }
}

/// Lanes 0, 2, 4 … of two registers.
#[inline(always)]
unsafe fn even_lanes(a: __m256, b: __m256) -> __m256 {
    // SAFETY: the caller has AVX2.
    unsafe {
        let even = _mm256_castps_pd(_mm256_shuffle_ps::<0b10_00_10_00>(a, b));
        _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(even))
    }
}

/// Lanes 1, 3, 5 … of two registers.
#[inline(always)]
unsafe fn odd_lanes(a: __m256, b: __m256) -> __m256 {
    // SAFETY: the caller has AVX2.
    unsafe {
        let odd = _mm256_castps_pd(_mm256_shuffle_ps::<0b11_01_11_01>(a, b));
        _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(odd))
    }
}

#[inline(always)]
unsafe fn eight_by_eight(a: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: the caller has AVX2.
    unsafe {
        let mut b = a;
        for i in 0..4 {
            b[2 * i] = _mm256_unpacklo_ps(a[2 * i], a[2 * i + 1]);
            b[2 * i + 1] = _mm256_unpackhi_ps(a[2 * i], a[2 * i + 1]);
        }
        let mut c = b;
        for i in 0..2 {
            let (x, y) = (_mm256_castps_pd(b[4 * i]), _mm256_castps_pd(b[4 * i + 1]));
            let (z, w) = (_mm256_castps_pd(b[4 * i + 2]), _mm256_castps_pd(b[4 * i + 3]));
            c[4 * i] = _mm256_castpd_ps(_mm256_unpacklo_pd(x, z));
            c[4 * i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(x, z));
            c[4 * i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(y, w));
            c[4 * i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(y, w));
        }
        let mut out = c;
        for j in 0..4 {
            out[j] = _mm256_permute2f128_ps::<0x20>(c[j], c[4 + j]);
            out[4 + j] = _mm256_permute2f128_ps::<0x31>(c[j], c[4 + j]);
        }
        out
    }
}
