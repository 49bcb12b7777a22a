//! Which instruction set the fast kernels use.
//!
//! Every kernel gives the same bits on every [`Isa`], so the choice is only one of speed. It is made once, at
//! run time, from what the processor offers. Tests (and anyone who hunts for a difference) can force a slower
//! one with [`force`]; a faster one than the machine has cannot be forced.

use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction set that kernels exist for, slowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Isa {
    /// The scalar reference: no kernel at all.
    Scalar = 1,
    /// What every machine has (SSE2 on x86-64, NEON on aarch64), written so that the compiler can vectorise it.
    /// Without fused multiply-add in hardware it is emulated exactly.
    Sse2 = 2,
    /// AVX2 and FMA.
    Avx2 = 3,
}

impl Isa {
    /// All instruction sets that this machine can run, slowest first.
    pub fn available() -> &'static [Isa] {
        match Self::detect() {
            Isa::Avx2 => &[Isa::Scalar, Isa::Sse2, Isa::Avx2],
            _ => &[Isa::Scalar, Isa::Sse2],
        }
    }

    /// The fastest instruction set of this machine.
    pub fn detect() -> Isa {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            return Isa::Avx2;
        }
        Isa::Sse2
    }

    /// The instruction set in use: the forced one, else the fastest.
    pub fn current() -> Isa {
        match FORCED.load(Ordering::Relaxed) {
            1 => Isa::Scalar,
            2 => Isa::Sse2,
            _ => Isa::detect(),
        }
    }
}

static FORCED: AtomicU8 = AtomicU8::new(0);

/// Makes the whole process use `isa`, or the fastest again with `None`. Forcing more than the machine has
/// means the fastest it has.
pub fn force(isa: Option<Isa>) {
    FORCED.store(isa.map_or(0, |isa| isa as u8), Ordering::Relaxed);
}

/// Runs `body`, compiled for the best instruction set in use.
///
/// This is how one source gives one result at several speeds: the closure is inlined into a function that may
/// use AVX2 and FMA, and into one that may not. The compiler never reorders, contracts or splits floating-point
/// operations, so the two differ in speed only. `f32::mul_add` becomes one instruction in the first and a call
/// of an exact routine in the second.
#[inline(always)]
pub fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if Isa::current() == Isa::Avx2 {
        // SAFETY: `Isa::current` returns Avx2 only when the processor has AVX2 and FMA.
        return unsafe { with_avx2(body) };
    }
    body()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2<R>(body: impl FnOnce() -> R) -> R {
    body()
}

/// Writes `f(x)` for every element.
///
/// # Panics
/// If the slices differ in length.
#[inline]
pub fn map<T: Copy, U>(x: &[T], out: &mut [U], f: impl Fn(T) -> U) {
    assert_eq!(
        x.len(),
        out.len(),
        "an elementwise function has as many outputs as inputs"
    );
    vectorised(|| {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = f(x);
        }
    });
}

/// Writes `f(a, b)` for every pair of elements.
///
/// # Panics
/// If the slices differ in length.
#[inline]
pub fn zip<A: Copy, B: Copy, U>(a: &[A], b: &[B], out: &mut [U], f: impl Fn(A, B) -> U) {
    assert_eq!(
        a.len(),
        out.len(),
        "an elementwise function has as many outputs as inputs"
    );
    assert_eq!(
        b.len(),
        out.len(),
        "an elementwise function has as many outputs as inputs"
    );
    vectorised(|| {
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *out = f(a, b);
        }
    });
}

/// Writes `f(x)` over every element, in place.
#[inline]
pub fn update<T: Copy>(x: &mut [T], f: impl Fn(T) -> T) {
    vectorised(|| {
        for x in x {
            *x = f(*x);
        }
    });
}
