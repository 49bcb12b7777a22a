//! Transcendental functions of many `f32`: the bits of [`crate::math`], sooner.
//!
//! The functions there are correctly rounded or an algorithm in `f64` that is rounded once. Here a shorter, fused computation gives
//! bounds between which the number to be rounded lies. Where both bounds round to the same `f32`, that is the result; where they do
//! not (one element in half a million), its sixteen elements are computed by the defining functions (Ziv's strategy). With AVX-512 a few
//! functions have a form before that, by pairs of `f32` ([`pairs`]), whose bounds leave one block in some hundred open. So the bits
//! cannot depend on how good an approximation is, only the time can, as long as the bounds hold: `examples/exhaustive.rs` compares all
//! 2^32 inputs of each function on each instruction set.

#[cfg(target_arch = "x86_64")]
use super::doubles::{Avx2, Avx512, Doubles, polynomial};
#[cfg(target_arch = "x86_64")]
use super::pairs;
use crate::float::Float;
use crate::isa::{self, Isa};
use crate::math;
use crate::pool;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m512, _mm512_loadu_ps, _mm512_set1_ps, _mm512_sub_ps};

/// A function of one element that takes long enough to have a fast form for many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transcendental {
    /// e^x.
    Exp,
    /// Natural logarithm.
    Log,
    /// 1 / (1 + e^−x).
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// Error function.
    Erf,
    /// [`math::gelu`].
    Gelu,
    /// [`math::gelu_tanh`].
    GeluTanh,
    /// [`math::softplus`].
    Softplus,
    /// [`math::mish`].
    Mish,
}

impl Transcendental {
    /// All of them.
    pub const ALL: [Transcendental; 9] = [
        Transcendental::Exp,
        Transcendental::Log,
        Transcendental::Sigmoid,
        Transcendental::Tanh,
        Transcendental::Erf,
        Transcendental::Gelu,
        Transcendental::GeluTanh,
        Transcendental::Softplus,
        Transcendental::Mish,
    ];

    /// The function of one element, as it is defined.
    #[must_use]
    #[inline(always)]
    pub fn of<T: Float>(self, x: T) -> T {
        match self {
            Transcendental::Exp => x.exp(),
            Transcendental::Log => x.log(),
            Transcendental::Sigmoid => x.sigmoid(),
            Transcendental::Tanh => x.tanh(),
            Transcendental::Erf => x.erf(),
            Transcendental::Gelu => math::gelu(x),
            Transcendental::GeluTanh => math::gelu_tanh(x),
            Transcendental::Softplus => math::softplus(x),
            Transcendental::Mish => math::mish(x),
        }
    }

    /// Writes the function of every element.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn map(self, x: &[f32], out: &mut [f32]) {
        assert_eq!(
            x.len(),
            out.len(),
            "an elementwise function has as many outputs as inputs"
        );
        // about a nanosecond each
        pool::share(out, BLOCK, x.len() as u64, |first, out| {
            self.part(&x[first..][..out.len()], out);
        });
    }

    /// [`Self::map`] by the definition alone, whatever the instruction set: what the fast forms are measured and compared with.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn define(self, x: &[f32], out: &mut [f32]) {
        match self {
            Transcendental::Exp => isa::apply(x, out, Definition(Exp)),
            Transcendental::Log => isa::apply(x, out, Definition(Log)),
            Transcendental::Sigmoid => isa::apply(x, out, Definition(Sigmoid)),
            Transcendental::Tanh => isa::apply(x, out, Definition(Tanh)),
            Transcendental::Erf => isa::apply(x, out, Definition(Erf)),
            Transcendental::Gelu => isa::apply(x, out, Definition(Gelu)),
            Transcendental::GeluTanh => isa::apply(x, out, Definition(GeluTanh)),
            Transcendental::Softplus => isa::apply(x, out, Definition(Softplus)),
            Transcendental::Mish => isa::apply(x, out, Definition(Mish)),
        }
    }

    fn part(self, x: &[f32], out: &mut [f32]) {
        match self {
            Transcendental::Exp => compute::<Exp, _>(Mapped { x, out }),
            Transcendental::Log => compute::<Log, _>(Mapped { x, out }),
            Transcendental::Sigmoid => compute::<Sigmoid, _>(Mapped { x, out }),
            Transcendental::Tanh => compute::<Tanh, _>(Mapped { x, out }),
            Transcendental::Erf => compute::<Erf, _>(Mapped { x, out }),
            Transcendental::Gelu => compute::<Gelu, _>(Mapped { x, out }),
            Transcendental::GeluTanh => compute::<GeluTanh, _>(Mapped { x, out }),
            Transcendental::Softplus => compute::<Softplus, _>(Mapped { x, out }),
            Transcendental::Mish => compute::<Mish, _>(Mapped { x, out }),
        }
    }

    /// Writes the function of every element over it, on this thread.
    pub fn update(self, x: &mut [f32]) {
        match self {
            Transcendental::Exp => compute::<Exp, _>(InPlace(x)),
            Transcendental::Log => compute::<Log, _>(InPlace(x)),
            Transcendental::Sigmoid => compute::<Sigmoid, _>(InPlace(x)),
            Transcendental::Tanh => compute::<Tanh, _>(InPlace(x)),
            Transcendental::Erf => compute::<Erf, _>(InPlace(x)),
            Transcendental::Gelu => compute::<Gelu, _>(InPlace(x)),
            Transcendental::GeluTanh => compute::<GeluTanh, _>(InPlace(x)),
            Transcendental::Softplus => compute::<Softplus, _>(InPlace(x)),
            Transcendental::Mish => compute::<Mish, _>(InPlace(x)),
        }
    }
}

/// Elements that are settled together.
const BLOCK: usize = 16;

/// A function with its approximation.
trait Formula: Copy + Default {
    /// The definition.
    fn of(x: f32) -> f32;

    /// Two numbers between which lies what [`Self::of`] rounds to `f32`, in either order, and rounds alike: a zero has its sign. NaN
    /// where the result is NaN. Where nothing is known, two numbers far apart.
    ///
    /// # Safety
    /// As [`Doubles`].
    #[cfg(target_arch = "x86_64")]
    unsafe fn bounds<D: Doubles>(x: D) -> (D, D);

    /// Writes the function of sixteen elements by [`pairs`], if there is such a form and it settles all of them; whether it has.
    ///
    /// # Safety
    /// AVX-512 is there, and room for sixteen results.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn by_pairs(_x: __m512, _to: *mut f32) -> bool {
        false
    }
}

/// [`Formula::of`] where a function is vectorised by the compiler.
#[derive(Clone, Copy, Default)]
struct Definition<F>(F);

impl<F: Formula> isa::Unary<f32, f32> for Definition<F> {
    #[inline(always)]
    fn call(self, x: f32) -> f32 {
        F::of(x)
    }
}

/// Elements to compute a function of, and where the results go.
trait Elements {
    /// How many there are.
    fn len(&self) -> usize;
    /// A few from `first` on.
    fn load(&self, first: usize, x: &mut [f32]);
    /// The address of those from `first` on.
    fn address(&self, first: usize) -> *const f32;
    /// Where the results of those from `first` on belong.
    fn results(&mut self, first: usize) -> &mut [f32];
    /// Whether the results lie elsewhere, so that the elements are still there when they have been written.
    const APART: bool;
}

/// One slice to another.
struct Mapped<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}

/// A slice over itself.
struct InPlace<'a>(&'a mut [f32]);

impl Elements for Mapped<'_> {
    const APART: bool = true;
    #[inline(always)]
    fn len(&self) -> usize {
        self.x.len()
    }
    #[inline(always)]
    fn load(&self, first: usize, x: &mut [f32]) {
        x.copy_from_slice(&self.x[first..][..x.len()]);
    }
    #[inline(always)]
    fn address(&self, first: usize) -> *const f32 {
        self.x[first..].as_ptr()
    }
    #[inline(always)]
    fn results(&mut self, first: usize) -> &mut [f32] {
        &mut self.out[first..]
    }
}

impl Elements for InPlace<'_> {
    const APART: bool = false;
    #[inline(always)]
    fn len(&self) -> usize {
        self.0.len()
    }
    #[inline(always)]
    fn load(&self, first: usize, x: &mut [f32]) {
        x.copy_from_slice(&self.0[first..][..x.len()]);
    }
    #[inline(always)]
    fn address(&self, first: usize) -> *const f32 {
        self.0[first..].as_ptr()
    }
    #[inline(always)]
    fn results(&mut self, first: usize) -> &mut [f32] {
        &mut self.0[first..]
    }
}

fn compute<F: Formula, E: Elements>(mut of: E) {
    let length = of.len();
    assert_eq!(
        length,
        of.results(0).len(),
        "an elementwise function has as many outputs as inputs"
    );
    match Isa::current() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has what `Isa::current` says.
        Isa::Avx512 => unsafe { avx512::<F, E>(of) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2::<F, E>(of) },
        _ => {
            let mut x = [0.0; 256];
            for first in (0..length).step_by(x.len()) {
                let x = &mut x[..(length - first).min(256)];
                of.load(first, x);
                let out = &mut of.results(first)[..x.len()];
                isa::apply(x, out, Definition::<F>::default());
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn avx512<F: Formula, E: Elements>(of: E) {
    // SAFETY: these features are enabled here.
    unsafe { blocks::<Avx512, F, E>(of) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<F: Formula, E: Elements>(of: E) {
    // SAFETY: as above.
    unsafe { blocks::<Avx2, F, E>(of) }
}

/// # Safety
/// As [`Doubles`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn blocks<D: Doubles, F: Formula, E: Elements>(mut of: E) {
    let length = of.len();
    let mut first = 0;
    while first + BLOCK <= length {
        let mut before = [0.0; BLOCK];
        if !E::APART {
            of.load(first, &mut before);
        }
        let x = of.address(first);
        let out = of.results(first).as_mut_ptr();
        // SAFETY: sixteen elements and their results are there.
        unsafe {
            if !block::<D, F>(Plain(x), out) {
                let x = if E::APART { &*x.cast() } else { &before };
                define::<F>(x, out);
            }
        }
        first += BLOCK;
    }
    if first < length {
        let (mut x, mut out) = ([0.0; BLOCK], [0.0; BLOCK]);
        of.load(first, &mut x[..length - first]);
        // SAFETY: the contract.
        unsafe {
            if !block::<D, F>(Plain(x.as_ptr()), out.as_mut_ptr()) {
                define::<F>(&x, out.as_mut_ptr());
            }
        }
        of.results(first).copy_from_slice(&out[..length - first]);
    }
}

/// e^(x − from) of sixteen elements, the differences rounded, for kernels that have them at hand.
///
/// # Safety
/// As [`Doubles`]; x has sixteen elements, and so has `out`, elsewhere.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn exp_of_differences<D: Doubles>(x: *const f32, from: f32, out: *mut f32) {
    // SAFETY: the contract.
    unsafe {
        if !block::<D, Exp>(Difference(x, from), out) {
            let x: &[f32; BLOCK] = &*x.cast();
            define::<Exp>(&x.map(|x| x - from), out);
        }
    }
}

/// Sixteen elements.
#[cfg(target_arch = "x86_64")]
trait Sixteen {
    /// Some from one on.
    unsafe fn widen<D: Doubles>(&self, at: usize) -> D;
    /// All.
    unsafe fn all(&self) -> __m512;
}

/// As they lie.
#[cfg(target_arch = "x86_64")]
struct Plain(*const f32);

/// Less a number.
#[cfg(target_arch = "x86_64")]
struct Difference(*const f32, f32);

#[cfg(target_arch = "x86_64")]
impl Sixteen for Plain {
    #[inline(always)]
    unsafe fn widen<D: Doubles>(&self, at: usize) -> D {
        // SAFETY: the caller has the instruction set and sixteen elements.
        unsafe { D::widen(self.0.add(at)) }
    }
    #[inline(always)]
    unsafe fn all(&self) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_loadu_ps(self.0) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Sixteen for Difference {
    #[inline(always)]
    unsafe fn widen<D: Doubles>(&self, at: usize) -> D {
        // SAFETY: as above.
        unsafe { D::widen_difference(self.0.add(at), self.1) }
    }
    #[inline(always)]
    unsafe fn all(&self) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_sub_ps(_mm512_loadu_ps(self.0), _mm512_set1_ps(self.1)) }
    }
}

/// Writes the function of sixteen elements where the bounds settle all of them; whether they do.
///
/// # Safety
/// As [`Doubles`]; there is room for sixteen results.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn block<D: Doubles, F: Formula>(x: impl Sixteen, out: *mut f32) -> bool {
    // SAFETY: eight doubles make a register of AVX-512; the rest is the contract.
    if D::WIDTH == 8 && unsafe { F::by_pairs(x.all(), out) } {
        return true;
    }
    let mut settled = true;
    let mut at = 0;
    while at < BLOCK {
        // SAFETY: the width divides the block; the rest is the contract.
        unsafe { settled &= D::settle(F::bounds(x.widen::<D>(at)), out.add(at)) };
        at += D::WIDTH;
    }
    settled
}

/// Writes the function of sixteen elements as it is defined.
///
/// # Safety
/// There is room for sixteen results.
#[cfg(target_arch = "x86_64")]
#[cold]
#[inline(never)]
unsafe fn define<F: Formula>(x: &[f32; BLOCK], out: *mut f32) {
    let mut results = [0.0; BLOCK];
    isa::apply(x, &mut results, Definition::<F>::default());
    // SAFETY: the contract.
    unsafe { out.cast::<[f32; BLOCK]>().write(results) };
}

/// 2^−44: what an approximation may be off, relatively. All are at least four times as good.
const ERROR: f64 = 1.0 / (1_u64 << 44) as f64;
/// y (1 ± [`ERROR`]).
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn around<D: Doubles>(y: D) -> (D, D) {
    // SAFETY: the caller has the instruction set.
    unsafe { (y.mul(D::splat(1.0 - ERROR)), y.mul(D::splat(1.0 + ERROR))) }
}

/// y (1 ± [`ERROR`]) of a number above 0, which the last bits of the fraction are enough for.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn around_positive<D: Doubles>(y: D) -> (D, D) {
    /// [`ERROR`] of the greatest fraction.
    const LAST: i64 = 1 << 9;
    // SAFETY: as above.
    unsafe { (y.nudge(-LAST), y.nudge(LAST)) }
}

/// x held within the bounds; NaN stays.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn held<D: Doubles>(x: D, low: f64, high: f64) -> D {
    // SAFETY: as above.
    unsafe { D::splat(low).max(D::splat(high).min(x)) }
}

/// tanh of numbers in [0, 20], relatively within 2^−45, as e / (e + 2) with e = e^2x − 1.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn tanh<D: Doubles>(x: D) -> D {
    // SAFETY: as above.
    unsafe {
        let (s, p) = x.add(x).exp_parts();
        let e = s.fma(p, s.sub(D::splat(1.0)));
        e.div(e.add(D::splat(2.0)))
    }
}

/// ½·x·(1 + t) where t has the sign of `of` and a magnitude, never below 0, between `low` and `high`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn gate<D: Doubles>(x: D, of: D, low: D, high: D) -> (D, D) {
    // SAFETY: as above.
    unsafe {
        let half = x.mul(D::splat(0.5));
        let one = D::splat(1.0);
        let low = D::splat(0.0).max(low);
        (
            half.mul(one.add(of.give_sign(low))),
            half.mul(one.add(of.give_sign(high))),
        )
    }
}

/// Defines a formula: its definition and its bounds.
macro_rules! formula {
    ($(#[$doc:meta])* $name:ident: $definition:expr, |$x:ident: $d:ident| $bounds:block $(, $pairs:expr)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default)]
        struct $name;

        impl Formula for $name {
            #[inline(always)]
            fn of(x: f32) -> f32 {
                $definition(x)
            }

            #[cfg(target_arch = "x86_64")]
            #[inline(always)]
            unsafe fn bounds<$d: Doubles>($x: $d) -> ($d, $d) {
                // SAFETY: the contract is the caller's.
                unsafe { $bounds }
            }

            $(
                #[cfg(target_arch = "x86_64")]
                #[inline(always)]
                unsafe fn by_pairs(x: __m512, to: *mut f32) -> bool {
                    // SAFETY: the contract is the caller's.
                    unsafe { ($pairs)(x, to) }
                }
            )?
        }
    };
}

formula!(Exp: math::exp, |x: D| {
    let (s, p) = held(x, -110.0, 100.0).exp_parts();
    around_positive(s.fma(p, s))
}, pairs::exp);

formula!(Sigmoid: math::sigmoid, |x: D| {
    let (s, p) = D::splat(0.0).sub(held(x, -110.0, 100.0)).exp_parts();
    let one = D::splat(1.0);
    around_positive(one.div(s.fma(p, s).add(one)))
});

formula!(Tanh: math::tanh, |x: D| {
    let (low, high) = around(tanh(D::splat(10.0).min(x.abs())));
    (x.give_sign(low), x.give_sign(high))
}, |x, to| pairs::odd(x, &pairs::TANH, false, to));

formula!(Erf: math::erf, |x: D| {
    // from 3.999 on erf is 1 in `f32`
    let (low, high) = around(D::splat(3.999).min(x.abs()).erf());
    (x.give_sign(low), x.give_sign(high))
}, |x, to| pairs::odd(x, &pairs::ERF, true, to));

/// log of positive normal numbers, relatively within 2^−50: [`math::log`]'s own algorithm, fused. With m = x / 2^k near 1, f = m − 1
/// and s = f / (2 + f) it is k·ln 2 + f − (f²/2 − s·(f²/2 + R(s²))).
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn log<D: Doubles>(x: D) -> D {
    // SAFETY: as above.
    unsafe {
        let (k, m) = x.split(std::f64::consts::FRAC_1_SQRT_2);
        let f = m.sub(D::splat(1.0));
        let s = f.div(f.add(D::splat(2.0)));
        let z = s.mul(s);
        let half = f.mul(D::splat(0.5)).mul(f);
        let rest = half.sub(s.mul(z.fma(polynomial(&math::LOG, z), half)));
        k.fma(D::splat(std::f64::consts::LN_2), f.sub(rest))
    }
}

formula!(Log: math::log, |x: D| {
    let (low, high) = around(log(x));
    // nothing is known where there is no logarithm, and of what is not finite
    let unknown = x.sub(x);
    (low, x.if_below(1e-46, D::splat(f64::NAN), high.add(unknown)))
});

formula!(
    /// log(1 + e) with e = e^−|x|: where 1 + e rounds, what it lost is added to the logarithm. Without a division by 1 + e that is
    /// within 2^−53 of the result.
    Softplus: math::softplus::<f32>, |x: D| {
        let one = D::splat(1.0);
        let magnitude = D::splat(110.0).min(x.abs());
        let (s, p) = D::splat(0.0).sub(magnitude).exp_parts();
        let e = s.fma(p, s);
        let sum = one.add(e);
        let lost = e.sub(sum.sub(one));
        around(D::splat(0.0).max(x).add(log(sum).add(lost)))
    }
);

formula!(
    /// tanh(log(1 + e^x)) = n / (n + 2) with n = e^x·(e^x + 2).
    Mish: math::mish::<f32>, |x: D| {
        let x = held(x, -110.0, f64::INFINITY);
        let (s, p) = D::splat(40.0).min(x).exp_parts();
        let e = s.fma(p, s);
        let two = D::splat(2.0);
        let n = e.mul(e.add(two));
        around(x.mul(n.div(n.add(two))))
    }
);

formula!(
    /// erf is known to [`ERROR`] up to 3.999; from 5.93 on it is 1 to that.
    Gelu: math::gelu::<f32>, |x: D| {
        let x = held(x, -50.0, f64::INFINITY);
        let z = x.mul(D::splat(std::f64::consts::FRAC_1_SQRT_2));
        let magnitude = z.abs();
        let erf = D::splat(3.999).min(magnitude).erf();
        let one = D::splat(1.0);
        let low = magnitude.if_below(5.93, erf, one).sub(D::splat(ERROR));
        let high = magnitude.if_below(3.999, erf, one).add(D::splat(ERROR));
        gate(x, z, low, high)
    }
);

formula!(GeluTanh: math::gelu_tanh::<f32>, |x: D| {
    let x = held(x, -50.0, f64::INFINITY);
    let cubed = x.mul(x).mul(x);
    let u = cubed.fma(D::splat(0.044715), x).mul(D::splat(math::SQRT_2_OVER_PI));
    let tanh = tanh(D::splat(20.0).min(u.abs()));
    gate(x, u, tanh.sub(D::splat(ERROR)), tanh.add(D::splat(ERROR)))
});
