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
mod x86;

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
