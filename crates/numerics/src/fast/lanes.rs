//! Sixteen `f32` in registers: what the micro-kernels are written with.
//!
//! One source serves every instruction set: a kernel is an inlined function over [`Lanes`], and [`on_isa`] compiles it once for each.
//! Kernels use loops that count, no iterators and closures over vectors: what those are made of is compiled for any processor, so a vector
//! would go through memory.
//!
//! Lanes never meet: an operation on sixteen is sixteen operations, so the bits cannot depend on the width of a register.

use crate::float::Float;

/// Sixteen `f32`.
///
/// # Safety
/// All functions may only be called on processors with the instruction set that the type stands for, and pointers must be valid for
/// what is read or written through them; elements whose bit of a mask is 0 are neither read nor written.
pub(super) trait Lanes: Copy {
    /// Sixteen times +0.0.
    unsafe fn zero() -> Self;
    /// Sixteen times one element.
    unsafe fn splat(from: *const f32) -> Self;
    /// Sixteen elements side by side.
    unsafe fn load(from: *const f32) -> Self;
    /// Those of sixteen elements whose bit is set; +0.0 for the others.
    unsafe fn load_some(from: *const f32, mask: u16) -> Self;
    /// Every second of 31 elements, those whose bit is set; +0.0 for the others. Bit 2l is that of lane l.
    unsafe fn load_second(from: *const f32, mask: u32) -> Self;
    /// Of 32 elements those whose bit is set, +0.0 for the others: the even ones and the odd ones.
    unsafe fn load_pairs(from: *const f32, mask: u32) -> (Self, Self);
    /// Brings the cache line of an address near, if there is one: it need not be valid.
    unsafe fn fetch(from: *const f32);
    /// [`Self::fetch`], but no nearer than the second-level cache.
    unsafe fn fetch_later(from: *const f32);
    /// Writes sixteen elements.
    unsafe fn store(self, to: *mut f32);
    /// Writes those whose bit is set.
    unsafe fn store_some(self, to: *mut f32, mask: u16);
    /// self · b + c, each rounded once.
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    /// The sum of each two lanes.
    unsafe fn add(self, other: Self) -> Self;
    /// The difference of each two lanes.
    unsafe fn sub(self, other: Self) -> Self;
    /// The product of each two lanes.
    unsafe fn mul(self, other: Self) -> Self;
    /// The greater of each two lanes as [`Float::maximum`] has it: NaN if either is, −0 below +0.
    unsafe fn greater(self, other: Self) -> Self;
    /// +0.0 where the lane is at most 0, the lane elsewhere; a NaN becomes the one that leaves an operator.
    unsafe fn relu(self) -> Self;
    /// The lane, or `high`, which is above 0, where that is smaller; NaNs stay.
    unsafe fn at_most(self, high: Self) -> Self;
    /// Every NaN replaced by the one that leaves an operator.
    unsafe fn canonical(self) -> Self;
    /// self ÷ other, rounded.
    unsafe fn div(self, other: Self) -> Self;
    /// The bits of either: what was loaded in parts, put together.
    unsafe fn or(self, other: Self) -> Self;
    /// Lane j of vector i becomes lane i of vector j.
    unsafe fn transpose(rows: [Self; 16]) -> [Self; 16];
}

/// Bit l moves to bit 2l.
#[inline(always)]
pub(super) fn spread(mask: u16) -> u32 {
    let mut x = u32::from(mask);
    x = (x | x << 8) & 0x00ff_00ff;
    x = (x | x << 4) & 0x0f0f_0f0f;
    x = (x | x << 2) & 0x3333_3333;
    (x | x << 1) & 0x5555_5555
}

/// The mask of the first `count` of sixteen lanes.
#[inline(always)]
pub(super) fn first_lanes(count: usize) -> u16 {
    debug_assert!(count <= 16, "sixteen lanes");
    ((1_u32 << count) - 1) as u16
}

/// Any machine.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; 16]);

impl Lanes for Portable {
    #[inline(always)]
    unsafe fn zero() -> Self {
        Portable([0.0; 16])
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: by contract.
        Portable([unsafe { *from }; 16])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: by contract; an array of floats is aligned as one.
        Portable(unsafe { *from.cast() })
    }
    #[inline(always)]
    unsafe fn load_some(from: *const f32, mask: u16) -> Self {
        Portable(std::array::from_fn(|lane| {
            if mask >> lane & 1 == 0 {
                0.0
            } else {
                // SAFETY: by contract, the bit being set.
                unsafe { *from.wrapping_add(lane) }
            }
        }))
    }
    #[inline(always)]
    unsafe fn load_second(from: *const f32, mask: u32) -> Self {
        Portable(std::array::from_fn(|lane| {
            if mask >> (2 * lane) & 1 == 0 {
                0.0
            } else {
                // SAFETY: by contract, the bit being set.
                unsafe { *from.wrapping_add(2 * lane) }
            }
        }))
    }
    #[inline(always)]
    unsafe fn load_pairs(from: *const f32, mask: u32) -> (Self, Self) {
        let lane = |at: usize| {
            if mask >> at & 1 == 0 {
                0.0
            } else {
                // SAFETY: by contract, the bit being set.
                unsafe { *from.wrapping_add(at) }
            }
        };
        (
            Portable(std::array::from_fn(|l| lane(2 * l))),
            Portable(std::array::from_fn(|l| lane(2 * l + 1))),
        )
    }
    #[inline(always)]
    unsafe fn fetch(_from: *const f32) {}
    #[inline(always)]
    unsafe fn fetch_later(_from: *const f32) {}
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: by contract.
        unsafe { *to.cast() = self.0 }
    }
    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, mask: u16) {
        for (lane, x) in self.0.into_iter().enumerate() {
            if mask >> lane & 1 != 0 {
                // SAFETY: by contract, the bit being set.
                unsafe { *to.wrapping_add(lane) = x }
            }
        }
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        Portable(std::array::from_fn(|lane| {
            fma(self.0[lane], b.0[lane], c.0[lane])
        }))
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Portable(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        Portable(std::array::from_fn(|lane| self.0[lane] - other.0[lane]))
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Portable(std::array::from_fn(|lane| self.0[lane] * other.0[lane]))
    }
    #[inline(always)]
    unsafe fn greater(self, other: Self) -> Self {
        Portable(std::array::from_fn(|lane| {
            Float::maximum(self.0[lane], other.0[lane])
        }))
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        Portable(self.0.map(|x| if x <= 0.0 { 0.0 } else { x.canonical() }))
    }
    #[inline(always)]
    unsafe fn at_most(self, high: Self) -> Self {
        Portable(std::array::from_fn(|lane| {
            if self.0[lane] > high.0[lane] {
                high.0[lane]
            } else {
                self.0[lane]
            }
        }))
    }
    #[inline(always)]
    unsafe fn canonical(self) -> Self {
        Portable(self.0.map(Float::canonical))
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        Portable(std::array::from_fn(|lane| self.0[lane] / other.0[lane]))
    }
    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        Portable(std::array::from_fn(|lane| {
            f32::from_bits(self.0[lane].to_bits() | other.0[lane].to_bits())
        }))
    }
    #[inline(always)]
    unsafe fn transpose(rows: [Self; 16]) -> [Self; 16] {
        std::array::from_fn(|i| Portable(std::array::from_fn(|j| rows[j].0[i])))
    }
}

/// a·b + c rounded once, fast on every target.
#[inline(always)]
pub(super) fn fma(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
        a.mul_add(b, c)
    } else {
        fma_in_software(a, b, c)
    }
}

/// a·b + c rounded once, from `f64` sums (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
///
/// The product of two 24-bit numbers is exact in `f64`. The sum with c is rounded to odd there: what is inexact gets an
/// odd last bit, so that the rounding to `f32`, more than two bits shorter, cannot mistake it for a tie.
#[inline(always)]
pub(super) fn fma_in_software(a: f32, b: f32, c: f32) -> f32 {
    let product = f64::from(a) * f64::from(b);
    let c = f64::from(c);
    let sum = product + c;
    // what the sum lost, exactly (Knuth's TwoSum); NaN if the sum is not finite, which the comparison refuses
    let c_part = sum - product;
    let lost = (product - (sum - c_part)) + (c - c_part);
    let bits = sum.to_bits();
    let inexact = lost.abs() > 0.0;
    let outwards = (lost > 0.0) == (sum > 0.0);
    let odd = if outwards {
        bits.wrapping_add(1)
    } else {
        bits.wrapping_sub(1)
    };
    f64::from_bits(if inexact && bits & 1 == 0 { odd } else { bits }) as f32
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
#[expect(
    clippy::needless_range_loop,
    reason = "see the module: loops over vectors count"
)]
mod x86 {
    use super::Lanes;
    use crate::float::Float;
    use std::arch::x86_64::*;

    /// The NaN that leaves an operator.
    const NAN: f32 = <f32 as Float>::NAN;

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
}

/// Defines an unsafe function over [`Lanes`] for every instruction set: `name(isa, …)` runs the one for `isa`.
///
/// # Safety
/// The function's own contract; besides, the machine must have the instruction set, which it does if `isa` comes from
/// [`Isa::current`](crate::isa::Isa::current).
macro_rules! on_isa {
    (
        $(#[$attribute:meta])*
        unsafe fn $name:ident<$lanes:ident $(, const $constant:ident: $kind:ty)*>($($argument:ident: $type:ty),* $(,)?) $body:block
    ) => {
        $(#[$attribute])*
        #[inline(always)]
        #[allow(clippy::too_many_arguments, reason = "a kernel has as many operands as it has")]
        pub(super) unsafe fn $name<$(const $constant: $kind),*>(isa: $crate::isa::Isa, $($argument: $type),*) {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, reason = "as above")]
            unsafe fn kernel<$lanes: $crate::fast::lanes::Lanes $(, const $constant: $kind)*>($($argument: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            #[allow(clippy::too_many_arguments, reason = "as above")]
            unsafe fn avx512<$(const $constant: $kind),*>($($argument: $type),*) {
                // SAFETY: the contract is the caller's.
                unsafe { kernel::<$crate::fast::lanes::Avx512 $(, $constant)*>($($argument),*) }
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments, reason = "as above")]
            unsafe fn avx2<$(const $constant: $kind),*>($($argument: $type),*) {
                // SAFETY: as above.
                unsafe { kernel::<$crate::fast::lanes::Avx2 $(, $constant)*>($($argument),*) }
            }

            // SAFETY: the contract is the caller's, who has `isa` from what the machine has.
            unsafe {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Avx512 => avx512::<$($constant),*>($($argument),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::isa::Isa::Avx2 => avx2::<$($constant),*>($($argument),*),
                    _ => kernel::<$crate::fast::lanes::Portable $(, $constant)*>($($argument),*),
                }
            }
        }
    };
}
pub(super) use on_isa;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    /// Numbers that differ in sign and exponent, subnormals, zeros, infinities and NaN among them.
    fn numbers(seed: u64) -> impl FnMut() -> f32 {
        let mut state = seed;
        move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let bits = (state >> 32) as u32;
            match state >> 16 & 15 {
                0 => f32::from_bits(bits & 0x807f_ffff),
                1 => f32::from_bits(bits & 0x8000_0000),
                2 => f32::from_bits((bits & 0x80ff_ffff) | 0x7f00_0000),
                3..=7 => f32::from_bits((bits & 0x81ff_ffff) | 0x3f00_0000),
                _ => f32::from_bits(bits),
            }
        }
    }

    #[test]
    fn emulated_fma_is_the_hardware_s() {
        let mut next = numbers(1);
        for _ in 0..3_000_000 {
            let (a, b) = (next(), next());
            // often close to the negated product, where cancellation shows the product's low bits
            let c = if next() > 0.0 { next() } else { -(a * b) };
            let (ours, theirs) = (fma_in_software(a, b, c), a.mul_add(b, c));
            assert!(
                ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()),
                "fma({a:e}, {b:e}, {c:e}) is {theirs:e}, not {ours:e}"
            );
        }
    }

    on_isa! {
        unsafe fn try_masks<L>(x: &[f32], mask: u16, out: &mut [f32]) {
            // SAFETY: the callers below give as many elements as the mask needs.
            unsafe {
                L::load_some(x.as_ptr(), mask).store_some(out.as_mut_ptr(), mask);
            }
        }
    }

    on_isa! {
        unsafe fn try_seconds<L>(x: &[f32], mask: u16, out: &mut [f32; 16]) {
            // SAFETY: as above.
            unsafe {
                L::load_second(x.as_ptr(), spread(mask)).or(L::zero()).store(out.as_mut_ptr());
            }
        }
    }

    on_isa! {
        unsafe fn try_pairs<L>(x: &[f32], mask: u32, out: &mut [f32; 32]) {
            // SAFETY: as above.
            unsafe {
                let (even, odd) = L::load_pairs(x.as_ptr(), mask);
                even.store(out.as_mut_ptr());
                odd.store(out.as_mut_ptr().add(16));
            }
        }
    }

    on_isa! {
        unsafe fn try_transpose<L>(x: &[f32; 256], out: &mut [f32; 256]) {
            // SAFETY: sixteen rows of sixteen.
            unsafe {
                let rows = std::array::from_fn(|i| L::load(x.as_ptr().add(16 * i)));
                for (i, row) in L::transpose(rows).into_iter().enumerate() {
                    row.store(out.as_mut_ptr().add(16 * i));
                }
            }
        }
    }

    #[test]
    fn masks_keep_to_their_elements() {
        let x: Vec<f32> = (1..=32).map(|i| i as f32).collect();
        for &isa in Isa::available() {
            for count in 0..=16 {
                let mut out = vec![0.5; count];
                // both slices end where the mask does: a byte more would be another allocation's
                let x: Box<[f32]> = x[..count].into();
                // SAFETY: the machine has the instruction set.
                unsafe { try_masks(isa, &x, first_lanes(count), &mut out) };
                assert_eq!(*out, *x, "{isa:?}");
            }
            for mask in [0, 1, 0x8000, 0x5555, 0x0ff0, 0xffff, 0x1234] {
                let mut out = [0.5; 16];
                // SAFETY: as above.
                unsafe { try_masks(isa, &x, mask, &mut out) };
                for (lane, y) in out.into_iter().enumerate() {
                    let set = mask >> lane & 1 != 0;
                    assert_eq!(y, if set { x[lane] } else { 0.5 }, "{isa:?} {mask:x} {lane}");
                }
                // SAFETY: as above.
                unsafe { try_seconds(isa, &x, mask, &mut out) };
                for (lane, y) in out.into_iter().enumerate() {
                    let set = mask >> lane & 1 != 0;
                    assert_eq!(y, if set { x[2 * lane] } else { 0.0 }, "{isa:?} {mask:x} {lane}");
                }
            }
        }
    }

    on_isa! {
        /// # Safety
        /// The machine must have the instruction set.
        unsafe fn try_functions<L>(x: &[f32; 16], y: &[f32; 16], out: &mut [[f32; 16]; 5]) {
            // SAFETY: all have sixteen elements.
            unsafe {
                let (a, b) = (L::load(x.as_ptr()), L::load(y.as_ptr()));
                let six = [6.0; 16];
                a.add(b).canonical().store(out[0].as_mut_ptr());
                a.greater(b).store(out[1].as_mut_ptr());
                a.relu().store(out[2].as_mut_ptr());
                a.at_most(L::load(six.as_ptr())).canonical().store(out[3].as_mut_ptr());
                a.canonical().store(out[4].as_mut_ptr());
            }
        }
    }

    #[test]
    fn functions_are_those_of_one_float() {
        let mut next = numbers(2);
        for round in 0..20_000 {
            let x: [f32; 16] = std::array::from_fn(|_| next());
            // often equal, or equal but for the sign
            let y: [f32; 16] = std::array::from_fn(|lane| match (round + lane) % 4 {
                0 => x[lane],
                1 => -x[lane],
                _ => next(),
            });
            for &isa in Isa::available() {
                let mut out = [[0.0; 16]; 5];
                // SAFETY: the machine has the instruction set.
                unsafe { try_functions(isa, &x, &y, &mut out) };
                for lane in 0..16 {
                    let (a, b) = (x[lane], y[lane]);
                    let expected = [
                        (a + b).canonical(),
                        Float::maximum(a, b),
                        Float::maximum(a, 0.0),
                        Float::minimum(a, 6.0),
                        a.canonical(),
                    ];
                    for (out, expected) in out.iter().zip(expected) {
                        assert_eq!(out[lane].to_bits(), expected.to_bits(), "{isa:?} {a:e} {b:e}");
                    }
                }
            }
        }
    }

    #[test]
    fn pairs_are_taken_apart() {
        let x: Vec<f32> = (1..=32).map(|i| i as f32).collect();
        for &isa in Isa::available() {
            for mask in [0, 1, u32::MAX, 0x5555_5555, 0x0fff_fff0, 0x8000_0001, 0x1234_5678] {
                // the slice ends with the last element that the mask names
                let x: Box<[f32]> = x[..32 - mask.leading_zeros() as usize].into();
                let mut out = [0.5; 32];
                // SAFETY: the machine has the instruction set.
                unsafe { try_pairs(isa, &x, mask, &mut out) };
                for (at, y) in out.into_iter().enumerate() {
                    let from = at % 16 * 2 + at / 16;
                    let expected = if mask >> from & 1 != 0 { x[from] } else { 0.0 };
                    assert_eq!(y, expected, "{isa:?} {mask:x} {from}");
                }
            }
        }
    }

    #[test]
    fn a_transposition_is_one() {
        let x: [f32; 256] = std::array::from_fn(|i| i as f32);
        for &isa in Isa::available() {
            let mut out = [0.0; 256];
            // SAFETY: the machine has the instruction set.
            unsafe { try_transpose(isa, &x, &mut out) };
            for i in 0..16 {
                for j in 0..16 {
                    assert_eq!(out[16 * i + j], x[16 * j + i], "{isa:?} ({i}, {j})");
                }
            }
        }
    }
}
