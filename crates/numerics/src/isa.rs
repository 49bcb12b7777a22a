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
    /// AVX-512: F, BW, DQ and VL, beside AVX2 and FMA.
    Avx512 = 4,
}

impl Isa {
    /// All instruction sets that this machine can run, slowest first.
    pub fn available() -> &'static [Isa] {
        const ALL: &[Isa] = &[Isa::Scalar, Isa::Sse2, Isa::Avx2, Isa::Avx512];
        &ALL[..Self::detect() as usize]
    }

    /// The fastest instruction set of this machine.
    #[inline]
    pub fn detect() -> Isa {
        // asked once: a small kernel takes no longer than the questions
        match DETECTED.load(Ordering::Relaxed) {
            2 => Isa::Sse2,
            3 => Isa::Avx2,
            4 => Isa::Avx512,
            _ => {
                let isa = Self::ask();
                DETECTED.store(isa as u8, Ordering::Relaxed);
                isa
            }
        }
    }

    #[cold]
    fn ask() -> Isa {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx2") && has!("fma") {
                return if has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") {
                    Isa::Avx512
                } else {
                    Isa::Avx2
                };
            }
        }
        Isa::Sse2
    }

    /// The instruction set in use: the forced one, else the fastest.
    #[inline]
    pub fn current() -> Isa {
        let fastest = Isa::detect();
        let forced = match FORCED.load(Ordering::Relaxed) {
            1 => Isa::Scalar,
            2 => Isa::Sse2,
            3 => Isa::Avx2,
            _ => fastest,
        };
        forced.min(fastest)
    }
}

/// What [`Isa::detect`] has found, or 0.
static DETECTED: AtomicU8 = AtomicU8::new(0);
static FORCED: AtomicU8 = AtomicU8::new(0);

/// Makes the whole process use `isa`, or the fastest again with `None`. Forcing more than the machine has
/// means the fastest it has.
pub fn force(isa: Option<Isa>) {
    FORCED.store(isa.map_or(0, |isa| isa as u8), Ordering::Relaxed);
}

/// Defines a function whose body is compiled three times: for processors with AVX-512, with AVX2 and FMA, and for any.
///
/// This is how one source gives one result at several speeds. The compiler never reorders, contracts or splits
/// floating-point operations, so they differ in speed only: `f32::mul_add` becomes one instruction in the first two and a
/// call of an exact routine in the third. Functions that the body calls must be inlined into it (`#[inline(always)]`, or small
/// closures), else they are compiled for any processor.
macro_rules! multiversion {
    (
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident[$($generics:tt)*]($($argument:ident: $type:ty),* $(,)?) $body:block
    ) => {
        $(#[$attribute])*
        #[allow(clippy::too_many_arguments, reason = "an operator has as many operands as it has")]
        $visibility fn $name<$($generics)*>($($argument: $type),*) {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, reason = "as above")]
            fn plain<$($generics)*>($($argument: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments, reason = "as above")]
            fn avx2<$($generics)*>($($argument: $type),*) {
                plain($($argument),*);
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            #[allow(clippy::too_many_arguments, reason = "as above")]
            fn avx512<$($generics)*>($($argument: $type),*) {
                plain($($argument),*);
            }

            match $crate::isa::Isa::current() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: `Isa::current` returns what the processor has.
                $crate::isa::Isa::Avx512 => unsafe { avx512($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                $crate::isa::Isa::Avx2 => unsafe { avx2($($argument),*) },
                _ => plain($($argument),*),
            }
        }
    };
}
pub(crate) use multiversion;

/// A function of one element that is vectorised. Implementations mark `call` as `#[inline(always)]`: a closure is not
/// inlined for certain, and what is not inlined is not vectorised.
pub trait Unary<A, U>: Copy {
    /// The function.
    fn call(self, a: A) -> U;
}

/// A function of two elements that is vectorised; see [`Unary`].
pub trait Binary<A, B, U>: Copy {
    /// The function.
    fn call(self, a: A, b: B) -> U;
}

multiversion! {
    /// Writes f(x) for every element.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn apply[A: Copy, U, F: Unary<A, U>](x: &[A], out: &mut [U], f: F) {
        assert_eq!(x.len(), out.len(), "an elementwise function has as many outputs as inputs");
        for (out, &x) in out.iter_mut().zip(x) {
            *out = f.call(x);
        }
    }
}

multiversion! {
    /// Writes f(a, b) for every pair of elements.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn apply_binary[A: Copy, B: Copy, U, F: Binary<A, B, U>](a: &[A], b: &[B], out: &mut [U], f: F) {
        assert_eq!(a.len(), out.len(), "an elementwise function has as many outputs as inputs");
        assert_eq!(b.len(), out.len(), "an elementwise function has as many outputs as inputs");
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *out = f.call(a, b);
        }
    }
}

/// [`apply`] of a closure or an inlined function.
#[inline]
pub fn map<A: Copy, U>(x: &[A], out: &mut [U], f: impl Fn(A) -> U + Copy) {
    apply(x, out, f);
}

/// [`apply_binary`] of a closure or an inlined function.
#[inline]
pub fn zip<A: Copy, B: Copy, U>(a: &[A], b: &[B], out: &mut [U], f: impl Fn(A, B) -> U + Copy) {
    apply_binary(a, b, out, f);
}

multiversion! {
    /// Writes f(x) over every element, in place.
    pub fn update[A: Copy, F: Unary<A, A>](x: &mut [A], f: F) {
        for x in x {
            *x = f.call(*x);
        }
    }
}

impl<A, U, F: Fn(A) -> U + Copy> Unary<A, U> for F {
    #[inline(always)]
    fn call(self, a: A) -> U {
        self(a)
    }
}

impl<A, B, U, F: Fn(A, B) -> U + Copy> Binary<A, B, U> for F {
    #[inline(always)]
    fn call(self, a: A, b: B) -> U {
        self(a, b)
    }
}
